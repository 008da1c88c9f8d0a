"""A list put in order in short steps is the one that `sorted` gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdns import order
from zkdns.steps import finish


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


@given(st.lists(st.tuples(st.integers(0, 5), st.integers())), st.integers(1, 4), st.booleans())
def test_in_place_it_is_the_same_and_is_told_whether_two_have_one_key(
    items: list[tuple[int, int]], run: int, is_sorted: bool
) -> None:
    items = sorted(items) if is_sorted else [*items]
    wanted = sorted(items, key=lambda item: item[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "RUN", run)
        has_twins = finish(order.sort(items, lambda item: item[0]))
    assert items == wanted
    assert has_twins is (len({key for key, _ in items}) < len(items))


@pytest.mark.parametrize("change", ["nothing", "one at the end", "all"])
def test_no_step_in_place_asks_for_more_keys_than_a_run(change: str) -> None:
    """The list was sorted once more as a whole: a turn of 20 ms at each change of a service of 60,000."""
    asked = most = 0

    def key(item: int) -> int:
        nonlocal asked
        asked += 1
        return item

    count = 4 * order.RUN
    items = [*range(count, 0, -1)] if change == "all" else [*range(count), *([5] if "one" in change else [])]
    for _ in order.sort(items, key):
        most, asked = max(most, asked), 0
    assert max(most, asked) <= order.RUN
    assert items == sorted(items)
