"""One question over TCP: its reply, and what is left of the connection."""

from __future__ import annotations

import asyncio
import socket

import pytest

from support.collecting import without_collector
from support.waiting import until
from zkdns.config import Address
from zkdns.forward.sockets import converse
from zkdns.forward.upstream import Upstream


def answer_one(listening: socket.socket, reply: bytes) -> None:
    stream, _ = listening.accept()
    with stream:
        stream.recv(512)
        stream.sendall(reply)


@pytest.mark.parametrize("reply", [b"\0\3abc", b"\0\3a"], ids=["a whole reply", "one that ends early"])
async def test_a_connection_that_ends_leaves_nothing_for_a_collector_that_looks_seldom(reply: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, without_collector() as left:
        upstream = Upstream(Address(*listening.getsockname()))
        for _ in range(3):
            answered = asyncio.create_task(asyncio.to_thread(answer_one, listening, reply))
            if len(reply) == 5:
                assert await converse(upstream, b"question") == b"abc"
            else:
                with pytest.raises(EOFError):
                    await converse(upstream, b"question")
            await answered
        await until(lambda: not left())
