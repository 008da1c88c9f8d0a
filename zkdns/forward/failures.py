"""Questions that no upstream could answer: kept for a moment, so that a client's retries end here.

Rules: pure; the clock is an argument. RFC 9520, section 3.2: a failure is kept for a second at least, and for
longer where it comes again. That holds as long as the same upstreams are in use: one that came back is asked
at once.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from msgspec import Struct

MIN_SECONDS, MAX_SECONDS = 1.0, 5.0
"""For which a question that failed is not asked again."""
AGAIN_SECONDS = 30.0
"""A question that fails again within so long fails for twice as long."""
MAX_KEPT = 10_000
"""Questions that failed."""

T = TypeVar("T")


class _Failure(Struct, Generic[T], frozen=True):
    what: T
    until: float
    seconds: float
    usable: frozenset[object]


class Failures(Generic[T]):
    """By question; the oldest goes first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, _Failure[T]] = OrderedDict()

    def note(self, key: bytes, what: T, now: float, usable: frozenset[object]) -> None:
        """`usable`: the upstreams that seemed to live when they failed to answer."""
        before = self._kept.pop(key, None)
        again = before is not None and now < before.until + AGAIN_SECONDS
        seconds = min(before.seconds * 2, MAX_SECONDS) if before is not None and again else MIN_SECONDS
        self._kept[key] = _Failure(what, now + seconds, seconds, usable)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)

    def find(self, key: bytes, now: float, usable: frozenset[object]) -> T | None:
        """What to say of it now; None where it is to be asked again."""
        failure = self._kept.get(key)
        if failure is None or now >= failure.until or not usable <= failure.usable:
            return None
        return failure.what

    def forget(self, key: bytes) -> None:
        self._kept.pop(key, None)

    def clear(self) -> None:
        self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)
