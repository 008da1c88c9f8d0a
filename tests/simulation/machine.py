"""What a world is made of, and how its time passes: ensembles, replicas, a clock, and moments of quiet.

Rules: what may happen is said in `world`, what must be true in `laws`. Nobody is woken but when it is due.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from simulation import laws
from simulation.ensemble import Ensemble, Tree
from simulation.replica import AUDIT, Link, Replica, Saved
from simulation.view import ROOT
from zkdns.config import Settings
from zkdns.health.ballots import SESSION
from zkdns.registry.url import parse_registry

START = 1_700_000_000.0
SERVICES = ("web", "db")
IDS = ("a", "b", "c")
GRACE = 5.0
STALE_MAX = 60.0
MAX_RETRY_SECONDS = 3.0
"""Seconds within which a mirror has begun anew."""

TOLD = 6.0
"""Seconds in which a ballot is written, and our node after it."""

SETTLE = max(GRACE + TOLD, SESSION) + 1
"""Seconds in which all that is kept for a while, or waited for, has had its time."""

PROBES = 11
"""So many in a row bring an instance back, however it flapped."""

MAX_REPLICAS = 3
MAX_WAKES = 2000


def _settings(registries: int, failover: bool) -> Settings:
    url = parse_registry("zk://127.0.0.1:2181" + ROOT)
    urls = tuple(replace(url, name=f"r{n + 1}") for n in range(registries))
    behind = ("r2",) if failover else ()
    return Settings(registry=urls, failover=behind, grace=GRACE, stale_max=STALE_MAX)


SHAPES = (_settings(1, False), _settings(2, False), _settings(2, True))


class Machine:
    """`ensembles`: by the names of their registries; what stands under /zkdns is the `own` one's. `cut_at`:
    since when nobody reaches one, and `seen` what stood there then. `registered`: all addresses that ever
    were."""

    stale_max = STALE_MAX

    def __init__(self) -> None:
        self.now = START
        self.registered: set[str] = set()
        self.cut_at: dict[str, float] = {}
        self.seen: dict[str, Tree] = {}
        self.ill_while_away: set[str] = set()
        """Paths that all replicas have known to be ill since our ensemble was away."""
        self._ill: dict[str, int] = {}
        """By address, the slots whose replicas see it as ill, as bits."""
        self._ballots: dict[int, dict[str, bool]] = {0: {}, 1: {}}
        """Those of replicas that are only nodes."""
        self._disks: dict[int, dict[str, Saved]] = {slot: {} for slot in range(MAX_REPLICAS)}
        self._ahead = [0.0] * MAX_REPLICAS
        """By slot, by how much the clock of that machine was set."""
        self._is_deaf = False
        self._begun = 0

    def _build(self, shape: int, replicas: int, is_asked: int = 1) -> None:
        self._settings = SHAPES[shape]
        self._is_asked = bool(is_asked)
        self.failover = bool(self._settings.failover)
        self.ensembles = {url.name: Ensemble(start=self.now) for url in self._settings.registry}
        self.own = next(iter(self.ensembles))
        self._names = list(self.ensembles)
        for ensemble in self.ensembles.values():
            ensemble.create(ROOT)
        self._clients = {name: [ensemble.session() for _ in IDS] for name, ensemble in self.ensembles.items()}
        self.replicas = [self._begin(slot) for slot in range(replicas)]

    def _begin(self, slot: int, one_shot: bool = False) -> Replica:
        self._begun += 1
        id, ahead = f"z{self._begun}", self._ahead[slot]
        # Only those of one slot answer, and not in every world: what it costs is the compiling.
        answers = self._is_asked and slot == 0
        those = self._settings, self.ensembles
        return Replica(slot, id, *those, self.now, one_shot, ahead, answers_queries=answers)

    def registered_in(self, registry: str) -> set[str]:
        """All addresses that ever were in one of them."""
        at = self._names.index(registry)
        return {address for address in self.registered if int(address.split(".")[1]) // len(SERVICES) == at}

    def is_well(self, replica: Replica, address: str) -> bool:
        return not self._ill.get(address, 0) >> replica.slot & 1

    def _ensemble(self, at: int) -> tuple[Ensemble, str]:
        name = self._names[at % len(self._names)]
        return self.ensembles[name], name

    def _replica(self, which: int) -> Replica:
        return self.replicas[which % len(self.replicas)]

    def _link(self, which: int, at: int) -> Link:
        return self._replica(which).links[self._ensemble(at)[1]]

    def _end(self, replica: Replica, is_killed: bool) -> None:
        if not is_killed:
            self._disks[replica.slot] |= replica.save(self.now)
        for link in replica.links.values():
            link.lose(self.now)
            if not is_killed and link.registry.name not in self.cut_at:
                link.ensemble.expire(link.session)

    # --- time -------------------------------------------------------------------------------------

    def _sleep(self, until: float) -> None:
        """Each replica does what is due in the moment in which it is."""
        for _ in range(MAX_WAKES):
            due = min(replica.wake for replica in self.replicas)
            self._turn_clock(max(self.now, min(due, until)))
            for replica in self.replicas:
                if replica.wake <= self.now:
                    replica.pump(self.now)
            if due > until:
                return
        raise AssertionError("they are woken without end")

    def _turn_clock(self, now: float) -> None:
        self.now = now
        for ensemble in self.ensembles.values():
            ensemble.time = now

    # --- quiet ------------------------------------------------------------------------------------

    def quiet(self) -> None:
        """Everything arrives, and what is kept for a while has had its time; then the laws hold."""
        self._reap()
        self._settle(SETTLE)
        if self._is_deaf:
            self._settle(AUDIT + 60)
            self._is_deaf = False
        while sum(self._prove(replica) for replica in self.replicas):  # each of them
            self._settle(TOLD)
        for replica in self.replicas:
            self._disks[replica.slot] |= replica.save(self.now)
        laws.quiet(self)

    def _reap(self) -> None:
        for name, ensemble in self.ensembles.items():
            if name not in self.cut_at:
                living = {r.links[name].session for r in self.replicas}
                ensemble.reap(living | set(self._clients[name]))

    def _prove(self, replica: Replica) -> bool:
        """Probe all until that is what they are; whether there was anything new."""
        is_new = False
        for path, one in list(replica.targets.items()):
            good = self.is_well(replica, one.target.address)
            is_new = replica.prove(path, good, PROBES, self.now) or is_new
        replica.pump(self.now)
        return is_new

    def _settle(self, seconds: float) -> None:
        """So many seconds in which nothing is held up."""
        until = self.now + seconds
        self._drain()
        for _ in range(MAX_WAKES):
            due = min(replica.wake for replica in self.replicas)
            if due > until:
                self._turn_clock(until)
                return
            self._turn_clock(max(self.now, due))
            for replica in self.replicas:
                if replica.wake <= self.now:
                    replica.pump(self.now)
            self._drain()
        raise AssertionError("they are woken without end")

    def _drain(self, only: Sequence[Replica] = ()) -> None:
        """Whoever is not connected connects, of all or of some; all that is on its way arrives, and then what
        came of it is published: moments in between are for the steps that hold things up."""
        replicas = only or self.replicas
        ensembles = [e for name, e in self.ensembles.items() if name not in self.cut_at]
        for _ in range(1000):
            moved = False
            for ensemble in ensembles:
                for number, member in enumerate(ensemble.members):
                    if member.applied < len(ensemble.log):
                        ensemble.apply(number, len(ensemble.log))
            for replica in replicas:
                stirred = False
                for name, link in replica.links.items():
                    if name in self.cut_at:
                        continue
                    if not link.is_connected:
                        link.connect(replica.slot, self.now)
                    stirred = link.exchange(self.now) or stirred
                if stirred:
                    replica.relay(self.now)
                    moved = True
            if not moved:
                due = [replica.pump(self.now) for replica in replicas]
                if not any(due):
                    return
        raise AssertionError("it never comes to rest")
