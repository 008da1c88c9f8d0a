"""Long collections, freed some at a time.

Rules: pure. To free one of tens of thousands is one call, in which no other thread runs. Who empties one
is the last who holds it, and does so in a thread: others have their turn after each item.
"""

from __future__ import annotations

from typing import Any


def empty(*collections: list[Any] | dict[Any, Any] | set[Any]) -> None:
    """Nothing is left of them."""
    for one in collections:
        take = one.popitem if isinstance(one, dict) else one.pop
        while one:
            take()
