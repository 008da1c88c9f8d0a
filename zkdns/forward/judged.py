"""What becomes of an upstream's answer: what is passed on, and where its aliases lead.

Rules: pure, but for `is_ours`, which looks up names; a long answer is judged in a thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from zkdns.forward.believe import believe, follow, leads_to
from zkdns.forward.resolution import Answered
from zkdns.forward.stored import Stored


class Judged(NamedTuple):
    """`home`: the name that its aliases lead to without saying more, b"" for none. `blocked`: it named a
    private address, which the settings deny."""

    stored: Stored
    home: bytes
    blocked: bool


def judge(
    outcome: Answered, key: bytes, now: float, is_ours: Callable[[bytes], bool], denies_private: bool
) -> Judged:
    """Of an answer to what is kept under this key."""
    message, blocked = believe(outcome.message, is_ours, denies_private)
    if message is not outcome.message:  # what stood behind a name of ours leads from nowhere now
        message = follow(message, key[:-1]) or message
    stored = Stored(message, key, now, outcome.cut, outcome.upstream.trusted)
    return Judged(stored, leads_to(message, key[:-1]), blocked)
