"""A list put in order in short steps is the one that `sorted` gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdns import order


@given(st.lists(st.tuples(st.integers(0, 5), st.integers())), st.integers(1, 4))
def test_it_is_what_sorted_gives_and_equals_stay_in_their_order(
    items: list[tuple[int, int]], run: int
) -> None:
    keys: tuple[Callable[[tuple[int, int]], Any] | None, ...] = (None, lambda item: item[0])
    for key in keys:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(order, "RUN", run)
            for reverse in (False, True):
                ordered = order.in_order(items, key, reverse=reverse)
                assert list(ordered) == sorted(items, key=key, reverse=reverse)


def test_no_step_sorts_more_than_a_run() -> None:
    """Counted by what is asked of the items before the first is given, and for each one after it."""
    asked = 0

    def key(item: int) -> int:
        nonlocal asked
        asked += 1
        return -item

    items = range(4 * order.RUN)
    walk = order.in_order(items, key)
    assert asked == len(items)
    next(walk)
    before = asked
    next(walk)
    assert asked - before <= 1
