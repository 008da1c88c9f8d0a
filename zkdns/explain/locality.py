"""Where a client stands, and what the instances of a service with `near` are to it.

Rules: pure; told by the same arithmetic that the answers are compiled of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from msgspec import Struct

from zkdns.answers import members, records
from zkdns.answers.compilation import near_of
from zkdns.answers.near import ELSEWHERE, REGION
from zkdns.answers.owners import owners
from zkdns.answers.routed import Beyond, Routed
from zkdns.answers.snapshot import Snapshot
from zkdns.answers.spelling import Spelling, spell
from zkdns.answers.table import Entry
from zkdns.answers.variants import Arranged, Near, RRset, tell, tell_pinned
from zkdns.answers.zone_names import ZoneNames
from zkdns.dns import names
from zkdns.dns.types import SRV, A
from zkdns.explain.shares import Shares
from zkdns.explain.subject import Subject
from zkdns.model import Service
from zkdns.topology import Place, Topology, as_number, is_v4


class Standing(Struct, frozen=True):
    """`why`: by which network, or what else said it."""

    client: str
    place: Place
    why: str

    def row(self) -> dict[str, Any]:
        """As the API has it."""
        return {
            "address": self.client,
            "zone": self.place.zone,
            "region": self.place.region,
            "why": self.why,
        }


def stand(topology: Topology, client: str) -> Standing:
    """Where a client with this address stands."""
    number = as_number(client)
    for network in topology.networks:
        beyond = 128 - network.bits
        if network.is_v4 == is_v4(number) and network.base >> beyond == number >> beyond:
            address, bits = network.written()
            return Standing(client, network.place, f"by {address}/{bits} of the map")
    if topology.own.zone:
        return Standing(client, topology.own, "in no network of the map: where this server stands")
    return Standing(client, topology.own, "in no network of the map, and this server has no --location")


def place_near(
    placing: Shares, entry: Entry, snapshot: Snapshot, client: str, beyond: Beyond
) -> tuple[Shares, list[str]]:
    """Who is given to a client of this place, with what part of the first places; and notes on that.
    `beyond`: what the service's names give beside its own instances."""
    subject, topology = placing.subject, snapshot.topology
    zone, service = subject.zone, subject.service
    near = near_of(service, topology, beyond) if service is not None else None
    if near is None or not near.by_client or zone is None or service is None or entry.variants is None:
        return placing, []
    others = beyond.guests
    if beyond.route is not None:
        others = (*others, *(i for i in beyond.route.name.group if i.home))
    standing = stand(topology, client)
    number = topology.class_of(standing.place)
    notes = [
        f"{client} stands in {standing.place}, {standing.why}" if number else f"{client} is {standing.why}"
    ]
    if not number:
        return placing, [*notes, f"near {near.mode}: without a zone all are given"]
    about = next((o for o in owners(service, zone.apex, beyond) if o.owner == subject.qname), None)
    if about is None:
        return placing, notes
    ttl = snapshot.ttl
    spelling = Spelling(zone.apex, ttl, spell(service, ttl, others))
    tiers = records.tiers_of(near.service, about, placing.rtype, spelling)
    shares = topology.client_shares() if near.mode == "balanced" else {}
    rrset = RRset(about, placing.rtype, tiers, entry)
    one = near.arrange(near.mode, standing.place, rrset, near.locate(about, tiers, placing.rtype), shares)
    narrowed, due = _narrow(placing, near, standing.place, one, all_given=placing.rtype == SRV)
    return narrowed, [*notes, *_notes(near, standing.place, one, due)]


def place_zone(placing: Shares, named: ZoneNames, at: tuple[Entry, Arranged]) -> tuple[Shares, list[str]]:
    """The same for a name that asks for a zone itself. `at`: what it gives."""
    subject, one = placing.subject, at[1]
    zone, mode = subject.word, subject.mode
    is_pinned = mode == "pin"
    place = named.place(zone)
    narrowed, _ = _narrow(placing, named.near, place, one, all_given=placing.rtype == SRV)
    if is_pinned:
        elsewhere = {i.path for i in named.near.service.instances} - {i.path for i in named.group(zone, mode)}
        narrowed = replace(narrowed, outside=dict.fromkeys(elsewhere, f"does not stand in {zone}"))
    note = (
        tell_pinned(zone, one.healthy, one.registered)
        if is_pinned
        else _tell_preferred(named.near, place, one)
    )
    return narrowed, [f"the name asks for {zone} itself ({mode}): {note}"]


def _narrow(
    placing: Shares, near: Near, place: Place, one: Arranged, all_given: bool
) -> tuple[Shares, Mapping[str, float]]:
    """To those that are given to clients of one place; and what is due of the first places, by key."""
    due = _due(one)
    spread = _spread(placing, placing.subject, due, all_given)
    outside = {
        i.path: f"stands in {near.places[i.key]}, not where {place.zone} is given from"
        if near.places[i.key].zone
        else "stands in no zone"
        for i in placing.subject.group
        if i.path in placing.shares and i.path not in spread
    }
    return replace(placing, shares=spread, outside=outside), due


def _due(one: Arranged) -> Mapping[str, float]:
    """By id, the part of first places over a cycle; all that are ever given are there."""
    if not one.tiers:
        return {}
    rotation = one.tiers[0].rotation
    firsts = Counter(one.ids[rotation.orders[order][0]] for order in rotation.sequence)
    given = {one.ids[index] for order in rotation.orders for index in order}
    return {id: firsts[id] / len(rotation.sequence) for id in given}


def _spread(placing: Shares, subject: Subject, due: Mapping[str, float], all_given: bool) -> dict[str, float]:
    """The same by path; those who share a record with one that is given are given too."""
    by_path = {i.path: due[i.key] for i in subject.group if i.key in due}
    for meeting in placing.shared:
        known = [by_path[i.path] for i in meeting if i.path in by_path]
        if known:
            by_path.update({i.path: sum(known) / len(meeting) for i in meeting})
    return {**dict.fromkeys(placing.shares, 0.0), **by_path} if all_given else by_path


def _tell_preferred(near: Near, place: Place, one: Arranged) -> str:
    if one.level in (REGION, ELSEWHERE):
        return f"{tell(place, one)} (near_min {near.service.settings.near_min:g})"
    return f"{place.zone} has {one.healthy} of {one.registered}, the zone's own are nearest"


def _notes(near: Near, place: Place, one: Arranged, due: Mapping[str, float]) -> Iterator[str]:
    zone = place.zone
    if near.mode == "prefer":
        yield f"near prefer: {_tell_preferred(near, place, one)}"
        return
    parts: Counter[str] = Counter()
    for id, share in due.items():
        parts[near.places[id].zone or "no zone"] += share  # type: ignore[assignment]
    parts_text = ", ".join(f"{to} {100 * part:.4g} %" for to, part in sorted(parts.items()) if part)
    yield f"near balanced: from {zone} to {parts_text}"


def crossings(
    service: Service, topology: Topology, given: Mapping[tuple[str, str], int], route: Routed | None = None
) -> list[dict[str, Any]]:
    """A service's table from zone to zone, for page and API: of the answers to each zone's clients, the share
    due to each zone's instances, and given. `given`: how often, by both zones; "" is none. `route`: what its
    name stands for, None for its own instances."""
    near = near_of(service, topology, Beyond(route=route))
    if near is None or not near.by_client:
        return []
    totals: Counter[str] = Counter()
    for (client, _), n in given.items():
        totals[client] += n
    about = next(owners(service, names.ROOT, Beyond(route=route)))
    serving = about.serving
    tiers = (members.Columns.of_addresses(serving[0], [b""] * len(serving[0])),) if serving else ()
    located = near.locate(about, tiers, A)
    shares = topology.client_shares()
    rows = []
    for zone in sorted({place.zone for place in topology.places}):
        place = Place(topology.region_of(zone), zone)
        due = near.zone_shares(place, located, shares)
        for to in sorted({*due, *(to for client, to in given if client == zone)}):
            n = given.get((zone, to), 0)
            share = n / totals[zone] if totals[zone] else 0.0
            row = {"from": zone, "to": to, "share": round(due.get(to, 0.0), 6), "given": round(share, 6)}
            rows.append({**row, "answers": n})
    return rows
