"""One upstream, and what is learned of it: does it live, does it lead back to us, what it can't do.

Rules: no I/O; the clock is an argument.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from zkdns.config import Address

TOTAL = 2.0
"""Seconds in all that a question, or a probe, waits for a reply."""
SILENCE = 1.2
"""Seconds of asking without any sign of life that make an upstream dead."""
PATIENCE = 0.5
"""Seconds after which the next upstream is asked as well."""
HURRY = 0.05
"""The least of the same where an upstream leaves unanswered what others answer."""
LOSSES = 4
"""Such questions in a row, with no answer between, after which the next upstream is asked so soon. A probe
shows that it lives, not that it knows anybody to ask."""
CASE_LOSSES = 3
"""Questions in a row that were answered without our random case alone, after which it is not tried any
more."""
RELEARN_CASE = 600.0
RELEARN = 3600.0
"""Seconds after which what it couldn't do is tried again."""
PROBE_HEALTHY = 60.0
PROBE_LOOP = 30.0
PROBE_DEAD = (1.0, 15.0)
CLEAN_PROBES = 3
"""Probes in a row that didn't come back to us, after which an upstream in a loop is tried again."""


class Upstream(Struct, eq=False):
    """One upstream, and what we have learned of it."""

    address: Address
    trusted: bool = False
    """What it says of DNSSEC and of errors is passed on."""
    dead: bool = False
    looping: bool = False
    why: str = ""
    latency: float = 0.0
    heard_at: float = -math.inf
    silent_since: float = math.inf
    keeps_case: bool = True
    lost: int = 0
    """Questions in a row that others answered while it was silent."""
    case_losses: int = 0
    case_learned: float = 0.0
    edns: bool = True
    edns_learned: float = 0.0
    edns_heard_at: float = -math.inf
    probe_at: float = -math.inf
    probe_gap: float = PROBE_DEAD[0]
    clean_probes: int = 0

    @property
    def usable(self) -> bool:
        return not self.dead and not self.looping

    @property
    def state(self) -> str:
        return "loop" if self.looping else "dead" if self.dead else "healthy"

    def heard(self, now: float, took: float) -> None:
        """A matching reply came, whatever it says: it lives."""
        self.heard_at = now
        self.silent_since = math.inf
        self.latency = took if not self.latency else self.latency + (took - self.latency) / 8
        if self.dead:
            self.dead = False
            self.probe_at = now
            self.why = self.why if self.looping else ""

    @property
    def patience(self) -> float:
        """Seconds after which the next one is asked as well: soon, where this one was of no use lately, for
        then nobody has to wait for it, and it is asked first all the same."""
        return PATIENCE if self.lost < LOSSES else min(PATIENCE, max(HURRY, 3 * self.latency))

    def silent(self, sent_at: float, now: float) -> None:
        """An attempt got no reply in its time; one that answered others meanwhile is just slow. A probe shows
        whether it is: nobody may answer for a name, and who asks for such names is not to end its life."""
        if self.heard_at < sent_at:
            self.silent_since = min(self.silent_since, sent_at)
            if now - self.silent_since >= SILENCE:
                self._die("no reply", now)
            elif self.usable:
                self.probe_at = min(self.probe_at, now)

    def broke(self, why: str, now: float) -> None:
        self._die(why, now)

    def _die(self, why: str, now: float) -> None:
        if not self.dead:
            self.dead = True
            self.probe_gap = PROBE_DEAD[0]
            self.probe_at = now + self.probe_gap
        if not self.looping:
            self.why = why

    def loop(self, now: float) -> None:
        """Our own probe came in: whatever we ask there ends with us."""
        self.looping = True
        self.clean_probes = 0
        self.why = "a loop: our own query came back"
        self.probe_at = now + PROBE_LOOP

    def probed(self, answered: bool, came_back: bool, now: float) -> None:
        """A probe is over: when the next one goes, and whether a loop is gone."""
        if self.looping:
            self.clean_probes = self.clean_probes + 1 if answered and not came_back else 0
            if self.clean_probes >= CLEAN_PROBES:
                self.looping = False
                self.why = ""
            self.probe_at = now + PROBE_LOOP
        elif self.dead:
            self.probe_at = now + self.probe_gap
            self.probe_gap = min(self.probe_gap * 2, PROBE_DEAD[1])
        else:
            self.probe_at = now + PROBE_HEALTHY

    def speaks_edns(self, now: float) -> bool:
        if not self.edns and now - self.edns_learned > RELEARN:
            self.edns = True
        return self.edns

    def refused_edns(self, now: float) -> None:
        """It answered a question without EDNS that it had refused with it. Where it spoke EDNS lately, that
        was whoever it passed the question on to."""
        if self.edns and now - self.edns_heard_at > RELEARN:
            self.edns, self.edns_learned = False, now

    def preserves_case(self, now: float) -> bool:
        if not self.keeps_case and now - self.case_learned > RELEARN_CASE:
            self.keeps_case, self.case_losses = True, 0
        return self.keeps_case

    def lost_case(self, now: float) -> None:
        self.case_losses += 1
        if self.case_losses >= CASE_LOSSES:
            self.keeps_case, self.case_learned = False, now


def order(upstreams: Sequence[Upstream]) -> tuple[Upstream, ...]:
    """As configured, the dead ones after the others; none that leads back to us."""
    able = [u for u in upstreams if not u.looping]
    return tuple([u for u in able if not u.dead] + [u for u in able if u.dead])
