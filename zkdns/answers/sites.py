"""Where the instances of an RRset stand: what is worked out once for clients of all zones.

Rules: pure. Places are few and members may be thousands, so what differs between clients goes by place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from math import lcm

from msgspec import Struct

from zkdns.answers import near
from zkdns.answers.members import Columns
from zkdns.answers.near import Capacity, Choice, Present, distance
from zkdns.answers.parts import Mark, Marks, Shared, Weighed, add, keep, shared_by, weighed
from zkdns.answers.records import OwnerName
from zkdns.model import Instance
from zkdns.topology import NOWHERE, Place

WHOLE: Shared = ((Mark(), Fraction(1)),)
"""Of one that no route gives."""


class Sites(Struct, frozen=True, dict=True):
    """Where the members of a tier stand: `at`, for each of them, which of the `places`. `marks`: what each
    has from which target of a route; empty where there is none. `shared`: of a record that several instances
    hold, in several places, where each stands, what it weighs and what it has from which target; it is as
    near as the nearest of them."""

    members: Columns
    places: tuple[Place, ...]
    at: tuple[int, ...]
    capacity: Capacity
    marks: tuple[Shared, ...] = ()
    shared: Mapping[int, Sequence[tuple[Place, int, Shared]]] = {}

    @classmethod
    def of(cls, members: Columns, places: Mapping[str, Place], by_weight: bool, marks: Marks) -> Sites:
        """`places`: where each stands, by key; `by_weight`: whether the policy knows weights."""
        own = [places.get(id, NOWHERE) for id in members.ids]
        number = {place: n for n, place in enumerate(dict.fromkeys(own))}
        weights = members.weights if by_weight else tuple([min(weight, 1) for weight in members.weights])
        capacity = Capacity.of([place.zone for place in own], weights)
        held = {
            n: [(places.get(i.key, NOWHERE), i.weight, marks.get(i.key, WHOLE)) for i in holders]
            for n, holders in enumerate(members.holders)
            if len(holders) > 1
        }
        parts = [marks.get(id, WHOLE) for id in members.ids] if marks else []
        if parts:
            for n, each in held.items():
                parts[n] = _together(each)
        shared = {n: each for n, each in held.items() if len({place for place, *_ in each}) > 1}
        at = tuple([number[place] for place in own])
        return cls(members, tuple(number), at, capacity, tuple(parts), shared)

    @cached_property
    def is_split(self) -> bool:
        """Whether several targets have shares."""
        kinds = {id(shared): shared for shared in self.marks}  # one object for all that one target gives
        return len({mark for shared in kinds.values() for mark, _ in shared}) > 1

    @cached_property
    def _weighed(self) -> list[Weighed]:
        """What each has from which target, for clients of all places."""
        return [weighed(one, weight) for one, weight in zip(self.marks, self.members.weights, strict=True)]

    def distances(self, client: Place) -> tuple[int, ...]:
        """How far each member is from a client."""
        by_place = [distance(client, place) for place in self.places]
        far = [by_place[n] for n in self.at]
        for n, each in self.shared.items():
            far[n] = min(distance(client, place) for place, *_ in each)
        return tuple(far)

    def narrow(self, client: Place, choices: Mapping[int, Choice]) -> tuple[list[int], tuple[int, ...]]:
        """Those that are as near to a client as their tier of the route reaches, and what they weigh."""
        if self.is_split:
            return self._narrow_split(client, {tier: choice.level for tier, choice in choices.items()})
        level = choices[self.marks[0][0][0].tier if self.marks else 0].level
        near_enough = [n for n, far in enumerate(self.distances(client)) if far <= level]
        weights = self._of_holders_within(client, level)
        return near_enough, tuple([weights[n] for n in near_enough])

    def _narrow_split(self, client: Place, levels: Mapping[int, int]) -> tuple[list[int], tuple[int, ...]]:
        """The same of several targets: each instance is given for those whose tier reaches as far."""
        near_enough: list[int] = []
        given: list[Weighed] = []
        for n, (far, one) in enumerate(zip(self.distances(client), self._weighed, strict=True)):
            own: Sequence[tuple[Mark, Fraction | int]]
            if n in self.shared:
                total = sum(weight for _, weight, _ in self.shared[n]) or 1
                own = [
                    (mark, part * Fraction(weight * self.members.weights[n], total))
                    for place, weight, shared in self.shared[n]
                    for mark, part in shared
                    if distance(client, place) <= levels[mark.tier]
                ]
            elif len(one) == 1:
                own = one if far <= levels[one[0][0].tier] else ()
            else:
                own = [(mark, weight) for mark, weight in one if far <= levels[mark.tier]]
            if own:
                near_enough.append(n)
                given.append(tuple(own))
        return near_enough, tuple(keep(self._weighed, given))

    def _of_holders_within(self, client: Place, level: int) -> tuple[int, ...]:
        """The weights of all, those of a shared record with what its holders weigh who are near enough."""
        totals = {n: sum(weight for _, weight, _ in each) for n, each in self.shared.items()}
        times = lcm(*(total for total in totals.values() if total))
        weights = [weight * times for weight in self.members.weights]
        for n, total in totals.items():
            own = [weight for place, weight, _ in self.shared[n] if distance(client, place) <= level]
            if total:
                weights[n] = weights[n] * sum(own) // total
        return tuple(weights)

    def weigh(self, some: Sequence[int]) -> tuple[int, ...]:
        """The weights of these where they alone are given."""
        if not self.is_split:
            return tuple([self.members.weights[n] for n in some])
        return tuple(keep(self._weighed, [self._weighed[n] for n in some]))


def _together(holders: Iterable[tuple[Place, int, Shared]]) -> Shared:
    """What a record has from which target, whoever holds it."""
    return shared_by(add((mark, part * weight) for _, weight, shared in holders for mark, part in shared))


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
