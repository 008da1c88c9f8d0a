"""Which errors are a lack of ours (descriptors, memory, ports), and so say nothing of the other side; and
what is lacking now.

Rules: pure. What is lacking here is never counted as a target's, an upstream's or a client's failure. At the
edge of a limit it comes and goes a thousand times a second: it is told once a minute, and counts as there for
a minute after it was last met.
"""

from __future__ import annotations

import errno
import math
from typing import Final

from zkdns.model import Problem

TELL_EVERY: Final = 60.0
"""Seconds between two lines; so long is a lack a problem after it was met last."""

LACKS = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN}
)
"""socket(2), connect(2), fork(2)."""


OF_MEMORY: Final = "out of memory"
OF_THREADS: Final = "can't start new thread"
"""What CPython says where pthread_create(3) says EAGAIN."""


def is_local_lack(error: BaseException) -> bool:
    """Whether it says nothing of the other side."""
    if isinstance(error, OSError):
        return error.errno in LACKS
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and str(error) == OF_THREADS)


HELD_UP: Final = "this server was held up"
"""What is lacking where there is no time."""

NO_PORT: Final = "no port of this machine is free toward"
"""What is lacking where connect(2) says EADDRNOTAVAIL: all ports between here and there are in use, or wait
out their time. It says nothing of other places."""


def reason(error: BaseException) -> str:
    """It in a few words, as the machine says it."""
    if isinstance(error, MemoryError):
        return OF_MEMORY
    return ((error.strerror if isinstance(error, OSError) else "") or str(error)).lower()


class Lack:
    """What is lacking for one purpose. Times are seconds of any clock that only grows. `met_at`: when it was
    met last."""

    def __init__(self) -> None:
        self.met_at = self._told_at = -math.inf
        self._why = ""

    def meet(self, why: str, now: float) -> bool:
        """It was met; whether that is to be told."""
        self.met_at, self._why = now, why
        is_news = now - self._told_at >= TELL_EVERY
        if is_news:
            self._told_at = now
        return is_news

    def why(self, now: float) -> str:
        """In a few words; "" where nothing is lacking."""
        return self._why if now - self.met_at < TELL_EVERY else ""


def problem_of(why: str, so: str) -> Problem:
    """What people see of it. `so`: what comes of it."""
    cure = "raise the limit of open files (ulimit -n, LimitNOFILE=), or find who holds so many connections"
    if why == HELD_UP:
        cure = "give it more CPU, or find what stopped it (a paused machine, SIGSTOP)"
    elif why in (OF_MEMORY, OF_THREADS):
        cure = "give it more memory and threads (MemoryMax=, TasksMax=, ulimit -v and -u)"
    elif why.startswith(NO_PORT):
        cure = (
            "find who connects there so often, or widen net.ipv4.ip_local_port_range; where it is an IPv6 "
            "address, see that this machine has one itself"
        )
    return Problem("this machine", f"{why}: {so}", cure)
