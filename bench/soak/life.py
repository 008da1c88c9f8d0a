"""The rounds: churn, a fault, churn under it, its end, churn after it, and a quiet moment."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from itertools import islice
from statistics import median

from bench.soak import faults, plan, remembered
from bench.soak.agreement import QUIET, WATCHDOG, settle
from bench.soak.cast import Cast
from bench.soak.churn import Churn
from bench.soak.doors import Doors
from bench.soak.model import BOUND, Key, Model
from bench.soak.network import Loopback
from bench.soak.truth import read
from bench.soak.watch import Watch

SESSION = 10.0
"""The servers' session timeout. One that hangs on a member that says nothing learns it from the ping that
doesn't come, two thirds of this later at most; and a session that ends while there is no leader goes on
until it expires. So much later than usual may what is gone still be answered while a fault lasts."""

PACE = 0.01
"""Seconds between two actions."""

WARM_UP = 2
"""Quiet moments before sizes count: pools, caches and kazoo's threads are there by then."""

UNANSWERED = 0.01
"""The share of questions that may go unanswered on a busy machine."""


class Life:
    """One life of the whole cast. `broken` has what was wrong, the first thing first."""

    def __init__(self, network: Loopback, engines: Sequence[str], seed: int, members: int = 3) -> None:
        self.seed = seed
        self.model = Model()
        self.doors = Doors()
        self.cast = Cast(network, members, engines)
        self._actions = plan.actions(seed)
        self._quiet: tuple[Collection[Key], float] = (), 0.0
        """What stood at the last quiet moment, and when that was."""
        self._sizes: list[list[tuple[int, int, int]]] = []
        self._began = time.monotonic()

    @property
    def broken(self) -> list[str]:
        return self.model.broken

    def live(self, seconds: float, calm: float, kinds: Collection[str]) -> None:
        """Rounds until the time is over, or something is wrong. Each has `calm` seconds of churn."""
        try:
            with self.cast as cast:
                self.churn = Churn(cast.hosts, self.model, cast.network, self.doors)
                self.watch = Watch(cast.replicas, self.model, self.seed)
                try:
                    self.churn.found_all()
                    cast.start_replicas()
                    self.watch.start()
                    self._run(seconds, calm, kinds)
                finally:
                    self.watch.stop()
                    self._judge_whole()
                    self.churn.close()
                    cast.close(show=bool(self.broken))
        finally:
            self.doors.close()

    def _run(self, seconds: float, calm: float, kinds: Collection[str]) -> None:
        self._tell("begins")
        self._act(calm / 3)
        self._settle(QUIET)
        cast = self.cast
        for fault in plan.faults(self.seed, len(cast.members), len(cast.replicas), kinds):
            if self.broken or time.monotonic() - self._began > seconds:
                break
            if cast.backup is None and "restore" in kinds:
                cast.back_up()
            self._act(calm / 3)
            self._tell(str(fault))
            self.model.slack = 0.0 if fault.kind == "nothing" else SESSION
            faults.begin(fault, cast)
            notice = BOUND + (0.0 if fault.kind in faults.NOTICED_AT_ONCE else SESSION)
            for number in faults.find_away(fault, cast):
                self.model.away(number, time.monotonic() + notice)
            self._act(calm if fault.long else calm / 3)
            self.model.near()
            faults.end(fault, cast)
            if fault.kind == "restore":
                self.model.forget()
                self.churn.begin_anew()
            self._act(calm / 3)
            self._settle(QUIET + WATCHDOG if fault.kind == "restore" else QUIET)
            self.model.slack = 0.0

    def _act(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.churn.step(next(self._actions))
            time.sleep(PACE)

    def _settle(self, within: float) -> None:
        began = time.monotonic()
        found = settle(self.cast, self.churn, self.doors, self.model, within)
        if isinstance(found, str):
            self.model.blame(found)
            return
        now = time.time()
        operator = self.churn.clients[-1]
        if wrong := remembered.disagree(
            self.cast.replicas, lambda: read(operator, self.doors.is_open, time.time()), *self._quiet
        ):
            self.model.blame(wrong)
            return
        self._quiet = found.standing().keys(), now
        sizes = [replica.size() for replica in self.cast.replicas]
        self._sizes.append(sizes)
        memory = ", ".join(f"{rss / 1024:.1f}" for rss, _, _ in sizes)
        self._tell(f"all agree after {time.monotonic() - began:.1f} s; {memory} MiB")

    def _tell(self, what: str) -> None:
        at, asked = time.monotonic() - self._began, self.watch.answered.total()
        print(f"{at:6.1f} s  {self.churn.done:6} changes {asked:7} answers  {what}", flush=True)

    # --- at the end --------------------------------------------------------------------------------------

    def _judge_whole(self) -> None:
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(self.watch.kinds.items()))
        print(f"answers by kind: {kinds}")
        for replica in self.cast.replicas:
            lost, answered = self.watch.lost[replica.number], self.watch.answered[replica.number]
            print(f"{replica}: {answered} answers, {lost} questions without one")
            if lost > 3 + (lost + answered) * UNANSWERED:
                self.model.blame(f"{replica} left {lost} of {lost + answered} questions unanswered")
            if "Traceback" in replica.log:
                self.model.blame(f"{replica} logged a traceback")
        self._judge_sizes()

    def _judge_sizes(self) -> None:
        """Memory, threads and descriptors: the middle of the last third beside that of the first."""
        counted = self._sizes[WARM_UP:]
        if len(counted) < 3:
            return
        third = len(counted) // 3
        for k, replica in enumerate(self.cast.replicas):
            before, after = (
                [median(sizes[k][what] for sizes in part) for what in range(3)]
                for part in (counted[:third], counted[-third:])
            )
            print(
                f"{replica}: {before[0] / 1024:.1f} -> {after[0] / 1024:.1f} MiB, "
                f"{before[1]:.0f} -> {after[1]:.0f} threads, {before[2]:.0f} -> {after[2]:.0f} descriptors"
            )
            if after[0] > before[0] * 1.2 + 10_000 or after[1] > before[1] + 3 or after[2] > before[2] + 10:
                self.model.blame(f"{replica} grew")


def show_plan(seed: int, members: int, servers: int, kinds: Collection[str], many: int) -> None:
    """The first faults and actions that the seed plans."""
    for fault in islice(plan.faults(seed, members, servers, kinds), many):
        print(fault)
    for action in islice(plan.actions(seed), many):
        print(action)
