"""Where the instances of an RRset stand: what is worked out once for clients of all zones.

Rules: pure. Places are few and members may be thousands, so what differs between clients goes by place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from math import lcm

from msgspec import Struct

from zkdns.answers import near
from zkdns.answers.members import Columns
from zkdns.answers.near import Capacity, Choice, Present, distance
from zkdns.answers.parts import Mark, Marks, keep
from zkdns.answers.records import OwnerName
from zkdns.model import Instance
from zkdns.topology import NOWHERE, Place


class Sites(Struct, frozen=True, dict=True):
    """Where the members of a tier stand: `at`, for each of them, which of the `places`. `marks`: whose part
    of a route each has; empty where there is none. `shared`: of a record that several instances hold, in
    several places, where each stands and what it weighs; it is as near as the nearest of them."""

    members: Columns
    places: tuple[Place, ...]
    at: tuple[int, ...]
    capacity: Capacity
    marks: tuple[Mark, ...] = ()
    shared: Mapping[int, Sequence[tuple[Place, int]]] = {}

    @classmethod
    def of(cls, members: Columns, places: Mapping[str, Place], by_weight: bool, marks: Marks) -> Sites:
        """`places`: where each stands, by key; `by_weight`: whether the policy knows weights."""
        own = [places.get(id, NOWHERE) for id in members.ids]
        number = {place: n for n, place in enumerate(dict.fromkeys(own))}
        weights = members.weights if by_weight else tuple([min(weight, 1) for weight in members.weights])
        capacity = Capacity.of([place.zone for place in own], weights)
        parts = tuple([marks.get(id, Mark()) for id in members.ids]) if marks else ()
        held = (
            (n, [(places.get(i.key, NOWHERE), i.weight) for i in holders])
            for n, holders in enumerate(members.holders)
            if len(holders) > 1
        )
        shared = {n: each for n, each in held if len({place for place, _ in each}) > 1}
        return cls(members, tuple(number), tuple([number[place] for place in own]), capacity, parts, shared)

    @cached_property
    def is_split(self) -> bool:
        """Whether several targets have shares."""
        return len(set(self.marks)) > 1

    def distances(self, client: Place) -> tuple[int, ...]:
        """How far each member is from a client."""
        by_place = [distance(client, place) for place in self.places]
        far = [by_place[n] for n in self.at]
        for n, each in self.shared.items():
            far[n] = min(distance(client, place) for place, _ in each)
        return tuple(far)

    def narrow(self, client: Place, choices: Mapping[int, Choice]) -> tuple[list[int], tuple[int, ...]]:
        """Those that are as near to a client as their tier of the route reaches, and what they weigh."""
        tiers = [mark.tier for mark in self.marks] or [0] * len(self.members)
        levels = [choices[tier].level for tier in tiers]
        near_enough = [n for n, far in enumerate(self.distances(client)) if far <= levels[n]]
        return near_enough, self.weigh(near_enough, self._of_holders_within(client, levels))

    def _of_holders_within(self, client: Place, levels: Sequence[int]) -> tuple[int, ...]:
        """The weights of all, those of a shared record with what its holders weigh who are near enough."""
        totals = {n: sum(weight for _, weight in each) for n, each in self.shared.items()}
        times = lcm(*(total for total in totals.values() if total))
        weights = [weight * times for weight in self.members.weights]
        for n, total in totals.items():
            own = [weight for place, weight in self.shared[n] if distance(client, place) <= levels[n]]
            if total:
                weights[n] = weights[n] * sum(own) // total
        return tuple(weights)

    def weigh(self, some: Sequence[int], of: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The weights of these where they alone are given. `of`: what all weigh, where that is less."""
        weights = of or self.members.weights
        return tuple(keep(self.marks, weights, some) if self.is_split else [weights[n] for n in some])


class Located(Struct, frozen=True):
    """An RRset's instances by where they stand: `present`, who is registered at the priority that serves,
    healthy or not, by the tier of a route that gives; `tiers`, who has records."""

    present: Mapping[int, Mapping[Place, Present]]
    tiers: tuple[Sites, ...]

    @property
    def registered(self) -> int:
        return sum(there.registered for tier in self.present.values() for there in tier.values())

    @property
    def places(self) -> set[Place]:
        standing = {place for tier in self.present.values() for place in tier}
        return standing.union(*(tier.places for tier in self.tiers))

    def choices(self, client: Place, near_min: float) -> dict[int, Choice]:
        """How far each tier reaches for clients of one place, by the rule of `prefer`."""
        return {tier: near.prefer(client, present, near_min) for tier, present in self.present.items()}


def count_present(about: OwnerName, places: Mapping[str, Place]) -> Mapping[int, Mapping[Place, Present]]:
    """Who stands where of those at the priority that serves, by the tier of a route."""
    standing: Mapping[int, Sequence[Instance]] = about.parts.standing
    if about.levels is None and about.serving:
        priority = about.serving[0][0].registration.priority
        standing = {0: [i for i in about.group if i.registration.priority == priority]}
    present: dict[int, Mapping[Place, Present]] = {}
    for tier, group in standing.items():
        by_place: dict[Place, list[Instance]] = {}
        for i in group:
            by_place.setdefault(places.get(i.key, NOWHERE), []).append(i)
        present[tier] = {place: Present.of(those) for place, those in by_place.items()}
    return present or {0: {}}
