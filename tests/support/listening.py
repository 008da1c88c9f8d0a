"""The HTTP side of a server in this process, and clients who listen to what it tells."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace

from support.ports import free_port
from support.waiting import until
from zkdns.model import Change
from zkdns.serve.clients import NO_DEMAND
from zkdns.web.http import Web
from zkdns.web.status import Observed

ASK = b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Listening:
    """The HTTP side of a server that has nothing but changes to tell, and these parts of what is observed."""

    def __init__(self, **parts: object) -> None:
        observed: Observed = SimpleNamespace(  # type: ignore[assignment]
            demand=lambda since, most: lambda: NO_DEMAND,
            counters=lambda: SimpleNamespace(queries={}),
            **parts,
        )
        self.web = Web(observed)
        self.address = ("127.0.0.1", free_port())

    async def connect(
        self, receive: int | None = None, source: str = "127.0.0.1"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = socket.socket()
        sock.bind((source, 0))
        if receive is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, self.address)
        before = len(self.web.listeners)
        reader, writer = await asyncio.open_connection(sock=sock, limit=4096 if receive else 1 << 20)
        writer.write(ASK)
        await until(lambda: len(self.web.listeners) == before + 1)
        return reader, writer

    def tell(self, id: str, now: str = "failing") -> None:
        self.web.tell([Change(1.0, 1, "web", id, "state", "healthy", now)])
