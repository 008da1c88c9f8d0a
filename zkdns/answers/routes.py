"""A route and its targets -> which instances stand first how often, and the tiers that SRV shows.

Rules: pure. A target is resolved once to a `Pool`: who serves there, in which proportion. A route's own
pool is made of its targets' pools, so routes of routes need nothing more. Shares are exact fractions until
the last step, where they become the places of a cycle (`proportions`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from msgspec import Struct

from zkdns.answers.parts import Mark, Shared, shared_by
from zkdns.answers.proportions import cycle_counts, in_whole
from zkdns.model import Instance
from zkdns.routes import Target, Tier

MAX_DEPTH = 8
"""Routes of routes that are followed."""


class Member(NamedTuple):
    """One instance, and the service (label) that its own name stands under."""

    service: str
    instance: Instance


class Pool(Struct, frozen=True):
    """What a name stands for at one moment.

    `first`: who stands first in which part of the answers; the parts sum to 1, or there is nobody.
    `levels`: the same for each priority that SRV shows, lowest first. `healthy` and `registered`: weights,
    which `spill` is measured by; `serves`: whether anybody is healthy, and not given by `fail_open` alone.
    `standing`: those registered at the priority of `first`, healthy or not. `is_split`: whether several may
    have shares at once, which are what counts then.
    """

    first: tuple[tuple[Member, Fraction], ...] = ()
    levels: tuple[tuple[tuple[Member, Fraction], ...], ...] = ()
    healthy: int = 0
    registered: int = 0
    serves: bool = False
    standing: tuple[Sequence[Instance], ...] = ()
    is_split: bool = False


EMPTY = Pool()


class Composed(Struct, frozen=True):
    """A route's pool, and how it came: what each target is due (0 to 1, by tier). `groups`: for each of
    `pool.first` what part of its own it has from which target, told by its tier and its number, counted over
    all tiers; `by_level`: the same of `pool.levels`. `standing`: of `pool.standing` those of each tier that
    gives."""

    pool: Pool
    due: tuple[tuple[tuple[Target, Fraction], ...], ...]
    parts: tuple[Fraction, ...]
    """The part of first places that each tier gives."""
    groups: tuple[Shared, ...] = ()
    by_level: tuple[tuple[Shared, ...], ...] = ()
    standing: Mapping[int, tuple[Sequence[Instance], ...]] = {}


def pool_of(service: str, group: Sequence[Instance]) -> Pool:
    """The pool of a service (its label), or of those of its instances that a tag or a registry names."""
    by_priority: dict[int, list[Instance]] = {}
    for i in group:
        if i.answered:
            by_priority.setdefault(i.registration.priority, []).append(i)
    levels = tuple(_by_weight(service, by_priority[p]) for p in sorted(by_priority))
    healthy = sum(i.registration.weight for i in group if i.is_healthy)
    registered = sum(i.registration.weight for i in group)
    serves = any(i.is_healthy for i in group)
    if not registered:  # all 0 means equal shares
        healthy, registered = sum(i.is_healthy for i in group), len(group)
    if not levels:
        return Pool(healthy=healthy, registered=registered)
    lowest = min(by_priority)
    standing = [i for i in group if i.registration.priority == lowest]
    return Pool(levels[0], levels, healthy, registered, serves, (standing,))


def _by_weight(service: str, tier: Sequence[Instance]) -> tuple[tuple[Member, Fraction], ...]:
    total = sum(i.weight for i in tier)
    return tuple(
        (Member(service, i), Fraction(i.weight, total) if total else Fraction(1, len(tier))) for i in tier
    )


def compose(tiers: Sequence[Tier], spill: Fraction, pools: Mapping[Target, Pool]) -> Composed:
    """The pool of a route. A target that `pools` doesn't hold counts as without instances. What `fail_open`
    gives is given where no target has anybody who is healthy."""
    serves = any(
        share and target in pools and pools[target].serves for tier in tiers for target, share in tier
    )
    usable = {t: pool if pool.serves is serves else _but_given(pool) for t, pool in pools.items()}
    pooled = [[(target, share, usable.get(target, EMPTY)) for target, share in tier] for tier in tiers]
    parts = _parts(pooled, spill)
    shares: list[tuple[Member, Fraction]] = []
    groups: list[Mark] = []
    standing: dict[int, tuple[Sequence[Instance], ...]] = {}
    due: list[tuple[tuple[Target, Fraction], ...]] = []
    for depth, (part, tier) in enumerate(zip(parts, pooled, strict=True)):
        total = sum((share for _, share, pool in tier if pool.first), Fraction(0))
        given = [part * share / total if total and pool.first else Fraction(0) for _, share, pool in tier]
        due.append(tuple((target, share) for (target, _, _), share in zip(tier, given, strict=True)))
        number = sum(map(len, due[:-1]))
        for at, (share, (_, _, pool)) in enumerate(zip(given, tier, strict=True), number):
            if share:
                shares += [(member, share * inner) for member, inner in pool.first]
                groups += [Mark(depth, at)] * len(pool.first)
                standing[depth] = (*standing.get(depth, ()), *pool.standing)
    levels = [
        level
        for depth, tier in enumerate(pooled)
        for level in _levels(depth, sum(map(len, pooled[:depth])), tier)
    ]
    asked = [pool for tier in pooled for _, share, pool in tier if share]
    healthy, registered = sum(pool.healthy for pool in asked), sum(pool.registered for pool in asked)
    everyone = tuple(group for groups_of in standing.values() for group in groups_of)
    first, own = _added(shares), tuple([level for level, _ in levels])
    targets = [sum(bool(share) for _, share in tier) for tier in tiers]
    is_split = any(pool.is_split for pool in asked) or max(targets, default=0) > 1
    is_split = is_split or (spill > 0 and len(tiers) > 1)
    pool = Pool(first, own, healthy, registered, serves, everyone, is_split)
    by_level = tuple([marks for _, marks in levels])
    return Composed(pool, tuple(due), tuple(parts), _shared(shares, groups), by_level, standing)


def _but_given(pool: Pool) -> Pool:
    """Of a pool of which nobody is given all the same."""
    return Pool(healthy=pool.healthy, registered=pool.registered, is_split=pool.is_split)


def _shared(shares: Iterable[tuple[Member, Fraction]], groups: Iterable[Mark]) -> tuple[Shared, ...]:
    """Of each member once, what it has from which target, the one that names it first before the others."""
    first: dict[tuple[str, str], tuple[Mark, Fraction]] = {}
    several: dict[tuple[str, str], dict[Mark, Fraction]] = {}
    for (member, share), mark in zip(shares, groups, strict=True):
        key = _key(member)
        known = first.setdefault(key, (mark, share))
        if known[0] != mark:
            parts = several.setdefault(key, dict((known,)))
            parts[mark] = parts.get(mark, Fraction(0)) + share
    alone = {mark: shared_by({mark: Fraction(1)}) for mark in {mark for mark, _ in first.values()}}
    return tuple(
        [shared_by(several[key]) if key in several else alone[mark] for key, (mark, _) in first.items()]
    )


def _added(shares: Iterable[tuple[Member, Fraction]]) -> tuple[tuple[Member, Fraction], ...]:
    """Each member once: two targets may hold the same instance."""
    added: dict[tuple[str, str], tuple[Member, Fraction]] = {}
    for member, share in shares:
        key = _key(member)
        known = added.get(key)
        added[key] = (member, share if known is None else known[1] + share)
    return tuple(added.values())


def _key(member: Member) -> tuple[str, str]:
    """What a service has and a registry alone holds of it is one: were each given places of its own, no cycle
    might be long enough for both."""
    return member.service, member.instance.key


def _parts(pooled: Sequence[Sequence[tuple[Target, Fraction, Pool]]], spill: Fraction) -> list[Fraction]:
    """What part of the first places each tier gives: the first with anybody takes all, unless too little of
    it is healthy; then what it can't bear goes on by the same rule, and the last that has anybody takes the
    rest."""
    able = [any(share and pool.first for _, share, pool in tier) for tier in pooled]
    left, parts = Fraction(1), []
    for n, tier in enumerate(pooled):
        keeps = Fraction(0)
        if able[n] and left:
            healthy = sum(pool.healthy for _, share, pool in tier if share)
            needed = spill * sum(pool.registered for _, share, pool in tier if share)
            keeps = left
            if any(able[n + 1 :]) and healthy < needed:
                keeps = left * healthy / needed
        parts.append(keeps)
        left -= keeps
    return parts


def _levels(
    number: int, before: int, tier: Sequence[tuple[Target, Fraction, Pool]]
) -> list[tuple[tuple[tuple[Member, Fraction], ...], tuple[Shared, ...]]]:
    """One tier's SRV priorities, with whose each is: the targets' own, side by side, each with its target's
    share of those that have that priority. Who has no share is not among them: clients may give a weight of 0
    its part (RFC 2782). `before`: how many targets other tiers have before it."""
    asked = [(at, share, pool.levels) for at, (_, share, pool) in enumerate(tier, before) if share]
    levels = []
    for depth in range(max((len(own) for *_, own in asked), default=0)):
        having = [(at, share, own[depth]) for at, share, own in asked if depth < len(own)]
        total = sum((share for _, share, _ in having), Fraction(0))
        shares = [(member, share / total * inner) for _, share, level in having for member, inner in level]
        marks = [Mark(number, at) for at, _, level in having for _ in level]
        levels.append((_added(shares), _shared(shares, marks)))
    return levels


def places(shares: Sequence[tuple[Member, Fraction]], groups: Sequence[object]) -> list[int]:
    """First places in one cycle for each member. `groups[i]`: what the i-th belongs to (its target): a
    group's share is kept before its members' own."""
    by_group: dict[object, list[int]] = {}
    for n, group in enumerate(groups):
        by_group.setdefault(group, []).append(n)
    nested = []
    for own in by_group.values():
        fractions = [shares[n][1] for n in own]
        nested.append((sum(fractions, Fraction(0)), in_whole(fractions)))
    counts = [0] * len(shares)
    for own, cycle in zip(by_group.values(), cycle_counts(nested), strict=True):
        for n, count in zip(own, cycle, strict=True):
            counts[n] = count
    return counts
