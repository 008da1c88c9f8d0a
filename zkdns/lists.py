"""Lists as people read them: some of what there is, and how much more.

Rules: pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from zkdns.order import in_order

MAX_NEAR: Final = 8


def some_of(names: Sequence[str], most: int, count: int | None = None) -> str:
    """`a, b and 3 more`. `count`: how many there are, where `names` are not all of them."""
    shown = names[:most]
    left = (len(names) if count is None else count) - len(shown)
    return ", ".join(shown) + (f" and {left} more" if left > 0 else "")


def plural(n: int, word: str, many: str = "") -> str:
    """So many of them: `1 service`, `1,234 services`. `many`: where that is no s behind the word."""
    return f"{n:,} {word if n == 1 else many or word + 's'}"


def list_near(wanted: str, names: Iterable[str]) -> str:
    """`there are a, b and 3 more`: what exists, the likeliest first."""
    from difflib import get_close_matches  # who names what is there needs none

    every = [*in_order(names)]
    if not every:
        return "there is none"
    close = get_close_matches(wanted, every, MAX_NEAR, 0.5)
    likeliest = close + [name for name in every if name not in close]
    return f"there {'are' if len(every) > 1 else 'is'} {some_of(likeliest, MAX_NEAR)}"
