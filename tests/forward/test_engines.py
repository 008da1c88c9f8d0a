"""Forwarding through each engine's own sockets: who gives what is kept, to whom, and for how long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import dns.asyncquery
import dns.edns
import dns.flags
import dns.inet
import dns.message
import dns.rcode
import pytest
import pytest_asyncio

from support.forwarding import edes
from support.ports import free_port
from support.upstream import FakeUpstream, Seen, addresses, reply, run, silent, soa
from zkdns.answers.builder import Builder
from zkdns.answers.table import Delta, Name, Table, Zone
from zkdns.config import Address, Settings
from zkdns.dns import names
from zkdns.dns.message import read_reply
from zkdns.forward import forwarder as forwarding
from zkdns.forward.forwarder import Forwarder
from zkdns.forward.judged import judge
from zkdns.forward.stored import Stored
from zkdns.model import Instance, Registration, Service
from zkdns.serve import engine as engines
from zkdns.serve.dispatch import Dispatcher
from zkdns.serve.engine import MAX_ONE_BY_ONE, NativeEngine, PythonEngine
from zkdns.serve.respond import is_ours

WWW = names.wire("www.example.org") + b"\0\1\0\1\0"


@dataclass
class Server:
    builder: Builder
    engine: PythonEngine
    forwarder: Forwarder
    upstream: FakeUpstream
    port: int

    async def ask(
        self,
        name: str = "www.example.org",
        rtype: str = "A",
        *,
        source: str = "127.0.0.1",
        tcp: bool = False,
        edns: bool = True,
    ) -> dns.message.Message:
        query = dns.message.make_query(name, rtype, use_edns=0 if edns else False)
        send = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
        return await send(query, "127.0.0.1", 10, self.port, source)

    def keep(self, ttl: int, age: float, key: bytes = WWW) -> None:
        """Have something in the cache that was fetched `age` seconds ago."""
        record = b"\xc0\x0c\0\1\0\1" + ttl.to_bytes(4, "big") + b"\0\4\xc0\0\2\7"
        message = read_reply(b"\0\0\x81\x80\0\1\0\1\0\0\0\0" + key[:-1] + record)
        assert message is not None
        self.forwarder.cache.put(key, Stored(message, key, time.monotonic() - age), 1)

    @property
    def given_by_threads(self) -> int:
        return self.engine.native.totals()["cached"] if isinstance(self.engine, NativeEngine) else 0


Start = Callable[..., Awaitable[Server]]


@pytest_asyncio.fixture(params=["python", "native"])
async def start(request: pytest.FixtureRequest) -> AsyncIterator[Start]:
    servers = []

    async def start(upstream: FakeUpstream, **more: object) -> Server:
        settings = Settings(forward=(upstream.address,), engine=request.param, **more)  # type: ignore[arg-type]
        cache = engines.choose_cache(settings)
        table = Table()
        forwarder = Forwarder(settings, cache=cache, is_ours=lambda name: is_ours(name, table))
        await forwarder.start()
        native = engines.open_native(request.param, cache)
        engine = engines.choose(Dispatcher(table, forwarder), native)
        engine.configure(settings)
        builder = Builder(["svc.local"])
        engine.apply(builder.take())
        address = Address("127.0.0.1", free_port())
        await engine.start([address], 1)
        servers.append(Server(builder, engine, forwarder, upstream, address.port))
        return servers[-1]

    yield start
    for server in servers:
        await server.engine.stop()
        await server.forwarder.stop()
        server.engine.close()


async def test_what_an_upstream_said_is_given_again_over_udp_and_tcp(start: Start) -> None:
    async with run(addresses("192.0.2.1", ttl=300)) as upstream:
        server = await start(upstream)
        replies = [await server.ask(tcp=tcp) for tcp in (False, False, True)]
        assert [r.answer[0][0].to_text() for r in replies] == ["192.0.2.1"] * 3
        assert all(r.flags & dns.flags.RA and not r.flags & dns.flags.AA for r in replies)
        assert len(upstream.queries) == 1
        assert server.engine.cache_hits() == 2
        assert server.given_by_threads == (2 if server.engine.name == "native" else 0)
        counts = server.engine.counts()
        assert (counts["udp", 1, 0], counts["tcp", 1, 0]) == (2, 1)


async def test_a_client_without_the_right_gets_nothing_of_what_others_asked_for(start: Start) -> None:
    async with run(addresses("192.0.2.1", ttl=300)) as upstream:
        server = await start(upstream, forward_allow=("127.0.0.1/32", "127.0.1.0/24"))
        for _ in range(2):
            assert (await server.ask()).answer
        for tcp in (False, True):
            refused = await server.ask(source="127.0.0.2", tcp=tcp)
            assert (refused.rcode(), edes(refused)) == (dns.rcode.REFUSED, [18])
            assert not refused.answer
            assert not refused.flags & dns.flags.RA
            assert (await server.ask(source="127.0.1.9", tcp=tcp)).answer


async def test_other_rights_hold_from_the_reload_on(start: Start) -> None:
    async with run(addresses("192.0.2.1", ttl=300)) as upstream:
        server = await start(upstream)
        assert (await server.ask()).answer
        settings = Settings(forward=(upstream.address,), forward_allow=("127.0.0.2/32",))
        server.forwarder.reload(settings)
        server.engine.configure(settings)
        assert (await server.ask()).rcode() == dns.rcode.REFUSED
        assert (await server.ask(source="127.0.0.2")).answer
        assert len(upstream.queries) == 1


async def test_what_has_expired_is_asked_for_anew(start: Start) -> None:
    async with run(addresses("192.0.2.1", ttl=300)) as upstream:
        server = await start(upstream)
        server.keep(60, 61)
        answered = await server.ask()
        assert (answered.answer[0].ttl, answered.answer[0][0].to_text()) == (300, "192.0.2.1")
        assert not edes(answered)


async def test_what_has_expired_is_given_as_stale_while_no_upstream_answers(start: Start) -> None:
    async with run(silent, hush=True) as upstream:
        server = await start(upstream)
        server.keep(60, 61)
        answered = await server.ask()
        assert (answered.answer[0].ttl, answered.answer[0][0].to_text(), edes(answered)) == (
            30,
            "192.0.2.7",
            [3],
        )
        assert server.forwarder.stale_hits == 1


async def test_what_is_asked_often_is_fetched_anew_before_it_ends_and_nobody_waits(start: Start) -> None:
    async with run(addresses("192.0.2.1", ttl=300)) as upstream:
        server = await start(upstream)
        server.keep(60, 56)
        for _ in range(4):
            assert (await server.ask()).answer[0][0].to_text() == "192.0.2.7"
        async with asyncio.timeout(10):
            while (await server.ask()).answer[0][0].to_text() != "192.0.2.1":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert len(upstream.queries) == 1
        assert server.forwarder.prefetches == 1


async def test_a_name_that_becomes_ours_is_forgotten_though_its_answer_is_under_way(start: Start) -> None:
    async with run(addresses("192.0.2.1", ttl=300)) as upstream:
        server = await start(upstream)
        assert (await server.ask("a.example.org")).answer
        assert (await server.ask("b.example.com")).answer
        script, upstream.script = upstream.script, silent
        asking = asyncio.create_task(server.ask("late.example.org"))
        async with asyncio.timeout(10):
            while len(upstream.queries) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        apex = names.wire("example.org")
        zone = Zone(1, apex, server.builder.zones[0].soa)
        server.engine.apply(Delta(names={apex: Name(1)}, zones={1: zone}))
        upstream.script = script  # it is sent again after half a second
        assert not (await asking).answer  # nobody is believed about our names
        assert len(server.forwarder.cache) == 1
        for name in ("a.example.org", "late.example.org"):
            assert (await server.ask(name)).rcode() == dns.rcode.NXDOMAIN
        assert (await server.ask("b.example.com")).answer
        assert len(upstream.queries) == 4


def a_service(many: int) -> Service:
    """The first of its instances is at 192.0.2.7."""
    held = ["192.0.2.7", *(f"10.0.{n >> 8}.{n & 255}" for n in range(1, many))]
    instances = [
        Instance(f"i{n}", f"i{n}", f"/web/i{n}", Registration((address,), port=80), 0.0)
        for n, address in enumerate(held)
    ]
    return Service("web", "web", "/web", instances=tuple(instances))


LEADING = {
    "end.example.com.": ("CNAME web.Example.org.",),
    "mid.example.com.": ("CNAME web.example.org.", "web.example.org. 300 CNAME x.example.net."),
    "back.example.com.": ("CNAME 7.2.0.192.in-addr.arpa.",),
    "away.example.com.": ("CNAME far.example.net.", "far.example.net. 300 PTR a.example."),
}
"""Aliases, and what else is said beside them; the last one has nothing to do with us."""


def leading(seen: Seen) -> bytes:
    alias, *beside = LEADING[seen.name.lower()]
    return reply(seen, f"{seen.name} 300 {alias}", *beside, authority=(soa(300),))


@pytest.mark.parametrize("many", [1, MAX_ONE_BY_ONE + 1])
async def test_what_is_kept_of_a_name_goes_with_whose_alias_leads_there_when_it_becomes_ours(
    start: Start, many: int
) -> None:
    async with run(leading) as upstream:
        server = await start(upstream)

        async def asked() -> list[str]:
            before = len(upstream.queries)
            for name in LEADING:
                assert (await server.ask(name, "PTR")).answer
            return [seen.name.lower() for seen in upstream.queries[before:]]

        assert await asked() == [*LEADING]
        assert await asked() == []
        apex = names.wire("example.org")
        server.engine.apply(
            Delta(names={apex: Name(1)}, zones={1: Zone(1, apex, server.builder.zones[0].soa)})
        )
        assert len(server.forwarder.cache) == 2
        assert await asked() == ["end.example.com.", "mid.example.com."]
        assert (await server.ask("end.example.com", "PTR")).rcode() == dns.rcode.NXDOMAIN, "ours has no such"
        server.builder.replace("web", server.builder.compile(a_service(many)))
        server.engine.apply(server.builder.take())
        assert len(server.forwarder.cache) == 1
        assert "back.example.com." in await asked()
        assert (await asked()).count("away.example.com.") == 0


async def test_what_was_on_its_way_when_the_name_that_it_leads_to_became_ours_is_not_kept(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is long is spelled in a thread; meanwhile anything may happen."""
    monkeypatch.setattr(forwarding, "MAX_RECORDS_PER_TURN", 0)
    spelled = asyncio.Event()
    real = asyncio.get_running_loop().run_in_executor

    async with run(leading) as upstream:
        server = await start(upstream)
        apex = names.wire("example.org")
        delta = Delta(names={apex: Name(1)}, zones={1: Zone(1, apex, server.builder.zones[0].soa)})

        def run_late(*args: object) -> object:
            if any(isinstance(one, partial) and one.func is judge for one in args):
                server.engine.apply(delta)
                spelled.set()
            return real(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", run_late)
        await server.ask("mid.example.com", "PTR")
        assert spelled.is_set()
        assert len(server.forwarder.cache) == 0


@pytest.mark.parametrize("many", [1, MAX_ONE_BY_ONE + 1])
async def test_a_reverse_name_is_ours_from_the_moment_that_an_instance_has_its_address(
    start: Start, many: int
) -> None:
    async with run(lambda seen: reply(seen, rcode="NXDOMAIN", authority=(soa(300),))) as upstream:
        server = await start(upstream)
        mine, other = "7.2.0.192.in-addr.arpa", "8.2.0.192.in-addr.arpa"
        for _ in range(2):
            for name in (mine, other):
                assert (await server.ask(name, "PTR")).rcode() == dns.rcode.NXDOMAIN
        assert len(upstream.queries) == 2
        server.builder.replace("web", server.builder.compile(a_service(many)))
        server.engine.apply(server.builder.take())
        answer = await server.ask(mine, "PTR")
        assert answer.answer[0][0].to_text() == "i0.web.svc.local."
        assert (await server.ask(other, "PTR")).rcode() == dns.rcode.NXDOMAIN
        assert len(upstream.queries) == (2 if many == 1 else 3)
