"""What is lacking here for new connections, DNS clients' over TCP or HTTP's: told once, whoever meets it.

Rules: knows no loop. A lack is met where a descriptor should be left to others (`is_short_for`), and where
the kernel says that there is none, or no memory (`is_met_by`).
"""

from __future__ import annotations

import logging
import socket
import time

from zkdns.descriptors import TOO_MANY, Scarcity
from zkdns.lack import Lack, is_local_lack, reason


class Lacking:
    """`kind`: of connections. `part`: of all descriptors, those that they may have."""

    def __init__(self, kind: str, log: logging.Logger, part: float = 1.0) -> None:
        self._kind = kind
        self._log = log
        self._lack = Lack()
        self._scarcity = Scarcity(part)

    @property
    def why(self) -> str:
        """In a few words; "" for nothing."""
        return self._lack.why(time.monotonic())

    def is_short_for(self, sock: socket.socket) -> bool:
        """Whether a new connection has a descriptor that others should have."""
        is_short = self._scarcity.meets(sock.fileno(), time.monotonic())
        if is_short:
            self.meet(TOO_MANY)
        return is_short

    def is_met_by(self, error: OSError) -> bool:
        """Whether it is ours that a connection could not be accepted. Else it is the client's own: it went
        before (accept(2))."""
        is_ours = is_local_lack(error)
        if is_ours:
            self.meet(reason(error))
        return is_ours

    def meet(self, why: str) -> None:
        if self._lack.meet(why, time.monotonic()):
            self._log.warning("no more %s connections can be taken: %s", self._kind, why)
