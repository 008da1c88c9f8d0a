"""Moments and spans as people say them."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import click
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zkdns.cli import Failure
from zkdns.cli.history import Moment, clock, seconds
from zkdns.cli.overrides import SPAN
from zkdns.cli.register import LINGER
from zkdns.cli.times import Span, parse_moment, parse_span
from zkdns.web import shapes
from zkdns.web.moments import MICROSECOND, lasts, read_moment

NOW = datetime(2026, 11, 28, 14, 30, 15, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("1d 12h", 129_600), ("0.5h", 1800), ("2W", 1_209_600)],
)
def test_a_span_is_a_sum_of_numbers_with_units(text: str, seconds: float) -> None:
    assert parse_span(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "30", "30x", "1h-5m", "five minutes", "1:30"])
def test_what_is_no_span_is_told_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="no span of time such as 30m"):
        parse_span(text)


@pytest.mark.parametrize(
    ("kind", "text", "seconds"),
    [
        (SPAN, "90", 90),
        (SPAN, " 1h30m ", 5400),
        (SPAN, 0.5, 0.5),
        (LINGER, "0", 0),
        (LINGER, 10.0, 10),
        (LINGER, "1d", 86_400),
    ],
)
def test_an_option_takes_seconds_or_a_span(kind: Span, text: object, seconds: float) -> None:
    assert kind.convert(text, None, None) == seconds


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        (SPAN, "0", "'0' is not above 0 and below 30 years"),
        (SPAN, "0s", "'0s' is not above 0 and below 30 years"),
        (SPAN, "9" * 400, "below 30 years"),
        (SPAN, "-5", "'-5' is no span of time such as 30m"),
        (SPAN, "nan", "'nan' is no span of time"),
        (SPAN, "5 minutes", "'5 minutes' is no span of time"),
        (LINGER, "2d", "'2d' is not within 0 and a day"),
        (LINGER, "-1", "'-1' is no span of time"),
    ],
)
def test_what_an_option_does_not_take_is_told(kind: Span, text: str, told: str) -> None:
    with pytest.raises(click.BadParameter) as error:
        kind.convert(text, None, None)
    assert told in error.value.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", "2026-11-28T14:30:15"),
        ("2h ago", "2026-11-28T12:30:15"),
        ("2h", "2026-11-28T12:30:15"),
        ("14:02", "2026-11-28T14:02:00"),
        ("14:02:59", "2026-11-28T14:02:59"),
        ("14:02:59.3", "2026-11-28T14:02:59.300"),
        ("14:31", "2026-11-27T14:31:00"),
        ("9:05", "2026-11-28T09:05:00"),
        ("2026-11-28 14:02", "2026-11-28T14:02:00"),
        ("2026-11-28T14:02:00Z", "2026-11-28T14:02:00"),
        ("2026-11-28T14:02:00+02:00", "2026-11-28T12:02:00"),
        ("2026-11-28", "2026-11-28T00:00:00"),
    ],
)
def test_a_moment_is_a_time_of_day_a_span_ago_or_iso_8601(text: str, expected: str) -> None:
    at = datetime.fromisoformat(expected).replace(tzinfo=UTC).timestamp()
    assert parse_moment(text, NOW, UTC) == at


def test_what_names_no_zone_is_meant_in_the_readers_own() -> None:
    there = timezone(timedelta(hours=2))
    assert parse_moment("14:02", NOW, there) == datetime(2026, 11, 28, 12, 2, tzinfo=UTC).timestamp()
    assert (
        parse_moment("2026-11-28 14:02", NOW, there) == datetime(2026, 11, 28, 12, 2, tzinfo=UTC).timestamp()
    )


@pytest.mark.parametrize("text", ["", "25:00", "yesterday", "14:2", "2026-13-01", "noon"])
def test_what_is_no_moment_is_told_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="no moment such as 14:02"):
        parse_moment(text, NOW, UTC)


@given(st.floats(1, 10 * 86_400))
@example(1e-3)
@example(1e-3 + 1e-7)
def test_a_time_as_history_tells_it_is_one_at_which_the_change_has_been(ago: float) -> None:
    at = time.time() - ago
    for text, part in {clock(at): 0.1, shapes.moment_exactly(at): 0.001}.items():
        begun, ended = (Moment(ends=ends).convert(text, None, None) for ends in (False, True))
        assert begun - MICROSECOND <= at <= ended < begun + part
        if text.endswith("Z"):
            assert read_moment({"at": text}, "at") == begun
            assert read_moment({"at": text}, "at", ends=True) == ended


def test_a_time_that_names_no_part_of_a_second_is_that_very_moment() -> None:
    for text in ("14:02", "14:02:07", "2026-11-28T14:02:07Z", "2026-11-28", "0.5h ago"):
        assert not lasts(text)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/Los_Angeles"])
@pytest.mark.parametrize(
    "at", [1e300, -1e300, float("nan"), float("inf"), 253_402_300_799.0, -62_135_596_800.0]
)
def test_a_time_that_no_calendar_has_is_told_as_a_number(
    at: float, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged journal may hold one, and whoever poses as a server may tell one: no row costs the others."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert clock(at)
        for text in ("0001-01-01", "9999-12-31", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
            with suppress(Failure):
                assert clock(seconds(text))
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_time_without_its_zone_is_utc_to_the_web_wherever_the_machine_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "XYZ+5")
    time.tzset()
    try:
        assert read_moment({"at": "2026-11-24T14:02:07"}, "at") == 1795528927.0
        assert read_moment({"at": "2026-11-24T14:02:07+01:00"}, "at") == 1795525327.0
    finally:
        monkeypatch.undo()
        time.tzset()
