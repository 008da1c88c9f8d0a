"""How old answers are, of the registries that they come from."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from zkdns.answers.table import EVERY, FRESH, OWN, Staleness
from zkdns.pipeline.staleness import (
    LOADING,
    NOT_READ,
    STALE,
    TOO_OLD,
    Origins,
    expiries,
    of_absence,
    of_answers,
)

NOW = 1000.0
STALE_MAX = 60.0


def registry(away: float | None = None, is_known: bool = True) -> Any:
    """One that is out of reach for so many seconds."""
    return SimpleNamespace(is_known=is_known, stale_since=None if away is None else NOW - away)


@pytest.mark.parametrize(
    ("away", "staleness"),
    [
        ([None], FRESH),
        ([None, None], FRESH),
        ([10.0], Staleness(STALE)),
        ([None, 10.0], Staleness(STALE)),
        ([STALE_MAX], Staleness(STALE)),
        ([STALE_MAX + 0.01], Staleness(STALE, TOO_OLD)),
        ([STALE_MAX + 1], Staleness(STALE, TOO_OLD)),
        ([STALE_MAX + 1, STALE_MAX + 9], Staleness(STALE, TOO_OLD)),
        ([STALE_MAX + 1, 10.0], Staleness(STALE)),  # what one of them says is young enough
        ([STALE_MAX + 1, None], Staleness(STALE)),
    ],
)
def test_answers_fail_once_all_that_they_come_from_are_too_old(
    away: list[float | None], staleness: Staleness
) -> None:
    found = [registry(each) for each in away]
    assert of_answers(found, STALE_MAX, NOW) == staleness
    assert of_answers(reversed(found), STALE_MAX, NOW) == staleness


def test_without_stale_max_they_never_fail() -> None:
    assert of_answers([registry(1e9)], 0.0, NOW) == Staleness(STALE)
    assert expiries([registry(1e9)], 0.0) == []


def test_what_was_never_read_ages_no_answer_and_lets_nobody_say_that_a_name_is_not_there() -> None:
    unread = registry(5.0, is_known=False)
    assert of_answers([registry(), unread], STALE_MAX, NOW) == FRESH
    assert of_answers([registry(STALE_MAX + 1), unread], STALE_MAX, NOW) == Staleness(STALE, TOO_OLD)
    assert of_absence([registry(), unread], STALE_MAX, NOW) == Staleness(failure=NOT_READ)
    assert of_absence([registry(), registry(1.0)], STALE_MAX, NOW) == Staleness(STALE)


def test_each_that_is_away_has_a_moment_at_which_it_is_too_old() -> None:
    assert expiries([registry(), registry(10.0), registry(20.0)], STALE_MAX) == [NOW + 50, NOW + 40]


def test_the_same_registries_are_one_origin_in_whichever_order() -> None:
    origins = Origins({})
    assert origins.number(("b", "a")) == origins.number(("a", "b"))
    assert origins.number(("b",)) != origins.number(("a",))
    assert origins.number(()) == EVERY


@pytest.mark.parametrize(
    ("is_loading", "every", "of_both", "of_one"),
    [
        (True, LOADING, LOADING, LOADING),
        (False, Staleness(failure=NOT_READ), Staleness(STALE), Staleness(STALE)),
    ],
)
def test_what_answers_tell_of_each_set_of_registries(
    is_loading: bool, every: Staleness, of_both: Staleness, of_one: Staleness
) -> None:
    """Until the first catalog is there all fail, wherever they come from."""
    origins = Origins({"away": registry(1.0), "well": registry(), "unread": registry(is_known=False)})
    numbers = EVERY, origins.number(("away", "well")), origins.number(("away",)), origins.number(("well",))
    told: dict[int, Staleness] = {}
    builder: Any = SimpleNamespace(set_staleness=lambda staleness, origin: told.update({origin: staleness}))
    origins.tell(builder, is_loading, STALE_MAX, NOW)
    assert told.keys() >= {OWN, *numbers}
    assert [told[number] for number in numbers] == [every, of_both, of_one, LOADING if is_loading else FRESH]
    assert LOADING.failure, "it is SERVFAIL"
