"""Zone files beside the services: which of their names are laid beneath, and which records give way.

Rules: pure. A service owns its name and all below it, in every zone of services, and the reverse name
of each address it has; a file's record there is a Problem for as long as the service is there, and the
service wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import PurePath

from msgspec import Struct

from zkdns.answers.builder import Builder
from zkdns.answers.on_demand import reverse
from zkdns.answers.service import ServiceAnswers
from zkdns.answers.table import EVERY, FILES, NO_ZONE, Name, Position, Sections, Table
from zkdns.answers.zonefiles.hosts import FiledHost, find_host
from zkdns.answers.zonefiles.lookup import STAR, ZoneData
from zkdns.dns import names
from zkdns.dns.records import pointer
from zkdns.dns.types import SERVFAIL
from zkdns.model import Problem

_ARPA = names.label("arpa") + names.ROOT


class Overlay:
    """The zone files that a Builder has beside its services."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._zones = {zone.apex: zone.index for zone in builder.zones}
        self.files: Mapping[bytes, ZoneData] = {}

    def put(self, files: Mapping[bytes, ZoneData], *, in_turns: bool = False) -> None:
        """These files, in place of the ones before: now, or some of their names each time that the builder is
        asked what moved."""
        family = {
            apex: replace(data, zone=self._zones.get(apex, NO_ZONE) if data.shared else NO_ZONE)
            for apex, data in files.items()
        }
        # Those of a family know none themselves: else it would be a reference cycle, which nobody ends.
        self.files = files = {apex: replace(data, family=family) for apex, data in family.items()}
        self._builder.put_beneath(self._names(files), in_turns=in_turns)

    def _names(self, files: Mapping[bytes, ZoneData]) -> Iterator[tuple[bytes, Name]]:
        for apex, data in files.items():
            responder = _Reverse(data) if apex.endswith(_ARPA) else data
            name = Name(data.zone, responder=responder, origin=FILES)
            for owner in data.nodes if apex in self._zones else [apex]:
                yield owner, name

    def find_host(self, host: str) -> FiledHost | None:
        """What the files say of a host name; None where they say nothing."""
        return find_host(self.files, host) if self.files else None

    def problems(self) -> tuple[Problem, ...]:
        """The records of files that give way to something of the services' now."""
        return self.tell()()

    def tell(self) -> Callable[[], tuple[Problem, ...]]:
        """Finds them, in a thread or not: files may have as many records as there are services."""
        files, services = self.files, tuple(self._builder.services.values()) if self.files else ()
        return lambda: self._find(files, services)

    def _find(
        self, files: Mapping[bytes, ZoneData], services: Sequence[ServiceAnswers]
    ) -> tuple[Problem, ...]:
        problems = []
        written = [
            (apex, data, owner, node)
            for apex, data in files.items()
            for owner, node in data.nodes.items()
            if node and not (owner == apex and apex in self._zones)
        ]
        labels, owners = self._holders({owner for _, _, owner, _ in written}, services)
        for apex, data, owner, node in written:
            above = owner.removeprefix(STAR)
            # Where a name of ours is the closest encloser, a wildcard below it is never looked for.
            if self._builder.is_built_in(owner) or (
                above not in (owner, apex) and self._builder.is_built_in(above)
            ):
                holder = "zkdns itself"
            else:
                holder = owners.get(owner) or labels.get(self._builder.label_of(owner) or "", "")
                holder = holder or self._holder_of_address(owner)
            if holder:
                where = str(PurePath(data.path).parent / next(iter(node.values())).where)
                what = f"{names.text(owner)} belongs to {holder}, which is answered instead"
                problems.append(Problem(where, what, "give one of the two another name"))
        return tuple(problems)

    def _holders(
        self, written: Set[bytes], services: Sequence[ServiceAnswers]
    ) -> tuple[dict[str, str], dict[bytes, str]]:
        """Which services hold something of these names now: by label, and by whole name. Services are many,
        and mostly no file says anything beside them."""
        labels, owners = dict[str, str](), dict[bytes, str]()
        if not written:
            return labels, owners
        known = {self._builder.label_of(owner) for owner in written}
        for answers in services:
            if answers.label in known:
                labels[answers.label] = f"the service {answers.service.name}"
            for owner in answers.names.keys() & written:
                owners[owner] = f"the service {answers.service.name}"
        return labels, owners

    def _holder_of_address(self, owner: bytes) -> str:
        """Which services have the address of a reverse name now."""
        return ", ".join(f"the service {name}" for name in self._builder.holders(owner))


class _Reverse(Struct, frozen=True, eq=False):
    """The file of a reverse zone: who has an address that an instance has is the services' to say."""

    data: ZoneData

    def answer(self, qname: bytes, qtype: int, table: Table, position: Position, room: int) -> Sections:
        held = reverse(table, qname, qtype)
        failure = table.staleness[EVERY if held is None else held[1]].failure
        if not failure:
            if held is None:
                return self.data.answer(qname, qtype, table, position, room)
            if held[0].answer:
                return held[0]
            return Sections(authority=(pointer(qname, self.data.apex) + self.data.find_soa(table),))
        if held is None:
            sections = self.data.answer(qname, qtype, table, position, room)
            if sections.answer or not sections.aa or names.address_of(qname) is None:
                return sections
        return Sections(rcode=SERVFAIL, aa=False, ede=failure)  # only a catalog can tell who is there
