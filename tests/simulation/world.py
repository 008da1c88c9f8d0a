"""Replicas over an ensemble in memory: the mirror's real mind, the real Pipeline, a virtual clock.

Rules: a schedule is a list of steps, each a word and some numbers; the same schedule is the same world, to
the byte. A step that makes no sense where it stands does nothing, so that steps may be left out. `check`
holds what must be true at any moment, and `quiet` what must be true once nothing is on its way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from simulation.ensemble import Connection, Ensemble, largest_zxid
from zkdns.answers.table import Table
from zkdns.config import Settings
from zkdns.dns import names
from zkdns.health.targets import Target
from zkdns.model import serial_of
from zkdns.pipeline.inputs import Heard
from zkdns.pipeline.pipeline import Pipeline
from zkdns.pipeline.replica import Replica as Myself
from zkdns.registry.source import HEALTH, OVERRIDES
from zkdns.registry.url import parse_registry
from zkdns.registry.zk.reads import Reads
from zkdns.serve.request import Request
from zkdns.serve.respond import next_position, respond_whole

START = 1_700_000_000.0
ROOT = "/services"
SERVICES = ("web", "db")
IDS = ("a", "b", "c")
GRACE = 5.0
URL = parse_registry("zk://127.0.0.1:2181/services")
SETTINGS = Settings(registry=(type(URL)(**{**{f: getattr(URL, f) for f in URL.__slots__}, "name": "r1"}),),
                    grace=GRACE)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """`what`: a method of World."""

    what: str
    args: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.what}({', '.join(map(str, self.args))})"


Schedule = list[Step]


class Broken(AssertionError):
    """A law that does not hold; `at`: the step."""


class Replica:
    """One server: what it asks ZooKeeper, what it makes of it, what it answers."""

    def __init__(self, at: int, ensemble: Ensemble, now: float, one_shot: bool = False) -> None:
        self.at = at
        self.ensemble = ensemble
        self.connection: Connection | None = None
        self.session = ensemble.session()
        # Only one of them answers: what it costs is the compiling.
        self.pipeline = Pipeline(SETTINGS, now, replica=Myself(f"z{at}"), compiles=at == 0)
        self.reads = Reads(
            self.pipeline.registries["r1"].scopes,
            wall=lambda: self.ensemble.time,
            chance=lambda: 0.5,
            audit=1e9,
            one_shot=one_shot,
        )
        self.table = Table()
        self.targets: dict[str, Target] = {}
        self.kept: dict[str, bytes] = {}
        self._wake = now
        self._stepped = False

    @property
    def is_connected(self) -> bool:
        return self.connection is not None and self.connection.is_open

    def connect(self, member: int, now: float) -> None:
        if self.is_connected:
            return
        self.lose(now)
        self.connection = self.ensemble.connect(member)
        self.reads.connected(now)
        for path, data in self.kept.items():
            self._keep(path, data)

    def lose(self, now: float) -> None:
        if self.connection is not None:
            self.connection.is_open = False
            self.connection = None
            self.reads.lost(now)

    def deliver(self, most: int, now: float) -> bool:
        """Take so many messages off the connection; whether there was one."""
        connection = self.connection
        if connection is None:
            return False
        if not connection.is_open:
            self.lose(now)
            return True
        taken = 0
        while connection.down and taken < most:
            kind, number, rest = connection.down.popleft()
            taken += 1
            if kind == "event":
                self.reads.watched(number, str(rest))
            else:
                self.reads.take(number, rest, now)
        return taken > 0

    def pump(self, now: float) -> None:
        """Send what is due, and bring what was told into the answers."""
        for request in self.reads.requests(now):
            if self.is_connected:
                self.connection.up.append(request)  # type: ignore[union-attr]
        told = self.reads.events()
        if not told and now < self._wake and not self._stepped:
            return
        self._stepped = False
        for scope, events in told:
            self.pipeline.step(Heard("r1", scope.root, tuple(events)), now)
        while True:
            ready = self.pipeline.ready(now)
            self._wake = float("inf") if ready.wake is None else ready.wake
            if self.at == 0:
                self.table.apply(ready.delta)
            for path, target in ready.probe.items():
                if target is None:
                    self.targets.pop(path, None)
                else:
                    self.targets[path] = target
            for path, data in ready.write.items():
                self.kept[path] = data
                self._keep(path, data)
            if not ready.more:
                return

    def begin_anew(self, now: float, one_shot: bool) -> None:
        """Another process in its place, that knows nothing."""
        self.lose(now)
        self.ensemble.expire(self.session)
        self.__init__(self.at, self.ensemble, now, one_shot)  # type: ignore[misc]

    def _keep(self, path: str, data: bytes) -> None:
        if self.is_connected:
            if path in self.ensemble.tree.nodes:
                self.ensemble.set(path, data)
            else:
                self.ensemble.create(path, data, self.session)

    def answers(self, service: str) -> tuple[int, frozenset[str]]:
        """The rcode and the addresses of a question for A."""
        wire = names.wire(f"{service}.svc.local")
        query = b"\0\0\0\0\0\1\0\0\0\0\0\0" + wire + b"\0\1\0\1"
        reply = respond_whole(Request(query, limit=65535), self.table, next_position)
        assert isinstance(reply, bytes)
        count = int.from_bytes(reply[6:8], "big")
        return reply[3] & 15, frozenset(_addresses(reply, 12 + len(wire) + 4, count))


def _addresses(reply: bytes, at: int, count: int) -> Iterable[str]:
    for _ in range(count):
        yield ".".join(map(str, reply[at + 12 : at + 16]))
        at += 16


@dataclass
class World:
    """`replicas`: how many. `registered`: all addresses that a service ever registered."""

    replicas: list[Replica] = field(default_factory=list)
    now: float = START
    registered: dict[str, set[str]] = field(default_factory=lambda: {s: set() for s in SERVICES})

    def __post_init__(self) -> None:
        self.ensemble = Ensemble(start=self.now)
        self.ensemble.create(ROOT)
        self.sessions = [self.ensemble.session() for _ in range(3)]
        self.replicas = [Replica(at, self.ensemble, self.now) for at in range(2)]

    def run(self, steps: Schedule) -> None:
        for at, step in enumerate(steps):
            try:
                getattr(self, step.what)(*step.args)
                self.check()
            except Exception as error:
                what = str(error) if isinstance(error, AssertionError) else repr(error)
                raise Broken(f"step {at}, {step}: {what}") from error

    # --- steps: what is registered ----------------------------------------------------------------

    def register(self, service: int, id: int, what: int) -> None:
        name, path = SERVICES[service], f"{ROOT}/{SERVICES[service]}/{IDS[id]}"
        data = self._payload(name, id, what)
        if path in self.ensemble.tree.nodes:
            self.ensemble.set(path, data)
        else:
            self.ensemble.create(path, data, self.sessions[id % len(self.sessions)])

    def _payload(self, service: str, id: int, what: int) -> bytes:
        if what == 0:
            return b"nonsense"
        address = f"10.{SERVICES.index(service)}.{id}.{what}"
        self.registered[service].add(address)
        status = {"status": "draining"} if what == 1 else {}
        return json.dumps({"address": address, **status}).encode()

    def deregister(self, service: int, id: int) -> None:
        self.ensemble.delete(f"{ROOT}/{SERVICES[service]}/{IDS[id]}")

    def fold(self, service: int) -> None:
        self.ensemble.delete(f"{ROOT}/{SERVICES[service]}")

    def configure(self, service: int, what: int) -> None:
        path = f"{ROOT}/{SERVICES[service]}"
        self.ensemble.create(path)
        self.ensemble.set(path, json.dumps({"ttl": 1 + what}).encode())

    def raze(self, again: int) -> None:
        """The root is removed, and made again or not."""
        self.ensemble.delete(ROOT)
        if again:
            self.ensemble.create(ROOT)

    def drain(self, service: int, id: int, on: int) -> None:
        path = f"{OVERRIDES}/{SERVICES[service]}/{IDS[id]}"
        if on:
            self.ensemble.create(path, b'{"drain": true}')
        else:
            self.ensemble.delete(path)

    def expire(self, which: int) -> None:
        session = self.sessions[which]
        self.ensemble.expire(session)
        self.sessions[which] = self.ensemble.session()

    def expire_replica(self, which: int) -> None:
        replica = self.replicas[which]
        replica.lose(self.now)
        self.ensemble.expire(replica.session)
        replica.session = self.ensemble.session()
        replica.pump(self.now)

    def restart(self, which: int, one_shot: int) -> None:
        self.replicas[which].begin_anew(self.now, bool(one_shot))

    # --- steps: what the ensemble does ------------------------------------------------------------

    def elect(self) -> None:
        self.ensemble.elect()
        for connection in self.ensemble.connections:
            connection.is_open = False

    def back_up(self) -> None:
        self.ensemble.back_up()

    def restore(self, which: int) -> None:
        self.ensemble.restore(which)

    def apply(self, member: int, most: int) -> None:
        self.ensemble.apply(member, most)

    # --- steps: connections -----------------------------------------------------------------------

    def connect(self, which: int, member: int) -> None:
        replica = self.replicas[which]
        replica.connect(member, self.now)
        replica.pump(self.now)

    def drop(self, which: int) -> None:
        self.replicas[which].lose(self.now)
        self.replicas[which].pump(self.now)

    def serve(self, which: int, most: int) -> None:
        connection = self.replicas[which].connection
        if connection is not None and connection.is_open:
            self.ensemble.serve(connection, most)

    def deliver(self, which: int, most: int) -> None:
        self.replicas[which].deliver(most, self.now)
        self.replicas[which].pump(self.now)

    def wait(self, tenths: int) -> None:
        self.now += tenths / 10
        self.ensemble.time = self.now
        for replica in self.replicas:
            replica.pump(self.now)

    # --- laws -------------------------------------------------------------------------------------

    def check(self) -> None:
        """No answer holds what was never registered."""
        for replica in self.replicas:
            for name, service in replica.pipeline.services.items():
                held = {a for i in service.instances for a in i.addresses}
                strange = held - self.registered[name]
                assert not strange, f"replica {replica.at}: {name} holds {strange}, never registered"

    def quiet(self) -> None:
        """Everything arrives, and what is kept for a while has had its time; then the answers are what the
        tree says, and the replicas agree."""
        self._drain()
        self.wait(int(GRACE * 10) + 1)
        self._drain()
        tree = self.ensemble.tree
        serial = serial_of(largest_zxid(tree, (ROOT, OVERRIDES, HEALTH)))
        for replica in self.replicas:
            pipeline = replica.pipeline
            assert not pipeline.is_loading, f"replica {replica.at} is not ready"
            assert pipeline.registries.serial == serial, (
                f"replica {replica.at}: serial {pipeline.registries.serial:#x}, not {serial:#x}"
            )
            assert pipeline.catalog.stale_since is None, f"replica {replica.at} is stale"
            for name in SERVICES:
                there = f"{ROOT}/{name}" in tree.nodes
                assert (name in pipeline.services) == there, f"replica {replica.at}: {name} there: {there}"
                expected = self._expect(name)
                service = pipeline.services.get(name)
                given = (
                    {a for i in service.instances if i.answered for a in i.addresses} if service else set()
                )
                assert given == expected, f"replica {replica.at}: {name} is {given}, not {expected}"
        answering = self.replicas[0]
        for name in SERVICES:
            there = f"{ROOT}/{name}" in tree.nodes
            answer = answering.answers(name)
            assert answer == (0 if there else 3, frozenset(self._expect(name))), f"{name}: {answer}"

    def _drain(self) -> None:
        """Whoever is not connected connects; all that is on its way arrives."""
        for _ in range(200):
            moved = False
            for member in range(len(self.ensemble.members)):
                self.ensemble.apply(member, len(self.ensemble.log))
            for replica in self.replicas:
                if not replica.is_connected:
                    replica.connect(replica.at, self.now)
                    moved = True
                connection = replica.connection
                if connection is not None and connection.up:
                    self.ensemble.serve(connection, len(connection.up))
                    moved = True
                moved = replica.deliver(1000, self.now) or moved
                replica.pump(self.now)
                moved = moved or not replica.reads.idle
                if not replica.reads.idle and not moved:
                    break
            if not moved:
                return
            if not any(r.connection and (r.connection.up or r.connection.down) for r in self.replicas):
                # Only a pause is left to wait for.
                self.wait(3)
        raise AssertionError("it never comes to rest")

    def _expect(self, name: str) -> set[str]:
        """What the tree says, by a reading of its own."""
        found = set()
        for path, node in self.ensemble.tree.nodes.items():
            if not path.startswith(f"{ROOT}/{name}/"):
                continue
            id = path.rpartition("/")[2]
            try:
                said = json.loads(node.data)
            except ValueError:
                continue
            drained = f"{OVERRIDES}/{name}/{id}" in self.ensemble.tree.nodes
            if said.get("status", "up") == "up" and not drained:
                found.add(said["address"])
        return found


CHANCES: dict[str, tuple[int, Callable[[Random], tuple[int, ...]]]] = {
    "register": (14, lambda r: (r.randrange(2), r.randrange(3), r.choice((0, 1, 2, 3, 4, 5)))),
    "deregister": (5, lambda r: (r.randrange(2), r.randrange(3))),
    "fold": (2, lambda r: (r.randrange(2),)),
    "configure": (2, lambda r: (r.randrange(2), r.randrange(9))),
    "raze": (1, lambda r: (r.randrange(2),)),
    "drain": (4, lambda r: (r.randrange(2), r.randrange(3), r.randrange(3))),
    "expire": (2, lambda r: (r.randrange(3),)),
    "expire_replica": (1, lambda r: (r.randrange(2),)),
    "restart": (1, lambda r: (r.randrange(2), r.randrange(2))),
    "elect": (1, lambda r: ()),
    "back_up": (2, lambda r: ()),
    "restore": (1, lambda r: (r.randrange(8),)),
    "apply": (10, lambda r: (r.randrange(2), r.choice((1, 1, 2, 9)))),
    "connect": (6, lambda r: (r.randrange(2), r.randrange(2))),
    "drop": (3, lambda r: (r.randrange(2),)),
    "serve": (14, lambda r: (r.randrange(2), r.choice((1, 2, 9)))),
    "deliver": (18, lambda r: (r.randrange(2), r.choice((1, 2, 9)))),
    "wait": (4, lambda r: (r.choice((1, 5, 20)),)),
    "quiet": (3, lambda r: ()),
}
"""How often which step comes, and its numbers."""

WORDS = list(CHANCES)


def draw(seed: int, length: int = 40) -> Schedule:
    """The schedule of a seed. Each leaves some kinds of steps out: what is rare has its turn where what is
    common is missing (swarm testing, Groce and others 2012)."""
    random = Random(seed)
    words = [word for word in WORDS if word in ("quiet", "register") or random.random() < 0.6]
    steps = [
        Step(word, CHANCES[word][1](random))
        for word in random.choices(words, [CHANCES[w][0] for w in words], k=random.randrange(4, length))
    ]
    return [*steps, Step("quiet", ())]


def play(steps: Schedule) -> str | None:
    """What is broken in the world of this schedule; None where every law holds."""
    try:
        World().run(steps)
    except Broken as broken:
        return str(broken)
    return None


def shorten(
    steps: Schedule, failing: Callable[[Schedule], bool] = lambda steps: play(steps) is not None
) -> Schedule:
    """The shortest schedule that fails as well, by leaving out what can be left out (delta debugging)."""
    size = max(1, len(steps) // 2)
    while size:
        at, before = 0, len(steps)
        while at < len(steps):
            fewer = steps[:at] + steps[at + size :]
            if fewer and failing(fewer):
                steps = fewer
            else:
                at += size
        if size > 1 or len(steps) == before:  # else a step may have become needless by another's going
            size //= 2
    return steps


def tell(seed: int, steps: Schedule) -> str:
    """A failing seed, for people."""
    shortest = shorten(steps)
    lines = "\n".join(f"    {step}" for step in shortest)
    return f"seed {seed}: {play(shortest)}\n{lines}"
