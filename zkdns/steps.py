"""Work in steps, so that others have their turn in between: a generator that pauses, then returns.

Rules: pure. Who has all the time takes them at once (`finish`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, TypeAlias, TypeVar

T = TypeVar("T")

Steps: TypeAlias = Generator[None, None, T]
"""What gives T after some pauses."""

SLICE: Final = 256
"""Instances that are looked at in one step, each for some microseconds."""


def walk(items: Sequence[T], look: Callable[[Sequence[T]], Any]) -> Steps[None]:
    """Look at some of them at a time, with a pause in between: few take none."""
    if len(items) <= SLICE:
        look(items)
        return
    for at in range(0, len(items), SLICE):
        if at:
            yield
        look(items[at : at + SLICE])


def finish(steps: Steps[T]) -> T:
    """What comes of them, without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: T = end.value
            return value
