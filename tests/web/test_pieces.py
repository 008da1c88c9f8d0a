"""Long lists go out in pieces, each made when the one before was taken: nobody waits for the whole of one."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout, web
from aiohttp.client_exceptions import ClientPayloadError
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from support.listening import Listening
from support.waiting import until
from zkdns.config import Address
from zkdns.web import rows
from zkdns.web import threads as web_threads
from zkdns.web.spelling import spell
from zkdns.web.threads import Threads

values = st.recursive(st.none() | st.integers(0, 9) | st.text(), lambda one: st.lists(one, max_size=3))


@given(
    st.dictionaries(st.text(), values, min_size=1), st.lists(values), st.integers(0, 3), st.integers(1, 40)
)
def test_pieces_make_the_text_that_the_whole_has(
    rest: dict[str, Any], listed: list[Any], at: int, size: int
) -> None:
    items = list(rest.items())
    items.insert(at, ("the rows", listed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "PIECE_BYTES", size)
        for document, whole in (
            ({key: iter(value) if value is listed else value for key, value in items}, dict(items)),
            (iter(listed), listed),
            (dict(items), dict(items)),
        ):
            made = list(rows.pieces(document))
            assert b"".join(made) == spell(whole) + b"\n"
            assert all(made), "an empty one is the end"


def test_no_piece_is_longer_than_its_bound_and_a_row() -> None:
    made = list(rows.pieces({"rows": ("x" * 1000 for _ in range(1000))}))
    assert len(made) > 10
    assert max(map(len, made)) <= rows.PIECE_BYTES + 1100


ROW = "x" * 1000


class Served:
    """`/` gives rows; `taken` counts those that were made."""

    def __init__(self, count: int, fails_at: int = -1) -> None:
        self.taken = 0
        self.count = count
        self.fails_at = fails_at
        self.threads = Threads()

    def rows(self) -> Iterator[str]:
        for n in range(self.count):
            if n == self.fails_at:
                raise RuntimeError("planted")
            self.taken += 1
            yield ROW

    async def answer(self, request: web.Request) -> web.StreamResponse:
        return await rows.send(request, self.threads, lambda: {"rows": self.rows()}, {"X-Of-Ours": "yes"})

    async def run(self, ask: Callable[[ClientSession, str], Any]) -> Any:
        app = web.Application()
        app.router.add_get("/", self.answer)
        async with TestServer(app) as server, ClientSession(timeout=ClientTimeout(20)) as session:
            try:
                return await ask(session, str(server.make_url("/")))
            finally:
                self.threads.close()


async def read(session: ClientSession, url: str) -> tuple[Any, Any]:
    async with session.get(url) as response:
        return json.loads(await response.read()), response.headers


async def test_a_short_list_has_a_length_and_a_long_one_comes_whole() -> None:
    short, headers = await Served(3).run(read)
    assert short == {"rows": [ROW] * 3}
    assert "Content-Length" in headers
    long, headers = await Served(2000).run(read)
    assert long == {"rows": [ROW] * 2000}
    assert headers["X-Of-Ours"] == "yes"
    assert headers["Content-Type"] == "application/json; charset=utf-8"


async def test_what_a_client_does_not_take_is_not_made() -> None:
    served = Served(200_000)

    async def ask(session: ClientSession, url: str) -> int:
        async with session.get(url) as response:
            await response.content.readexactly(10)
            before = -1
            while before != served.taken:  # until the buffers between us are full
                before = served.taken
                await asyncio.sleep(0.3)
            return before

    assert await served.run(ask) < served.count / 4


async def test_a_head_has_no_rows() -> None:
    served = Served(2000)

    async def ask(session: ClientSession, url: str) -> bytes:
        async with session.head(url) as response:
            assert response.status == 200
            return await response.read()

    assert await served.run(ask) == b""
    assert served.taken < 200


async def test_a_list_that_breaks_half_way_is_no_document() -> None:
    with pytest.raises(ClientPayloadError):
        await Served(2000, fails_at=1500).run(read)


async def test_one_who_breaks_off_is_nobodys_error(caplog: pytest.LogCaptureFixture) -> None:
    served = Served(200_000)

    async def ask(session: ClientSession, url: str) -> None:
        for _ in range(3):
            async with session.get(url) as response:
                await response.content.readexactly(10)
                response.close()
        await asyncio.sleep(0.2)

    await served.run(ask)
    assert not caplog.records


async def test_one_whose_reply_has_begun_waits_for_a_thread_that_others_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web_threads, "WAIT_SECONDS", 0.001)
    threads = Threads()
    hold = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait() -> None:
        asyncio.run_coroutine_threadsafe(hold.wait(), loop).result()

    others = [asyncio.create_task(threads.run("10.0.0.1", wait)) for _ in range(web_threads.MAX_WAITING_EACH)]
    await asyncio.sleep(0)
    with pytest.raises(web_threads.Busy):
        await threads.run("10.0.0.1", lambda: 1)
    mine = asyncio.create_task(threads.go_on("10.0.0.1", lambda: 1))
    await asyncio.sleep(0.01)
    assert not mine.done()
    hold.set()
    assert await mine == 1
    await asyncio.gather(*others)
    threads.close()


def test_what_is_made_as_a_whole_goes_out_in_pieces() -> None:
    for text in ("", "<p>\u00e9</p>", "\u200b" * (3 * rows.PIECE_BYTES + 1)):
        each = [*rows.encode(text)]
        assert b"".join(each).decode() == text
        assert len(each) == 1 + max(0, len(text) - 1) // rows.PIECE_BYTES


async def test_who_takes_nothing_for_a_while_and_then_reads_on_gets_the_whole() -> None:
    document = {"rows": ["x" * 1000] * 4000}
    server = Listening(status=lambda: SimpleNamespace(spell=lambda: document))
    await server.web.start(Address(*server.address))
    loop = asyncio.get_running_loop()
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.setblocking(False)
        await loop.sock_connect(slow, server.address)
        request = b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        await loop.sock_sendall(slow, request)
        door = server.web._door
        assert door is not None
        await until(lambda: any(each.transport.get_write_buffer_size() for each in door._guests.values()))
        text = bytearray()
        while part := await asyncio.wait_for(loop.sock_recv(slow, 1 << 20), 10):
            text += part
    await server.web.stop()
    assert json.loads(text.partition(b"\r\n\r\n")[2]) == document
