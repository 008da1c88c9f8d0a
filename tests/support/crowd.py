"""Many TCP connections of one client's, and what it asks on them."""

from __future__ import annotations

import select
import socket
from contextlib import ExitStack

from support.server import Zkdns
from zkdns.dns import names


def framed(name: str, id: int = 1) -> bytes:
    message = id.to_bytes(2, "big") + b"\0\0\0\1\0\0\0\0\0\0" + names.wire(name) + b"\0\1\0\1"
    return len(message).to_bytes(2, "big") + message


class Crowd:
    """Many connections of one client's."""

    def __init__(self, server: Zkdns) -> None:
        self.server = server
        self.all: list[socket.socket] = []
        self._stack = ExitStack()

    def connect(self, *, receive: int = 0) -> socket.socket:
        sock = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        sock.settimeout(30)
        if receive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        sock.connect((self.server.host, self.server.port))
        self.all.append(sock)
        return sock

    def ended(self) -> int:
        """How many the server has ended, either way."""
        poller = select.poll()
        for sock in self.all:
            poller.register(sock, select.POLLIN | select.POLLHUP | select.POLLRDHUP)
        return sum(bool(what & (select.POLLHUP | select.POLLRDHUP)) for _, what in poller.poll(0))

    def close(self) -> None:
        self._stack.close()


def send_what_fits(sock: socket.socket, data: bytes) -> None:
    sock.setblocking(False)
    try:
        while data:
            data = data[sock.send(data) :]
    except BlockingIOError:
        pass
