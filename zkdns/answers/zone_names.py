"""Names that ask for a zone themselves: `ZONE.prefer._zone.SERVICE` and `ZONE.pin._zone.SERVICE`.

Rules: pure. For clients behind caches that are shared between zones. Each is compiled when it is asked for
first; what is there then comes from the service that these names are of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat

from zkdns.answers import records, texts
from zkdns.answers.entries import rotated
from zkdns.answers.kept import Kept
from zkdns.answers.near import ZONE
from zkdns.answers.parts import Marks, keep, weighed
from zkdns.answers.records import OwnerName
from zkdns.answers.rotation import RotationCounter
from zkdns.answers.routed import Given
from zkdns.answers.spelling import Spelling
from zkdns.answers.table import ANSWERED_ANY, NO_NAME, NODATA, Entry, Position, Sections, Table
from zkdns.answers.variants import Arranged, Near, RRset, option_of, tell_pinned
from zkdns.dns import ede, names
from zkdns.dns.types import ANY, SRV
from zkdns.model import Instance
from zkdns.topology import Place

FOLDER = "_zone"
MODES = ("prefer", "pin")


@dataclass(frozen=True, slots=True)
class ZoneNames:
    """`near`: the service and where its instances stand. `given`: what the service's name gives, where that
    is a route."""

    near: Near
    spelling: Spelling
    origin: int
    given: Given | None
    kept: Kept[Entry | Sections] = field(compare=False, repr=False)
    zones: Kept[frozenset[str]] = field(compare=False, repr=False)

    @property
    def owner(self) -> bytes:
        return names.label(FOLDER) + names.label(self.near.service.label) + self.spelling.zone

    def answer(
        self, qname: bytes, qtype: int, table: Table, position: Position, room: int
    ) -> Sections | Entry:
        below = [label.decode("latin-1") for label in names.labels(qname[: -len(self.owner)] + names.ROOT)]
        zone, mode = ["", *below][-2:] if below else ("", "")
        if len(below) > 2 or (mode and mode not in MODES) or (zone and not self.is_there(zone)):
            return NO_NAME
        if qtype == ANY:
            return ANSWERED_ANY
        if not zone or qtype not in records.DEALT:
            return NODATA
        every = self.near.service.instances
        return self.kept.get(
            (qname, qtype), len(every), lambda: self._compile(qname, qtype, zone, mode), every
        )

    def is_there(self, zone: str) -> bool:
        """Whether it is one of the map's, or an instance stands in it."""
        near = self.near
        if zone in near.topology.zones:
            return True
        return zone in self.zones.get(None, len(near.service.instances), lambda: near.zones)

    def place(self, zone: str) -> Place:
        return Place(self.near.topology.region_of(zone), zone)

    def group(self, zone: str, mode: str) -> tuple[Instance, ...]:
        """Those that such a name is about."""
        every = self.near.service.instances
        return every if mode != "pin" else self._of_zone(every, zone)

    def about(self, qname: bytes, zone: str, mode: str) -> OwnerName:
        """Who is given for addresses, and for SRV where that is a route's. Of a route a pinned zone has its
        part of the first places, or those that stand behind where the others have nobody there."""
        label, group = self.near.service.label, self.group(zone, mode)
        if self.given is None:
            return OwnerName(qname, label, group, records.answered(group), records.DEALT, counted=False)
        given = self.given
        first: Sequence[Sequence[Instance]] = given.first
        levels: Sequence[Sequence[Instance]] = given.levels
        if mode == "pin":
            pinned = map(self._pinned, levels, given.parts.levels, repeat(zone))
            levels = [own for own in pinned if own]
            first = [own for tier in first if (own := self._pinned(tier, given.parts.first, zone))] or levels[
                :1
            ]
        return OwnerName(
            qname, label, group, first, records.DEALT, counted=False, levels=levels, parts=given.parts
        )

    def arrange(self, qname: bytes, qtype: int, zone: str, mode: str) -> tuple[Entry, Arranged] | None:
        """What is given, and what it would be for clients of any zone; None where that is nothing."""
        near, service = self.near, self.near.service
        about = self.about(qname, zone, mode)
        tiers = records.tiers_of(service, about, qtype, self.spelling)
        if not tiers:
            return None
        note = ede.option(ede.OTHER, ede.about(about.about, service.note)) if service.note else b""
        entry = rotated(tiers, service, note, RotationCounter(), self.origin, qtype == SRV)
        if mode == "pin":
            healthy = sum(i.is_healthy for i in about.group)
            return entry, Arranged(
                entry.tiers, tuple(m.id for m in tiers[0]), entry.repeats, ZONE, healthy, len(about.group)
            )
        rrset = RRset(about, qtype, tiers, entry)
        return entry, near.arrange("prefer", self.place(zone), rrset, near.locate(about, tiers, qtype), {})

    def _compile(self, qname: bytes, qtype: int, zone: str, mode: str) -> Entry | Sections:
        arrangement = self.arrange(qname, qtype, zone, mode)
        if arrangement is None:
            text = self._nothing(self.group(zone, mode), zone, mode)
            return Sections(ede=ede.option(ede.OTHER, text))
        entry, one = arrangement
        if mode == "pin":
            return entry
        service = self.near.service
        option = option_of(service.label, self.place(zone), one, entry, service.note)
        if not one.tiers:
            return Sections(ede=option)
        return one.in_place_of(entry, option, entry.counter)

    def _pinned(self, some: Sequence[Instance], marks: Marks, zone: str) -> tuple[Instance, ...]:
        """Those of a route's that stand in a zone, with their targets' shares."""
        here = [n for n, i in enumerate(some) if self.near.places[i.key].zone == zone]
        every = [weighed(marks[i.key], i.weight) for i in some]
        counts = keep(every, [every[n] for n in here])
        if not any(counts):
            return tuple([some[n] for n in here])
        return tuple([replace(some[n], weight=count) for n, count in zip(here, counts, strict=True)])

    def _of_zone(self, some: Sequence[Instance], zone: str) -> tuple[Instance, ...]:
        return tuple(i for i in some if self.near.places[i.key].zone == zone)

    def _nothing(self, group: tuple[Instance, ...], zone: str, mode: str) -> str:
        label = self.near.service.label
        if mode == "pin":
            healthy = sum(i.is_healthy for i in group)
            return ede.about(label, tell_pinned(zone, healthy, len(group)))
        return texts.counts(label, group)
