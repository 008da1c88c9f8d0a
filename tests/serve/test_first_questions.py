"""Who asks for services that nobody had asked for: one is compiled in a turn, and the others have theirs."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable

import dns.message
import pytest

from support.stepping import World
from support.tables import query
from support.waiting import until
from zkdns.answers.table import Table
from zkdns.dns import names
from zkdns.dns.types import NOERROR, SERVFAIL, A
from zkdns.forward.pending import Pending
from zkdns.model import Children
from zkdns.serve import first_questions
from zkdns.serve.aside import Aside
from zkdns.serve.dispatch import Dispatcher
from zkdns.serve.engine import PythonEngine
from zkdns.serve.first_questions import MAX_WAITING

MANY = 40


class Server:
    """So many services that nobody asked for, and what answers for them. `weights`: of the instances of
    each."""

    def __init__(self, count: int, weights: tuple[int, ...] = (1, 1)) -> None:
        self.world = World(threads=True, defers=0)
        for n in range(count):
            about = {
                f"i{k}": json.dumps({"address": f"10.{n}.0.{k}", "weight": w}) for k, w in enumerate(weights)
            }
            self.world.register(f"s{n}", **about)
        self.dispatcher = Dispatcher(Table(), aside=Aside(lambda work, then: None))
        self.dispatcher.compile_now = self._compile_now
        self.engine = PythonEngine(self.dispatcher)
        self.compiled: list[tuple[str, int]] = []
        """Which of them were compiled, and in which turn of the loop."""
        self.turn = 0
        self.drive()
        self._count_turns()

    def _count_turns(self) -> None:
        self.turn += 1
        asyncio.get_running_loop().call_soon(self._count_turns)

    def _compile_now(self, service: str) -> None:
        self.compiled.append((service, self.turn))
        self.engine.apply(self.world.pipeline.compile_now(service, self.world.now))

    def drive(self) -> None:
        """What is due, and what is compiled in threads."""
        while True:
            ready = self.world.ready()
            self.engine.apply(ready.delta)
            for compilation in ready.compile:
                self.world.pipeline.step(compilation.work(), self.world.now)
            if not (ready.more or ready.compile):
                return

    def ask(self, service: str, client: str = "192.0.2.1") -> Callable[[], Awaitable[dns.message.Message]]:
        """What gives the reply."""
        packet = query(names.wire(f"{service}.svc.local"), A)
        outcome = self.dispatcher.dispatch(self.dispatcher.read(packet, client))

        async def reply() -> dns.message.Message:
            message = await outcome.wait() if isinstance(outcome, Pending) else outcome
            assert isinstance(message, bytes)
            return dns.message.from_wire(message)

        return reply


def addresses(message: dns.message.Message) -> list[str]:
    return sorted(record.address for rrset in message.answer for record in rrset)


async def test_a_lone_question_is_answered_at_once() -> None:
    server = Server(1)
    packet = query(names.wire("s0.svc.local"), A)
    assert isinstance(server.dispatcher.dispatch(server.dispatcher.read(packet, "192.0.2.1")), bytes)


async def test_of_many_services_that_are_asked_for_in_one_moment_each_turn_compiles_one() -> None:
    server = Server(MANY)
    replies = [server.ask(f"s{n}") for n in range(MANY)]
    given = [await reply() for reply in replies]
    assert [addresses(message) for message in given] == [[f"10.{n}.0.0", f"10.{n}.0.1"] for n in range(MANY)]
    assert sorted(name for name, _ in server.compiled) == sorted(f"s{n}" for n in range(MANY))
    assert max(Counter(turn for _, turn in server.compiled).values()) == 1
    assert server.dispatcher.counts["udp", A, NOERROR] == MANY


async def test_all_who_ask_for_one_have_it_compiled_once() -> None:
    server = Server(2)
    replies = [server.ask("s0"), *[server.ask("s1") for _ in range(5)]]
    assert {len(addresses(await reply())) for reply in replies} == {2}
    assert [name for name, _ in server.compiled] == ["s0", "s1"]


async def test_a_network_that_asks_for_many_keeps_nobody_waiting_for_all_of_them() -> None:
    server = Server(MANY)
    for n in range(MANY - 1):
        server.ask(f"s{n}", "192.0.2.1")
    await server.ask(f"s{MANY - 1}", "198.51.100.1")()
    assert len(server.compiled) < 5


async def test_so_many_wait_and_a_network_leaves_others_room() -> None:
    server = Server(3)
    server.ask("s0")
    for _ in range(MAX_WAITING):
        refused = server.ask("s1", "192.0.2.1")
    assert (await refused()).rcode() == SERVFAIL
    assert addresses(await server.ask("s2", "198.51.100.1")())


async def test_who_asks_for_one_that_takes_long_is_answered_once_a_thread_has_compiled_it() -> None:
    server = Server(2, weights=tuple(n * 7919 % 65521 + 1 for n in range(30)))
    replies = [server.ask("s0"), server.ask("s0"), server.ask("s1")]
    await until(lambda: len(server.compiled) == 2)
    assert server.world.pipeline.builder.services["s0"].deferred
    server.drive()
    assert [len(addresses(await reply())) for reply in replies] == [8, 8, 8]
    assert [name for name, _ in server.compiled] == ["s0", "s1"]


async def test_who_asks_for_what_is_never_compiled_is_told_so_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(first_questions, "SECONDS", 0.0)
    server = Server(2)
    server.dispatcher.compile_now = lambda service: None
    for reply in [server.ask("s0"), server.ask("s0"), server.ask("s1")]:
        assert (await reply()).rcode() == SERVFAIL
    assert server.dispatcher.errors == 0
    server.dispatcher.compile_now = server._compile_now
    assert len(addresses(await server.ask("s0")())) == 2


async def test_one_that_goes_while_it_is_waited_for_is_not_there() -> None:
    server = Server(3)
    server.ask("s0")
    reply = server.ask("s1")
    server.world.names.remove("s1")
    world = server.world
    world.hear("/services", Children("/services", tuple(sorted(world.names)), next(world.zxid)))
    server.drive()
    assert not (await reply()).answer
    assert [name for name, _ in server.compiled] == ["s0"]
