"""The algebra of operators' overrides: which are in force, how one is laid upon another, what people read.

Rules: pure; time comes in as an argument, in seconds since the epoch. An override that ends uncovers the
one beneath it (`Override.under`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from zkdns.model import Override
from zkdns.routes import tell_laid


def in_force(override: Override | None, now: float) -> Iterator[Override]:
    """The overrides that hold, the newest first: those that ended uncover what they were laid upon."""
    while override is not None:
        if override.until is None or override.until > now:
            yield override
        override = override.under


def are_over(override: Override | None, now: float) -> Iterator[Override]:
    """Those whose time is over, though their node is still there."""
    while override is not None:
        if override.until is not None and override.until <= now:
            yield override
        override = override.under


def is_drained(override: Override | None, now: float) -> bool:
    """Whether one that is in force drains."""
    return any(o.drain for o in in_force(override, now))


def lay(override: Override, upon: Override | None) -> Override:
    """`override` in the place of an older one of its kind, upon one of the other kind."""
    return replace(override, under=strip(upon, drain=override.drain))


def lay_route(override: Override, upon: Override | None, now: float) -> Override:
    """A route over what was laid before: one that ends uncovers that again, as far as it holds longer."""
    if override.until is None:
        return override
    kept = [one for one in in_force(upon, now) if one.until is None or one.until > override.until]
    under = None
    for one in reversed(kept):
        under = replace(one, under=under)
    return replace(override, under=under)


def strip(override: Override | None, *, drain: bool) -> Override | None:
    """Without the drains, or without the weights."""
    if override is None:
        return None
    under = strip(override.under, drain=drain)
    kept = replace(override, drain=False) if drain else replace(override, weight=None)
    return replace(kept, under=under) if kept.drain or kept.weight is not None else under


def trim(override: Override | None, now: float) -> Override | None:
    """Without what has ended."""
    trimmed = None
    for one in reversed(list(in_force(override, now))):
        trimmed = replace(one, under=trimmed)
    return trimmed


def describe(override: Override) -> str:
    """One line for people."""
    what = "drained" if override.drain else f"weight {override.weight}"
    if override.route is not None:
        what = f"route to {tell_laid(override.route)}"
    text = f"{what}{'' if override.until is None else ' until ' + moment(override.until)}"
    if override.who:
        text += f", by {override.who}"
    if override.why:
        text += f": {override.why}"
    return text if override.under is None else f"{text} (beneath it: {describe(override.under)})"


def attribute(override: Override) -> str:
    """By whom, since when, until when and why: the end of an instance's reason."""
    text = f"by {override.who or 'an operator'}"
    if override.at:
        text += f" at {moment(override.at)}"
    if override.until is not None:
        text += f" until {moment(override.until)}"
    return f"{text}: {override.why}" if override.why else text


def moment(at: float) -> str:
    """A time for people, the same on every replica: UTC, to the second."""
    try:
        return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(at)
