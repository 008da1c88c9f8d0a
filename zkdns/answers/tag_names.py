"""Names of several tags at once: `canary.blue.web`, in either order, up to three of them.

Rules: pure. There are too many of them to keep ready: each is compiled when it is asked for first. The
instances that have all the tags are what it gives; where there is none, there is no such name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from zkdns.answers import records
from zkdns.answers.entries import rotated
from zkdns.answers.records import OwnerName
from zkdns.answers.table import ANSWERED_ANY, NO_NAME, Entry, Position, RotationCounter, Sections, Table
from zkdns.answers.zone_names import give
from zkdns.dns import ede, names
from zkdns.dns.types import AAAA, ANY, SRV, A
from zkdns.model import Instance, Service

MAX_TAGS = 3
MAX_KEPT = 256
"""Names that are kept ready of one service, once they were asked for."""


def has_tag(instance: Instance, tag: str) -> bool:
    """Whether an instance has a tag, or stands in the registry of that name where there are several."""
    tags = map(records.tag_label, instance.registration.tags)
    return tag in tags or (bool(instance.registry) and tag == records.tag_label(instance.registry))


@dataclass(frozen=True, slots=True)
class TagNames:
    """What stands below the name of one tag. `zone`: the apex; `ttl`: seconds, of the records."""

    service: Service
    instances: Sequence[Instance]
    zone: bytes
    ttl: int
    origin: int
    _entries: dict[bytes, Entry | Sections] = field(default_factory=dict, compare=False, repr=False)

    def answer(self, qname: bytes, qtype: int, table: Table, position: Position) -> Sections:
        own = names.label(self.service.label) + self.zone
        tags = [label.decode("latin-1") for label in names.labels(qname[: -len(own)] + names.ROOT)]
        if len(tags) > MAX_TAGS:
            return NO_NAME
        group = tuple(i for i in self.instances if all(has_tag(i, tag) for tag in tags))
        if not group:
            return NO_NAME
        if qtype == ANY:
            return ANSWERED_ANY
        key = qname + qtype.to_bytes(2, "big")
        entry = self._entries.get(key)
        if entry is None:
            if len(self._entries) >= MAX_KEPT:
                self._entries.clear()
            entry = self._entries[key] = self._compile(qname, qtype, group, ".".join(tags))
        return entry if isinstance(entry, Sections) else give(entry, position(entry))

    def _compile(self, qname: bytes, qtype: int, group: tuple[Instance, ...], tags: str) -> Entry | Sections:
        about = OwnerName(
            qname,
            f"{tags}.{self.service.label}",
            group,
            records.answered(group),
            (A, AAAA, SRV),
            counted=False,
        )
        by_label = records.spell(self.service, self.ttl, [i for i in group if i.home])
        if qtype == SRV:
            tiers = records.srv_tiers(self.service, about, self.zone, self.ttl, by_label, {})
        elif qtype in (A, AAAA):
            tiers = records.address_tiers(about.serving, qtype, by_label)
        else:
            tiers = ()
        if not tiers:
            return Sections(ede=ede.option(ede.OTHER, records.counts(about.about, group)))
        return rotated(tiers, self.service, b"", RotationCounter(), self.origin, qtype == SRV)
