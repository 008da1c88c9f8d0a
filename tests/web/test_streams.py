"""Event streams over real sockets: who does not read is cut, who ends leaves nothing behind."""

from __future__ import annotations

import asyncio

import pytest

from support.listening import ASK, Listening
from zkdns.model import Change
from zkdns.serve.listen.places import Limits, Places
from zkdns.web import events
from zkdns.web.events import Stream

LONG = "x" * 200_000


async def ids(reader: asyncio.StreamReader, last: str) -> list[str]:
    """The instances of the events up to this one."""
    found: list[str] = []
    while not found or found[-1] != last:
        line = await asyncio.wait_for(reader.readline(), 30)
        assert line, "the stream ended"
        if line.startswith(b"data: "):
            found.append(line.split(b'"instance":"')[1].split(b'"')[0].decode())
    return found


async def test_a_client_that_does_not_read_is_cut_and_costs_nobody_else(
    server: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_KEPT_BYTES", 2 * len(LONG))
    deaf, silent = await server.connect(receive=4096)
    reader, writer = await server.connect()
    told = 0
    while len(server.web.listeners) == 2:  # the kernel takes some for it first
        server.tell(f"i{told}", LONG)
        assert await ids(reader, f"i{told}") == [f"i{told}"]
        told += 1
        assert told < 10, "it keeps little of what nobody reads"
    server.tell("last")
    assert await ids(reader, "last") == ["last"]
    assert len(server.web.listeners.places) == 1, "its place is free, though it never read"
    for each in (silent, writer):
        each.close()
    assert not deaf.at_eof()


async def test_a_body_that_nobody_reads_is_not_waited_for(server: Listening) -> None:
    """It was for ten seconds; what had come of it was old by then, where the collector hardly ever looks."""
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(b"POST /health HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    writer.write(b"ffff\r\n" + bytes(0xFFFF // 2))
    reply = await asyncio.wait_for(reader.read(), 5)
    assert reply.startswith(b"HTTP/1.1 405 ")
    writer.close()


async def test_streams_that_ended_leave_nothing_behind(server: Listening) -> None:
    for _ in range(3):
        connections = [await server.connect() for _ in range(4)]
        for _, writer in connections:
            writer.close()
        # A connection that went is met when something is told.
        for n in range(100):
            server.tell(f"i{n}")
            await asyncio.sleep(0.01)
            if not server.web.listeners:
                break
        assert len(server.web.listeners) == len(server.web.listeners.places) == 0


async def test_past_the_places_there_are_the_longest_idle_stream_ends_and_the_others_go_on(
    server: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.web.listeners, "places", Places(Limits(2)))
    held = [await server.connect() for _ in range(2)]
    late = await connect_past(server)
    server.tell("a")
    assert await ids(held[1][0], "a") == ["a"]
    assert await ids(late[0], "a") == ["a"]
    assert b'"a"' not in await asyncio.wait_for(held[0][0].read(), 30), "it ended"
    for _, writer in (*held, late):
        writer.close()


async def test_who_opens_many_streams_takes_the_place_of_none_in_another_network(
    server: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.web.listeners, "places", Places(Limits(3)))
    other = await server.connect(source="127.0.1.1")
    greedy = [await server.connect() for _ in range(2)]
    late = await connect_past(server)
    server.tell("a")
    assert await ids(other[0], "a") == ["a"]
    assert b'"a"' not in await asyncio.wait_for(greedy[0][0].read(), 30), "it ended"
    for _, writer in (other, *greedy, late):
        writer.close()


async def connect_past(server: Listening) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connects where another gives way for it."""
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(ASK)
    while not (await asyncio.wait_for(reader.readline(), 30)).startswith(b"retry:"):
        pass
    return reader, writer


async def test_a_service_of_thousands_is_told_in_turns_and_who_reads_gets_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    web = Listening().web
    monkeypatch.setattr("zkdns.web.events.SECONDS", 0.0)  # an event a turn
    stream = Stream()
    web.listeners.open(stream, "")
    many = 2000
    web.tell([Change(0.0, 1, "web", f"i{n}", "gone", "healthy", "") for n in range(many)])
    text = b""
    async for part in stream:
        text += part
        if text.count(b"\n\n") == many:
            break
    assert all(f'"i{n}"'.encode() in event for n, event in enumerate(text.split(b"\n\n")[:-1]))


async def test_nobody_who_listens_any_more_is_told_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    web = Listening().web
    monkeypatch.setattr("zkdns.web.events.SECONDS", 0.0)
    stream = Stream()
    web.listeners.open(stream, "")
    web.tell([Change(0.0, 1, "web", f"i{n}", "gone", "healthy", "") for n in range(10)])
    web.listeners.close(stream)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not web.listeners._untold
    assert web.listeners._next is None
