"""What clients of each zone are given of a service with `near`: an Entry for each client class.

Rules: pure; `near` has the arithmetic, here it meets records. Zones that differ in nothing but their name
share tiers and rotations; each class has a counter of its own, so that its cycle is exact and who was
given what can be told.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from weakref import WeakValueDictionary

from msgspec import Struct, structs

from zkdns.answers import near, policies
from zkdns.answers.entries import cut_of, rotated
from zkdns.answers.members import Columns, Tiers
from zkdns.answers.near import ELSEWHERE, REGION, ZONE
from zkdns.answers.records import OwnerName
from zkdns.answers.rotation import Rotation, RotationCounter
from zkdns.answers.sites import Located, Sites, count_present
from zkdns.answers.spliced import Spliced
from zkdns.answers.table import Entry, Tier
from zkdns.dns import ede
from zkdns.dns.types import SRV
from zkdns.model import MAX_WEIGHT, Instance, Service
from zkdns.topology import NOWHERE, Place, Topology

PER_PRIORITY = 10
"""SRV priorities under `prefer`: the registered one times this, and the distance (0, 1, 2)."""

PER_INSTANCE = 64
"""What it costs to find where an instance stands for one zone, in places of an order."""

MAX_WORK = 8_000_000
"""Places in the orders of all variants of a service's names, after which the names that are left give all
clients the same: zones times tags times instances are more than a registrant may ask for. A name of 200
instances in three zones takes some 300,000."""

_rotations: WeakValueDictionary[tuple[tuple[int, ...], tuple[int, ...], int], Rotation] = (
    WeakValueDictionary()
)


class Arranged(Struct, frozen=True):
    """What clients that stand alike are given. `ids[i]`: whose the first tier's i-th record is. `level`: how
    far it reaches; `healthy` of `registered` instances stand in the clients' own zone. `zone`: where all that
    are given stand, "" for anywhere."""

    tiers: tuple[Tier, ...]
    ids: tuple[str, ...]
    repeats: bool
    level: int = ZONE
    healthy: int = 0
    registered: int = 0
    zone: str = ""

    def in_place_of(self, base: Entry, option: bytes, counter: RotationCounter) -> Entry:
        return structs.replace(
            base,
            tiers=self.tiers,
            ede=option,
            repeats=self.repeats,
            counter=counter,
            ids=self.ids,
            zone=self.zone,
        )


class RRset(Struct, frozen=True):
    """The records of one owner and type, the Entry that gives them to all clients alike, and what there is to
    say of whom it gives."""

    about: OwnerName
    rtype: int
    tiers: Tiers
    entry: Entry
    note: str = ""

    @property
    def key(self) -> bytes:
        return self.about.owner + self.rtype.to_bytes(2, "big")


class Near:
    """One service as clients of each zone see it. `others`: that names below its own give as well."""

    def __init__(self, service: Service, topology: Topology, others: Sequence[Instance] = ()) -> None:
        self.service = service
        self._others = others
        self.topology = topology
        self.mode = service.settings.near
        self.by_client = self.mode != "off" and bool(topology.places)
        """Whether not all clients get the same."""
        self._wires: dict[tuple[bytes, int, int], bytes] = {}
        self._spent = 0
        self.left_out = 0
        """Names that give all clients the same, for there was too much to arrange."""

    def begin(self) -> None:
        """The names of another of our zones follow."""
        self._spent = self.left_out = 0

    @cached_property
    def places(self) -> dict[str, Place]:
        """Where each instance stands, by key."""
        every = (*self.service.instances, *self._others) if self._others else self.service.instances
        return {i.key: instance_place(i, self.topology) for i in every}

    @cached_property
    def zones(self) -> frozenset[str]:
        """Those that instances stand in."""
        own = (self.places[i.key] for i in self.service.instances)
        return frozenset(place.zone for place in own if place.zone)

    def variants(
        self, rrset: RRset, counters: Mapping[bytes, RotationCounter]
    ) -> tuple[dict[int, Entry], dict[int, Arranged]]:
        """By client class, what it is given in place of what is for all; names whose answers are not counted
        have one Entry for all that get the same."""
        about, base, key = rrset.about, rrset.entry, rrset.key
        entries: dict[int, Entry] = {}
        arranged: dict[int, Arranged] = {}
        if self._spent > MAX_WORK:
            self.left_out += 1
            return entries, arranged
        alike: dict[Hashable, Arranged] = {}
        shared: dict[Hashable, Entry] = {}
        located = self.locate(about, rrset.tiers, rrset.rtype)
        registered = located.registered
        zones = {place.zone for place in located.places}
        regions = {place.region for place in located.places}
        shares = self.topology.client_shares() if self.mode == "balanced" else {}
        for number, client in enumerate(self.topology.places, 1):
            standing = (
                client.zone if client.zone in zones else "",
                client.region if client.region in regions else "",
                bool(shares.get(client.zone)),
            )
            if standing not in alike:
                one = self.arrange(self.mode, client, rrset, located, shares)
                alike[standing] = one
                self._spent += PER_INSTANCE * registered + sum(
                    _places_in(tier.rotation) for tier in one.tiers
                )
            one = arranged[number] = alike[standing]
            option = option_of(about.about, client, one, base, rrset.note)
            if about.counted:
                counter = counters.get(class_key(key, number)) or RotationCounter()
                entries[number] = one.in_place_of(base, option, counter)
            elif one.tiers is not base.tiers or option != base.ede:
                if (standing, option) not in shared:
                    counter = counters.get(class_key(key, number)) or RotationCounter()
                    if any(counter is entry.counter for entry in shared.values()):
                        counter = RotationCounter()  # who was alike before may not be so now
                    shared[standing, option] = one.in_place_of(base, option, counter)
                entries[number] = shared[standing, option]
        return entries, arranged

    def arrange(
        self, mode: str, client: Place, rrset: RRset, located: Located, shares: Mapping[str, Fraction]
    ) -> Arranged:
        """What clients of one place are given. `located`: the RRset's instances; `shares`: the zones' parts
        of all clients, for `balanced`."""
        tiers, base = located.tiers, rrset.entry
        is_srv = rrset.rtype == SRV
        if mode == "balanced":
            return Arranged(self._balance(client, is_srv, tiers, shares), tiers[0].members.ids, base.repeats)
        choices = located.choices(client, self.service.settings.near_min)
        choice = choices[min(choices)]
        known = choice.healthy, choice.registered
        if is_srv:
            parts = [part for tier in tiers for part in self._by_distance(client, tier)]
            entry = rotated(parts, self.service, b"", base.counter, base.origin, True)
            return Arranged(entry.tiers, parts[0].ids, base.repeats, ZONE, *known)
        if all(one.level == ELSEWHERE for one in choices.values()):
            return Arranged(base.tiers, tiers[0].members.ids, base.repeats, choice.level, *known)
        near_enough, weights = tiers[0].narrow(client, choices)
        if not near_enough:
            return Arranged((), (), False, choice.level, *known)
        chosen = tiers[0].members.taken(near_enough)
        chosen = replace(chosen, weights=weights)
        entry = rotated([chosen], self.service, b"", base.counter, base.origin)
        is_near = all(self.places[id].zone == client.zone for id in chosen.ids)
        zone = client.zone if is_near else ""
        return Arranged(entry.tiers, chosen.ids, entry.repeats, choice.level, *known, zone)

    def locate(self, about: OwnerName, tiers: Tiers, rtype: int) -> Located:
        """Where those stand whom an owner name is about, and who has records of this type there."""
        # Where the policy knows no weights, each counts alike.
        by_weight = policies.knows_weights(self.service.settings.policy)
        sites = []
        for tier in tiers:
            members, marks = Columns.of(tier), about.parts.first
            if rtype == SRV and about.parts.levels:  # their priority is the number of the level
                marks = about.parts.levels[int.from_bytes(members.records[0][12:14], "big")]
            sites.append(Sites.of(members, self.places, by_weight, marks))
        return Located(count_present(about, self.places), tuple(sites))

    def _by_distance(self, client: Place, tier: Sites) -> list[Columns]:
        """The nearest first, each in a tier of its own, with the priority that says so."""
        far = tier.distances(client)
        groups = []
        for level in (ZONE, REGION, ELSEWHERE):
            if those := [n for n, d in enumerate(far) if d == level]:
                group = tier.members.taken(those)
                weights = tier.weigh(those)
                if weights != group.weights:
                    group = replace(group, records=self._weigh(group, weights), weights=weights)
                records = [
                    self._respelled(
                        record,
                        min(int.from_bytes(record[12:14], "big") * PER_PRIORITY + level, MAX_WEIGHT),
                        int.from_bytes(record[14:16], "big"),
                    )
                    for record in group.records
                ]
                groups.append(replace(group, records=tuple(records)))
        return groups

    def _balance(
        self, client: Place, is_srv: bool, tiers: Sequence[Sites], shares: Mapping[str, Fraction]
    ) -> tuple[Tier, ...]:
        own_tiers: list[Tier] = []
        left = cut_of(self.service, is_srv)
        for tier in tiers:
            if left <= 0:
                break
            members = tier.members
            counts = near.balanced(client, tier.capacity, shares)
            wires = self._weigh(members, counts) if is_srv else members.records
            rotation = _rotate(tuple(counts), tier.distances(client), min(left, len(members)))
            runs = members.extras if any(members.extras) else ()
            own_tiers.append(Tier(rotation, wires, runs, members.counts))
            left -= len(members)
        return tuple(own_tiers)

    def zone_shares(
        self, client: Place, located: Located, shares: Mapping[str, Fraction]
    ) -> dict[str, float]:
        """What part of the first places the instances of each zone get from clients of this one."""
        if not located.tiers:
            return {}
        tier = located.tiers[0]
        given: Sequence[int] = range(len(tier.members))
        if self.mode == "balanced":
            counts: Sequence[float] = near.balanced(client, tier.capacity, shares)
        else:
            choices = located.choices(client, self.service.settings.near_min)
            given, weights = tier.narrow(client, choices)
            counts = policies.shares(self.service.settings.policy, weights)
        total = sum(counts) or 1
        by_zone: dict[str, float] = {}
        for n, count in zip(given, counts, strict=True):
            zone = tier.places[tier.at[n]].zone
            by_zone[zone] = by_zone.get(zone, 0.0) + count / total
        return by_zone

    def _weigh(self, members: Columns, counts: Sequence[int]) -> tuple[bytes, ...]:
        """The records with these shares as weights in the rdata, about as large as the registered ones
        together."""
        times = max(1, sum(members.weights) // max(sum(counts), 1))
        scale = min(self.service.settings.srv_scale * times, MAX_WEIGHT / max(counts))
        rdata_weights = [max(int(count * scale + 1e-9), 1) if count else 0 for count in counts]
        return tuple(
            [
                self._respelled(record, int.from_bytes(record[12:14], "big"), weight)
                for record, weight in zip(members.records, rdata_weights, strict=True)
            ]
        )

    def _respelled(self, record: bytes, priority: int, weight: int) -> bytes:
        """An SRV record with another priority and weight: one object for all zones that have it so."""
        key = record, priority, weight
        wire = self._wires.get(key)
        if wire is None:
            rdata = priority.to_bytes(2, "big") + weight.to_bytes(2, "big")
            wire = self._wires[key] = record[:12] + rdata + record[16:]
        return wire


def _places_in(rotation: Rotation) -> int:
    """What its orders hold; those that share their places are as many as they are."""
    orders = rotation.orders
    return len(orders) if isinstance(orders, Spliced) else len(orders) * len(orders[0])


def option_of(about: str, client: Place, one: Arranged, base: Entry, note: str) -> bytes:
    """Why these clients get more than their own zone. `note`: on those that the name gives."""
    if one.level == ZONE:
        return base.ede
    text = tell(client, one)
    return ede.option(ede.OTHER, ede.about(about, f"{text}; {note}" if note else text))


def tell(client: Place, one: Arranged) -> str:
    """`eu-1a has 1 of 4, region eu given`."""
    given = f"region {client.region} given" if one.level == REGION else "all given"
    return f"{client.zone} has {one.healthy} of {one.registered}, {given}"


def tell_pinned(zone: str, healthy: int, registered: int) -> str:
    """`eu-1a has 0 of 4`."""
    return f"{zone} has {healthy} of {registered}"


def choose_near(service: Service, topology: Topology, others: Sequence[Instance] = ()) -> Near | None:
    """None where there are no zones to tell apart. `others`: that names below the service's give, beside
    those of its own name."""
    if topology.places or any(i.registration.zone for i in service.instances):
        return Near(service, topology, others)
    return None


def instance_place(instance: Instance, topology: Topology) -> Place:
    """Where an instance stands: as it says, else by its first address."""
    place = topology.named(instance.registration.zone)
    if place is None and instance.addresses:
        place = topology.place_of(instance.addresses[0])
    return place or NOWHERE


def class_key(key: bytes, number: int) -> bytes:
    """What the counter of one client class is known by."""
    return key + number.to_bytes(2, "big") if number else key


def _rotate(counts: tuple[int, ...], far: tuple[int, ...], cut: int) -> Rotation:
    """Zones and services of the same shape share one."""
    key = counts, far, cut
    rotation = _rotations.get(key)
    if rotation is None:
        rotation = _rotations[key] = Rotation.of(*near.arrange(counts, far, cut))
    return rotation
