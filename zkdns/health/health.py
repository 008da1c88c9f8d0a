"""The room's one door: what is known of overrides, probes, replicas and losses, and each service judged.

Rules: lives in one asyncio loop and never waits there. Inputs only say through `mark` which services
must be judged again; `judge` takes them one by one. What this replica says for the others is written
through `write`, at most once a second and only where it changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from zkdns.health import checks, consensus
from zkdns.health.consensus import assign, majority
from zkdns.health.guard import NO_LOSSES, Losses, retain
from zkdns.health.judge import NO_OVERRIDES, ServiceView, judge
from zkdns.health.prober import SOCKETS, Prober
from zkdns.health.targets import Target, targets_of
from zkdns.health.thresholds import CheckState, ProbeHistory, advance
from zkdns.model import Instance, Override, Problem, Service, Verdict
from zkdns.overrides import is_drained

WRITE_EVERY = 1.0
"""Seconds between two writes of our ballot."""

GATHER = 0.02
"""Seconds for which even the first write waits: verdicts come in swarms."""


class Health:
    """`replica`: our id, the name of our nodes under /zkdns/servers and /zkdns/health.

    `mark`: these services must be judged again (called in the loop, never from within `judge`).
    `write`: keep our ballot's node with this data.
    """

    def __init__(
        self,
        replica: str,
        mark: Callable[[Iterable[str]], None],
        write: Callable[[bytes], None] = lambda data: None,
        *,
        allow_command_checks: bool = False,
        sockets: int = SOCKETS,
        named: Callable[[str], checks.Probe] = checks.named,
    ) -> None:
        self.problems: dict[str, Problem] = {}
        """By service: why its check is not in force."""
        self._me = replica
        self._mark = mark
        self._write = write
        self._allow_command = allow_command_checks
        self._prober = Prober(self._take_verdict, replica, sockets, named)
        self._overrides: dict[str, dict[str, Override]] = {}
        self._live: frozenset[str] = frozenset({replica})
        self._ballots: dict[str, tuple[bytes, dict[str, CheckState]]] = {}
        self._connected = True
        # by service
        self._registered: dict[str, Service] = {}
        self._losses: dict[str, Losses] = {}
        self._targets: dict[str, dict[str, Target]] = {}
        # by instance path
        self._service_of: dict[str, str] = {}
        self._histories: dict[str, ProbeHistory] = {}
        self._check_states: dict[str, CheckState] = {}
        self._unprobed: set[str] = set()
        self._all_probed = asyncio.Event()
        # our ballot
        self._written = b""
        self._written_at = float("-inf")
        self._writer: asyncio.TimerHandle | None = None

    # --- in ---------------------------------------------------------------------------------------

    def override(self, overrides: Mapping[tuple[str, str], Override]) -> None:
        """All overrides that there are, by service and instance id."""
        by_service: dict[str, dict[str, Override]] = {}
        for (service, id), order in overrides.items():
            by_service.setdefault(service, {})[id] = order
        old, self._overrides = self._overrides, by_service
        if changed := [s for s in old.keys() | by_service.keys() if old.get(s) != by_service.get(s)]:
            self._mark(changed)

    def replicas(self, ids: Iterable[str]) -> None:
        """The live replicas. We are one of them, whatever it says."""
        live = frozenset(ids) | {self._me}
        if live == self._live:
            return
        self._live = live
        for targets in self._targets.values():
            for path, target in targets.items():
                self._share(path, target)
        self._count_votes(list(self._service_of))

    def ballots(self, nodes: Mapping[str, bytes]) -> None:
        """All the replicas' nodes under /zkdns/health, by replica."""
        old = self._ballots
        self._ballots = {
            replica: known if (known := old.get(replica)) and known[0] == data else (data, _read(data))
            for replica, data in nodes.items()
        }
        moved: set[str] = set()
        for replica in old.keys() | self._ballots.keys():
            _, before = old.get(replica, _NO_BALLOT)
            _, after = self._ballots.get(replica, _NO_BALLOT)
            if before is not after:
                moved.update(p for p in before.keys() | after.keys() if before.get(p) != after.get(p))
        self._count_votes(moved & self._service_of.keys())

    def connected(self, connected: bool) -> None:
        """Whether ZooKeeper is within reach. While it is not, the others' ballots stand still, and
        what we probe ourselves is all that is known of it."""
        if connected != self._connected:
            self._connected = connected
            self._count_votes(list(self._histories))

    # --- out --------------------------------------------------------------------------------------

    def judge(
        self, service: Service, now: float, previous: Service | None = None
    ) -> tuple[Service, float | None]:
        """The service with each instance judged, and when to ask again. One that is gone from the
        registry is asked for without instances; it comes back without any when nothing is kept."""
        name = service.name
        overrides = self._overrides.get(name, NO_OVERRIDES)

        def released(instance: Instance) -> bool:
            return self._fails(instance.path) or is_drained(overrides.get(instance.id), now)

        before = self._registered.get(name)
        losses = retain(self._losses.get(name, NO_LOSSES), before, service, now, released)
        problem = self._update_targets(service, losses)
        if problem is None:
            self.problems.pop(name, None)
        else:
            self.problems[name] = problem
        view = ServiceView(overrides, bool(self._targets.get(name)), self._check_states, losses.kept)
        if service.instances or losses != NO_LOSSES:
            self._registered[name], self._losses[name] = service, losses
        else:
            self._registered.pop(name, None)
            self._losses.pop(name, None)
        return judge(service, view, now, previous)

    async def first_round(self) -> None:
        """Wait until each instance that was judged so far and has a check has been probed, by us or by
        another replica: at most the longest of their timeouts and one second more."""
        timeouts = [self._targets[self._service_of[path]][path].check.timeout for path in self._unprobed]
        if not timeouts:
            return
        try:
            async with asyncio.timeout(max(timeouts) + 1.0):
                await self._all_probed.wait()
        except TimeoutError:
            pass

    async def stop(self) -> None:
        if self._writer is not None:
            self._writer.cancel()
        await self._prober.stop()

    # --- one service ------------------------------------------------------------------------------

    def _update_targets(self, service: Service, losses: Losses) -> Problem | None:
        name = service.name
        instances = (*service.instances, *(k.instance for k in losses.kept))
        old = self._targets.get(name, {})
        targets, problem = targets_of(service, instances, checks.names(), self._allow_command, old)
        new = {target.path: target for target in targets}
        if new:
            self._targets[name] = new
        else:
            self._targets.pop(name, None)
        for path in old.keys() - new.keys():
            self._prober.drop(path)
            self._service_of.pop(path, None)
            self._check_states.pop(path, None)
            self._discount(path)
            self._note_probed(path)
        for path, target in new.items():
            known = old.get(path)
            if known is target or known == target:
                continue
            if known is None:
                self._service_of[path] = name
                self._unprobed.add(path)
                self._all_probed.clear()
            elif not known.same_place(target) or (self._fails(path) and known.since != target.since):
                # Another process stands there now: what was counted is not about it.
                self._check_states.pop(path, None)
                self._discount(path)
            self._share(path, target)
            self._recount(path)
        return problem

    def _fails(self, path: str) -> bool:
        check_state = self._check_states.get(path)
        return check_state is not None and not check_state.good

    # --- one instance -----------------------------------------------------------------------------

    def _share(self, path: str, target: Target) -> None:
        """Probe it, or leave it to others."""
        if self._me in assign(path, self._live):
            self._prober.schedule(target)
        else:
            self._prober.drop(path)
            self._discount(path)

    def _discount(self, path: str) -> None:
        if self._histories.pop(path, None) is not None:
            self._write_soon()

    def _take_verdict(self, target: Target, verdict: Verdict) -> None:
        before = self._histories.get(target.path)
        after = advance(before, verdict.good, verdict.why, target.check.rise, target.check.fall)
        self._histories[target.path] = after
        if before is None or before.check_state != after.check_state:
            self._count_votes((target.path,))
            self._write_soon()

    def _count_votes(self, paths: Iterable[str]) -> None:
        if changed := {self._service_of[path] for path in paths if self._recount(path)}:
            self._mark(changed)

    def _recount(self, path: str) -> bool:
        """ProbeHistory the votes on one instance. Whether its check_state changed."""
        votes = []
        own = self._histories.get(path)
        if own is not None:
            votes.append(own.check_state)
        if own is None or self._connected:
            for replica, (_, ballot) in self._ballots.items():
                # What we wrote ourselves before a restart counts until we know better.
                counts = own is None if replica == self._me else replica in self._live
                if counts and path in ballot:
                    votes.append(ballot[path])
        check_state = majority(votes) or self._check_states.get(path)
        if check_state is None:
            return False
        self._note_probed(path)
        if check_state == self._check_states.get(path):
            return False
        self._check_states[path] = check_state
        return True

    def _note_probed(self, path: str) -> None:
        self._unprobed.discard(path)
        if not self._unprobed:
            self._all_probed.set()

    # --- our ballot ---------------------------------------------------------------------------------

    def _write_soon(self) -> None:
        if self._writer is None:
            loop = asyncio.get_running_loop()
            wait = max(self._written_at + WRITE_EVERY - loop.time(), GATHER)
            self._writer = loop.call_later(wait, self._write_ballot)

    def _write_ballot(self) -> None:
        self._writer = None
        data = consensus.write_ballot({path: c.check_state for path, c in self._histories.items()})
        if data != self._written:
            self._written = data
            self._written_at = asyncio.get_running_loop().time()
            self._write(data)


_NO_BALLOT: tuple[bytes, dict[str, CheckState]] = (b"", {})
_read = consensus.read_ballot
