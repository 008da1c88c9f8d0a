"""Two sequences of thousands, most members of which are the same objects: which have changed, and what was
made of those that stayed.

Rules: pure. In steps, for all of them may change at once; where few do, only these are looked into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import compress, count, islice
from operator import is_not
from typing import Final, TypeAlias, TypeVar

from zkdns.steps import GLANCES, Steps, glance, walk

T = TypeVar("T")
V = TypeVar("V")

LONG: Final = 4 * GLANCES
"""Of more it is looked in steps where they are no more the same."""

Both: TypeAlias = tuple[Sequence[T], Sequence[T]]
"""Some of the old ones, and of the new ones."""


def apart(old: Sequence[T], new: Sequence[T]) -> Both[T]:
    """The same without most of what is the same object in both: of thousands little is left, and no other is
    looked into."""
    ours, theirs = _where_apart(old, new)
    return [*map(old.__getitem__, ours)], [*map(new.__getitem__, theirs)]


def apart_in_steps(old: Sequence[T], new: Sequence[T]) -> Steps[Both[T]]:
    """The same, of many with pauses: to look at tens of thousands takes as many tenths of a microsecond."""
    ours, theirs = (yield from _search(old, new)) if len(old) > LONG else _where_apart(old, new)
    return [*map(old.__getitem__, ours)], [*map(new.__getitem__, theirs)]


def moved(old: Sequence[T], new: Sequence[T]) -> Steps[Both[T]]:
    """Those of the old ones and of the new ones that are not the same object in both, in their order."""
    old, new = yield from apart_in_steps(old, new)
    if not (old and new) or len(old) == len(new) == 1:
        return old, new
    ours: set[int] = set()
    theirs: set[int] = set()
    gone: list[T] = []
    come: list[T] = []
    yield from glance([*map(id, old)], ours.update)
    yield from glance([*map(id, new)], theirs.update)
    yield from glance(old, lambda some: gone.extend([i for i in some if id(i) not in theirs]))
    yield from glance(new, lambda some: come.extend([i for i in some if id(i) not in ours]))
    return gone, come


def carry(old: Sequence[T], images: Sequence[V], new: Sequence[T], make: Callable[[T], V]) -> Steps[list[V]]:
    """What stands for each of the new ones: the image of the same object among the old ones, else what is
    made of it. `images`: those of the old ones."""
    ours, theirs = (yield from _search(old, new)) if len(old) > LONG else _where_apart(old, new)
    known: dict[int, V] = {}
    yield from glance(ours, lambda some: known.update([(id(old[at]), images[at]) for at in some]))
    fresh: list[V] = []

    def look(some: Sequence[int]) -> None:
        fresh.extend([known[key] if (key := id(new[at])) in known else make(new[at]) for at in some])

    yield from walk(theirs, look)
    carried = [*images]
    if len(old) == len(new):
        for at, one in zip(theirs, fresh, strict=True):
            carried[at] = one
    else:
        carried[slice(ours[0], ours[-1] + 1) if ours else slice(theirs[0], theirs[0])] = fresh
    return carried


def _where_apart(old: Sequence[T], new: Sequence[T]) -> Both[int]:
    """Where they are no more the same object, by place: of those of one length each place by itself, else all
    between the first and the last."""
    if len(old) == len(new):
        places = [*compress(count(), map(is_not, old, new))]
        return places, places
    most = min(len(old), len(new))
    start = next(compress(count(), map(is_not, old, new)), most)
    end = min(most - start, next(compress(count(), map(is_not, reversed(old), reversed(new))), most))
    return range(start, len(old) - end), range(start, len(new) - end)


def _search(old: Sequence[T], new: Sequence[T]) -> Steps[Both[int]]:
    """The same with pauses."""
    if len(old) == len(new):
        places: list[int] = []
        pairs = map(is_not, old, new)
        for at in range(0, len(old), GLANCES):
            places += compress(count(at), islice(pairs, GLANCES))
            yield
        return places, places
    most = min(len(old), len(new))
    start = yield from _first_apart(map(is_not, old, new), most)
    end = yield from _first_apart(map(is_not, reversed(old), reversed(new)), most - start)
    return range(start, len(old) - end), range(start, len(new) - end)


def _first_apart(pairs: Iterator[bool], most: int) -> Steps[int]:
    for at in range(0, most, GLANCES):
        place = next(compress(count(at), islice(pairs, min(GLANCES, most - at))), None)
        if place is not None:
            return place
        yield
    return most
