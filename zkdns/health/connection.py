"""One TCP connection of a probe: a plain socket that the loop watches.

Rules: asyncio's streams would cost a probe three times as much. What is read is bounded in all, and not only
line by line: whoever sends without an end, faster than it is read, would keep the loop. No name is resolved
here: that is done elsewhere, once, and takes no place of a probe.
"""

from __future__ import annotations

import asyncio
import socket

from zkdns.health.targets import Target

MAX_LINE_BYTES = 4096

MAX_READ_BYTES = 65_536
"""Of one connection."""


async def connect(target: Target) -> socket.socket:
    """A connection to where it is registered; OSError where there is none."""
    family = socket.AF_INET6 if ":" in target.address else socket.AF_INET
    try:
        socket.inet_pton(family, target.address)
    except OSError:
        raise OSError(socket.EAI_NONAME, "its host name has no address") from None
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (target.address, target.port))
    except BaseException:
        sock.close()
        raise
    return sock


class Lines:
    """What comes over a connection, line by line."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._unread = b""
        self._left = MAX_READ_BYTES

    async def next(self) -> bytes:
        """The next line, with its end unless the connection ended before it; b"" for none. ValueError where
        it is too long, or all that was read is."""
        while (end := self._unread.find(b"\n") + 1) == 0:
            if len(self._unread) >= MAX_LINE_BYTES or self._left <= 0:
                raise ValueError("more than is read")
            part = await self._loop.sock_recv(self._sock, MAX_LINE_BYTES)
            if not part:
                end = len(self._unread)
                break
            self._left -= len(part)
            self._unread += part
        line, self._unread = self._unread[:end], self._unread[end:]
        return line
