"""What is compiled when it is asked for is bounded by the records in it, and the long ones make room."""

from __future__ import annotations

from contextlib import suppress

import pytest

from support.steps import functions
from zkdns.answers.kept import MAX_INSTANCES_IN_LOOP, MIN_RECORDS, TIMES, Kept
from zkdns.answers.table import Sections, Unready


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


def test_a_service_that_nobody_asks_anything_of_has_no_room_for_it_yet() -> None:
    """It has several of these, made anew at each of its changes."""
    assert functions(lambda: Kept[int]("web", 9)) == {"answers/kept.py:Kept.__init__"}
    assert len(Kept[int]("web", 9)) == 0


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


def test_long_answers_make_room_for_each_other_and_short_ones_of_as_many_instances_stay() -> None:
    size, long, made = 20_000, 5_461, list[str]()
    kept: Kept[Sections] = Kept("web", size)

    def ask(key: str, records: int) -> None:
        def make() -> Sections:
            made.append(key)
            return Sections((b"",) * records)

        with suppress(Unready):
            kept.get(key, size, make)
            return
        with pytest.raises(Unready) as unready:
            kept.get(key, size, make)
        unready.value.work()

    short = [f"short {n}" for n in range(100)]
    for key in short:
        ask(key, 8)
    for n in range(200):
        ask(f"long {n}", long)
    made.clear()
    for key in (*short, "long 199"):
        ask(key, 8)
    assert made == [], "they are kept"
    ask("long 0", long)
    assert made == ["long 0"]
    assert len(kept) - len(short) == (TIMES * size - 9 * len(short)) // (long + 1)
