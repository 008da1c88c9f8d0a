"""Who is refused while it sends reads why: what it still sends is read for a moment, and within bounds."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from support.listening import Listening
from support.waiting import until
from zkdns.web import lingering
from zkdns.web.lingering import Lingering

HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
BODY = b"POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n", b"400"),
        (HEAD + b"X-Long: " + b"x" * 100_000 + b"\r\n\r\n", b"400"),
        (HEAD + b"".join(b"X-%d: %060d\r\n" % (n, n) for n in range(1500)) + b"\r\n", b"400"),
        (b"\x16\x03\x01" + bytes(100_000), b"400"),
        (BODY + bytes(200_000), b"405"),
    ],
    ids=["line", "header", "headers", "no HTTP", "body"],
)
async def test_who_sends_more_than_is_taken_is_told_and_not_reset(
    request_: bytes, status: bytes, server: Listening
) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, server.address)
        await loop.sock_sendall(sock, request_)
        reply = b""
        while part := await loop.sock_recv(sock, 1 << 16):  # a reset is an error here
            reply += part
    assert reply.split()[1] == status
    await until(lambda: not server.web._door.lingering)  # type: ignore[union-attr]


def pair() -> tuple[socket.socket, socket.socket]:
    """What we are about to close, and its client."""
    ours, client = socket.socketpair()
    for sock in (ours, client):
        sock.setblocking(False)
    return ours, client


async def take(some: Lingering, address: str = "192.0.2.1") -> socket.socket:
    ours, client = pair()
    with ours:
        some.take(ours, address)
    return client


async def test_it_ends_with_its_client_and_after_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "MAX_BYTES", 1000)
    some = Lingering()
    with await take(some) as polite, await take(some) as endless:
        assert polite.recv(1) == b"", "it is told that nothing more comes"
        polite.close()
        await until(lambda: len(some) == 1)
        endless.send(bytes(999))
        await asyncio.sleep(0)
        assert len(some) == 1
        endless.send(bytes(1))
        await until(lambda: not some)


async def test_it_ends_with_a_client_that_breaks_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With RST, which is an error to who reads."""
    monkeypatch.setattr(lingering, "SECONDS", 60.0)
    some = Lingering()
    with socket.create_server(("127.0.0.1", 0)) as door:
        client = socket.create_connection(door.getsockname())
        ours, _ = door.accept()
        ours.setblocking(False)
        with ours:
            some.take(ours, "192.0.2.1")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        await until(lambda: not some)
    assert not caplog.records


async def test_it_ends_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "SECONDS", 0.01)
    some = Lingering()
    with await take(some):
        await until(lambda: not some)
    assert not some._places


async def test_past_its_number_the_network_with_the_most_loses_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "MAX_LINGERING", 3)
    some = Lingering()
    clients = [await take(some, address) for address in ("192.0.2.1", "198.51.100.1", *["192.0.2.2"] * 3)]
    assert len(some) == 3
    assert clients[1].send(b"x") == 1, "it is read still"
    some.close()
    assert not some
    clients.append(await take(some))
    assert not some, "we are about to end"
    for client in clients:
        client.close()
