"""A client that sends nothing more and still reads (socat, `nc -N`) is answered, and then let go."""

from __future__ import annotations

import asyncio
import socket

import pytest

from support.listening import Listening
from support.waiting import until


@pytest.mark.parametrize(
    "request_",
    [b"GET /health HTTP/1.0\r\n\r\n", b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"],
    ids=["1.0", "1.1"],
)
@pytest.mark.parametrize("many", [1, 12])
async def test_its_request_is_answered_and_the_connection_ends(
    request_: bytes, many: int, server: Listening
) -> None:
    connections = [await asyncio.open_connection(*server.address) for _ in range(many)]
    for _, writer in connections:
        writer.write(request_)
        writer.write_eof()
    for reader, writer in connections:
        reply = await asyncio.wait_for(reader.read(), 10)
        assert reply.split()[1] == b"200"
        writer.close()


@pytest.mark.parametrize("path", ["/health", "/static/page.css"])
async def test_all_that_it_asked_before_its_end_is_answered(path: str, server: Listening) -> None:
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode() * 5)
    writer.write_eof()
    replies = await asyncio.wait_for(reader.read(), 10)
    assert replies.count(b"HTTP/1.1 200") == 5
    writer.close()


@pytest.mark.parametrize("head", [b"", b"Expect: 100-continue\r\n"], ids=["nothing", "100 Continue"])
async def test_one_that_is_gone_before_it_is_answered_is_told_of_by_no_line(
    head: bytes, server: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        with socket.create_connection(server.address, 30) as gone:
            await until(lambda: len(server.web._door.places) == 1)  # type: ignore[union-attr]
            gone.sendall(b"GET /nope HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % head)
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await until(lambda: not server.web._door.places)  # type: ignore[union-attr]
        await asyncio.sleep(0.01)
    assert not caplog.records


async def test_what_never_comes_whole_is_not_waited_for(server: Listening) -> None:
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(b"GET /health HT")
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(), 5) == b"", "long before a first request is overdue"
    writer.close()


async def test_one_that_listens_to_events_is_gone_with_its_end(server: Listening) -> None:
    _, writer = await server.connect()
    writer.write_eof()
    await until(lambda: not server.web._door.places)  # type: ignore[union-attr]
    writer.close()
