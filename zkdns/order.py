"""Long lists put in order in short steps: others have their turn in between.

Rules: pure. One call of `sorted` keeps every other thread from running until it is done: 100,000 rows take
it longer than an answer may wait. What is put in order here costs twice as much, and holds up nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge
from itertools import islice
from operator import eq, gt
from typing import Any, Final, TypeVar

from zkdns.steps import Steps

T = TypeVar("T")

RUN: Final = 2048
"""Items sorted in one step: about a millisecond."""


def in_order(
    items: Iterable[T], key: Callable[[T], Any] | None = None, *, reverse: bool = False
) -> Iterator[T]:
    """The same as `sorted` gives: those that are equal stay in their order."""
    left = iter(items)
    runs = []
    while run := list(islice(left, RUN)):
        run.sort(key=key, reverse=reverse)
        runs.append(run)
    return merge(*runs, key=key, reverse=reverse)  # type: ignore[arg-type]  # None is the items themselves


def sort(items: list[T], key: Callable[[T], Any]) -> Steps[bool]:
    """Put in order where they stand, with pauses: thousands are mostly in order already, and what is made of
    runs that are sorted is soon made (timsort). Returns whether two have the same key."""
    if len(items) <= RUN:
        items.sort(key=key)
        keys = [*map(key, items)]
        return any(map(eq, keys, keys[1:]))
    keys = []
    for at in range(0, len(items), RUN):
        keys += map(key, items[at : at + RUN])
        yield
    if not (yield from _any_pair(gt, keys)):
        return (yield from _any_pair(eq, keys))
    places = [*range(len(keys))]
    for at in range(0, len(places), RUN):
        places[at : at + RUN] = sorted(places[at : at + RUN], key=keys.__getitem__)
        yield
    places.sort(key=keys.__getitem__)
    yield
    ordered: list[T] = []
    sorted_keys: list[Any] = []
    for at in range(0, len(places), RUN):
        some = places[at : at + RUN]
        ordered += map(items.__getitem__, some)
        sorted_keys += map(keys.__getitem__, some)
        yield
    items[:] = ordered
    yield
    return (yield from _any_pair(eq, sorted_keys))


def _any_pair(is_so: Callable[[Any, Any], bool], keys: Sequence[Any]) -> Steps[bool]:
    """Whether that is so of any two neighbours."""
    for at in range(0, len(keys), RUN):
        some = keys[at : at + RUN + 1]
        if any(map(is_so, some, some[1:])):
            return True
        yield
    return False
