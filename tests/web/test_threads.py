"""Threads for what takes long: client networks take turns, none has all, and none keeps others out."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from unittest.mock import AsyncMock, MagicMock

import pytest
import pytest_asyncio

from support.listening import Listening
from support.ports import free_port
from zkdns.config import Address
from zkdns.web import http
from zkdns.web.scrapes import Scrapes
from zkdns.web.threads import MAX_WAITING, MAX_WAITING_EACH, THREADS, Asked, Busy, Share, Threads, load


class Held:
    """Work that lasts until it is let go."""

    def __init__(self) -> None:
        self.threads, self.go = Threads(), threading.Event()
        self.began: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def ask(self, *addresses: str, is_long: bool = False) -> None:
        self.tasks += [
            asyncio.create_task(self.threads.run(each, self._work, each, is_long=is_long))
            for each in addresses
        ]
        await asyncio.sleep(0)

    def _work(self, address: str) -> None:
        self.began.append(address)
        self.go.wait()

    async def end(self) -> None:
        self.go.set()
        await asyncio.gather(*self.tasks)
        for share in self.threads._shares:
            assert not share.under_way, "clients come and go, and nothing is kept of them"
            assert not share.busy
        assert self.threads._free == THREADS
        self.threads.close()


@pytest_asyncio.fixture
async def held() -> AsyncIterator[Held]:
    one = Held()
    yield one
    await one.end()


async def test_for_who_may_have_gone_nothing_is_made_while_others_wait(held: Held) -> None:
    """Pages that hundreds had asked for were made for ten seconds after all of them had gone."""
    await held.ask("192.0.2.1", "198.51.100.1")
    gone = [
        asyncio.create_task(held.threads.run(f"10.0.{n}.1", int, has_ended=lambda: True)) for n in range(5)
    ]
    there = asyncio.create_task(held.threads.run("203.0.113.1", int))
    held.go.set()
    assert await there == 0
    ended = await asyncio.gather(*gone, return_exceptions=True)
    assert [type(one) for one in ended].count(Busy) >= 4, "the last may have its turn with who is there"
    assert await held.threads.run("10.0.0.1", int, has_ended=lambda: True) == 0, "where nobody else waits"


async def test_who_asks_for_too_much_at_once_is_told_and_others_have_their_turn(held: Held) -> None:
    await held.ask(*["192.0.2.1"] * MAX_WAITING_EACH)
    with pytest.raises(Busy):
        await held.threads.run("192.0.2.200", int)
    assert await held.threads.run("198.51.100.1", int) == 0, "while none of the others has ended"
    held.go.set()
    await asyncio.gather(*held.tasks)
    assert await held.threads.run("192.0.2.1", int) == 0, "its share is its own again"


async def test_networks_take_turns_however_many_of_one_wait(held: Held) -> None:
    await held.ask(*["192.0.2.1"] * 5, "198.51.100.1", "203.0.113.1")
    held.go.set()
    await asyncio.gather(*held.tasks)
    assert {*held.began[:2]} == {"192.0.2.1", "198.51.100.1"}
    assert "203.0.113.1" in held.began[2:4]


async def test_those_who_fill_all_places_keep_nobody_out(held: Held) -> None:
    few = MAX_WAITING // MAX_WAITING_EACH
    await held.ask(*[f"10.0.{n}.1" for n in range(few) for _ in range(MAX_WAITING_EACH)])
    await held.ask("192.0.2.1")
    with pytest.raises(Busy):
        await held.threads.run("10.0.0.1", int)
    await held.ask(*[f"10.1.{n}.1" for n in range(MAX_WAITING - 1)])
    with pytest.raises(Busy):
        await held.threads.run("192.0.3.1", int)  # there are twice as many


async def test_what_takes_long_keeps_nobody_from_the_rest_however_many_networks_ask_for_it(
    held: Held,
) -> None:
    await held.ask(*[f"10.0.{n}.1" for n in range(2 * MAX_WAITING)], is_long=True)
    with pytest.raises(Busy):
        await held.threads.run("192.0.2.1", int, is_long=True)
    assert len(held.began) == THREADS - 1
    for address in ("192.0.2.1", "10.0.0.1"):
        assert await held.threads.run(address, int) == 0, "while none of those has ended"


async def test_what_takes_long_has_each_second_turn_however_many_ask_for_the_rest(held: Held) -> None:
    await held.ask(*[f"10.0.{n}.1" for n in range(2 * MAX_WAITING)])
    await held.ask("192.0.2.1", "192.0.3.1", is_long=True)
    assert len(held.began) == THREADS
    held.go.set()
    await asyncio.gather(*held.tasks)
    assert {"192.0.2.1", "192.0.3.1"} <= {*held.began[: THREADS + 4]}


async def test_one_who_is_gone_before_its_turn_takes_none(held: Held) -> None:
    await held.ask(*["192.0.2.1"] * 3)
    held.tasks[1].cancel()
    await asyncio.sleep(0)
    del held.tasks[1]
    held.go.set()
    await asyncio.gather(*held.tasks)
    assert len(held.began) == 2


async def test_a_module_is_loaded_once_and_not_by_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loaded_late.py").write_text("import threading\nby = threading.get_ident()\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = await load("loaded_late")
    assert module.by != threading.get_ident()
    assert await load("loaded_late") is module
    del sys.modules["loaded_late"]


@pytest.mark.parametrize(
    ("path", "module"), [("/", "zkdns.web.page"), ("/api/v1/explain?name=web", "zkdns.explain.what_if")]
)
async def test_what_a_page_is_made_with_is_loaded_so(
    path: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []

    async def noting(name: str) -> None:
        names.append(name)
        raise http.web.HTTPNotFound

    monkeypatch.setattr(http, "load", noting)
    server = Listening()
    await server.web.start(Address(*server.address))
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert (await reader.readline()).split()[1] == b"404"
    writer.close()
    await server.web.stop()
    assert names == [module]


@pytest.mark.parametrize(
    ("path", "is_long"),
    [
        ("/", False), ("/?service=web", False), ("/?explain=web", True), ("/metrics", False),
        ("/api/v1/services", False), ("/api/v1/problems", False), ("/api/v1/clients", False),
        ("/api/v1/explain?name=web", True), ("/api/v1/history", True),
    ],
)  # fmt: skip
async def test_explanations_and_the_journal_are_what_takes_long(
    path: str, is_long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    async def noting(
        self: Threads, address: str, work: object, *, is_long: bool = False, **more: object
    ) -> None:
        if address:  # else it is the server itself, which counts what is asked
            asked.append(is_long)
        raise Busy

    async def no_pieces(self: Scrapes) -> Callable[[], Iterator[bytes]]:
        return lambda: iter(())

    monkeypatch.setattr(Threads, "run", noting)
    monkeypatch.setattr(Scrapes, "take", no_pieces)
    observed = MagicMock()
    observed.status.return_value.services = {}
    observed.status.return_value.zones = ("svc.local",)
    observed.recorded = AsyncMock()
    web = http.Web(observed)
    address = "127.0.0.1", free_port()
    await web.start(Address(*address))
    reader, writer = await asyncio.open_connection(*address)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    answer = await reader.readline()
    writer.close()
    await web.stop()
    assert (answer.split()[1], asked) == (b"503", [is_long])


@pytest.mark.parametrize("is_long", [True, False])
async def test_each_piece_of_what_takes_long_is_asked_for_as_that(is_long: bool) -> None:
    threads = MagicMock()
    asked = Asked(threads, lambda: False, is_long=is_long)
    for call in (asked.run, asked.go_on):
        call("192.0.2.1", len)
    assert [call.kwargs["is_long"] for call in (threads.run.call_args, threads.go_on.call_args)] == [
        is_long
    ] * 2
    assert threads.run.call_args.args == threads.go_on.call_args.args == ("192.0.2.1", len)


def test_a_network_has_room_up_to_its_part_of_what_waits_and_a_new_one_until_twice_as_many_do() -> None:
    share = Share(1)
    for n in range(MAX_WAITING_EACH):
        assert share.has_room("alone")
        share.under_way["alone"] = n + 1
    assert not share.has_room("alone")
    share.under_way.clear()
    part = 2
    for n in range(MAX_WAITING // part):
        share.under_way[f"n{n}"] = part
    assert not share.has_room("n0")
    assert share.has_room("new")
    share.leave("n1")
    assert share.has_room("n0"), "one has gone"
    for n in range(MAX_WAITING):
        share.under_way[f"m{n}"] = 1
    share.under_way["n1"] += 1
    assert not share.has_room("new")
    share.leave("m0")
    assert "m0" not in share.under_way
    assert share.has_room("new")
