"""What requests for nothing leave behind: the collector looks seldom at what was kept for a while."""

from __future__ import annotations

import asyncio
import gc
import socket

import pytest

from support.listening import Listening
from support.waiting import until
from zkdns.web.library import HttpProcessingError, web

ASKED = {
    "nothing there": b"GET /nope HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no method of it": b"POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n",
    "an expectation": b"GET /health HTTP/1.1\r\nHost: localhost\r\nExpect: much\r\n\r\n",
    "an expectation of nothing": b"GET /nope HTTP/1.1\r\nHost: localhost\r\nExpect: much\r\n\r\n",
    "no HTTP": b"GARBAGE\r\n\r\n",
    "too long": b"GET /health HTTP/1.1\r\nHost: localhost\r\nA: " + b"x" * 9000 + b"\r\n\r\n",
}
LEFT = (web.BaseRequest, web.HTTPException, HttpProcessingError, web.RequestHandler)


def visit(address: tuple[str, int], asked: bytes) -> bytes:
    with socket.create_connection(address, 30) as sock:
        sock.sendall(asked)
        return sock.recv(100)


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
async def test_a_request_for_nothing_leaves_no_cycle(server: Listening, asked: bytes) -> None:
    def left() -> int:
        return sum(isinstance(one, LEFT) for one in gc.get_objects())

    await asyncio.to_thread(visit, server.address, asked)
    gc.collect()
    gc.disable()
    try:
        before = left()
        for _ in range(9):
            assert (await asyncio.to_thread(visit, server.address, asked)).startswith(b"HTTP/1.")
        await until(lambda: left() <= before + len(LEFT))  # the last one may be held still
    finally:
        gc.enable()
