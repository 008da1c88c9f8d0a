"""Names of several tags at once: `canary.blue.web`, in either order, up to three of them.

Rules: pure. There are too many of them to keep ready: each is compiled when it is asked for first. The
instances that have all the tags are what it gives; where there is none, there is no such name. Which these
are is looked for among those of the rarest tag, and a name with a tag that nobody has costs one look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from zkdns.answers import members, records, texts
from zkdns.answers.entries import rotated
from zkdns.answers.kept import Kept
from zkdns.answers.notes import Notes
from zkdns.answers.owners import having_all
from zkdns.answers.records import OwnerName
from zkdns.answers.rotation import RotationCounter
from zkdns.answers.spelling import Spelling
from zkdns.answers.table import ANSWERED_ANY, NO_NAME, Entry, Position, Sections, Table
from zkdns.dns import ede, names
from zkdns.dns.types import ANY, SRV
from zkdns.model import Instance, Service

MAX_TAGS = 3
"""In one name."""


@dataclass(frozen=True, slots=True)
class TagNames:
    """What stands below the name of one tag, the same object for all tags of a service in a zone."""

    service: Service
    tagged: Mapping[str, Sequence[Instance]]
    spelling: Spelling
    origin: int
    notes: Notes
    kept: Kept[Entry | Sections] = field(compare=False, repr=False)

    def answer(
        self, qname: bytes, qtype: int, table: Table, position: Position, room: int
    ) -> Sections | Entry:
        own = names.label(self.service.label) + self.spelling.zone
        tags = [label.decode("latin-1") for label in names.labels(qname[: -len(own)] + names.ROOT)]
        if len(tags) > MAX_TAGS:
            return NO_NAME
        having = [self.tagged.get(tag, ()) for tag in tags]
        rarest = min(having, key=len)
        if not rarest:
            return NO_NAME
        # The order of the tags moves nothing: the names of one group are of one length, and told of as one.
        tags.sort()
        key = (*tags, qtype if qtype in (*records.DEALT, ANY) else 0)
        return self.kept.get(key, len(rarest), lambda: self._compile(qname, qtype, rarest, tags), rarest)

    def _compile(
        self, qname: bytes, qtype: int, rarest: Sequence[Instance], tags: Sequence[str]
    ) -> Entry | Sections:
        group = having_all(rarest, tags, self.notes.guests)
        if not group:
            return NO_NAME
        if qtype == ANY:
            return ANSWERED_ANY
        named = f"{'.'.join(tags)}.{self.service.label}"
        about = OwnerName(qname, named, group, records.answered(group), records.DEALT, counted=False)
        tiers: members.Tiers = ()
        if qtype in about.types:
            tiers = records.tiers_of(self.service, about, qtype, self.spelling)
        if not tiers:
            return Sections(ede=ede.option(ede.OTHER, texts.counts(named, group)))
        note = self.notes.on(about.serving)
        option = ede.option(ede.OTHER, ede.about(named, note)) if note else b""
        return rotated(tiers, self.service, option, RotationCounter(), self.origin, qtype == SRV)
