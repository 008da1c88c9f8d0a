"""What is compiled when it is asked for is bounded by the records in it, and the oldest goes first."""

from __future__ import annotations

import pytest

from zkdns.answers.kept import MAX_INSTANCES_IN_LOOP, MIN_RECORDS, TIMES, Kept
from zkdns.answers.table import Unready


def fill(kept: Kept[int], count: int, size: int, start: int = 0) -> None:
    for n in range(start, start + count):
        assert kept.get(n, size, lambda n=n: n) == n  # type: ignore[misc]


@pytest.mark.parametrize("size", [0, 9, 49])
def test_so_many_records_are_kept_however_much_is_asked(size: int) -> None:
    kept: Kept[int] = Kept("web", size)
    fill(kept, 3 * MIN_RECORDS // (size + 1), size)
    assert len(kept) == MIN_RECORDS // (size + 1)
    fill(kept, 3 * MIN_RECORDS // (size + 1), size, start=10**6)
    assert len(kept) == MIN_RECORDS // (size + 1), "what went made room"


def test_what_is_kept_is_made_once_and_the_oldest_goes() -> None:
    kept: Kept[int] = Kept("web", 1)
    fill(kept, MIN_RECORDS // 2, 1)
    assert kept.get(0, 1, lambda: -1) == 0
    fill(kept, 1, 1, start=10**6)
    assert kept.get(1, 1, lambda: -1) == 1
    assert kept.get(0, 1, lambda: -1) == -1


def test_a_large_service_has_room_for_so_many_times_itself() -> None:
    size = MIN_RECORDS
    kept: Kept[int] = Kept("web", size)
    for n in range(3 * TIMES):
        with pytest.raises(Unready) as unready:
            kept.get(n, size, lambda n=n: n)  # type: ignore[misc]
        unready.value.work()
        assert kept.get(n, size, lambda: -1) == n
    assert len(kept) == TIMES - 1


@pytest.mark.parametrize(
    ("size", "is_ready"), [(MAX_INSTANCES_IN_LOOP, True), (MAX_INSTANCES_IN_LOOP + 1, False)]
)
def test_more_than_a_few_instances_are_compiled_where_no_turn_waits_for_it(size: int, is_ready: bool) -> None:
    kept: Kept[int] = Kept("web", 1)
    if is_ready:
        assert kept.get("key", size, lambda: 1) == 1
        return
    with pytest.raises(Unready) as first:
        kept.get("key", size, lambda: 1)
    with pytest.raises(Unready) as second:
        kept.get("key", size, lambda: 1)
    assert (first.value.account, first.value.key) == ("web", second.value.key), (
        "the same work is known as that"
    )
