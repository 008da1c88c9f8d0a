"""Who gets file descriptors when they are scarce: each purpose leaves the others some.

Rules: the lowest number that is free is the next one's (open(2)), so the number of a new descriptor tells how
many there are. The limit may be changed while we run, and is looked up each time: that is one call.
"""

from __future__ import annotations

import errno
import math
import os
import resource
import socket
from typing import Final

WEB: Final = 1 / 2
STREAMS: Final = 3 / 4
"""Of all descriptors, those that there may be when one more is an HTTP or a DNS client's connection: then one
of them makes room for it."""

UPSTREAMS: Final = 7 / 8
PROBES: Final = 15 / 16
"""The same of questions to upstreams, and of probes, which are not made then. What is left is for ZooKeeper,
and for the files that are written."""

LASTS: Final = 1.0
"""Seconds."""

TOO_MANY: Final = os.strerror(errno.EMFILE).lower()


def are_scarce(descriptor: int, part: float) -> bool:
    """Whether this new one is beyond the part that there is for its purpose and those before it."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return limit != resource.RLIM_INFINITY and descriptor >= part * limit


class Scarcity:
    """Whether connections, which have a part of the descriptors, must make room for each other. Those that
    did leave numbers behind that the next ones take: so it lasts for a while after it was last met."""

    def __init__(self, part: float) -> None:
        self._part = part
        self._until = -math.inf

    def meets(self, descriptor: int, now: float) -> bool:
        """Whether it is so for this new one. `now`: seconds of any clock that only grows."""
        if are_scarce(descriptor, self._part):
            self._until = now + LASTS
        return now < self._until


def open_socket(family: int, kind: int, part: float) -> socket.socket:
    """A socket that does not block. OSError where it would be beyond the part."""
    sock = socket.socket(family, kind)
    if are_scarce(sock.fileno(), part):
        sock.close()
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    sock.setblocking(False)
    return sock
