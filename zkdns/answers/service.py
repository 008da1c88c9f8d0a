"""RRsets -> the table: one service at a time, so that a change costs what changed.

Rules: pure; a Part is never written after it is made. Compiling from nothing and replacing by
difference give the same table (tests hold it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from zkdns.answers import policies, records
from zkdns.answers.on_demand import Browsing, InstanceNames
from zkdns.answers.records import SRV, TXT, Member, Spelled
from zkdns.answers.table import Draws, Entry, Kid, Name, Table, Tier, Zone
from zkdns.dns import ede, names
from zkdns.model import Instance, Service

UNCUT = 65_535
"""The cut of a browsing answer: none."""


@dataclass(frozen=True, slots=True)
class First:
    """Whose first places an Entry gives: `ids[i]` is the instance behind its first tier's i-th
    piece; `start` is where `draws` stood when this Entry took over."""

    entry: Entry
    ids: tuple[str, ...]
    start: int


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """All that one service brings to the table. `places`: the instances at each packed address;
    `protocols`: those that it has a `_service._proto` name for."""

    service: Service
    entries: Table
    names: Mapping[bytes, Name]
    places: Mapping[bytes, Sequence[Instance]]
    protocols: Sequence[str]
    firsts: Mapping[bytes, First] = field(default_factory=dict)

    def shown(self, zone: Zone) -> list[str]:
        """Its names in one zone as text: those that are for asking, and no folder of named ports."""
        folders = [names.label("_" + protocol) for protocol in self.protocols]
        return [
            names.text(owner).rstrip(".")
            for owner, known in self.names.items()
            if known.zone is zone and not any(owner.startswith(folder) for folder in folders)
        ]


def compile_service(service: Service, zones: Sequence[Zone], ttl: int, draws: Mapping[bytes, Draws]) -> Part:
    """The Part of one service in every zone. `ttl`: seconds, where the service sets none. `draws`:
    the counters of what stands in the table now, to be carried on."""
    if service.settings.ttl is not None:
        ttl = service.settings.ttl
    entries: Table = {}
    known: dict[bytes, Name] = {}
    firsts: dict[bytes, First] = {}
    spelled = records.spell(service, ttl)
    protocols = records.protocols(service.instances)
    kids = {s.label[1:]: Kid(b"".join(s.v4), b"".join(s.v6)) for s in spelled.values()}
    for zone in zones:
        apex = zone.apex
        pieces: dict[tuple[str, int], bytes] = {}
        for about in records.owners(service, apex):
            said = ede.option(ede.OTHER, records.counts(about.about, about.group))
            for rtype in about.types:
                if rtype == SRV:
                    tiers = records.srv_tiers(service, about, apex, ttl, spelled, pieces)
                else:
                    tiers = records.address_tiers(about.serving, rtype, spelled)
                if not tiers:
                    continue
                key = about.owner + rtype.to_bytes(2, "big")
                note = ede.option(ede.OTHER, ede.about(about.about, service.note)) if service.note else b""
                entry = entries[key] = dealt(tiers, service, note, draws.get(key) or Draws())
                if about.counted:
                    firsts[key] = First(entry, tuple(m.id for m in tiers[0]), entry.draws.count)
            known[about.owner] = Name(zone, said)
        name = names.label(service.label) + apex
        said = known[name].ede
        known[name] = Name(zone, said, kids, InstanceNames(service, apex, ttl).spell)
        strings = records.about_service(service)
        entries[name + TXT.to_bytes(2, "big")] = single(records.txt(strings, ttl))
        for protocol in protocols:
            owner = names.label(names.underscored(service.label)) + names.label("_" + protocol) + apex
            said = known[owner].ede
            known[owner] = Name(zone, said, odd=Browsing(service, protocol, zone, ttl, said))
            # The folder of named ports is there before the first of them: a resolver that met NXDOMAIN
            # here would know of nothing below it (RFC 8020).
            known[names.label("_" + protocol) + name] = Name(zone)
    return Part(service, entries, known, _places(service, spelled), protocols, firsts)


def _places(service: Service, spelled: Mapping[str, Spelled]) -> dict[bytes, list[Instance]]:
    """The instances at each address: reverse names are asked for one by one, of services of any size."""
    found: dict[bytes, list[Instance]] = {}
    for i in service.instances:
        for tail in spelled[i.label].tails:
            found.setdefault(tail[10:], []).append(i)
    return found


def dealt(tiers: Sequence[Sequence[Member]], service: Service, note: bytes, draws: Draws) -> Entry:
    """The Entry that deals these members by the service's policy."""
    policy, cut = service.settings.policy, service.settings.answers
    made, left = [], cut
    for members in tiers:
        if left <= 0:
            break
        pieces, weights, _, runs, counts = zip(*members, strict=True)
        deal = policies.deal(policy, weights, min(left, len(members)))
        made.append(Tier(deal, pieces, runs if any(runs) else (), counts))
        left -= len(members)
    extras = [m.extra for members in tiers for m in members if m.extra]
    return Entry(tuple(made), cut, note, len(set(extras)) < len(extras), draws)


def single(piece: bytes) -> Entry:
    return several([piece])


def several(pieces: Sequence[bytes]) -> Entry:
    """An Entry that gives all pieces in this order every time."""
    order = policies.deal("first", [1] * len(pieces), len(pieces))
    return Entry((Tier(order, tuple(pieces), (), (0,) * len(pieces)),), UNCUT)
