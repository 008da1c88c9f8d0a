"""What clients of each zone are given of a service with `near`: an Entry for each client class.

Rules: pure; `near` has the arithmetic, here it meets records. Zones that differ in nothing but their name
share tiers and rotations; each class has a counter of its own, so that its cycle is exact and who was
given what can be told.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from weakref import WeakValueDictionary

from msgspec import Struct, structs

from zkdns.answers import near, policies
from zkdns.answers.entries import cut_of, rotated
from zkdns.answers.near import ELSEWHERE, REGION, ZONE, Located, distance
from zkdns.answers.records import Member, OwnerName, Tiers
from zkdns.answers.rotation import Rotation, RotationCounter
from zkdns.answers.spliced import Spliced
from zkdns.answers.table import Entry, Tier
from zkdns.dns import ede
from zkdns.dns.types import SRV
from zkdns.model import Instance, Service
from zkdns.topology import NOWHERE, Place, Topology

PER_PRIORITY = 10
"""SRV priorities under `prefer`: the registered one times this, and the distance (0, 1, 2)."""

MAX_SRV = 65_535

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
    far it reaches; `healthy` of `registered` instances stand in the clients' own zone."""

    tiers: tuple[Tier, ...]
    ids: tuple[str, ...]
    repeats: bool
    level: int = ZONE
    healthy: int = 0
    registered: int = 0

    def in_place_of(self, base: Entry, option: bytes, counter: RotationCounter) -> Entry:
        return structs.replace(
            base, tiers=self.tiers, ede=option, repeats=self.repeats, counter=counter, ids=self.ids
        )


class RRset(Struct, frozen=True):
    """The records of one owner and type, and the Entry that gives them to all clients alike."""

    about: OwnerName
    rtype: int
    tiers: Tiers
    entry: Entry

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
        about, base, tiers, key = rrset.about, rrset.entry, rrset.tiers, rrset.key
        entries: dict[int, Entry] = {}
        arranged: dict[int, Arranged] = {}
        if self._spent > MAX_WORK:
            self.left_out += 1
            return entries, arranged
        alike: dict[Hashable, Arranged] = {}
        shared: dict[Hashable, Entry] = {}
        located = self.locate(about)
        zones = {one.place.zone for one in located} | {self.place(m).zone for t in tiers for m in t}
        regions = {one.place.region for one in located} | {self.place(m).region for t in tiers for m in t}
        shares = self.topology.client_shares() if self.mode == "balanced" else {}
        for number, client in enumerate(self.topology.places, 1):
            standing = (
                client.zone if client.zone in zones else "",
                client.region if client.region in regions else "",
                bool(shares.get(client.zone)),
            )
            if standing not in alike:
                one = self.arrange(self.mode, client, rrset, shares, located)
                alike[standing] = one
                self._spent += PER_INSTANCE * len(located) + sum(
                    _places_in(tier.rotation) for tier in one.tiers
                )
            one = arranged[number] = alike[standing]
            option = self.option(about.about, client, one, base)
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
        self, mode: str, client: Place, rrset: RRset, shares: Mapping[str, Fraction],
        located: Sequence[Located] | None = None,
    ) -> Arranged:  # fmt: skip
        """What clients of one place are given. `located`: who is registered at the serving priority, where
        that was looked up already."""
        rtype, tiers, base = rrset.rtype, rrset.tiers, rrset.entry
        if mode == "balanced":
            own_tiers, ids = self._balance(client, rtype, tiers, shares)
            return Arranged(own_tiers, ids, base.repeats)
        if located is None:
            located = self.locate(rrset.about)
        choice = near.prefer(client, located, self.service.settings.near_min)
        known = choice.healthy, choice.registered
        if rtype == SRV:
            parts = [part for tier in tiers for part in self._by_distance(client, tier)]
            entry = rotated(parts, self.service, b"", base.counter, base.origin, True)
            return Arranged(entry.tiers, tuple(m.id for m in parts[0]), base.repeats, ZONE, *known)
        if choice.level == ELSEWHERE:
            return Arranged(base.tiers, tuple(m.id for m in tiers[0]), base.repeats, choice.level, *known)
        chosen = [m for m in tiers[0] if distance(client, self.place(m)) <= choice.level]
        if not chosen:
            return Arranged((), (), False, choice.level, *known)
        entry = rotated([chosen], self.service, b"", base.counter, base.origin)
        return Arranged(entry.tiers, tuple(m.id for m in chosen), entry.repeats, choice.level, *known)

    def place_of(self, i: Instance) -> Place:
        return self.places.get(i.key, NOWHERE)

    def place(self, member: Member) -> Place:
        return self.places.get(member.id, NOWHERE)

    def locate(self, about: OwnerName) -> list[Located]:
        """Who is registered at the priority that serves, healthy or not."""
        if not about.serving:
            return []
        if about.levels is not None:  # a route's: those that stand where the serving ones do
            serving = {(i.home, i.registry) for i in about.serving[0]}
            group = [i for i in about.group if (i.home, i.registry) in serving]
            return [Located(self.place_of(i), i.weight, i.registration.weight, i.answered) for i in group]
        priority = about.serving[0][0].registration.priority
        return [
            Located(self.place_of(i), i.weight, i.registration.weight, i.answered)
            for i in about.group
            if i.registration.priority == priority
        ]

    def _by_distance(self, client: Place, tier: Sequence[Member]) -> list[list[Member]]:
        """The nearest first, each in a tier of its own, with the priority that says so."""
        groups: tuple[list[Member], ...] = ([], [], [])
        for member in tier:
            far = distance(client, self.place(member))
            record = member.record
            priority = min(int.from_bytes(record[12:14], "big") * PER_PRIORITY + far, MAX_SRV)
            wire = self._respelled(record, priority, int.from_bytes(record[14:16], "big"))
            groups[far].append(member._replace(record=wire))
        return [group for group in groups if group]

    def _balance(
        self, client: Place, rtype: int, tiers: Sequence[Sequence[Member]], shares: Mapping[str, Fraction]
    ) -> tuple[tuple[Tier, ...], tuple[str, ...]]:
        own_tiers: list[Tier] = []
        left = cut_of(self.service, rtype == SRV)
        for members in tiers:
            if left <= 0:
                break
            counts = self.counts(client, members, shares)
            far = tuple(distance(client, self.place(m)) for m in members)
            if rtype == SRV:
                members = self._weigh(members, counts)
            wires, _, _, runs, extra_counts = zip(*members, strict=True)
            rotation = _rotate(tuple(counts), far, min(left, len(members)))
            own_tiers.append(Tier(rotation, wires, runs if any(runs) else (), extra_counts))
            left -= len(members)
        return tuple(own_tiers), tuple(m.id for m in tiers[0])

    def counts(self, client: Place, members: Sequence[Member], shares: Mapping[str, Fraction]) -> list[int]:
        """How often each stands first in a cycle. Where the policy knows no weights, each counts alike."""
        by_weight = policies.knows_weights(self.service.settings.policy)
        weights = [m.weight if by_weight else 1 for m in members]
        tier = [Located(self.place(m), w, w) for m, w in zip(members, weights, strict=True)]
        return near.balanced(client, tier, shares)

    def zone_shares(
        self, client: Place, members: Sequence[Member], located: Sequence[Located],
        shares: Mapping[str, Fraction],
    ) -> dict[str, float]:  # fmt: skip
        """What part of the first places the instances of each zone get from clients of this one."""
        if self.mode == "balanced":
            given = list(members)
            counts: Sequence[float] = self.counts(client, members, shares) if members else []
        else:
            level = near.prefer(client, located, self.service.settings.near_min).level
            given = [m for m in members if distance(client, self.place(m)) <= level]
            counts = policies.shares(self.service.settings.policy, [m.weight for m in given])
        total = sum(counts) or 1
        by_zone: dict[str, float] = {}
        for member, count in zip(given, counts, strict=True):
            zone = self.place(member).zone
            by_zone[zone] = by_zone.get(zone, 0.0) + count / total
        return by_zone

    def _weigh(self, members: Sequence[Member], counts: Sequence[int]) -> list[Member]:
        """With these shares as weights in the rdata, about as large as the registered ones together."""
        times = max(1, sum(m.weight for m in members) // max(sum(counts), 1))
        scale = min(self.service.settings.srv_scale * times, MAX_SRV / max(counts))
        weighed = []
        for member, count in zip(members, counts, strict=True):
            weight = max(int(count * scale + 1e-9), 1) if count else 0
            priority = int.from_bytes(member.record[12:14], "big")
            weighed.append(member._replace(record=self._respelled(member.record, priority, weight)))
        return weighed

    def _respelled(self, record: bytes, priority: int, weight: int) -> bytes:
        """An SRV record with another priority and weight: one object for all zones that have it so."""
        key = record, priority, weight
        wire = self._wires.get(key)
        if wire is None:
            rdata = priority.to_bytes(2, "big") + weight.to_bytes(2, "big")
            wire = self._wires[key] = record[:12] + rdata + record[16:]
        return wire

    def option(self, about: str, client: Place, one: Arranged, base: Entry) -> bytes:
        """Why these clients get more than their own zone."""
        if one.level == ZONE:
            return base.ede
        text = tell(client, one)
        note = self.service.note
        return ede.option(ede.OTHER, ede.about(about, f"{text}; {note}" if note else text))


def _places_in(rotation: Rotation) -> int:
    """What its orders hold; those that share their places are as many as they are."""
    orders = rotation.orders
    return len(orders) if isinstance(orders, Spliced) else len(orders) * len(orders[0])


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
