"""All that has turns of the loop goes on after an error of ours in one of them: those behind it have theirs,
and what comes later has as well."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any

import dns.message
import pytest

from support.forwarding import ask, forwarding, query, said
from support.stepping import break_at
from support.upstream import addresses, run
from support.waiting import until
from zkdns.dns.packet import Query
from zkdns.forward import questions
from zkdns.forward.alarms import Alarm
from zkdns.forward.asked import Asked
from zkdns.forward.pending import Deliveries, Pending
from zkdns.forward.readers import Readers
from zkdns.health.prober import Prober
from zkdns.health.targets import Target
from zkdns.line import Line
from zkdns.model import Check, Verdict
from zkdns.serve.listen.tcp import ENDED_PER_TURN, TcpListener
from zkdns.serve.listen.turns import Turns as Messages
from zkdns.web.events import WAKES_PER_TURN, Waker
from zkdns.web.turns import REQUESTS_PER_TURN
from zkdns.web.turns import Turns as Requests

QUERY = Query(dns.message.make_query("www.example.com", "A").to_wire())


@contextmanager
def heard_of_errors() -> Iterator[list[str]]:
    """What reached the loop."""
    told: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: told.append(str(context.get("exception"))))
    yield told
    loop.set_exception_handler(None)


class One:
    """Notes that it had its turn; the first of all fails."""

    def __init__(self, had: list[One]) -> None:
        self.had = had

    def wake(self) -> None:
        self.had.append(self)
        if len(self.had) == 1:
            raise RuntimeError("planted")

    def take_turn(self, most: int = 0) -> bool:
        self.wake()
        return True


async def test_event_streams_are_woken() -> None:
    waker, had = Waker(), list[One]()
    with heard_of_errors() as errors:
        waker.wake([One(had) for _ in range(3 * WAKES_PER_TURN)])  # type: ignore[misc]
        await until(lambda: len(had) == 3 * WAKES_PER_TURN)
        waker.wake([One(had)])  # type: ignore[list-item]
        await until(lambda: len(had) == 3 * WAKES_PER_TURN + 1)
    assert errors == ["planted"]


async def test_http_requests_are_begun() -> None:
    turns, had = Requests(), list[One]()
    with heard_of_errors() as errors:
        waiting = [one for _ in range(3 * REQUESTS_PER_TURN) if not turns.come(one := One(had), b"x")]
        await until(lambda: len(had) == len(waiting))
    assert errors == ["planted"]


async def test_messages_over_tcp_are_answered() -> None:
    turns, had = Messages(lambda: 0.0), list[One]()
    with heard_of_errors() as errors:
        for n in range(50):
            turns.queue(One(had), b"%d" % n, n % 2 == 1)
        await until(lambda: len(had) == 50)
    assert errors == ["planted"]


async def test_connections_over_tcp_are_ended() -> None:
    ended: list[object] = []

    def close() -> None:
        ended.append(None)
        if len(ended) == 1:
            raise RuntimeError("planted")

    listener: Any = TcpListener.__new__(TcpListener)
    listener._leaving = deque()
    with heard_of_errors() as errors:
        for _ in range(3 * ENDED_PER_TURN):
            listener.let_leave(SimpleNamespace(has_gone=True, close=close))
        await until(lambda: len(ended) == 3 * ENDED_PER_TURN)
    assert errors == ["planted"]


async def test_replies_are_delivered() -> None:
    def fail(pending: Pending) -> None:
        raise RuntimeError("planted")

    def deliver(pending: Pending) -> None:
        if pending is waiting[1]:
            raise RuntimeError("planted")
        pending.deliver(b"told")

    clock = iter(range(1000))
    waiting = [Pending(QUERY) for _ in range(5)]
    deliveries = Deliveries(fail, lambda: next(clock))  # one in a turn
    with heard_of_errors() as errors:
        deliveries.do(waiting, deliver)
        told = [await asyncio.wait_for(one.wait(), 5) for one in waiting if one is not waiting[1]]
        deliveries.do([last := Pending(QUERY)], deliver)
        assert await asyncio.wait_for(last.wait(), 5) == b"told"
    assert told == [b"told"] * 4
    assert errors == ["planted"]


class Sockets(Readers):
    """They are closed, and then it fails."""

    def close(self, sock: socket.socket) -> None:
        Readers.close(self, sock)
        self.fail()

    def fail(self) -> None:
        pass


@asynccontextmanager
async def breaking_once(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, is_it: Callable[..., bool] = lambda *all: True
) -> AsyncIterator[list[object]]:
    """It fails the first time."""
    met: list[object] = []

    def is_first(*arguments: object) -> bool:
        if met or not is_it(*arguments):
            return False
        met.append(None)
        return True

    with monkeypatch.context() as patch:
        break_at(patch, owner, name, is_first)
        yield met


@pytest.mark.parametrize(("owner", "name"), [(Line, "take"), (Alarm, "cancel"), (Sockets, "fail")])
async def test_questions_are_sent_and_none_keeps_its_place(
    owner: object, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "Readers", Sockets)
    async with run(addresses("192.0.2.1")) as up, forwarding(up) as forwarder:
        with heard_of_errors():
            async with breaking_once(monkeypatch, owner, name) as met:
                names = [f"n{n}.example.net" for n in range(6)]
                replies = await asyncio.gather(*(ask(forwarder, query(name)) for name in names))
            assert met
            assert sum(said(reply) == ["192.0.2.1"] for reply in replies) >= len(names) - 1
            assert said(await ask(forwarder, query("later.example.net"))) == ["192.0.2.1"]
        assert (forwarder._questions._load.total, len(forwarder._questions)) == (0, 0)


async def test_a_question_that_could_not_be_begun_leaves_its_room(monkeypatch: pytest.MonkeyPatch) -> None:
    async with run(addresses("192.0.2.1")) as up, forwarding(up) as forwarder:
        async with breaking_once(monkeypatch, Asked, "wait") as met:
            with pytest.raises(RuntimeError):
                forwarder.answer(QUERY, "192.0.2.7")
        assert met
        assert forwarder._room.taken == 0


def target(id: str) -> Target:
    return Target(f"/services/web/{id}", id, "127.0.0.1", 80, 0.0, Check("tcp", interval=0.05), service="web")


@pytest.mark.parametrize("name", ["_note_start", "_next", "_tell_one"])
async def test_instances_are_probed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Verdict] = []

    async def probe(target: Target) -> str:
        return ""

    prober = Prober(lambda target, verdict: told.append(verdict), named=lambda kind: probe)
    async with breaking_once(monkeypatch, Prober, name) as met:
        prober.schedule(target("a"))
        await until(lambda: bool(met))
    prober.schedule(target("b"))
    for id in "ab" if name != "_note_start" else "b":
        path = target(id).path
        await until(lambda path=path: sum(verdict.path == path for verdict in told) >= 2)  # type: ignore[misc]
    assert prober.faults == 1
    await prober.stop()
