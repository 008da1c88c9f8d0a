"""The rounds: churn, a fault, churn under it, its end, churn after it, a quiet moment; a hostile tenant."""

from __future__ import annotations

import socket
import time
from collections.abc import Collection, Sequence
from itertools import islice
from statistics import median

from bench.soak import faults, plan, remembered
from bench.soak.agreement import QUIET, WATCHDOG, settle
from bench.soak.cast import Cast
from bench.soak.churn import Churn
from bench.soak.doors import Doors
from bench.soak.hostile import MUTE_TARGETS, Hostile
from bench.soak.model import BOUND, FAR, HOME, Key, Model
from bench.soak.network import Loopback
from bench.soak.services import BOTH
from bench.soak.truth import read
from bench.soak.upstream import Upstream
from bench.soak.watch import LATE, Watch

SESSION = 10.0
"""The servers' session timeout. One that hangs on a member that says nothing learns it from the ping that
doesn't come, two thirds of this later at most; and a session that ends while there is no leader goes on
until it expires. So much later than usual may what is gone still be answered while a fault lasts."""

UPSTREAM, MUTE, SOURCE = 60_001, 60_002, 61_003
"""Whose addresses these are: beyond those of checked instances."""

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
        self.model.touched = BOTH  # until all agree for the first time
        self.doors = Doors()
        self.upstream = Upstream(network.door(UPSTREAM))
        self._mute = socket.create_server((network.door(MUTE), 0), backlog=1)
        """Takes a connection or two, and says nothing to anybody."""
        self.cast = Cast(network, members, engines, self.upstream.address)
        self._actions = plan.actions(seed)
        self._quiet: tuple[Collection[Key], float] = (), 0.0
        """What stood at the last quiet moment, and when that was."""
        self._set_back: list[float] = []
        """When the ensemble began with older data."""
        self._sizes: list[list[tuple[int, int, int]]] = []
        self._began = time.monotonic()

    @property
    def broken(self) -> list[str]:
        return self.model.broken

    def live(self, seconds: float, calm: float, kinds: Collection[str]) -> None:
        """Rounds until the time is over, or something is wrong. Each has `calm` seconds of churn."""
        try:
            with self.cast as cast:
                hosts = {HOME: cast.hosts, FAR: cast.far.hosts}
                self.churn = Churn(hosts, self.model, cast.network, self.doors)
                self.watch = Watch(cast.replicas, self.model, self.seed)
                servers = [(r.host, r.port, r.http_port) for r in cast.replicas]
                host, port = self._mute.getsockname()
                draw = plan.chance(self.seed, "hostile")
                source = cast.network.door(SOURCE)
                self.hostile = Hostile(cast.hosts, servers, source, (host, port), draw)
                try:
                    self.churn.found_all()
                    cast.start_replicas()
                    self.watch.start()
                    self.hostile.start()
                    self._run(seconds, calm, kinds)
                finally:
                    self.hostile.stop()
                    self.watch.stop()
                    self._judge_whole()
                    self.churn.close()
                    cast.close(show=bool(self.broken))
        finally:
            self.doors.close()
            self.upstream.close()
            self._mute.close()

    def _run(self, seconds: float, calm: float, kinds: Collection[str]) -> None:
        self._tell("begins")
        self._act(calm / 3)
        self._settle(QUIET)
        self.model.touched = frozenset()
        cast = self.cast
        for fault in plan.faults(self.seed, len(cast.members), len(cast.replicas), kinds):
            if self.broken or time.monotonic() - self._began > seconds:
                break
            if cast.backup is None and "restore" in kinds:
                cast.back_up()
            self._act(calm / 3)
            self._tell(str(fault))
            touched = faults.find_touched(fault)
            self.model.touched = touched
            self.model.slack = dict.fromkeys(touched, SESSION)
            faults.begin(fault, cast)
            self.churn.spared = FAR if touched == {FAR} else ""
            notice = BOUND + (0.0 if fault.kind in faults.NOTICED_AT_ONCE else SESSION)
            for number, ensemble in faults.find_away(fault, cast):
                self.model.away(number, time.monotonic() + notice, ensemble)
            self._act(calm if fault.long else calm / 3)
            self.model.near()
            if fault.kind == "restore":
                self._set_back.append(time.time())
            faults.end(fault, cast)
            self.churn.spared = ""
            if fault.kind == "restore":
                self.model.forget()
                self.churn.begin_anew()
                self.hostile.begin_anew()
            self._act(calm / 3)
            self._settle(QUIET + WATCHDOG if fault.kind == "restore" else QUIET)
            self.model.slack = {}
            self.model.touched = frozenset()

    def _act(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.churn.step(next(self._actions))
            time.sleep(PACE)

    def _settle(self, within: float) -> None:
        began = time.monotonic()
        self.hostile.pause()
        try:
            self._agree(began, within)
        finally:
            self.hostile.resume()

    def _agree(self, began: float, within: float) -> None:
        found = settle(self.cast, self.churn, self.doors, self.model, within)
        if isinstance(found, str):
            self.model.blame(found)
            return
        readers = self.churn.readers()
        if wrong := remembered.disagree(
            self.cast.replicas,
            lambda: read(readers, self.doors.is_open, time.time()),
            *self._quiet,
            self._set_back,
        ):
            self.model.blame(wrong)
            return
        self._quiet = found.keys_told(), found.at
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
        print(f"attacks: {', '.join(f'{n} {what}' for what, n in sorted(self.hostile.done.items()))}")
        if self.hostile.broken:
            self.model.blame(self.hostile.broken)
        for replica in self.cast.replicas:
            lost, answered = self.watch.lost[replica.number], self.watch.answered[replica.number]
            print(f"{replica}: {answered} answers, {lost} questions without one")
            late = self.watch.late[replica.number]
            if late > 3 + answered * UNANSWERED:
                self.model.blame(f"{replica} gave {late} of {answered} answers later than {LATE:g} s")
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
            most = before[0] * 1.2 + 10_000, before[1] + 3, before[2] + 10 + MUTE_TARGETS
            if any(a > b for a, b in zip(after, most, strict=True)):
                self.model.blame(f"{replica} grew")


def show_plan(seed: int, members: int, servers: int, kinds: Collection[str], many: int) -> None:
    """The first faults and actions that the seed plans."""
    for fault in islice(plan.faults(seed, members, servers, kinds), many):
        print(fault)
    for action in islice(plan.actions(seed), many):
        print(action)
