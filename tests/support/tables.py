"""Tables and packets made up by hypothesis: what both engines must answer alike."""

from __future__ import annotations

import random
import struct
from collections import Counter
from functools import cache
from ipaddress import ip_network

from hypothesis import strategies as st
from msgspec import structs

from support.drawing import pick
from zkdns.answers import policies
from zkdns.answers.builder import Builder
from zkdns.answers.first_places import count
from zkdns.answers.rotation import Rotation
from zkdns.answers.table import (
    EVERY,
    OWN,
    Delta,
    Entry,
    InstanceAddresses,
    Name,
    Position,
    Staleness,
    Table,
    Tier,
)
from zkdns.client_map import ClientMap, Prefix
from zkdns.dns import ede, names
from zkdns.model import Instance, Registration, Service, ServiceSettings, State
from zkdns.topology import NOWHERE, Place, parse_topology

ZONES = ("svc.local", "Prod.example")
LABELS = ("web", "api", "db", "ns", "dns", "x" * 63, "a", "canary", "http")
TYPES = (1, 28, 33, 16, 12, 6, 2, 5, 15, 65, 255, 41, 252, 0, 64, 257, 65280)


class Answers(Builder):
    """A Builder with a Table that has taken over whatever moved by the time one looks at it."""

    _table: Table | None = None

    @property
    def table(self) -> Table:
        if self._table is None:
            self._table = Table()
        self._table.apply(self.take())
        return self._table

    def put(self, service: Service) -> None:
        """The service as it is now."""
        self.replace(service.name, self.compile(service))

    def near_answers(self) -> Counter[tuple[str, str, str]]:
        """How often clients of one zone were given an instance of another first: by service, clients' zone,
        instance's zone; "" is none."""
        return count(self.walk_first_answers())[1]

    def bear(self, option: bytes) -> None:
        """Every reply bears this option from now on; b"" ends it."""
        self.set_staleness(Staleness(option, self.staleness().failure))

    def fail(self, failure: bytes) -> None:
        """SERVFAIL with this option from now on; b"" ends it."""
        for origin in (EVERY, OWN):
            self.set_staleness(Staleness(self.staleness(origin).option, failure), origin)


addresses = st.sampled_from(
    ["10.0.0.1", "10.0.0.2", "10.0.0.3", "192.0.2.7", "fd00::1", "fd00::2", "2001:db8::7"]
)


tags = st.sets(st.sampled_from(["canary", "blue"]))
some_addresses = st.lists(addresses, min_size=1, max_size=3)
some_types = st.sets(st.sampled_from(TYPES[:8]), max_size=4)
labels = st.sets(st.sampled_from(LABELS), max_size=4)

FEW = 9
"""So many of what is alike are drawn, and repeated where there are more: drawing is what takes the time."""


@cache
@st.composite
def registrations(draw: st.DrawFn) -> tuple[State, Registration]:
    held = tuple(dict.fromkeys(draw(some_addresses)))
    state = draw(pick(State.HEALTHY, State.HEALTHY, State.HEALTHY, State.FAILING, State.DOWN))
    return state, Registration(
        addresses=held,
        port=draw(pick(0, 80, 8080)),
        weight=draw(pick(0, 1, 1, 2, 10)),
        priority=draw(pick(0, 0, 1)),
        zone=draw(pick("", "a", "b", "eu/c", "nowhere")),
        tags=tuple(draw(tags)),
        protocol=draw(pick("tcp", "tcp", "udp")),  # type: ignore[arg-type]
        ports=draw(pick((), (("http", 80),), (("http", 80), ("admin", 81)))),
        meta=draw(pick((), (("version", "1.4"),), tuple((f"k{n}", "v" * 200) for n in range(9)))),
    )


def instance(number: int, state: State, registration: Registration) -> Instance:
    name = f"i{number}"
    return Instance(
        name, name, f"/services/s/{name}", registration, 0.0,
        state=state, weight=registration.weight, answered=state is State.HEALTHY,
    )  # fmt: skip


@cache
@st.composite
def services(draw: st.DrawFn, name: str) -> Service:
    count = draw(pick(0, 1, 2, 3, 3, 5, 9, 40))
    settings = ServiceSettings(
        ttl=draw(pick(None, 0, 30)),
        policy=draw(pick(*policies.names())),
        answers=draw(pick(1, 2, 8, 8, 100)),
        near=draw(pick("off", "prefer", "prefer", "balanced")),  # type: ignore[arg-type]
        near_min=draw(pick(0.0, 0.5, 1.0)),
    )
    drawn = [draw(registrations()) for _ in range(min(count, FEW))]
    held = tuple(instance(n, *drawn[n % FEW]) for n in range(count))
    note = draw(pick("", "", "fail_open: all given"))
    return Service(name, name.lower(), f"/services/{name}", settings, held, note)


topologies = st.builds(
    lambda entries, own: parse_topology("map", entries, own=own)[0],
    st.dictionaries(
        st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "10.1.128.0/17", "10.1.2.3", "127.0.1.0/24",
                         "0.0.0.0/0", "::/0", "fd00::/16", "fd00:1::/32", "192.0.2.0/24"]),
        st.sampled_from(["eu/a", "eu/b", "us/c", "d", "us/a"]),
        max_size=6,
    ),
    st.sampled_from([NOWHERE, NOWHERE, Place("eu", "a"), Place("", "own")]),
)  # fmt: skip


@st.composite
def compiled(draw: st.DrawFn) -> Answers:
    """What the compiler makes of a few services."""
    answers = Answers(ZONES, ("127.0.0.1", "::1"))
    answers.set_topology(draw(topologies), draw(pick((), ("10.0.0.0/9",), ("0.0.0.0/0", "::/0"))))
    for name in draw(labels):
        answers.replace(name, answers.compile(draw(services(name)), draw(origins)))
    answers.set_serial(draw(st.integers(0, 2**32 - 1)))
    stale = draw(pick(b"", ede.option(3), ede.option(3, "the registry is out of reach")))
    answers.set_staleness(Staleness(stale, draw(failures)))
    for origin in draw(st.sets(origins, max_size=2)) - {0}:
        answers.set_staleness(Staleness(draw(options), draw(failures)), origin)
    return answers


class Strange:
    """A name that needs more than the table: the native engine must not answer for it."""

    def answer(self, qname: bytes, qtype: int, table: Table, position: Position, room: int) -> object:
        raise AssertionError("the plain case does not come here")


records = st.binary(min_size=12, max_size=60).map(lambda b: b"\xc0\x0c" + b[2:])
failures = st.sampled_from([b"", b"", b"", b"", ede.option(14, "not loaded")])
origins = st.sampled_from([0, 0, 0, 1, 7])
options = st.lists(st.builds(ede.option, st.integers(0, 30), st.text(max_size=99)), max_size=2).map(b"".join)


@cache
@st.composite
def deals(draw: st.DrawFn, count: int) -> Rotation:
    some = st.lists(st.integers(0, count - 1), min_size=1, max_size=count, unique=True).map(tuple)
    orders = tuple(draw(st.lists(some, min_size=1, max_size=4)))
    return Rotation.of(orders, draw(st.lists(st.integers(0, len(orders) - 1), min_size=1, max_size=9)))


@cache
@st.composite
def tiers(draw: st.DrawFn) -> Tier:
    count = draw(pick(1, 2, 3, 8, 30))
    rotation = draw(deals(count))
    some = draw(st.lists(records, min_size=min(count, FEW), max_size=min(count, FEW)))
    pieces = tuple(some[n % FEW] + b"+" * (n // FEW) for n in range(count))
    if draw(st.booleans()):
        return Tier(rotation, pieces, (), (0,) * count)
    pool = [b"", *draw(st.lists(records, min_size=1, max_size=3))]
    extras = tuple(draw(st.lists(st.sampled_from(pool), min_size=count, max_size=count)))
    return Tier(rotation, pieces, extras, tuple(int(bool(e)) + len(e) % 2 * bool(e) for e in extras))


@st.composite
def invented(draw: st.DrawFn) -> Table:
    """A table that no compiler made: odd sizes, odd rotations, everything that its types allow."""
    table = Answers(ZONES).table
    zone = table.zones[0]
    for label in draw(labels):
        owner = names.label(label) + zone.apex
        for rtype in draw(some_types):
            held = tuple(draw(st.lists(tiers(), min_size=1, max_size=3)))
            extras = [e for t in held for e in t.extras]
            repeats = len(set(extras)) < len(extras)
            entry = Entry(held, 65_535, draw(options), repeats, origin=draw(origins))
            if draw(st.booleans()):
                entry = structs.replace(entry, variants=draw(variants(held, entry)))
            table.entries[owner + rtype.to_bytes(2, "big")] = entry
        instances = draw(kids)
        responder = Strange() if draw(st.integers(0, 5)) == 0 else None
        table.names[owner] = Name(
            zone.index,
            draw(options),
            instances or None,
            None,
            responder,
            draw(origins),  # type: ignore[arg-type]
        )
    staleness = st.builds(Staleness, options, failures)
    table.apply(Delta(staleness=draw(st.dictionaries(origins, staleness)), clients=draw(client_maps())))
    return table


@st.composite
def variants(draw: st.DrawFn, held: tuple[Tier, ...], entry: Entry) -> dict[int, Entry]:
    """For some client classes the same tiers with a counter of their own, others, or none."""
    others = (draw(tiers()),)
    extras = [e for t in others for e in t.extras]
    found = {}
    for n in draw(st.sets(st.integers(0, 5), max_size=4)):
        kind = draw(st.integers(0, 5))
        given = held if kind < 2 else others if kind < 5 else ()
        repeats = entry.repeats if given is held else len(set(extras)) < len(extras)
        found[n] = Entry(given, 65_535, draw(options), repeats, origin=entry.origin)
    return found


networks = st.builds(
    lambda base, bits, value: Prefix(
        str(ip_network((base, bits if ":" in base else min(bits, 32)), strict=False).network_address),
        bits if ":" in base else min(bits, 32),
        value,
    ),
    st.sampled_from(["10.0.0.0", "10.1.0.0", "10.1.128.0", "127.0.1.0", "0.0.0.0", "255.255.255.255", "::",
                     "fd00::", "fd00:1::", "::1", "fe80::", "ffff:ffff::"]),
    st.sampled_from([0, 7, 8, 9, 15, 16, 17, 24, 32, 33, 48, 64, 127, 128]),
    st.integers(0, 5),
)  # fmt: skip


@cache
@st.composite
def client_maps(draw: st.DrawFn) -> ClientMap:
    everyone = (Prefix("0.0.0.0", 0, 1), Prefix("::", 0, 1))
    trusted = draw(pick((), (Prefix("10.0.0.0", 9, 1),), everyone, everyone))
    return ClientMap(tuple(draw(st.lists(networks, max_size=8))), draw(st.integers(0, 5)), trusted)


clients = st.sampled_from(
    ["10.0.0.1", "10.1.2.3", "10.1.128.1", "10.200.0.1", "127.0.1.9", "0.0.0.0", "255.255.255.255",
     "192.0.2.1", "::1", "::", "fd00::9", "fd00:1::9", "fe80::1", "::ffff:10.1.2.3", "2001:db8::1"]
)  # fmt: skip
"""Who asks, in text."""


@cache
@st.composite
def subnets(draw: st.DrawFn) -> bytes:
    """The data of a client's subnet (RFC 7871): mostly well formed."""
    family = draw(pick(1, 1, 1, 2, 2, 0, 3))
    size = {1: 4, 2: 16}.get(family, 0)
    bits = draw(st.integers(0, 8 * size + (draw(st.integers(0, 9)) == 0)))
    number = draw(
        pick(0x0A010203, 0x0A018001, 0x0AC80001, 0x7F000109, 0, 2**32 - 1)
        if size == 4
        else pick(0xFD00 << 112 | 9, 0xFD000001 << 96, 1, 0xFFFF0A010203, 0, 2**128 - 1)
    ) % (1 << 8 * size)
    if draw(st.integers(0, 9)):
        number &= -1 << max(8 * size - bits, 0)
    octets = number.to_bytes(size, "big")[: (bits + 7) // 8 + (draw(st.integers(0, 19)) == 0)]
    scope = 0 if draw(st.integers(0, 19)) else 8
    return struct.pack("!HBB", family, min(bits, 255), scope) + octets


kid_values = st.builds(
    InstanceAddresses,
    st.binary(max_size=3).map(lambda b: (b"\xc0\x0c" + b.ljust(14, b"."))[:16] * (len(b) * 20)),
    st.binary(max_size=3).map(lambda b: (b"\xc0\x0c" + b.ljust(26, b"."))[:28] * len(b)),
)


kids = st.dictionaries(st.sampled_from([b"i1", b"web", b"x"]), kid_values, max_size=3)


def everything(table: Table) -> Delta:
    """The whole table as a Delta from nothing."""
    return Delta(
        table.entries,
        table.names,
        table.zones,
        table.staleness,
        table.services,
        table.holders,
        table.serial,
        table.clients,
    )


# --- packets -----------------------------------------------------------------------------------------


def owners(table: Table) -> list[bytes]:
    found = list(table.names)
    for owner, known in table.names.items():
        found += [names.label(instance.decode()) + owner for instance in list(known.instances or ())[:3]]
    return found


def query(name: bytes, rtype: int, tail: bytes = b"", flags: int = 0x0100, rclass: int = 1) -> bytes:
    """A query packet; with a tail, that is its one additional record."""
    head = struct.pack("!6H", 0x1234, flags, 1, 0, 0, 1 if tail else 0)
    return head + name + struct.pack("!HH", rtype, rclass) + tail


def opt(size: int = 1232, flags: int = 0, data: bytes = b"", version: int = 0, rcode: int = 0) -> bytes:
    return b"\0" + struct.pack("!HHBBHH", 41, size, rcode, version, flags, len(data)) + data


@cache
@st.composite
def tails(draw: st.DrawFn) -> bytes:
    kind = draw(st.integers(0, 9))
    if kind < 3:
        return b""
    if kind == 9:
        return draw(st.binary(max_size=20))
    data = b""
    for _ in range(draw(pick(0, 0, 1, 1, 2))):
        code = draw(pick(8, 8, 8, 10, 12, 3, 15, 65001))
        body = draw(subnets() if code == 8 and draw(st.integers(0, 9)) else st.binary(max_size=12))
        data += struct.pack("!HH", code, len(body)) + body
    return opt(
        draw(pick(0, 100, 512, 513, 600, 700, 900, 1231, 1232, 1233, 4096, 65535)),
        draw(pick(0, 0x8000, 0x8001, 0x4000, 0x00FF)),
        data,
        draw(pick(0, 0, 0, 0, 0, 1)),
        draw(pick(0, 0, 0, 7)),
    )


@st.composite
def packets(draw: st.DrawFn, known: list[bytes]) -> bytes:
    """Mostly what resolvers send, of names that exist or nearly do; sometimes broken."""
    name = draw(pick(*known))
    for _ in range(draw(pick(0, 0, 0, 0, 1, 2))):
        label = draw(pick(b"nope", b"web", b"i0", b"i1", b"_tcp", b"_http", b"canary", b"\0A.", b"y" * 63))
        name = bytes((len(label),)) + label + name
    if draw(st.integers(0, 15)) == 0:
        name = draw(pick(b"\0", b"\3com\0", b"\7example\3com\0", names.reverse("10.0.0.1"), name[:-1]))
    if draw(st.booleans()):
        name = bytes(b ^ 0x20 if 65 <= b & 0xDF <= 90 and draw(st.booleans()) else b for b in name)
    flags = draw(pick(*[0x0100] * 6, 0, 0x0120, 0x0110, 0x0170, 0x0500, 0x0300, 0x8100, 0x0900, 0x0180))
    rtype = draw(pick(*TYPES))
    rclass = draw(pick(*[1] * 12, 3, 255, 0))
    made = query(name, rtype, draw(tails()), flags, rclass)
    for _ in range(draw(pick(*[0] * 8, 1, 2, 5))):
        at = draw(st.integers(0, len(made)))
        kind = draw(st.integers(0, 3))
        if kind == 0 and at < len(made):
            made = made[:at] + bytes((draw(st.integers(0, 255)),)) + made[at + 1 :]
        elif kind == 1:
            made = made[:at]
        elif kind == 2:
            made = made[:at] + draw(st.binary(max_size=5)) + made[at:]
        else:
            made += made[at:]
    return made


def mutate(chance: random.Random, packet: bytes) -> bytes:
    """The packet with a few bytes changed, and perhaps cut: mostly bytes that mean something."""
    made = bytearray(packet)
    for _ in range(chance.randrange(4)):
        byte = chance.choice((0, 1, 3, 0x29, 63, 64, 192, chance.randrange(256)))
        made[chance.randrange(len(made))] = byte
    return bytes(made[: chance.choice((len(made), len(made), chance.randrange(len(made) + 1)))])
