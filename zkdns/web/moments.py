"""Moments as requests tell them.

Rules: pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime


def read_moment(query: Mapping[str, str], key: str) -> float | None:
    """Seconds since the epoch, as a number or in ISO 8601; ValueError where it is neither."""
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
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
