"""Which instances a client of one zone is given, and how often each stands first.

Rules: pure; one zone, one serving priority at a time. `prefer` narrows to the zone, then its region,
while enough of it is healthy. `balanced` is Envoy's zone aware routing on weights (envoyproxy.io,
"Zone aware routing"): a zone keeps for its own clients what it can bear, and the rest goes where
there is room, so that no zone gets more than its part and a lost zone's load spreads over all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from msgspec import Struct

from zkdns.answers.policies.weighted import GOLDEN, VARIETY, Orders, spread
from zkdns.answers.proportions import cycle_counts
from zkdns.answers.spliced import MAX_RECORDS, Spliced, is_wide, ring
from zkdns.model import Instance
from zkdns.topology import Place

ZONE, REGION, ELSEWHERE = 0, 1, 2
"""How far an instance stands from a client: what `prefer` adds to ten times the priority in SRV rdata."""


class Present(Struct, frozen=True):
    """Those of the tier that serves who are registered in one place: how many, with which weights together,
    and the same of those of them that are healthy: whom `fail_open` gives alone is not."""

    registered: int = 0
    healthy: int = 0
    weight: int = 0
    healthy_weight: int = 0

    @classmethod
    def of(cls, some: Iterable[Instance]) -> Present:
        registered = healthy = weight = healthy_weight = 0
        for i in some:
            registered += 1
            weight += i.registration.weight
            if i.is_healthy:
                healthy += 1
                healthy_weight += i.registration.weight
        return cls(registered, healthy, weight, healthy_weight)

    def plus(self, other: Present) -> Present:
        return Present(
            self.registered + other.registered, self.healthy + other.healthy,
            self.weight + other.weight, self.healthy_weight + other.healthy_weight,
        )  # fmt: skip


class Capacity(Struct, frozen=True):
    """What the healthy instances of a tier can bear. `weights`: of each; `zones`: where each zone's stand in
    the tier; `parts`: what part of the weight is each zone's."""

    weights: Sequence[int]
    zones: Mapping[str, Sequence[int]]
    parts: Mapping[str, Fraction]

    @classmethod
    def of(cls, zones: Iterable[str], weights: Sequence[int]) -> Capacity:
        """By zone and weight of each. All 0 means equal weights."""
        if not any(weights):
            weights = [1] * len(weights)
        by_zone: dict[str, list[int]] = {}
        for n, zone in enumerate(zones):
            by_zone.setdefault(zone, []).append(n)
        total = sum(weights)
        parts = {zone: Fraction(sum(weights[n] for n in own), total) for zone, own in by_zone.items()}
        return cls(weights, by_zone, parts)


class Choice(Struct, frozen=True):
    """`level`: how far the answer reaches (ZONE, REGION, ELSEWHERE); `healthy` of `registered` instances
    stand in the client's own zone."""

    level: int
    healthy: int
    registered: int


def distance(client: Place, place: Place) -> int:
    """ZONE (0), REGION (1) or ELSEWHERE (2)."""
    if client.zone and place.zone == client.zone:
        return ZONE
    return REGION if client.region and place.region == client.region else ELSEWHERE


def prefer(client: Place, present: Mapping[Place, Present], near_min: float) -> Choice:
    """How far it is to the nearest of which at least `near_min` of the registered weight is healthy; else all
    are given."""
    needed = Fraction(near_min).limit_denominator(10_000)
    own = within = Present()
    for level in (ZONE, REGION):
        for place, there in present.items():
            if distance(client, place) == level:
                within = within.plus(there)
        own = within if level == ZONE else own
        # All weights 0 means equal ones.
        registered = within.weight or within.registered
        healthy = within.healthy_weight if within.weight else within.healthy
        if healthy and healthy >= needed * registered:
            return Choice(level, own.healthy, own.registered)
    return Choice(ELSEWHERE, own.healthy, own.registered)


def zone_shares(
    client: Place, capacity: Mapping[str, Fraction], clients: Mapping[str, Fraction]
) -> dict[str, Fraction]:
    """What part of the first places each zone gets from one zone's clients. `capacity`: the zones'
    parts of the healthy weight, `clients`: their parts of all clients; each sums to 1."""
    h, c = capacity.get(client.zone, Fraction(0)), clients.get(client.zone, Fraction(0))
    if not c:
        return dict(capacity)  # nobody counted on clients there: they spread as without zones
    local = min(Fraction(1), h / c)
    shares = {client.zone: local} if local else {}
    if local < 1:
        room = {z: max(Fraction(0), own - clients.get(z, Fraction(0))) for z, own in capacity.items()}
        total = sum(room.values(), Fraction(0))
        for zone, own in room.items():
            if own:
                shares[zone] = (1 - local) * own / total  # its own has no room while it gives away
    return shares


def balanced(client: Place, tier: Capacity, clients: Mapping[str, Fraction]) -> list[int]:
    """How often each of the tier's instances stands first in a cycle for one zone's clients."""
    shares = zone_shares(client, tier.parts, clients)
    weights = tier.weights
    groups = [(shares.get(zone, Fraction(0)), [weights[n] for n in own]) for zone, own in tier.zones.items()]
    counts = [0] * len(weights)
    for own, places in zip(tier.zones.values(), cycle_counts(groups), strict=True):
        for n, count in zip(own, places, strict=True):
            counts[n] = count
    return counts


def arrange(counts: Sequence[int], distances: Sequence[int], cut: int) -> tuple[Orders, list[int]]:
    """Orders for a cycle of these first places, the rest of each near first (`policies` has the shape).

    A first place meets several rests: within one distance they begin at another member each time."""
    size = len(counts)
    length = min(cut, size, MAX_RECORDS)
    firsts = spread(counts)
    groups = [[n for n in range(size) if distances[n] == d] for d in (ZONE, REGION, ELSEWHERE)]
    if is_wide(size, length):
        return _spliced(counts, groups, length), _in_turn(firsts)
    variants = max(1, min(8, VARIETY // size, max(map(len, groups)))) if length > 1 else 1
    orders: dict[tuple[int, ...], int] = {}
    met: list[list[int]] = [[] for _ in range(size)]
    for first, n in enumerate(counts):
        for variant in range(min(n, variants)):
            order = [first]
            for group in groups:
                if len(order) >= length:
                    break
                start = int((first * GOLDEN + variant / variants) % 1 * len(group)) if group else 0
                order += [m for m in group[start:] + group[:start] if m != first][: length - len(order)]
            met[first].append(orders.setdefault(tuple(order), len(orders)))
    seen = [0] * size
    sequence = []
    for first in firsts:
        sequence.append(met[first][seen[first] % len(met[first])])
        seen[first] += 1
    return tuple(orders), sequence


def _spliced(counts: Sequence[int], groups: Sequence[Sequence[int]], length: int) -> Spliced:
    """One order for each first place; within one distance the rest begins at a point of its own."""
    starts: list[int] = []
    indices: list[int] = []
    place: dict[int, tuple[int, int]] = {}
    for group in groups:
        starts.append(len(indices))
        place.update({n: (len(starts) - 1, at) for at, n in enumerate(group)})
        indices += [*group, *group]
    orders = Spliced(indices)
    for first, n in enumerate(counts):
        if n:
            home, at = place[first]
            spans = [(starts[home] + at, starts[home] + at + 1)]
            for k, group in enumerate(groups):
                begin = int(first * GOLDEN % 1 * len(group))
                spans += ring(starts[k], len(group), begin, [at] if k == home else []) if group else []
            orders.add(spans, length)
    return orders


def _in_turn(firsts: Sequence[int]) -> list[int]:
    """Which order comes at each position, where each first place has one, by index."""
    number = {first: at for at, first in enumerate(sorted(set(firsts)))}
    return [number[first] for first in firsts]
