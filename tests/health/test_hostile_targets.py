"""Check targets that do what they can against a real server: each verdict is right, others are on time."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support.server import Zkdns
from support.waiting import eventually

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
Serve = Callable[[Reader, Writer], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\n\r\n"
RESET = struct.pack("ii", 1, 0)


def sends(data: bytes, *, ends: bool = False) -> Serve:
    async def serve(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()
        if not ends:
            await asyncio.sleep(60)

    return serve


def pours(head: bytes, more: bytes) -> Serve:
    async def serve(reader: Reader, writer: Writer) -> None:
        writer.write(head)
        while True:
            writer.write(more)
            await writer.drain()

    return serve


async def drip(reader: Reader, writer: Writer) -> None:
    for n in range(len(OK)):
        writer.write(OK[n : n + 1])
        await writer.drain()
        await asyncio.sleep(0.5)


async def late(reader: Reader, writer: Writer) -> None:
    await asyncio.sleep(1.5)
    writer.write(OK)


async def reset(reader: Reader, writer: Writer) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


async def mute(reader: Reader, writer: Writer) -> None:
    await asyncio.sleep(60)


SILENT = "no answer within 1 s"
NONE = "no HTTP in the answer"
KINDS: dict[str, tuple[Serve, str]] = {
    "drip": (drip, SILENT),
    "late": (late, SILENT),
    "mute": (mute, SILENT),
    "headers-without-end": (pours(b"HTTP/1.1 100\r\n", b"a\n" * 9000), NONE),
    "interim-flood": (sends(b"HTTP/1.1 100\n\n" * 4600), NONE),
    "many-short-lines": (sends(b"HTTP/1.1 100\n" + b"a\n" * 30_000), SILENT),
    "tls-without-end": (pours(b"\x16\x03\x03\xff\xff", b"\0" * 65_536), NONE),
    "old-http": (sends(b"<html>\x1b[2J\xff\xfe", ends=True), NONE),
    "redirect": (sends(b"HTTP/1.1 302 F\r\nLocation: http://127.0.0.1/\r\n\r\n"), "HTTP status 302"),
    "reset": (reset, "connection reset by peer"),
    "nothing": (sends(b"", ends=True), "connection closed without an answer"),
    "bomb": (sends(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 99999999999\r\n\r\n"), ""),
    "body-without-end": (pours(OK[:-2] + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 999), ""),
    "good": (sends(OK, ends=True), ""),
}  # fmt: skip
EACH = 12
"""Instances of each kind: together more than there are descriptors in one of the tests."""

CHECK = 'check = {type = "http", interval = 1, timeout = 1, rise = 1, fall = 1}'


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    """By kind, where one such listens."""
    found: dict[str, int] = {}
    loop = asyncio.new_event_loop()
    under_way: set[asyncio.Task[None]] = set()
    servers: list[asyncio.Server] = []

    async def listen(kind: str, serve: Serve) -> None:
        async def guard(reader: Reader, writer: Writer) -> None:
            task = asyncio.current_task()
            assert task is not None
            under_way.add(task)
            try:
                with suppress(OSError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError):
                    await serve(reader, writer)
                    writer.close()
            finally:
                if not writer.is_closing():
                    writer.transport.abort()
                under_way.discard(task)

        server = await asyncio.start_server(guard, "127.0.0.1", 0, backlog=1000)
        servers.append(server)
        found[kind] = server.sockets[0].getsockname()[1]

    async def end() -> None:
        for server in servers:
            server.close()
        await asyncio.sleep(0.1)  # what was accepted already still has to reach `guard`
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await asyncio.sleep(0)

    for kind, (serve, _) in KINDS.items():
        loop.run_until_complete(listen(kind, serve))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield found
    asyncio.run_coroutine_threadsafe(end(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def registry(ports: dict[str, int]) -> str:
    lines = []
    for kind, port in ports.items():
        lines += [f"[{kind}]", CHECK]
        for n in range(EACH):
            lines += [f"[[{kind}.instances]]", f'id = "{n}"', 'address = "127.0.0.1"', f"port = {port}"]
    return "\n".join(lines)


def states(server: Zkdns, kind: str) -> set[tuple[str, str]]:
    instances = server.json(f"/api/v1/services/{kind}")["instances"]
    return {(one["state"], one["reason"]) for one in instances}


@pytest.mark.parametrize("descriptors", [0, 64], ids=["enough descriptors", "few descriptors"])
def test_hostile_targets_cost_themselves(descriptors: int, ports: dict[str, int], tmp_path: Path) -> None:
    path = tmp_path / "services.toml"
    path.write_text("[web]\n")
    server = Zkdns(registry=f"file:{path}")
    if descriptors:
        server.is_fresh = True
        server.command = ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh", *server.command]
    with server:
        open_files = Path(f"/proc/{server.pid}/fd")
        before = len(list(open_files.iterdir()))
        path.write_text(registry(ports))
        for kind, (_, why) in KINDS.items():
            found = ("failing", why) if why else ("healthy", "")
            eventually(lambda kind=kind, found=found: states(server, kind) == {found}, 60)  # type: ignore[misc]
        changes = server.json("/api/v1/history?service=good&limit=1000")["changes"]
        assert {one["to"] for one in changes if one["id"]} == {"starting", "healthy"}, "it was never else"
        path.write_text("[web]\n")
        eventually(lambda: len(list(open_files.iterdir())) <= before + 1)
        assert "Traceback" not in server.log
        assert len(server.log.splitlines()) < 8
