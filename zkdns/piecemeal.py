"""Long collections, freed some at a time.

Rules: pure. To free one of tens of thousands is one call, in which no other thread runs. Who empties one
is the last who holds it: in a thread, where others have their turn after each item (`empty`), or in steps of
the loop (`empty_in_steps`).
"""

from __future__ import annotations

from typing import Any, Final

from zkdns.steps import Steps

STEP: Final = 256
"""Items that are let go of in one step."""


def empty(*collections: list[Any] | dict[Any, Any] | set[Any]) -> None:
    """Nothing is left of them."""
    for one in collections:
        take = one.popitem if isinstance(one, dict) else one.pop
        while one:
            take()


def empty_in_steps(held: set[Any] | dict[Any, Any]) -> Steps[None]:
    """Next to nothing is left of it, and no more than that is freed in one step."""
    take = held.pop if isinstance(held, set) else held.popitem
    while len(held) > STEP:
        for _ in range(STEP):
            take()
        yield
