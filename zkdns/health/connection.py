"""One TCP connection of a probe: a plain socket that the loop watches.

Rules: asyncio's streams would cost a probe three times as much. What is read is bounded in all, and not only
line by line: whoever sends without an end, faster than it is read, would keep the loop. No name is resolved
here: that is done elsewhere, once, and takes no place of a probe. On this machine a connection to a port that
nobody listens to may meet itself (a simultaneous open, RFC 9293, section 3.5): that is nobody's.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket

from zkdns.descriptors import PROBES, open_socket
from zkdns.health.targets import Target

MAX_LINE_BYTES = 4096
"""Of one line that a target sends, and of one look at the socket."""

MAX_READ_BYTES = 65_536
"""Of one connection."""

_EMPTY_LINE = re.compile(rb"\n\r?\n")


async def connect(target: Target) -> socket.socket:
    """A connection to where it is registered; OSError where there is none."""
    family = socket.AF_INET6 if ":" in target.address else socket.AF_INET
    try:
        address = socket.inet_pton(family, target.address)
    except OSError:
        raise OSError(socket.EAI_NONAME, "its host name has no address") from None
    sock = open_socket(family, socket.SOCK_STREAM, PROBES)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (target.address, target.port))
        host, port, *_ = sock.getsockname()
        if port == target.port and socket.inet_pton(family, host) == address:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    except BaseException:
        sock.close()
        raise
    return sock


class Reader:
    """What comes over a connection, up to a mark. Nothing is kept of what is passed over, and each byte is
    looked at once, however the lines are cut."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._unread = b""
        self._left = MAX_READ_BYTES

    async def line(self) -> bytes:
        """The next line without its end; b"" for none. ValueError where it is too long, or all that was
        read is."""
        while (end := self._unread.find(b"\n")) < 0:
            if len(self._unread) >= MAX_LINE_BYTES:
                raise ValueError("a line without an end")
            if not await self._read():
                end = len(self._unread)
                break
        line, self._unread = self._unread[:end], self._unread[end:]
        return line

    async def pass_headers(self) -> None:
        """Past the empty line after the line that was read, or to the end of all. ValueError as above."""
        while (end := _EMPTY_LINE.search(self._unread)) is None:
            self._unread = self._unread[-2:]  # what may be the beginning of it
            if not await self._read():
                self._unread = b""
                return
        self._unread = self._unread[end.end() :]

    async def _read(self) -> bool:
        if self._left <= 0:
            raise ValueError("more than is read")
        part = await self._loop.sock_recv(self._sock, MAX_LINE_BYTES)
        self._left -= len(part)
        self._unread += part
        return bool(part)
