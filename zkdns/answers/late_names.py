"""Names of a service's tags and ports that are too many to keep ready: each is compiled when it is asked for.

Rules: pure; may be filled in any thread. What stands ready is put in place in one turn of the loop, at every
change of the service, and a registrant may give each of thousands of instances tags and ports of its own. So
the names of the smallest groups are ready, up to a bound, and the others give the same when they are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from msgspec import Struct

from zkdns.answers import members, records, texts
from zkdns.answers.entries import rotated
from zkdns.answers.kept import Kept
from zkdns.answers.notes import Notes
from zkdns.answers.records import OwnerName
from zkdns.answers.rotation import RotationCounter
from zkdns.answers.spelling import Spelling
from zkdns.answers.table import ANSWERED_ANY, NO_NAME, Entry, Position, Responder, Sections, Table
from zkdns.dns import ede, names
from zkdns.dns.types import ANY, SRV
from zkdns.model import Instance, Service

MAX_NAMES: Final = 1024
"""Names of tags of one service that are ready, in all zones together; and as many of ports."""

MAX_PLACES: Final = 16_384
"""Instances behind those, each counted for every name that gives it. To put 1,000 in place takes the loop a
millisecond, in either engine."""

K = TypeVar("K", str, tuple[str, str])

Groups = Mapping[K, Sequence[Instance]]


class Late(Struct, frozen=True):
    """Which names are compiled when they are asked for, and who is in each: those of tags, and those of ports
    by protocol and port."""

    tags: Groups[str] = {}
    ports: Groups[tuple[str, str]] = {}


NONE_LATE: Final = Late()


def find_late(groups: Groups[K], zones: int, ready: int | None = None) -> Groups[K]:
    """Those of the groups whose names are too many to be ready in so many zones. `ready`: how many may be,
    where that is less."""
    left, room = (MAX_NAMES if ready is None else ready) // zones, MAX_PLACES // zones
    if len(groups) <= left and sum(map(len, groups.values())) <= room:
        return {}
    late = {}
    for key, group in sorted(groups.items(), key=lambda one: (len(one[1]), one[0])):
        left, room = left - 1, room - len(group)
        if left < 0 or room < 0:
            late[key] = group
    return late


@dataclass(frozen=True, slots=True)
class Answering:
    """What the late names of one service in one zone share."""

    service: Service
    spelling: Spelling
    origin: int
    notes: Notes
    kept: Kept[Entry | Sections] = field(compare=False, repr=False)

    def ask(
        self, key: object, qtype: int, group: Sequence[Instance], about: Callable[[], OwnerName]
    ) -> Entry | Sections:
        """What a name says that exists. `key`: whose it is, the same for names that give the same; `group`:
        who is in it. What it is `about` is worked out where it is compiled: of thousands it takes longer than
        an answer."""
        kind = qtype if qtype in (*records.DEALT, ANY) else 0
        return self.kept.get((key, kind), len(group), lambda: self.compile(about(), qtype), group)

    def compile(self, about: OwnerName, qtype: int) -> Entry | Sections:
        """The same, made now."""
        if qtype == ANY:
            return ANSWERED_ANY
        tiers: members.Tiers = ()
        if qtype in about.types:
            tiers = records.tiers_of(self.service, about, qtype, self.spelling)
        if not tiers:
            return Sections(ede=ede.option(ede.OTHER, texts.counts(about.about, about.group)))
        note = self.notes.on(about.serving)
        option = ede.option(ede.OTHER, ede.about(about.about, note)) if note else b""
        return rotated(tiers, self.service, option, RotationCounter(), self.origin, qtype == SRV)


class LateTags(Struct, frozen=True):
    """What stands below a service's own name, but for its instances: names of tags, each of which holds more
    of them (`several`)."""

    own: bytes
    late: Groups[str]
    answering: Answering
    several: Responder

    def answer(
        self, qname: bytes, qtype: int, table: Table, position: Position, room: int
    ) -> Sections | Entry:
        labels = names.labels(qname[: -len(self.own)] + names.ROOT)
        tag = labels[-1].decode("latin-1")
        having = self.late.get(tag)
        if having is None:
            return NO_NAME
        if len(labels) > 1:
            return self.several.answer(qname, qtype, table, position, room)
        label = self.answering.service.label
        return self.answering.ask(tag, qtype, having, lambda: records.of_tag(qname, tag, label, having))

    def owners(self) -> Iterable[bytes]:
        """All names of one tag."""
        return (names.label(tag) + self.own for tag in self.late)


class LatePorts(Struct, frozen=True):
    """What stands below a service's folder of ports: `_http._tcp.web`."""

    folder: bytes
    protocol: str
    late: Groups[tuple[str, str]]
    answering: Answering

    def answer(
        self, qname: bytes, qtype: int, table: Table, position: Position, room: int
    ) -> Sections | Entry:
        labels = names.labels(qname[: -len(self.folder)] + names.ROOT)
        port = labels[-1].decode("latin-1")
        having = self.late.get((self.protocol, port[1:])) if len(labels) == 1 and port[:1] == "_" else None
        if having is None:
            return NO_NAME
        label = self.answering.service.label

        def about() -> OwnerName:
            group = tuple(having)
            return OwnerName(qname, f"{label}:{port[1:]}", group, records.answered(group), (SRV,), port[1:])

        return self.answering.ask((self.protocol, port), qtype, having, about)

    def owners(self) -> Iterable[bytes]:
        """All names of a port."""
        of = (port for protocol, port in self.late if protocol == self.protocol)
        return (names.label("_" + port) + self.folder for port in of)
