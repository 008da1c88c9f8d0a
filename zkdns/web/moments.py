"""Moments as requests tell them.

Rules: pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime

_FRACTION = re.compile(r":\d\d[.,](\d{1,6})")
MICROSECOND = 1e-6


def lasts(text: str) -> float:
    """For how many seconds more a part of one is meant: 14:02:07.3 is told of all that came in that tenth,
    and how it stood then is how it stood after them. 0 for what names no part."""
    fraction = _FRACTION.search(text)
    return 10.0 ** -len(fraction[1]) - MICROSECOND if fraction else 0.0


def read_moment(query: Mapping[str, str], key: str, *, ends: bool = False) -> float | None:
    """Seconds since the epoch, as a number or in ISO 8601; ValueError where it is neither. `ends`: the last
    of what is named."""
    text = query.get(key)
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        if math.isfinite(number):
            return number
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{key} is no time: seconds since the epoch, or ISO 8601") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() + (lasts(text) if ends else 0.0)
