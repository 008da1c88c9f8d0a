"""What this machine has not enough of: descriptors and memory, told once and never as anyone else's fault.

Rules: asyncio tells of each connection that can't be accepted, with a traceback, a thousand at a time; here
that is one line a minute, and told while it lasts.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Callable
from typing import Any

from zkdns.lack import Lack, reason

log = logging.getLogger("zkdns")

LACKS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Shortage:
    """`handle` is the loop's exception handler."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lack = Lack()
        self.count = 0

    def handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in LACKS:
            loop.default_exception_handler(context)
            return
        self.count += 1
        why = reason(error)
        if self._lack.meet(why, self._clock()):
            log.error("%s: new connections wait", why)

    @property
    def why(self) -> str:
        """What is lacking, while it lasts; "" for nothing."""
        return self._lack.why(self._clock())
