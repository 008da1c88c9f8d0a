"""Connections that we ended while their clients were still sending: read on for a moment, and not heeded.

Rules: lives in the loop; bounded in number, time and bytes. A socket that is closed with something unread, or
sent to after that, answers with RST, and a client that gets one while it sends may never read why it was
refused (RFC 9112, section 9.6).
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from zkdns.descriptors import WEB, are_scarce
from zkdns.serve.listen.places import Limits, Places

MAX_LINGERING: Final = 64
SECONDS: Final = 2.0
MAX_BYTES: Final = 1 << 20
"""Of one of them; what comes after that is answered with RST."""
_CHUNK_BYTES: Final = 1 << 16


class Lingering:
    """Those of one door."""

    def __init__(self) -> None:
        self._places: Places[socket.socket] = Places(Limits(MAX_LINGERING))
        self._left: dict[socket.socket, int] = {}
        """Of each, the bytes that may still come."""
        self._sink = bytearray(_CHUNK_BYTES)
        self._is_over = False

    def __len__(self) -> int:
        return len(self._left)

    def take(self, ended: socket.socket, client: str) -> None:
        """Have one that is about to be closed read on; its client is told that nothing more comes."""
        if self._is_over:
            return
        try:
            sock = ended.dup()
        except OSError:
            return
        if are_scarce(sock.fileno(), WEB):
            sock.close()
            return
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:  # it has gone
            sock.close()
            return
        self._left[sock] = MAX_BYTES
        if (loser := self._places.take(sock, client)) is not None:
            self._end(loser)
        loop = asyncio.get_running_loop()
        loop.add_reader(sock, self._read, sock)
        loop.call_later(SECONDS, self._end, sock)

    def _read(self, sock: socket.socket) -> None:
        try:
            size = sock.recv_into(self._sink)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            size = 0
        self._left[sock] -= size
        if not size or self._left[sock] <= 0:
            self._end(sock)

    def _end(self, sock: socket.socket) -> None:
        if self._left.pop(sock, None) is not None:
            self._places.release(sock)
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()

    def close(self) -> None:
        self._is_over = True
        for sock in list(self._left):
            self._end(sock)
