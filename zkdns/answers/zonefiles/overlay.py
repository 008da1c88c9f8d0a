"""Zone files beside the services: which of their names stand in the index, and which give way.

Rules: pure. A service owns its name and all below it, in every zone of services, and the reverse name
of each address it has; a file's record there is a Problem for as long as the service is there, and the
service wins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from zkdns.answers.builder import Answers
from zkdns.answers.table import Entry, Name, Sections
from zkdns.answers.zonefiles.lookup import NXDOMAIN, SERVFAIL, ZoneData
from zkdns.dns import names
from zkdns.dns.rdata import detach
from zkdns.model import Problem

_ARPA = names.label("arpa") + names.ROOT


class Overlay:
    """The zone files that an Answers gives beside its services."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._apexes = {zone.apex: zone for zone in answers.zones}
        self._owners: dict[bytes, Name] = {}
        self._below: dict[str, list[bytes]] = {}
        self._plain_apexes = {apex: answers.names[apex] for apex in self._apexes}
        self.draw: Callable[[Entry], int] = _draw_next
        """An Entry's turn, where an alias leads to it: that of the engine in force."""
        self.files: Mapping[bytes, ZoneData] = {}
        answers.settled = self._settle

    def put(self, zones: Mapping[bytes, ZoneData]) -> None:
        """These files, in place of the ones before: one step between two queries."""
        for owner in self._owners:
            self._answers.put_beneath(owner, None)
        for apex, plain in self._plain_apexes.items():
            self._answers.put_name(apex, plain)
        self._owners, self._below = {}, {}
        files: dict[bytes, ZoneData] = {}
        for apex, data in zones.items():
            zone = self._apexes.get(apex, data.zone) if data.shared else data.zone
            files[apex] = replace(data, zone=zone, family=files, services=self.find)
        for apex, data in files.items():
            known = Name(data.zone, responder=_Reverse(data, self._answers) if apex.endswith(_ARPA) else data)
            if apex in self._apexes:
                self._answers.put_name(apex, known)
                owners = [owner for owner in data.nodes if owner != apex]
            else:
                owners = [apex]
            for owner in owners:
                if self._answers.is_built_in(owner):
                    continue
                self._owners[owner] = known
                label = self._label(owner)
                if label is not None:
                    self._below.setdefault(label, []).append(owner)
        self.files = files
        held = {part.service.label for part in self._answers.parts.values()}
        for owner, known in self._owners.items():
            self._answers.put_beneath(owner, None if self._label(owner) in held else known)
        self._answers.set_failure(self._answers.zones[0].failure)  # what it shows has changed

    def problems(self) -> tuple[Problem, ...]:
        """The records of files that give way to something of the services' now."""
        found = []
        labels, owners = self._holders()
        for apex, data in self.files.items():
            folder = Path(data.path).parent
            for owner, node in data.nodes.items():
                if not node or (owner == apex and apex in self._apexes):
                    continue
                if self._answers.is_built_in(owner):
                    holder = "zkdns itself"
                else:
                    holder = owners.get(owner) or labels.get(self._label(owner) or "", "")
                    holder = holder or self._place(owner)
                if holder:
                    where = next(iter(node.values())).where
                    what = f"{names.text(owner)} belongs to {holder}, which is answered instead"
                    found.append(Problem(str(folder / where), what, "give one of the two another name"))
        return tuple(found)

    def find(self, qname: bytes, qtype: int) -> Sections | None:
        """What the services say of a name that an alias in a file leads to; None where it isn't theirs."""
        table = self._answers
        if any(zone.failure for apex, zone in self._apexes.items() if qname.endswith(apex)):
            return None if qname in self._owners else Sections(rcode=SERVFAIL)
        entry = table.table.get(qname + qtype.to_bytes(2, "big"))
        if entry is not None:
            return Sections(_apart(qname, _deal(entry, self.draw(entry))), ede=entry.ede)
        for suffix in (qname, *names.suffixes(qname)):
            known = table.names.get(suffix)
            if known is None:
                continue
            if isinstance(known.responder, ZoneData) or known.zone.apex not in self._apexes:
                return None
            said = _said(known, suffix, qname, qtype)
            if said.answer or said.authority:
                return replace(said, answer=_apart(qname, said.answer))
            return replace(said, authority=(known.zone.apex + known.zone.soa,))
        return None

    def _label(self, owner: bytes) -> str | None:
        """The label right below the apex of a zone of services, as text."""
        for suffix in (owner, *names.suffixes(owner)):
            parent = suffix[1 + suffix[0] :]
            if parent in self._apexes:
                return suffix[1 : 1 + suffix[0]].decode("latin-1")
        return None

    def _holders(self) -> tuple[dict[str, str], dict[bytes, str]]:
        """Which services hold something now: by label, and by whole name."""
        parts = self._answers.parts.values()
        shown = {part.service.label: f"the service {part.service.name}" for part in parts}
        return shown, {owner: shown[part.service.label] for part in parts for owner in part.names}

    def _place(self, owner: bytes) -> str:
        """Which services have the address of a reverse name now."""
        return ", ".join(f"the service {name}" for name in self._answers.holders(owner))

    def _settle(self, label: str) -> None:
        """The service of this label came, changed or went."""
        below = self._below.get(label)
        if below is None:
            return
        held = any(part.service.label == label for part in self._answers.parts.values())
        for owner in below:
            self._answers.put_beneath(owner, None if held else self._owners[owner])


@dataclass(frozen=True, slots=True, eq=False)
class _Reverse:
    """The file of a reverse zone: who has an address that an instance has is the services' to say."""

    data: ZoneData
    answers: Answers

    def answer(self, qname: bytes, qtype: int) -> Sections:
        said = self.answers.reverse(qname, qtype)
        failure = self.answers.zones[0].failure
        if not failure:
            return self.data.answer(qname, qtype) if said is None else said
        if said is None:
            found = self.data.answer(qname, qtype)
            if found.answer or not found.aa or names.address_of(qname) is None:
                return found
        return Sections(rcode=SERVFAIL, aa=False, ede=failure)  # only a catalog can tell who is there


def _said(known: Name, suffix: bytes, qname: bytes, qtype: int) -> Sections:
    """What a name of the services' says of itself, or of a name below it."""
    if known.responder is not None:
        return known.responder.answer(qname, qtype)
    if suffix == qname:
        return Sections(ede=known.ede)
    label = qname[1 : 1 + qname[0]]
    instance = (
        known.instances.get(label) if known.instances and qname == names.label(label) + suffix else None
    )
    if instance is None:
        return Sections(rcode=NXDOMAIN)
    if qtype in (1, 28):
        run, size = (instance.a, 16) if qtype == 1 else (instance.aaaa, 28)
        return Sections(tuple(run[at : at + size] for at in range(0, len(run), size)))
    return known.spell(label, qtype) if known.spell else Sections()


def _draw_next(entry: Entry) -> int:
    n = entry.counter.position
    entry.counter.position = n + 1
    return n


def _deal(entry: Entry, n: int) -> tuple[bytes, ...]:
    """The records of the n-th answer of this Entry."""
    return tuple(
        wire
        for tier in entry.tiers
        for wire in tier.rotation.getters[tier.rotation.sequence[n % len(tier.rotation.sequence)]](
            tier.records
        )
    )


def _apart(qname: bytes, wires: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Pieces that pointed at their question, spelled out to stand behind another."""
    found = []
    for wire in wires:
        read = detach(wire, qname)
        if read is not None:
            owner, rtype, rclass, ttl, parts = read
            rdata = b"".join(parts)
            fixed = rtype.to_bytes(2, "big") + rclass.to_bytes(2, "big") + ttl.to_bytes(4, "big")
            found.append(owner + fixed + len(rdata).to_bytes(2, "big") + rdata)
    return tuple(found)
