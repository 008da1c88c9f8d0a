"""Moments and spans as people say them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from zkdns.cli.times import parse_moment, parse_span

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
    ("text", "expected"),
    [
        ("now", "2026-11-28T14:30:15"),
        ("2h ago", "2026-11-28T12:30:15"),
        ("2h", "2026-11-28T12:30:15"),
        ("14:02", "2026-11-28T14:02:00"),
        ("14:02:59", "2026-11-28T14:02:59"),
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
