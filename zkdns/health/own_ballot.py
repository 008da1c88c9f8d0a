"""What this replica's own probes have seen, and the ballot that it writes of that for the others.

Rules: pure. It is written at most once a second, and only where it changed. One of thousands of votes is
spelled a few steps at a time, as it was when that began.
"""

from __future__ import annotations

from typing import Final

from zkdns.health import consensus
from zkdns.health.targets import Target
from zkdns.health.thresholds import CheckState, LastProbe, ProbeHistory, advance
from zkdns.model import Service, Verdict
from zkdns.roots import HEALTH
from zkdns.steps import Steps
from zkdns.wall import Wall

WRITE_EVERY = 1.0
"""Seconds between two writes of our ballot."""

GATHER = 0.02
"""Seconds for which even the first write waits: verdicts come in swarms."""


STEPS: Final = 2
"""Of spelling it, each time that it is asked for."""


class OwnBallot:
    """By the paths of instances. `replica`: our id, the name of our node under /zkdns/health."""

    def __init__(self, replica: str, wall: Wall) -> None:
        self._replica = replica
        self._wall = wall
        self._histories: dict[str, ProbeHistory] = {}
        self._last_probes: dict[str, LastProbe] = {}
        self._written = b""
        self._written_at = float("-inf")
        self._changed_at: float | None = None
        self._spelling: Steps[bytes] | None = None
        self._began = 0.0

    def take(self, target: Target, verdict: Verdict, now: float) -> bool:
        """One probe's verdict. Returns whether that changes our vote."""
        path = target.path
        before = self._histories.get(path)
        after = advance(before, verdict.good, verdict.why, target.check.rise, target.check.fall)
        self._histories[path] = after
        self._last_probes[path] = LastProbe(now, verdict.why)
        if before is not None and before.check_state == after.check_state:
            return False
        self._note_change(now)
        return True

    def discount(self, path: str, now: float) -> bool:
        """What we saw there counts no more. Returns whether we had a vote."""
        self._last_probes.pop(path, None)
        if self._histories.pop(path, None) is None:
            return False
        self._note_change(now)
        return True

    def vote(self, path: str) -> CheckState | None:
        """What we say of one instance; None for nothing."""
        history = self._histories.get(path)
        return history.check_state if history is not None else None

    def last_probes(self, service: Service) -> dict[str, LastProbe]:
        """What we saw ourselves at those of its instances that are ours to probe, by id."""
        probes = ((i.id, self._last_probes.get(i.unique_key)) for i in service.instances)
        return {id: probe for id, probe in probes if probe is not None}

    @property
    def due(self) -> float | None:
        """When `write` has something to give, or to do; None for nothing."""
        if self._spelling is not None:
            return self._began
        if self._changed_at is None:
            return None
        return max(self._written_at + WRITE_EVERY, self._changed_at + GATHER)

    def write(self, now: float) -> bytes | None:
        """Our votes for the others, where it is time to write them, they changed, and are spelled."""
        due = self.due
        if due is None or due > now:
            return None
        if self._spelling is None:
            self._spelling, self._began, self._changed_at = self._spell(), now, None
        data = None
        for _ in range(STEPS):
            try:
                next(self._spelling)
            except StopIteration as end:
                data, self._spelling = end.value, None
                break
        if data is None or data == self._written:
            return None
        self._written, self._written_at = data, now
        return self._written

    def _spell(self) -> Steps[bytes]:
        with self._wall.around(f"{HEALTH}/{self._replica}", "written"):
            return (yield from consensus.writing(dict(self._histories)))
        return self._written

    def _note_change(self, now: float) -> None:
        if self._changed_at is None:
            self._changed_at = now

    def shift(self, by: float) -> None:
        """The clock was set: what is waited for and what is kept is so much later by it."""
        self._last_probes = {path: LastProbe(at + by, why) for path, (at, why) in self._last_probes.items()}
        self._written_at += by
        self._began += by
        if self._changed_at is not None:
            self._changed_at += by
