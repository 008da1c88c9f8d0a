"""What this machine has not enough of: descriptors and memory, told once and never as anyone else's fault.

Rules: asyncio tells of each connection that can't be accepted, with a traceback, a thousand at a time; here
that is one line a minute, and a Problem while it lasts.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import time
from collections.abc import Callable
from typing import Any

from zkdns.model import Problem

log = logging.getLogger("zkdns")

LACKS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
TELL_EVERY = 60.0
"""Seconds between two lines; so long is a lack a problem after it was seen last."""


class Lack:
    """`handle` is the loop's exception handler."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen_at = self._told_at = -math.inf
        self._why = ""
        self.count = 0

    def handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in LACKS:
            loop.default_exception_handler(context)
            return
        self.count += 1
        self._seen_at, self._why = self._clock(), (error.strerror or str(error)).lower()
        if self._seen_at - self._told_at >= TELL_EVERY:
            self._told_at = self._seen_at
            log.error("%s: new connections wait", self._why)

    @property
    def problem(self) -> Problem | None:
        """While it lasts."""
        if self._clock() - self._seen_at >= TELL_EVERY:
            return None
        cure = (
            "raise the limit of open files (ulimit -n, LimitNOFILE=), or find who holds so many connections"
        )
        return Problem("this machine", f"{self._why}: new connections wait", cure)
