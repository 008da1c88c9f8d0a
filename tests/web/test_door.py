"""Shares of connections: who holds the most gives way, nobody waits for a trickle."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from support.collecting import without_collector
from support.waiting import until
from zkdns.web import door, guest
from zkdns.web.door import Door, is_own_host
from zkdns.web.guest import READ_BYTES, Guest


class Greeter(asyncio.Protocol):
    """Says hello."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(b"hello")


@asynccontextmanager
async def opened(
    protocol: Callable[[], asyncio.Protocol] = Greeter,
) -> AsyncIterator[tuple[Door, tuple[str, int]]]:
    sock = socket.create_server(("127.0.0.1", 0))
    one = Door(protocol)
    one.open(sock)
    try:
        yield one, sock.getsockname()
    finally:
        await one.close()
        for each in list(one._guests.values()):
            each.cut()  # HTTP's side would end itself
        await until(lambda: not one._guests)


async def enter(address: tuple[str, int]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that sent something, for which it was greeted."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"x")
    assert await reader.readexactly(5) == b"hello"
    return reader, writer


def first(one: Door) -> Guest:
    return next(iter(one._guests.values()))


async def test_of_what_a_client_sends_little_is_taken_at_a_time() -> None:
    sizes: list[int] = []

    class Taker(Greeter):
        def data_received(self, data: bytes) -> None:
            sizes.append(len(data))

    async with opened(Taker) as (_, address):
        _, writer = await asyncio.open_connection(*address)
        writer.write(bytes(20 * READ_BYTES))
        await until(lambda: sum(sizes) == 20 * READ_BYTES)
        writer.close()
    assert max(sizes) <= READ_BYTES


async def test_one_that_was_reset_before_it_was_taken_asks_nothing_and_takes_no_place() -> None:
    came: list[bytes] = []

    class Taker(Greeter):
        def data_received(self, data: bytes) -> None:
            came.append(data)

    async with opened(Taker) as (one, address):
        for _ in range(9):  # the door looks when all of them are gone
            with socket.create_connection(address, 30) as gone:
                gone.sendall(b"GET / HTTP/1.1\r\n\r\n")
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        _, writer = await asyncio.open_connection(*address)
        writer.write(b"x")
        await until(lambda: came != [])
        assert came == [b"x"]
        assert [each.client for each in one._guests.values()] == ["127.0.0.1"]
        assert len(one.places) == 1
        writer.close()


async def test_a_connection_that_never_asks_whole_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(guest, "REQUEST_SECONDS", 0.05)
    async with opened() as (one, address):
        reader, writer = await enter(address)
        assert await reader.read() == b"", "ended, though it never closed"
        writer.close()
        await asyncio.sleep(0.1)
        assert len(one.places) == 0


async def test_a_connection_that_ends_leaves_nothing_for_a_collector_that_looks_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door, "SWEEP_SECONDS", 0.01)

    def visit(address: tuple[str, int]) -> None:
        with socket.create_connection(address, 30) as sock:
            sock.sendall(b"x")
            assert sock.recv(5)

    async with opened() as (one, address):
        with without_collector() as left:
            for _ in range(9):
                await asyncio.to_thread(visit, address)
            # The last one may be the last that it had to do with.
            await until(lambda: not len(one.places) and len(left()) <= 2)


async def test_when_all_places_are_taken_the_idlest_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "MAX_CONNECTIONS", 3)
    async with opened() as (one, address):
        streams = [await enter(address) for _ in range(3)]
        one.places.touch(first(one))
        reader, writer = await enter(address)
        assert await streams[1][0].read() == b"", "the one that asked for nothing yet, and waited longest"
        assert len(one.places) == 3
        for _, other in (*streams, (reader, writer)):
            other.close()


async def test_a_request_under_way_has_all_the_time_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(guest, "REQUEST_SECONDS", 0.05)
    monkeypatch.setattr(guest, "IDLE_SECONDS", 0.05)
    async with opened() as (one, address):
        reader, writer = await asyncio.open_connection(*address)
        await first(one).begin(is_probe=False)
        await asyncio.sleep(0.2)
        assert not first(one).transport.is_closing()
        first(one).end(is_whole=True)
        assert await reader.read() == b""
        writer.close()


class Pouring(asyncio.Protocol):
    """Has megabytes for everyone."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(bytes(8 << 20))


@pytest.mark.parametrize("is_answered", [True, False])
async def test_one_who_takes_nothing_of_a_reply_is_ended_and_one_who_takes_little_is_not(
    is_answered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(guest, "UNREAD_SECONDS", 0.5)
    loop = asyncio.get_running_loop()
    async with opened(Pouring) as (one, address):
        deaf, slow = (socket.socket() for _ in range(2))
        for sock in (deaf, slow):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
            await loop.sock_sendall(sock, b"x")
        await until(lambda: all(each.owes_since for each in one._guests.values()) and len(one._guests) == 2)
        for each in one._guests.values():
            await each.begin(is_probe=False)
            if is_answered:
                each.end(is_whole=True)
        while len(one.places) == 2:
            await loop.sock_recv(slow, 2048)
            await asyncio.sleep(0.02)
        assert first(one).transport.get_extra_info("peername") == slow.getsockname()
        for sock in (deaf, slow):
            sock.close()


class Ending(Pouring):
    """The same, and the end behind it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        transport.close()


async def test_one_who_takes_nothing_of_its_last_reply_keeps_its_place_only_as_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its place was free at once, and nobody looked at it any more: it stayed for as long as it liked."""
    monkeypatch.setattr(door, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(guest, "UNREAD_SECONDS", 0.1)
    loop = asyncio.get_running_loop()
    async with opened(Ending) as (one, address):
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.setblocking(False)
            await loop.sock_connect(deaf, address)
            await loop.sock_sendall(deaf, b"x")
            await until(lambda: bool(one._guests))
            transport = first(one).transport
            await until(transport.is_closing)
            assert len(one.places) == 1
            await until(lambda: not one.places)
            assert not transport.get_write_buffer_size()


async def test_who_only_connects_has_nobody_who_speaks_http() -> None:
    spoken: list[Greeter] = []

    def speaks() -> Greeter:
        spoken.append(Greeter())
        return spoken[-1]

    async with opened(speaks) as (one, address):
        silent = [await asyncio.open_connection(*address) for _ in range(3)]
        await until(lambda: len(one.places) == 3)
        assert not spoken
        _, writer = await enter(address)
        assert len(spoken) == 1
    for reader, other in silent:
        assert await reader.read() == b"", "it is ended with the others"
        other.close()
    writer.close()


async def test_without_descriptors_it_waits_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(door, "PAUSE_SECONDS", 0.01)
    loop = asyncio.get_running_loop()
    accept, left = loop.sock_accept, [OSError(errno.EMFILE, "Too many open files")] * 5

    async def lacking(sock: socket.socket) -> object:
        if left:
            raise left.pop()
        return await accept(sock)

    monkeypatch.setattr(loop, "sock_accept", lacking)
    async with opened() as (opened_door, address):
        assert opened_door.lacking.why == ""
        _, writer = await enter(address)
        writer.close()
        assert opened_door.lacking.why == "too many open files"
    assert [r.getMessage() for r in caplog.records] == [
        "no more HTTP connections can be taken: too many open files"
    ]


@pytest.mark.parametrize(
    ("header", "ours"),
    [
        ("127.0.0.1:8053", True), ("[::1]:8053", True), ("::1", True), ("localhost", True),
        ("LocalHost:80", True),
        ("zkdns.example", True), ("zkdns.example.:8053", True), ("10.0.0.7", True), ("[fe80::1%25lo]", True),
        ("evil.example", False), ("127.0.0.1.evil.example", False), ("", False), ("localhost.evil", False),
        ("[::1", False), ("[::1]x", False), ("a", False), ("[::1]:x", False),
        ("localhost:80@evil.example", False),
        ("127.0.0.1:80@evil.example", False), ("127.0.0.1%.evil.example", False), ("127.0.0.1:80:80", False),
        ("\uff11\uff12\uff17.0.0.1", False), ("localhost:\u0663", False), ("127.0.0.1:", True),
    ],
)  # fmt: skip
def test_a_host_is_ours_by_address_or_by_a_name_that_was_given(header: str, ours: bool) -> None:
    assert is_own_host(header, frozenset({"zkdns.example"})) is ours
