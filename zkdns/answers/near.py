"""Which instances a client of one zone is given, and how often each stands first.

Rules: pure; one zone, one serving priority at a time. `prefer` narrows to the zone, then its region,
while enough of it is healthy. `balanced` is Envoy's zone aware routing on weights (envoyproxy.io,
"Zone aware routing"): a zone keeps for its own clients what it can bear, and the rest goes where
there is room, so that no zone gets more than its part and a lost zone's load spreads over all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from msgspec import Struct

from zkdns.answers.policies.weighted import GOLDEN, VARIETY, Orders, spread
from zkdns.answers.proportions import cycle_counts
from zkdns.answers.spliced import MAX_RECORDS, Spliced, is_wide, ring
from zkdns.topology import Place

ZONE, REGION, ELSEWHERE = 0, 1, 2
"""How far an instance stands from a client: what `prefer` adds to ten times the priority in SRV rdata."""


class Located(Struct, frozen=True):
    """One instance of the tier that serves. `weight` in force, `registered` as registered; `healthy`:
    whether it is given out."""

    place: Place
    weight: int
    registered: int
    healthy: bool = True


class Choice(Struct, frozen=True):
    """`level`: how far the answer reaches (ZONE, REGION, ELSEWHERE); `chosen`: the indices of the
    instances that are given; `healthy` of `registered` instances stand in the client's own zone."""

    level: int
    chosen: tuple[int, ...]
    healthy: int
    registered: int


def distance(client: Place, place: Place) -> int:
    """ZONE (0), REGION (1) or ELSEWHERE (2)."""
    if client.zone and place.zone == client.zone:
        return ZONE
    return REGION if client.region and place.region == client.region else ELSEWHERE


def prefer(client: Place, tier: Sequence[Located], near_min: float) -> Choice:
    """The nearest set of which at least `near_min` of the registered weight is healthy; else all."""
    distances = [distance(client, i.place) for i in tier]
    own = [i for i, d in zip(tier, distances, strict=True) if d == ZONE]
    for level in (ZONE, REGION):
        within = [i for i, d in zip(tier, distances, strict=True) if d <= level]
        registered = sum(_registered(within))
        healthy = sum(n for i, n in zip(within, _registered(within), strict=True) if i.healthy)
        if healthy and healthy >= Fraction(near_min).limit_denominator(10_000) * registered:
            chosen = tuple(n for n, d in enumerate(distances) if d <= level and tier[n].healthy)
            return Choice(level, chosen, sum(i.healthy for i in own), len(own))
    chosen = tuple(n for n, i in enumerate(tier) if i.healthy)
    return Choice(ELSEWHERE, chosen, sum(i.healthy for i in own), len(own))


def _registered(tier: Sequence[Located]) -> list[int]:
    """Registered weights; all 0 means equal ones."""
    weights = [i.registered for i in tier]
    return weights if any(weights) else [1] * len(weights)


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


def balanced(client: Place, tier: Sequence[Located], clients: Mapping[str, Fraction]) -> list[int]:
    """How often each of these healthy instances stands first in a cycle for one zone's clients."""
    weights = [i.weight for i in tier]
    if not any(weights):
        weights = [1] * len(weights)
    total = sum(weights)
    zones: dict[str, list[int]] = {}
    for n, i in enumerate(tier):
        zones.setdefault(i.place.zone, []).append(n)
    capacity = {zone: Fraction(sum(weights[n] for n in own), total) for zone, own in zones.items()}
    shares = zone_shares(client, capacity, clients)
    groups = [(shares.get(zone, Fraction(0)), [weights[n] for n in own]) for zone, own in zones.items()]
    counts = [0] * len(tier)
    for own, places in zip(zones.values(), cycle_counts(groups), strict=True):
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
