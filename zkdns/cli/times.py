"""Moments and spans as people say them: `14:02`, `2h ago`, `2026-11-28 14:02`, `30m`.

Rules: pure; now and the time zone come in as arguments. A time of day is the last one that has been.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo

import click

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_NUMBER = re.compile(r"\d+(\.\d+)?")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?")


def parse_span(text: str) -> float:
    """`90s`, `1h30m`, `2d` in seconds; ValueError where it is none."""
    rest = text.strip().lower()
    total, any_part = 0.0, False
    while rest:
        part = _PART.match(rest)
        if part is None:
            raise ValueError(f"{text!r} is no span of time such as 30m, 2h or 1d12h")
        total += float(part[1]) * SECONDS[part[2]]
        rest, any_part = rest[part.end() :].lstrip(), True
    if not any_part:
        raise ValueError(f"{text!r} is no span of time such as 30m, 2h or 1d12h")
    return total


class Span(click.ParamType):  # type: ignore[type-arg]
    """Seconds, as a number or a span: 90, 90s, 30m, 1h30m. `takes`: whether so many are wanted, `bounds` in
    words."""

    name = "span"

    def __init__(self, takes: Callable[[float], bool], bounds: str) -> None:
        self._takes = takes
        self._bounds = bounds

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value)
        try:
            seconds = float(text) if _NUMBER.fullmatch(text.strip()) else parse_span(text)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not self._takes(seconds):
            self.fail(f"{text!r} is not {self._bounds}", param, ctx)
        return seconds


def parse_moment(text: str, now: float, zone: tzinfo | None = None) -> float:
    """Seconds since the epoch; ValueError where it is no moment. `zone`: of what names none, the machine's
    own by default."""
    words = text.strip()
    low = words.lower()
    if low == "now":
        return now
    try:
        return now - parse_span(low.removesuffix("ago"))
    except ValueError:
        pass
    here = datetime.fromtimestamp(now, zone).astimezone(zone)
    if clock := _CLOCK.fullmatch(words):
        hour, minute, second = int(clock[1]), int(clock[2]), int(clock[3] or 0)
        if hour < 24 and minute < 60 and second < 60:
            part = int((clock[4] or "").ljust(6, "0"))
            at = here.replace(hour=hour, minute=minute, second=second, microsecond=part)
            return (at if at <= here else at - timedelta(days=1)).timestamp()
    try:
        at = datetime.fromisoformat(words)
    except ValueError:
        raise ValueError(f"{text!r} is no moment such as 14:02, 2h ago or 2026-11-28T14:02:00Z") from None
    return (at if at.tzinfo else at.replace(tzinfo=here.tzinfo)).timestamp()
