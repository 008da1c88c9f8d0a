"""Long lists put in order in short steps: others have their turn in between.

Rules: pure. One call of `sorted` keeps every other thread from running until it is done: 100,000 rows take
it longer than an answer may wait. What is put in order here costs twice as much, and holds up nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import islice
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


def sort(items: list[T], key: Callable[[T], Any]) -> Steps[None]:
    """Put in order where they stand, with pauses: what is made of runs that are sorted is soon made, too
    (timsort)."""
    for at in range(0, len(items) if len(items) > RUN else 0, RUN):
        items[at : at + RUN] = sorted(items[at : at + RUN], key=key)
        yield
    items.sort(key=key)
    if len(items) > RUN:
        yield
