"""What the answers tell of their registries: not read yet, out of reach, too long so, or all well.

Rules: pure. Each registry has its own age; an answer tells of those that it comes from (its *origin*, a
number for each set of registries that the engines know), and that a name does not exist only all of them
together can say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from zkdns.answers.builder import Builder
from zkdns.answers.table import EVERY, FRESH, OWN, Staleness
from zkdns.dns import ede
from zkdns.pipeline.registry import Registry

NOT_READY = ede.option(ede.NOT_READY, "the first catalog is not loaded yet")
NOT_READ = ede.option(ede.NOT_READY, "a registry is not read yet")
STALE = ede.option(ede.STALE_ANSWER, "the registry is out of reach")
TOO_OLD = ede.option(ede.NO_REACHABLE_AUTHORITY, "the registry is out of reach for longer than stale_max")

JUST_AFTER = 0.001
"""Seconds: at the very end of its time nothing is too old yet."""

LOADING = Staleness(failure=NOT_READY)


class Origins:
    """The sets of registries that services come from, each with its number."""

    def __init__(self, registries: Mapping[str, Registry]) -> None:
        self._registries = registries
        self._numbers: dict[tuple[str, ...], int] = {}

    def number(self, names: Sequence[str]) -> int:
        """The origin of what comes from the registries with these names; none stands for all."""
        if not names:
            return EVERY
        key = tuple(sorted(names))
        return self._numbers.setdefault(key, OWN + 1 + len(self._numbers))

    def tell(self, builder: Builder, is_loading: bool, stale_max: float, now: float) -> None:
        """Have the answers tell how old what each of them says is."""
        for origin, staleness in self._ages(is_loading, stale_max, now).items():
            builder.set_staleness(staleness, origin)

    def _ages(self, is_loading: bool, stale_max: float, now: float) -> dict[int, Staleness]:
        every = self._registries.values()
        numbers = (EVERY, OWN, *self._numbers.values())
        if is_loading:
            return dict.fromkeys(numbers, LOADING)
        if all(r.is_known and r.stale_since is None for r in every):
            return dict.fromkeys(numbers, FRESH)
        origins = {EVERY: of_absence(every, stale_max, now), OWN: of_answers(every, stale_max, now)}
        for names, number in self._numbers.items():
            origins[number] = of_answers([self._registries[name] for name in names], stale_max, now)
        return origins

    def wakes(self, stale_max: float, now: float) -> list[float]:
        """When that changes though nothing happens."""
        due = (at + JUST_AFTER for at in expiries(self._registries.values(), stale_max))
        return [at for at in due if at > now]


def of_answers(registries: Iterable[Registry], stale_max: float, now: float) -> Staleness:
    """What goes with answers that come from these. They fail where all of them are too old."""
    known = [r for r in registries if r.is_known]
    away = [r.stale_since for r in known if r.stale_since is not None]
    if not away:
        return FRESH
    too_old = 0 < stale_max < now - max(away) and len(away) == len(known)
    return Staleness(STALE, TOO_OLD if too_old else b"")


def of_absence(registries: Iterable[Registry], stale_max: float, now: float) -> Staleness:
    """What goes with names that none of the registries has: while one was never read, nobody can say so."""
    every = list(registries)
    if not all(r.is_known for r in every):
        return Staleness(failure=NOT_READ)
    return of_answers(every, stale_max, now)


def expiries(registries: Iterable[Registry], stale_max: float) -> list[float]:
    """When each of those that are away is out of reach for too long."""
    if not stale_max:
        return []
    return [r.stale_since + stale_max for r in registries if r.stale_since is not None]
