"""Work in steps, so that others have their turn in between: a generator that pauses, then returns.

Rules: pure. A caller that has the time takes all steps at once (`finish`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, TypeAlias, TypeVar

T = TypeVar("T")

Steps: TypeAlias = Generator[None, None, T]
"""What gives T after some pauses."""

SLICE: Final = 256
"""Instances that are looked at in one step, each for some microseconds."""


GLANCES: Final = 4096
"""The same where each takes a tenth of a microsecond."""


def walk(items: Sequence[T], look: Callable[[Sequence[T]], Any], most: int | None = None) -> Steps[None]:
    """Look at so many of them at a time (`SLICE`), with a pause in between: few take none."""
    most = SLICE if most is None else most
    if len(items) <= most:
        look(items)
        return
    for at in range(0, len(items), most):
        if at:
            yield
        look(items[at : at + most])


def glance(items: Sequence[T], look: Callable[[Sequence[T]], Any]) -> Steps[None]:
    """The same where one call of `look` costs next to nothing for each."""
    return walk(items, look, GLANCES)


def finish(steps: Steps[T]) -> T:
    """What comes of them, without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: T = end.value
            return value
