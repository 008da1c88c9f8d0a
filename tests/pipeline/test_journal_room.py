"""When a segment of the journal ends, and what has to go: by bytes alone."""

from __future__ import annotations

import pytest

from zkdns.files import MIB
from zkdns.pipeline.journal_room import Room

LIMIT = 100 * MIB


def test_shares_count_from_half_of_the_room_on_and_all_that_stands_there_is_within_it() -> None:
    half, whole = Room(LIMIT, kept=40 * MIB, written=10 * MIB), Room(LIMIT, 40 * MIB, 0, 10 * MIB, 50 * MIB)
    assert (half.is_crowded, half.is_over, whole.is_over) == (False, False, False)
    half.written += 1
    whole.aside += 1
    assert (half.is_crowded, half.is_over, whole.is_over) == (True, False, True)
    assert not Room(LIMIT, aside=60 * MIB).is_crowded, "what stands beside is no service's"


@pytest.mark.parametrize(("snapshot", "free"), [(0, 1), (3, 3), (25, 25), (60, 25)])
def test_a_segment_has_room_for_what_its_snapshot_took_and_no_more_than_a_fourth(
    snapshot: int, free: int
) -> None:
    assert Room(LIMIT, snapshot=snapshot * MIB).free == free * MIB


@pytest.mark.parametrize(("snapshot", "most"), [(0, 1), (3, 6)])
def test_a_segment_is_full_when_it_has_twice_its_snapshot_and_a_mebibyte_at_least(
    snapshot: int, most: int
) -> None:
    room = Room(LIMIT, snapshot=snapshot * MIB, written=most * MIB)
    assert not room.is_full
    room.written += 1
    assert room.is_full


def test_a_segment_ends_early_where_it_takes_a_fourth_or_all_is_nearly_full() -> None:
    room = Room(LIMIT, written=20 * MIB)
    assert [room.is_short(waiting) for waiting in (5 * MIB, 5 * MIB + 1)] == [False, True]
    room = Room(LIMIT, kept=60 * MIB, snapshot=10 * MIB, written=11 * MIB, aside=10 * MIB)
    assert [room.is_short(waiting) for waiting in (9 * MIB, 9 * MIB + 1)] == [False, True]


def test_it_does_not_end_for_less_than_the_next_snapshot_costs() -> None:
    room = Room(LIMIT, kept=95 * MIB, snapshot=30 * MIB)
    assert [room.is_short(waiting) for waiting in (30 * MIB, 30 * MIB + 1)] == [False, True]
    room = Room(LIMIT, kept=LIMIT)
    assert [room.is_short(waiting) for waiting in (MIB, MIB + 1)] == [False, True]
