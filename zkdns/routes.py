"""A route: what a name stands for, as a value. Targets, their shares by tier, and how they move over time.

Rules: pure. Which instances come of it is `answers.routes`' affair; where it was written (a service's node,
an override, the settings) is no concern here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

from msgspec import Struct

MAX_SHARE = 65_535
MAX_TIERS = 16
MAX_TARGETS = 64
"""Targets of one route in all its tiers."""
MAX_OVER_SECONDS = 30 * 86_400.0
RAMP_STEPS = 100
"""A ramp moves in steps of one per cent."""
ROUNDING = 1e-6
"""Seconds by which a clock's sum may miss the moment of a step."""


class Target(NamedTuple):
    """`[tag.]service[@registry]`."""

    service: str
    tag: str = ""
    registry: str = ""

    def __str__(self) -> str:
        tag, registry = self.tag and f"{self.tag}.", self.registry and f"@{self.registry}"
        return f"{tag}{self.service}{registry}"


Tier: TypeAlias = tuple[tuple[Target, Fraction], ...]
"""Targets with their shares, in the order in which they were written; shares count within their tier."""


@dataclass(frozen=True, slots=True)
class Route:
    """`spill`: the healthy share of a tier's registered weight below which the next tiers get a part.
    `over`: seconds in which the shares move from those of `start` to those of `tiers`, 0 for at once;
    `written`: when that began (seconds since the epoch), 0 where nothing moves. `zxid`: the transaction that
    wrote it, 0 where none is known."""

    tiers: tuple[Tier, ...]
    spill: Fraction = Fraction(0)
    over: float = 0.0
    start: tuple[Tier, ...] = ()
    written: float = 0.0
    zxid: int = field(default=0, compare=False)

    def ends(self) -> float:
        """When its shares stand still (seconds since the epoch): from the start, where nothing moves."""
        return self.written + self.over if self.over and self.start else 0.0

    def moves(self, now: float) -> bool:
        """Whether its shares are still on their way."""
        return self.ends() > now + ROUNDING

    def targets(self) -> tuple[Target, ...]:
        """Every target once, in the order of the tiers."""
        return tuple(dict.fromkeys(t for tier in (*self.tiers, *self.start) for t, _ in tier))


class StandsFor(Struct, frozen=True):
    """The route of a service that counts, whoever wrote it. `source`: where that was done (`override`,
    `node`, `failover`); `until`: when it ends by itself, None for never; `by` and `why`: of what is laid."""

    route: Route
    source: str
    until: float | None = None
    by: str = ""
    why: str = ""


def parse_target(text: str) -> Target:
    """ValueError tells what is wrong. A dot parts a tag from the service: neither has one as a label."""
    name, at, registry = text.strip().partition("@")
    tag, _, service = name.rpartition(".")
    if not service or (at and not registry) or name.startswith(".") or len(text) > 255:
        raise ValueError(f"{text[:80]!r} is no [tag.]service[@registry]")
    return Target(service, tag, registry)


def parse_tiers(rows: Any, where: str) -> tuple[Tier, ...]:
    """The tiers that a list of objects tells; ValueError tells what is wrong with it."""
    if isinstance(rows, Mapping):
        rows = [rows]  # one tier needs no list
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{where} is no list of objects of targets and shares")
    if len(rows) > MAX_TIERS or sum(len(tier) for tier in rows if isinstance(tier, Mapping)) > MAX_TARGETS:
        raise ValueError(f"{where} has more than {MAX_TIERS} tiers or {MAX_TARGETS} targets")
    tiers = []
    for one in rows:
        if not isinstance(one, Mapping) or not one:
            raise ValueError(f"a tier of {where} is no object of targets and shares")
        tier: dict[Target, Fraction] = {}
        for text, share in one.items():
            if isinstance(share, bool) or not isinstance(share, int) or not 0 <= share <= MAX_SHARE:
                raise ValueError(f"the share of {str(text)[:80]!r} is no whole number from 0 to {MAX_SHARE}")
            target = parse_target(str(text))
            if target in tier:
                raise ValueError(f"{str(text)[:80]!r} stands twice in a tier of {where}")
            tier[target] = Fraction(share)
        tiers.append(tuple(tier.items()))
    return tuple(tiers)


def parse_route(fields: Mapping[str, Any], written: float = 0.0, zxid: int = 0) -> Route:
    """The route that `to`, `spill`, `over` and `from` tell; ValueError tells what is wrong with one.
    `written`, `zxid`: when the node was (its mtime, seconds since the epoch) and by which transaction: so all
    replicas step together, and tell the same."""
    tiers = parse_tiers(fields.get("to"), "to")
    spill = _number(fields, "spill", 1)
    over = _number(fields, "over", MAX_OVER_SECONDS)
    start = parse_tiers(fields["from"], "from") if fields.get("from") is not None else ()
    moves = bool(over and start)
    share = Fraction(spill).limit_denominator(10_000)
    return Route(tiers, share, float(over), start, written if moves else 0.0, zxid)


def _number(fields: Mapping[str, Any], key: str, most: float) -> float:
    value = fields.get(key)
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise ValueError(f"{key} is no number from 0 to {most:.15g}")
    return float(value)


def spell_route(route: Route) -> dict[str, Any]:
    """The other way, for a node's JSON and the API."""
    spelling: dict[str, Any] = {"to": spell_tiers(route.tiers)}
    if route.spill:
        spelling["spill"] = float(route.spill)
    if route.over:
        spelling |= {"over": route.over, "from": spell_tiers(route.start)}
    return spelling


def spell_tiers(tiers: tuple[Tier, ...]) -> list[dict[str, float]]:
    return [{str(target): _plain(share) for target, share in tier} for tier in tiers]


def tell_tiers(tiers: tuple[Tier, ...]) -> str:
    """For people: `web-v1=90 web-v2=10, then web@dc2`."""
    return ", then ".join(
        " ".join(f"{t}={_plain(share):g}" if len(tier) > 1 or not share else str(t) for t, share in tier)
        for tier in tiers
    )


def tell_route(route: Route, now: float) -> str:
    """The same of all of a route: `web-v2 over 1800 s, spill 0.7`. What has moved is there."""
    return _tell(route, route.moves(now))


def tell_laid(route: Route) -> str:
    """The same as it was laid, whether it has moved or not."""
    return _tell(route, bool(route.over and route.start))


def _tell(route: Route, is_moving: bool) -> str:
    moves = f" over {route.over:.15g} s" if is_moving else ""
    return f"{tell_tiers(route.tiers)}{moves}{f', spill {float(route.spill):g}' if route.spill else ''}"


def _plain(share: Fraction) -> float:
    return int(share) if share.denominator == 1 else round(float(share), 4)


def at_time(route: Route, now: float) -> tuple[tuple[Tier, ...], float | None]:
    """The tiers in force, and when the next step is due (None: never)."""
    if not route.over or not route.moves(now):  # what has moved, divided by a tiny `over`, would be infinite
        return route.tiers, None
    written = route.written
    step = int(max(0.0, now - written + ROUNDING) * RAMP_STEPS / route.over)
    if step >= RAMP_STEPS:
        return route.tiers, None
    part = Fraction(step, RAMP_STEPS)
    due = written + route.over * (step + 1) / RAMP_STEPS
    longest = max(len(route.tiers), len(route.start))
    # A side with fewer tiers stands on its last one: what it has no opinion of does not move.
    pairs = [
        (route.start[min(n, len(route.start) - 1)], route.tiers[min(n, len(route.tiers) - 1)])
        for n in range(longest)
    ]
    return tuple(_blend(before, after, part) for before, after in pairs), due


def _blend(before: Tier, after: Tier, part: Fraction) -> Tier:
    blended: dict[Target, Fraction] = {}
    for tier, weight in ((before, 1 - part), (after, part)):
        total = sum((share for _, share in tier), Fraction(0))
        for target, share in tier:
            moved = share / total * weight * 100 if total else Fraction(0)
            blended[target] = blended.get(target, Fraction(0)) + moved
    return tuple(blended.items())
