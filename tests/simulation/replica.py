"""One server in memory: the mirrors' real minds, the real Pipeline, a table that answers, and its probes.

Rules: no I/O, no clock, no chance of its own. Nothing is done before it is due: what comes in, or the moment
that a part named as its `wake`, is all that makes it move, so that a wake that got lost is missed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from simulation.ensemble import EVENT, Connection, Ensemble
from zkdns.answers.table import Table
from zkdns.config import Settings
from zkdns.dns import names
from zkdns.health.targets import Target
from zkdns.model import Catalog, Override, Service, Verdict
from zkdns.pipeline.inputs import ClockSet, Happened, Heard, Probed, Remembered
from zkdns.pipeline.pipeline import Pipeline
from zkdns.pipeline.registry import Registry
from zkdns.pipeline.replica import Replica as Myself
from zkdns.registry.zk.ephemerals import Ephemerals, Kept
from zkdns.registry.zk.reads import Reads
from zkdns.roots import OWN
from zkdns.serve.request import Request
from zkdns.serve.respond import next_position, respond_whole

AUDIT = 600.0
STALE_ANSWER = b"\0\3"
"""The info code of an Extended DNS Error for what is out of reach (RFC 8914, section 4.4)."""

READS, KEEPS = 0, 1
"""The parts of a mirror, by number."""


class Link:
    """What follows one registry: a connection to its ensemble, and who has what to say on it."""

    def __init__(self, ensemble: Ensemble, registry: Registry, one_shot: bool) -> None:
        self.ensemble = ensemble
        self.registry = registry
        self.session = ensemble.session()
        self.connection: Connection | None = None
        self.reads = Reads(
            registry.scopes,
            chance=lambda: 0.5,
            audit=AUDIT,
            one_shot=one_shot,
        )
        self.ephemerals = Ephemerals()
        self._wake: float | None = float("inf")
        self.stirred = True
        self._floor = 0
        """How much of the log there was when we connected."""
        self.held: Mapping[str, Service] | None = None
        """What was known when the connection went."""

    @property
    def is_connected(self) -> bool:
        return self.connection is not None and self.connection.is_open

    @property
    def wake(self) -> float:
        """When it has something to do though nothing comes in: another only after what is done here."""
        if self._wake is None:
            self._wake = min(self.reads.wake, self.ephemerals.wake)
        return self._wake

    def connect(self, member: int, now: float) -> None:
        self.lose(now)
        self.connection = self.ensemble.connect(member, self.session)
        self._floor = len(self.ensemble.log)
        self.reads.connected(now)
        self.ephemerals.connected(self.session)
        self.stirred = True

    def lose(self, now: float) -> None:
        if self.connection is not None:
            self.connection.is_open = False
            self.connection = None
            self.reads.lost(now)
            self.ephemerals.lost()
            self.stirred = True
            self.held = self.told().services if self.registry.is_whole else None

    def told(self) -> Catalog:
        """All that was told so far, shown or not."""
        tree = self.registry.tree
        assert tree is not None
        return tree.catalog()

    def deliver(self, most: int, now: float) -> bool:
        """Take so many messages off the connection; whether there was one."""
        connection = self.connection
        if connection is None:
            return False
        if not connection.is_open:
            self.lose(now)
            return True
        down, taken = connection.down, 0
        while down and taken < most:
            part, number, rest = down.popleft()
            taken += 1
            if part == EVENT:
                path = str(rest)
                if len(path) % 2 and not path.startswith(OWN):  # somebody asks for half of what changes
                    self.reads.favour((path,))
                self.reads.watched(number, path, now)
                self.ephemerals.watched((path,))
            elif part == READS:
                resyncs = self.reads.resyncs
                self.reads.take(number, rest, now)
                if self.reads.resyncs != resyncs:
                    applied = self.ensemble.members[connection.member].applied
                    assert applied >= self._floor, "what was read is older than the connection"
            else:
                self.ephemerals.take(number, rest, now)
        if taken:
            self.stirred = True
        return taken > 0

    def exchange(self, now: float) -> bool:
        """To and fro until neither side has anything to say; whether there was anything."""
        for at in range(1000):
            if self.connection is not None and self.connection.up:
                self.ensemble.serve(self.connection, len(self.connection.up))
            if not self.deliver(1000, now) and not self.stirred:
                return at > 0
            self.flush(now)
        raise AssertionError("it never comes to rest")

    def flush(self, now: float) -> None:
        """Send what is due."""
        connection, reads, keeps = self.connection, self.reads.requests(now), self.ephemerals.requests(now)
        if connection is not None and connection.is_open:
            connection.up += [(READS, request) for request in reads]
            connection.up += [(KEEPS, request) for request in keeps]
        self.stirred = False
        self._wake = None


@dataclass(frozen=True, slots=True)
class Saved:
    """What the state directory holds of one registry, and since when. `serial`: that of its catalog."""

    at: float
    catalog: Catalog
    serial: int
    overrides: Mapping[tuple[str, str], Override]


@dataclass(slots=True)
class Probing:
    """A target, and which verdict it was given so often in a row that this is how it stands."""

    target: Target
    proved: bool | None = None


class Replica:
    """`slot`: whose place it has: replicas of one slot follow each other, or overlap. `id`: how the others
    know it. `ensembles`: by the names of their registries. `ahead`: of `now` by how much its clock of the
    wall is, which the pipeline goes by and somebody may set."""

    def __init__(
        self,
        slot: int,
        id: str,
        settings: Settings,
        ensembles: Mapping[str, Ensemble],
        now: float,
        one_shot: bool = False,
        ahead: float = 0.0,
        *,
        answers_queries: bool = True,
    ) -> None:
        self.slot = slot
        self.id = id
        self.ahead = ahead
        self.answers_queries = answers_queries
        self.pipeline = Pipeline(settings, now + ahead, replica=Myself(id), compiles=answers_queries)
        self.links = {
            name: Link(ensembles[name], registry, one_shot)
            for name, registry in self.pipeline.registries.items()
        }
        self.own = next(iter(self.links.values()))
        self.table = Table()
        self.targets: dict[str, Probing] = {}
        self.late: list[tuple[Target, bool]] = []
        """Probes that are not over yet, and how they will end."""
        self.looked_at: dict[str, Service] = {}
        """Services that were held against what was ever registered."""
        self._wake = now
        self.served = 0
        """Changes of services that came, and are in force."""

    @property
    def wake(self) -> float:
        """When it has something to do though nothing comes in."""
        return min(self._wake, *(link.wake for link in self.links.values()))

    def pump(self, now: float) -> bool:
        """Do what is due; whether there was anything."""
        for at in range(100):
            has_sent = self.relay(now)
            if now < self._wake:
                return at > 0 or has_sent
            self._take_turns(now)
        raise AssertionError(f"replica {self.id} is due again and again at one moment")

    def relay(self, now: float) -> bool:
        """Send what is due, and let the pipeline hear what was read; whether anything was due."""
        was_due = False
        for name, link in self.links.items():
            if link.stirred or now >= link.wake:
                link.flush(now)
                was_due = True
            for scope, events in link.reads.events():
                self._step(Heard(name, scope.root, tuple(events), link.reads.more_went), now)
        return was_due

    def set_clock(self, by: float, now: float) -> None:
        """Somebody sets the clock of the wall."""
        self.ahead += by
        self._step(ClockSet(by), now)

    def _step(self, happened: Happened, now: float) -> None:
        self.pipeline.step(happened, now + self.ahead)
        self._wake = now

    def _take_turns(self, now: float) -> None:
        more = True
        while more:
            ready = self.pipeline.ready(now + self.ahead)
            more = ready.more
            self.served += len(ready.served)
            assert all(at <= now for at in ready.served), "it is in force before it came"
            self._wake = float("inf") if ready.wake is None else ready.wake - self.ahead
            if self.answers_queries:
                self.table.apply(ready.delta)
            for path, target in ready.probe.items():
                if target is None:
                    self.targets.pop(path, None)
                else:
                    self.targets[path] = Probing(target)
            for path, data in ready.write.items():
                self.own.ephemerals.keep(Kept(path, data))
                self.own.stirred = True

    # --- probes -----------------------------------------------------------------------------------

    def probed(self, target: Target, good: bool, now: float) -> None:
        """A probe of this target ended."""
        if (known := self.targets.get(target.path)) is not None:
            known.proved = None
        self._tell(target, good, now)

    def prove(self, path: str, good: bool, times: int, now: float) -> bool:
        """So many probes in a row end like this, unless they did before; whether they didn't."""
        known = self.targets.get(path)
        if known is None or known.proved is good:
            return False
        for _ in range(times):
            self._tell(known.target, good, now)
        known.proved = good
        return True

    def proved_ill(self) -> set[str]:
        """What it has probed until it is out, and not since."""
        return {path for path, one in self.targets.items() if one.proved is False}

    def _tell(self, target: Target, good: bool, now: float) -> None:
        why = "" if good else "it is ill"
        self._step(Probed(target, Verdict(target.path, good, why)), now)

    # --- the state directory ------------------------------------------------------------------------

    def save(self, now: float) -> dict[str, Saved]:
        """What of this is to be on disk: as `server/state_directory` writes it."""
        saved = {}
        registries = self.pipeline.registries
        for name, link in self.links.items():
            registry = link.registry
            if registry.is_whole and not self.pipeline.is_loading:
                serial, overrides = registries.serial_of(registry), registry.overrides.by_instance()
                saved[name] = Saved(now + self.ahead, registry.shown, serial, overrides)
        return saved

    def recall(self, disk: Mapping[str, Saved], now: float) -> None:
        """Begin with what was saved."""
        for name, one in disk.items():
            if name in self.links:
                since = one.catalog.stale_since or one.at
                catalog = replace(one.catalog, serial=one.serial, stale_since=since)
                self._step(Remembered(name, catalog, one.overrides), now)

    # --- questions ----------------------------------------------------------------------------------

    def ask(self, service: str, client: str) -> tuple[int, frozenset[str], bool]:
        """The rcode and the addresses of a question for A, and whether the answer says that it is stale."""
        query, at = _query(service)
        reply = respond_whole(Request(query, client, limit=65535), self.table, next_position)
        assert isinstance(reply, bytes)
        addresses = []
        for _ in range(int.from_bytes(reply[6:8], "big")):
            addresses.append(".".join(map(str, reply[at + 12 : at + 16])))
            at += 16
        return reply[3] & 15, frozenset(addresses), STALE_ANSWER in _errors(reply)


@cache
def _query(service: str) -> tuple[bytes, int]:
    """A question for A, and where its answers begin."""
    wire = names.wire(f"{service}.svc.local")
    query = b"\0\0\0\0\0\1\0\0\0\0\0\1" + wire + b"\0\1\0\1" + b"\0\0\x29\xff\xff\0\0\0\0\0\0"
    return query, 12 + len(wire) + 4


def _errors(reply: bytes) -> list[bytes]:
    """The info codes of the Extended DNS Errors in the OPT record, which comes last."""
    found = []
    at = reply.rindex(b"\0\0\x29") + 11
    while at < len(reply):
        length = int.from_bytes(reply[at + 2 : at + 4], "big")
        if reply[at : at + 2] == b"\0\x0f":
            found.append(reply[at + 4 : at + 6])
        at += 4 + length
    return found
