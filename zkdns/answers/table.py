"""The table that answers are read from, and the Delta: all that ever changes it.

Rules: no I/O, no clock, no chance. A Table is edited in one place, `apply`, by the one object that owns it,
between two queries of one loop; no thread reads it. All else here is frozen once made, but for the counters.

Records are whole wire records whose owner is the pointer C00C (offset 12, the question's name), and whose
other pointers, if any, aim into the question too. So they can be put in any order, cut anywhere, and serve
any spelling of the name.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

from msgspec import Struct, field

from zkdns.answers.rotation import Rotation, RotationCounter
from zkdns.client_map import NO_CLIENTS, ClientMap
from zkdns.dns.records import RFC8482
from zkdns.dns.types import NOERROR, NXDOMAIN
from zkdns.model import Instance

EVERY = 0
"""The origin of what depends on all registries: that a name is not there."""

OWN = 1
"""The origin of what the zones say of themselves: as stale as what depends on all registries, but true while
one of them was never read."""

FILES = -1
"""The origin of what zone files say: as stale as what depends on all registries, but it never fails."""

MANY = 100
"""From so many services on that come and go at once all names are sorted anew."""

NO_ZONE = -1
"""The zone of a name in none of ours: its responder says all, the SOA too."""


class Tier(Struct, frozen=True, eq=False):
    """The instances of one priority. `records[i]` is the answer record of the i-th; `extras[i]` its
    additional records in one run (b"" for none) and `extra_counts[i]` how many those are.
    Two equal `extras` are one and the same additional record set and stand in a reply once."""

    rotation: Rotation
    records: tuple[bytes, ...]
    extras: tuple[bytes, ...] = ()
    extra_counts: tuple[int, ...] = ()


class Entry(Struct, frozen=True, eq=False):
    """A positive answer. Tiers follow one another; `cut` bounds the records of all of them.

    `ede` is a whole Extended DNS Error option for this answer (RFC 8914), or b"". `repeats` says
    that equal extras occur, so that they must be folded. `counter` is handed on from an Entry to the
    one that replaces it, so that a busy registry does not start every cycle anew. `origin`: whose
    staleness it has. `variants`: by client class, the Entry that those clients get instead; without tiers,
    that there is none for them. `service`: the name of the one that it gives instances of, "" for none;
    `ids[i]`: whose the first tier's i-th record is; `zone`: where all stand that it gives, "" for anywhere.
    """

    tiers: tuple[Tier, ...]
    cut: int
    ede: bytes = b""
    repeats: bool = False
    counter: RotationCounter = field(default_factory=RotationCounter)
    origin: int = EVERY
    variants: Mapping[int, Entry] | None = None
    service: str = ""
    ids: tuple[str, ...] = ()
    zone: str = ""

    def first_id(self, position: int) -> str:
        """Whose record stands first at this position; "" where it gives no service's instances."""
        ids = self.ids
        if not ids:
            return ""
        rotation = self.tiers[0].rotation
        sequence = rotation.sequence
        return ids[rotation.heads[sequence[position % len(sequence)]]]


Position: TypeAlias = Callable[[Entry], int]
"""Gives an Entry's position in its rotation, and moves it on or not."""


def position_of(entry: Entry) -> int:
    """Where an Entry stands, where its own counter is the truth."""
    return entry.counter.position


class InstanceAddresses(NamedTuple):
    """The addresses of one instance's own name: A and AAAA records in one run each."""

    a: bytes
    aaaa: bytes


class Zone(Struct, frozen=True):
    """A zone of ours. `index`: its place in the table. `apex`: wire name, lower case. `soa`: the SOA record
    after its owner (type, class, TTL, length, rdata; no pointers in it); replaced when the serial moves."""

    index: int
    apex: bytes
    soa: bytes = b""


class Staleness(Struct, frozen=True):
    """How old what one origin says is. An origin is a set of registries. `option`: the Extended DNS Error
    that its replies bear while one of them is out of reach, or b"". `failure`: not b"" where nothing may be
    said: the option of the SERVFAIL that stands for every reply."""

    option: bytes = b""
    failure: bytes = b""


FRESH = Staleness()


@dataclass(frozen=True, slots=True)
class Sections:
    """An answer spelled on demand, whole wire records in each section. Owners are C00C or spelled
    out; nothing else is compressed. `additional_counts`: how many records each item there holds, one where
    not given. No answer and no authority: the zone's SOA is put there. `outside`: a
    name of others that the last alias leads to; b"" where the answer is whole. `by_client`: by client class,
    the whole of what is given in place of this, where not all get the same."""

    answer: tuple[bytes, ...] = ()
    authority: tuple[bytes, ...] = ()
    additional: tuple[bytes, ...] = ()
    rcode: int = NOERROR
    aa: bool = True
    ede: bytes = b""
    outside: bytes = b""
    by_client: Callable[[int], Sections] | None = None
    additional_counts: tuple[int, ...] = ()


NO_NAME = Sections(rcode=NXDOMAIN)
NODATA = Sections()
ANSWERED_ANY = Sections((RFC8482,))


class Unready(Exception):
    """What answers must be compiled first, from more instances than a turn of the loop has time for.
    `account`: the service that it is of; `work`: does it, in any thread, and `key` is the same for the same
    work. Then the question is asked again."""

    def __init__(self, account: str, key: Hashable, work: Callable[[], object]) -> None:
        super().__init__(account)
        self.account = account
        self.key = key
        self.work = work


class Responder(Protocol):
    """What answers for a name that needs more than the table's own maps. An Entry is dealt as one of the
    table's own; `position` is for those that it deals itself. `room`: bytes that the reply may have; what is
    beyond need not be spelled, for the reply is cut there. Unready where it can't say yet."""

    def answer(
        self, qname: bytes, qtype: int, table: Table, position: Position, room: int
    ) -> Sections | Entry: ...


class Name(Struct, frozen=True, eq=False):
    """A name that exists. A type that the table doesn't hold for it is NODATA, with `ede`.

    `zone`: its index. `instances`: names one label below that exist as well, by lower-case label; their
    types other than A and AAAA are spelled by `spell(label, qtype)`. `responder`: this name, and what is
    below it, needs more than the table: the plain case ends here; `below`: only what is below it does.
    `origin`: whose staleness it has, and that there is nothing below it. `service`: that of the name, where
    it has nobody to give here.
    """

    zone: int
    ede: bytes = b""
    instances: Mapping[bytes, InstanceAddresses] | None = None
    spell: Callable[[bytes, int], Sections] | None = None
    responder: Responder | None = None
    origin: int = EVERY
    service: str = ""
    below: Responder | None = None


class Holder(Protocol):
    """A service as browsing and reverse names see it. `ttl`: seconds. `by_address`: its instances at each
    packed address. `protocols`: those that it has a `_service._proto` name for."""

    @property
    def label(self) -> str: ...
    @property
    def ttl(self) -> int: ...
    @property
    def origin(self) -> int: ...
    @property
    def by_address(self) -> Mapping[bytes, Sequence[Instance]]: ...
    @property
    def protocols(self) -> Sequence[str]: ...


Entries: TypeAlias = dict[bytes, Entry]
"""Key: the owner's wire name in lower case, then the type in two bytes."""


class Delta(Struct, frozen=True, eq=False):
    """What a table has to take over, in one step; None takes a key out.

    Both engines apply it; the native one has no use for `services` and `holders`. `staleness`: of each
    origin that changed. `holders`: by packed address, the names of the services that have it, () for none
    any more. `serial`: that of the SOA from now on. `clients`: where clients stand.
    """

    entries: Mapping[bytes, Entry | None] = {}
    names: Mapping[bytes, Name | None] = {}
    zones: Mapping[int, Zone] = {}
    staleness: Mapping[int, Staleness] = {}
    services: Mapping[str, Holder | None] = {}
    holders: Mapping[bytes, tuple[str, ...]] = {}
    serial: int | None = None
    clients: ClientMap | None = None

    def pieces(self) -> Iterator[Delta]:
        """The same in the smallest steps: what is wrong with one of them costs it alone."""
        yield Delta(staleness=self.staleness, serial=self.serial, clients=self.clients)
        yield from (Delta(zones={key: zone}) for key, zone in self.zones.items())
        yield from (Delta(entries={key: entry}) for key, entry in self.entries.items())
        yield from (Delta(names={key: name}) for key, name in self.names.items())
        yield from (Delta(services={key: service}) for key, service in self.services.items())
        yield from (Delta(holders={key: names}) for key, names in self.holders.items())

    def __bool__(self) -> bool:
        return (self.serial, self.clients) != (None, None) or any(
            (self.entries, self.names, self.zones, self.staleness, self.services, self.holders)
        )


K = TypeVar("K")
V = TypeVar("V")


class Table:
    """All that is answered from. `identity`: CHAOS TXT names (RFC 4892) on the wire, and what they say."""

    __slots__ = (
        "clients", "entries", "holders", "identity", "moment", "names", "serial", "service_names", "services",
        "spelled", "stale", "staleness", "zones",
    )  # fmt: skip

    def __init__(self, delta: Delta | None = None, identity: Mapping[bytes, str] | None = None) -> None:
        self.entries: Entries = {}
        self.names: dict[bytes, Name] = {}
        self.zones: dict[int, Zone] = {}
        self.services: dict[str, Holder] = {}
        self.holders: dict[bytes, tuple[str, ...]] = {}
        self.service_names: list[str] = []
        """Those of `services`, sorted."""
        self.spelled: dict[bytes, tuple[Sections, int]] = {}
        """What was spelled on demand of all services, with its origin, by owner or address, until one of
        them changes."""
        self.moment = object()
        """Another one after each change: what was found at the same is there still."""
        self.serial = 0
        self.clients = NO_CLIENTS
        self.identity = identity or {}
        self.staleness: defaultdict[int, Staleness] = defaultdict(Staleness)
        self.stale: defaultdict[int, bytes | None] = defaultdict(bytes)
        """By origin, the option that its replies bear; None where it fails. One look for each query."""
        if delta is not None:
            self.apply(delta)

    def apply(self, delta: Delta) -> None:
        """Take a Delta over."""
        self.moment = object()
        _merge(self.entries, delta.entries)
        _merge(self.names, delta.names)
        if delta.services:
            self.spelled.clear()
            self._sort(delta.services)
            _merge(self.services, delta.services)
        self.zones.update(delta.zones)
        for address, names in delta.holders.items():
            if names:
                self.holders[address] = names
            else:
                self.holders.pop(address, None)
        for origin, staleness in delta.staleness.items():
            self.staleness[origin] = staleness
            self.stale[origin] = None if staleness.failure else staleness.option
            if origin == EVERY:
                self.stale[FILES] = staleness.option
        if delta.serial is not None:
            self.serial = delta.serial
        if delta.clients is not None:
            self.clients = delta.clients

    def _sort(self, changes: Mapping[str, Holder | None]) -> None:
        """Keep `service_names` in order: a change costs a search, and many go in together."""
        known = self.services
        come = [name for name, service in changes.items() if service is not None and name not in known]
        gone = [name for name, service in changes.items() if service is None and name in known]
        if len(come) + len(gone) > MANY:
            left = {*gone}
            self.service_names = [name for name in self.service_names if name not in left] + sorted(come)
            self.service_names.sort()  # two runs that are in order: they are merged
            return
        for name in come:
            insort(self.service_names, name)
        for name in gone:
            del self.service_names[bisect_left(self.service_names, name)]


def _merge(held: dict[K, V], changes: Mapping[K, V | None]) -> None:
    for key, value in changes.items():
        if value is None:
            held.pop(key, None)
        else:
            held[key] = value
