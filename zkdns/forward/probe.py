"""Signs of life: one small query to one upstream, now and then.

Rules: one asyncio loop; never raises out of it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from random import Random

from zkdns.forward.resolution import Attempt
from zkdns.forward.sockets import connect
from zkdns.forward.upstream import TOTAL, Upstream
from zkdns.lack import is_local_lack, reason

_ROOT_NS = b"\0\0\2\0\1"
_TXT_IN = b"\0\x10\0\1"


def probe_question(upstream: Upstream, draw: Random) -> tuple[bytes, tuple[bytes, ...]]:
    """What to ask, and the names that nobody but us can ask for. The dead get the most ordinary
    question there is; the others such a name, to see whether it comes back to us (the way of
    CoreDNS's loop plugin). A resolver that minimises names (RFC 9156) shows the last label alone."""
    if upstream.dead and not upstream.looping:
        return _ROOT_NS, ()
    last = b"\x16zkdns-%016x\0" % draw.getrandbits(64)
    name = b"\x10%016x" % draw.getrandbits(64) + last
    return name + _TXT_IN, (name, last)


class Probe:
    """One attempt that nobody waits for. Any reply with its id and question is a sign of life."""

    def __init__(self, attempt: Attempt, clock: Callable[[], float], probing: dict[Upstream, Probe]) -> None:
        self._attempt = attempt
        self._clock = clock
        self._probing = probing
        self._sock: socket.socket | None = None
        self.came_back = False
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(TOTAL, self._end, False)
        try:
            self._sock = connect(attempt.upstream)
            loop.add_reader(self._sock.fileno(), self._read)
            self._sock.send(attempt.packet)
        except BlockingIOError:
            pass
        except OSError as error:
            self._broken(error)

    def _read(self) -> None:
        assert self._sock is not None  # noqa: S101
        try:
            data = self._sock.recv(65535)
        except BlockingIOError:
            return
        except OSError as error:
            self._broken(error)
            return
        sent = self._attempt
        size = len(sent.question)
        if (
            data[:2] == sent.packet[:2]
            and data[2:3] >= b"\x80"
            and data[12 : 12 + size].lower() == sent.question.lower()
        ):
            now = self._clock()
            sent.upstream.heard(now, now - sent.sent_at)
            self._end(True)

    def _broken(self, error: OSError) -> None:
        if not is_local_lack(error):
            self._attempt.upstream.broke(reason(error), self._clock())
        # Ended by the loop, not here: the one who made this probe doesn't have it yet.
        self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_soon(self._end, False)  # type: ignore[assignment]

    def _end(self, answered: bool) -> None:
        self.close()
        upstream = self._attempt.upstream
        upstream.probed(answered, self.came_back, self._clock())
        if self._probing.get(upstream) is self:
            del self._probing[upstream]

    def close(self) -> None:
        self._timer.cancel()
        if self._sock is not None:
            asyncio.get_running_loop().remove_reader(self._sock.fileno())
            self._sock.close()
            self._sock = None
