"""The work on one service that is done in a thread: of values alone, and an error is what comes of it.

Rules: pure.
"""

from __future__ import annotations

from collections.abc import Callable

from zkdns.answers.routed import Routed
from zkdns.answers.service import ServiceAnswers
from zkdns.pipeline.inputs import Compiled, Followed


def compiling(name: str, compile: Callable[[], ServiceAnswers]) -> Callable[[], Compiled]:
    """What its names give."""

    def work() -> Compiled:
        try:
            return Compiled(name, compile())
        except Exception as error:
            return Compiled(name, None, error)

    return work


def following(name: str, follow: Callable[[], Routed]) -> Callable[[], Followed]:
    """Where its route leads."""

    def work() -> Followed:
        try:
            return Followed(name, follow())
        except Exception as error:
            return Followed(name, None, error)

    return work
