"""TCP by RFC 7766 on each engine, over real sockets: pipelining, limits, slow and rude clients."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from support.collecting import without_collector
from support.missing import ENGINES
from support.ports import free_port
from support.tables import Answers
from support.waiting import until
from zkdns.answers.table import Delta, Table
from zkdns.config import Address
from zkdns.dns import names
from zkdns.dns.packet import Query
from zkdns.dns.types import A
from zkdns.forward.pending import Pending
from zkdns.model import Instance, ListenError, Registration, Service, ServiceSettings
from zkdns.serve.clients import ClientTable
from zkdns.serve.dispatch import Dispatcher
from zkdns.serve.engine import LIMITS, NativeEngine, PythonEngine
from zkdns.serve.listen.bind import KERNEL_UNSENT_BYTES
from zkdns.serve.listen.leaving import refuse_new
from zkdns.serve.listen.places import Limits
from zkdns.serve.listen.tcp import TcpListener
from zkdns.serve.native import Native

ANSWER = 0
TCP = socket.SOCK_STREAM
PATIENCE = 30.0


def query(name: str = "web.svc.local", rtype: int = A, id: int = 0x1234, flags: int = 0) -> bytes:
    head = id.to_bytes(2, "big") + flags.to_bytes(2, "big") + b"\0\1\0\0\0\0\0\0"
    return head + names.wire(name) + rtype.to_bytes(2, "big") + b"\0\1"


def framed(*messages: bytes) -> bytes:
    return b"".join(len(m).to_bytes(2, "big") + m for m in messages)


def service(name: str, size: int) -> Service:
    held = tuple(
        Instance(f"i{n}", f"i{n}", f"/s/i{n}", Registration((f"10.0.{n // 256}.{n % 256}",), port=80), 0.0)
        for n in range(size)
    )
    return Service(name, name, f"/s/{name}", ServiceSettings(answers=4000, policy="first"), held)


@cache
def what_is_served() -> Delta:
    answers = Answers(["svc.local"])
    for one in (service("web", 1), service("big", 3000)):
        answers.replace(one.name, answers.compile(one))
    return answers.take()


class Client:
    """One connection; `ask` and `read` as bytes go over it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, *messages: bytes) -> None:
        self.writer.write(framed(*messages))

    async def read(self) -> bytes:
        size = await asyncio.wait_for(self.reader.readexactly(2), PATIENCE)
        return await asyncio.wait_for(self.reader.readexactly(int.from_bytes(size, "big")), PATIENCE)

    async def ask(self, message: bytes) -> bytes:
        self.send(message)
        return await self.read()

    async def ended(self) -> bool:
        """Wait for the server to end it, whichever way."""
        try:
            return await asyncio.wait_for(self.reader.read(1), PATIENCE) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self.writer.close()


class Upstream:
    """Stands where the forwarder does: keeps what it is asked, until the test answers it."""

    enabled = True
    refused = 0
    cache = ()

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, Callable[[bytes], None]]] = []

    def allows(self, client: str) -> bool:
        return True

    def is_probe(self, name: bytes) -> bool:
        return False

    def forget(self, owners: Iterable[bytes], below: bool = False) -> None:
        """Nothing is kept."""

    def answer(self, query: Query, client: str) -> Pending:
        pending = Pending(query)
        self.asked.append((query.packet, pending.deliver))
        return pending


class Server:
    def __init__(self, engine: PythonEngine, address: Address, upstream: Upstream) -> None:
        self.engine, self.address, self.upstream = engine, address, upstream
        self._clients: list[Client] = []
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def open(self) -> int:
        return self.engine.connections()[0]

    @property
    def waiting_bytes(self) -> int:
        return self.engine.connections()[1]

    async def connect(self, *, receive: int | None = None, source: str = "") -> Client:
        """`receive`: a small receive buffer, for one that reads slowly; `source`: an address of ours."""
        sock = socket.socket(socket.AF_INET, TCP)
        if source:
            sock.bind((source, 0))
        if receive is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (self.address.host, self.address.port))
        except OSError:
            sock.close()
            raise
        reader, writer = await asyncio.open_connection(sock=sock, limit=1024 if receive else 2**16)
        self._clients.append(Client(reader, writer))
        return self._clients[-1]

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Work that goes on beside the test, and ends with it."""
        self._tasks.append(asyncio.create_task(work))
        return self._tasks[-1]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for client in self._clients:
            client.writer.transport.abort()
        await asyncio.sleep(0.01)  # sockets are closed at the loop's next turn
        self.engine.close()
        await asyncio.sleep(0.01)


Start = Callable[..., Awaitable[Server]]


@pytest_asyncio.fixture(params=ENGINES)
async def start(request: pytest.FixtureRequest) -> AsyncIterator[Start]:
    """`await start(connections=3)`: a server of these limits, else the usual ones, on a port of its own."""
    servers = []

    async def run(port: int = 0, **limits: Any) -> Server:
        upstream = Upstream()
        dispatcher = Dispatcher(Table(), upstream)  # type: ignore[arg-type]
        engine: PythonEngine
        if request.param == "native":
            engine = NativeEngine(dispatcher, Native(), Limits(**limits))
        else:
            engine = PythonEngine(dispatcher, Limits(**limits))
        engine.apply(what_is_served())
        address = Address("127.0.0.1", port or free_port())
        await engine.start([address], 2)
        servers.append(Server(engine, address, upstream))
        return servers[-1]

    yield run
    for server in servers:
        await server.close()


@pytest_asyncio.fixture
async def server(start: Start) -> Server:
    return await start()


@pytest_asyncio.fixture
async def impatient(start: Start) -> Server:
    return await start(idle=0.3)


@pytest.mark.parametrize("goes", [True, False], ids=["the client's end", "ours"])
async def test_a_connection_that_ends_leaves_nothing_for_a_collector_that_looks_seldom(
    impatient: Server, goes: bool
) -> None:
    def visit() -> None:
        with socket.create_connection((impatient.address.host, impatient.address.port), PATIENCE) as sock:
            sock.sendall(framed(query()))
            assert sock.recv(2)
            while not goes and sock.recv(1000):
                pass

    with without_collector() as left:
        for _ in range(3):
            await asyncio.to_thread(visit)
        await until(lambda: not (impatient.open or left()))


async def test_many_queries_on_one_connection(server: Server) -> None:
    client = await server.connect()
    for id in range(5):
        reply = await client.ask(query(id=id))
        assert (reply[:2], reply[6:8]) == (id.to_bytes(2, "big"), b"\0\1")


async def test_pipelined_queries_are_all_answered_however_they_are_cut(server: Server) -> None:
    client = await server.connect()
    stream = framed(*(query(id=id) for id in range(1, 6)))
    for at in range(0, len(stream), 7):
        client.writer.write(stream[at : at + 7])
        await asyncio.sleep(0.001)
    assert sorted([(await client.read())[:2] for _ in range(5)]) == [
        id.to_bytes(2, "big") for id in range(1, 6)
    ]


async def test_a_thousand_pipelined_in_one_write(server: Server) -> None:
    client = await server.connect()
    client.send(*(query(id=id) for id in range(1000)))
    seen = {(await client.read())[:2] for _ in range(1000)}
    assert len(seen) == 1000


async def test_an_answer_of_ours_does_not_wait_for_an_upstream(server: Server) -> None:
    client = await server.connect()
    client.send(query("example.com", id=1), query(id=2))
    assert (await client.read())[:2] == b"\0\2", "answers come in any order (RFC 7766, section 7)"
    await until(lambda: server.upstream.asked)
    ((asked, reply),) = server.upstream.asked
    reply(asked[:2] + b"\x81\x80" + asked[4:])
    assert (await client.read())[:2] == b"\0\1"


async def test_an_upstreams_second_reply_is_not_sent(server: Server) -> None:
    client = await server.connect()
    client.send(query("example.com", id=1))
    await until(lambda: server.upstream.asked)
    ((asked, reply),) = server.upstream.asked
    for _ in range(2):
        reply(asked[:2] + b"\x81\x80" + asked[4:])
    assert (await client.read())[:2] == b"\0\1"
    assert (await client.ask(query(id=3)))[:2] == b"\0\3"


async def test_a_large_answer_comes_whole_and_without_tc(server: Server) -> None:
    client = await server.connect()
    reply = await client.ask(query("big.svc.local"))
    assert int.from_bytes(reply[6:8], "big") == 3000
    assert not reply[2] & 2
    assert len(reply) > 48_000


async def test_a_client_that_closes_its_half_gets_all_its_answers_and_the_end(server: Server) -> None:
    client = await server.connect()
    client.send(query("example.com", id=1), *(query(id=id) for id in range(2, 200)))
    client.writer.write_eof()
    seen = {(await client.read())[:2] for _ in range(198)}
    await until(lambda: server.upstream.asked)
    ((asked, reply),) = server.upstream.asked
    reply(asked[:2] + b"\x81\x80" + asked[4:])
    seen.add((await client.read())[:2])
    assert len(seen) == 199
    assert await client.ended()


async def test_a_client_that_closes_its_half_and_reads_slowly_gets_all_its_answers(server: Server) -> None:
    client = await server.connect(receive=4096)
    # Its end is seen between the small answers and the large ones, which don't fit its buffer.
    client.send(*(query(id=id) for id in range(130)))
    client.send(*(query("big.svc.local", id=id) for id in range(130, 230)))
    client.writer.write_eof()
    await until(lambda: server.waiting_bytes)
    seen = {(await client.read())[:2] for _ in range(230)}
    assert len(seen) == 230
    assert await client.ended()


async def test_a_client_that_does_not_read_is_not_read_from(server: Server) -> None:
    """Its answers wait in bounded memory, and others are answered."""
    rude = await server.connect(receive=4096)
    much = 64 << 20  # more than the kernel takes in for both of them, however far it lets its buffers grow
    some = framed(*(query("big.svc.local") for _ in range(64)))
    pushing = server.spawn(push(rude, some, much // len(some)))
    await until(lambda: server.waiting_bytes)
    other = await server.connect()
    for _ in range(20):
        assert (await other.ask(query()))[6:8] == b"\0\1"
    assert server.waiting_bytes < 200 << 10
    assert not pushing.done(), "what it sends is no longer taken"


async def push(client: Client, data: bytes, times: int) -> None:
    for _ in range(times):
        client.writer.write(data)
        await client.writer.drain()


async def test_no_query_gets_no_reply_and_those_behind_it_do(server: Server) -> None:
    client = await server.connect()
    client.send(b"", b"short", query(flags=0x8000), query(id=7))
    assert (await client.read())[:2] == b"\0\7"


async def test_what_cannot_be_read_is_a_format_error_and_the_connection_goes_on(server: Server) -> None:
    client = await server.connect()
    reply = await client.ask(query()[:-3])
    assert reply[3] & 15 == 1
    assert (await client.ask(query(id=9)))[:2] == b"\0\x09"


async def test_an_idle_connection_ends(impatient: Server) -> None:
    silent, asked = await impatient.connect(), await impatient.connect()
    await asked.ask(query())
    assert await silent.ended()
    assert await asked.ended()
    await until(lambda: not impatient.open)


async def test_a_slow_sender_ends_though_it_sends(impatient: Server) -> None:
    slow = await impatient.connect()
    slow.writer.write(framed(query())[:3])

    async def drip() -> None:
        while not slow.reader.at_eof():
            slow.writer.write(b"\1")
            await asyncio.sleep(0.2)

    slow.writer.write(b"\xff\xff")
    impatient.spawn(drip())
    assert await slow.ended()


async def test_what_is_no_query_is_no_sign_of_life(impatient: Server) -> None:
    idle = await impatient.connect()

    async def babble() -> None:
        while not idle.reader.at_eof():
            idle.send(b"", query(flags=0x8000))
            await asyncio.sleep(0.05)

    impatient.spawn(babble())
    assert await idle.ended()


async def test_a_client_that_reads_nothing_ends(impatient: Server) -> None:
    rude = await impatient.connect(receive=4096)
    rude.send(*(query("big.svc.local") for _ in range(100)))
    await until(lambda: impatient.waiting_bytes)
    await until(lambda: not impatient.open)
    # The kernel lets go of the rest at once, and tells the client so (RST).
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(rude.reader.read(), PATIENCE)


async def test_a_connection_that_is_used_does_not_end(impatient: Server) -> None:
    busy, silent = await impatient.connect(), await impatient.connect()

    async def use() -> None:
        while True:
            await busy.ask(query())
            await asyncio.sleep(0.02)

    using = impatient.spawn(use())
    assert await silent.ended()
    await asyncio.sleep(1.1)  # a sweep at least
    assert not using.done()


async def test_a_connection_that_waits_for_an_upstream_is_not_idle(impatient: Server) -> None:
    waiting, silent = await impatient.connect(), await impatient.connect()
    waiting.send(query("example.com", id=1))
    assert await silent.ended()
    await asyncio.sleep(1.1)
    ((asked, reply),) = impatient.upstream.asked
    reply(asked[:2] + b"\x81\x80" + asked[4:])
    assert (await waiting.read())[:2] == b"\0\1"


async def test_past_the_limit_the_idlest_makes_room(start: Start) -> None:
    server = await start(connections=3)
    one, two, three = [await server.connect() for _ in range(3)]
    for client in (one, two, three, one):
        await client.ask(query())
    four = await server.connect()
    await four.ask(query())
    assert await two.ended(), "it was idle for the longest"
    for client in (one, three, four):
        assert (await client.ask(query()))[6:8] == b"\0\1"
    assert server.open == 3
    assert server.engine.closed()["limit"] == 1


async def test_the_end_answers_what_is_here(server: Server) -> None:
    client = await server.connect()
    client.send(query("example.com", id=1))
    await until(lambda: server.upstream.asked)
    client.send(*(query(id=id) for id in range(2, 9)))
    await until(lambda: server.engine.counts().total() == 7)
    await server.engine.stop()
    ((asked, reply),) = server.upstream.asked
    reply(asked[:2] + b"\x81\x80" + asked[4:])
    server.engine.close()
    assert len({(await client.read())[:2] for _ in range(8)}) == 8
    assert await client.ended()
    with pytest.raises(OSError, match=r"refused|Connect"):
        await server.connect()


async def test_a_client_that_goes_while_an_upstream_is_asked_costs_nothing(server: Server) -> None:
    client = await server.connect()
    client.send(query("example.com", id=1))
    await until(lambda: server.upstream.asked)
    client.writer.transport.abort()
    ((asked, reply),) = server.upstream.asked
    reply(asked)
    await until(lambda: not server.open)
    assert (await (await server.connect()).ask(query()))[6:8] == b"\0\1"


async def test_an_error_of_ours_is_servfail_and_the_connection_goes_on(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> bytes:
        raise RuntimeError("a fault")

    client = await server.connect()
    odd = query(rtype=255, id=5)
    with monkeypatch.context() as broken:
        broken.setattr("zkdns.serve.dispatch.respond", fail)
        reply = await client.ask(odd)
    assert (reply[:2], reply[3] & 15) == (b"\0\5", 2)
    assert odd.hex() in caplog.text, "the packet is in the log, to become a test"
    assert server.engine.dispatcher.errors == 1
    assert (await client.ask(query()))[6:8] == b"\0\1"


async def test_counts_tell_the_transport(server: Server) -> None:
    client = await server.connect()
    await client.ask(query())
    await client.ask(query("nope.svc.local"))
    assert server.engine.counts() == {("tcp", 1, 0): 1, ("tcp", 1, 3): 1}


async def test_empty_messages_cost_nothing_and_a_query_behind_them_is_answered(server: Server) -> None:
    client = await server.connect()
    await asyncio.wait_for(push(client, b"\0" * (1 << 20), 16), PATIENCE)
    assert server.waiting_bytes < 64 << 10
    assert (await client.ask(query()))[6:8] == b"\0\1"


async def test_what_lands_for_a_client_that_does_not_read_is_dropped_with_its_connection(
    server: Server,
) -> None:
    rude = await server.connect(receive=4096)
    rude.send(*(query("example.com", id=id) for id in range(60)))
    await until(lambda: len(server.upstream.asked) == 60)
    server.spawn(push(rude, framed(*(query("big.svc.local") for _ in range(64))), 100))
    await until(lambda: server.waiting_bytes)
    for asked, reply in server.upstream.asked:
        reply(asked[:2] + b"\x81\x80" + asked[4:] + bytes(60_000))
    await until(lambda: server.engine.closed()["backlog"] == 1)
    assert (server.open, server.waiting_bytes) == (0, 0)
    assert (await (await server.connect()).ask(query()))[6:8] == b"\0\1"


async def test_what_waits_for_all_is_bounded_and_who_keeps_most_of_it_goes(start: Start) -> None:
    server = await start(bytes=100_000)
    rude = [await server.connect(receive=4096) for _ in range(12)]
    for client in rude:
        server.spawn(push(client, framed(*(query("big.svc.local") for _ in range(64))), 100))
    await until(lambda: server.engine.closed()["backlog"] >= 3)
    await until(lambda: server.waiting_bytes <= 100_000)
    assert (await (await server.connect()).ask(query()))[6:8] == b"\0\1"


async def test_one_network_can_not_take_the_places_of_others(start: Start) -> None:
    server = await start(connections=4)
    alone = await server.connect(source="127.0.1.1")
    await alone.ask(query())
    for _ in range(10):
        newest = await server.connect()
        await newest.ask(query())
    await until(lambda: server.engine.closed()["limit"] == 7)
    assert (await alone.ask(query()))[6:8] == b"\0\1"
    assert (await newest.ask(query()))[6:8] == b"\0\1"
    assert server.open == 4


async def test_where_descriptors_are_few_the_network_that_has_most_makes_room_and_some_are_left(
    start: Start,
) -> None:
    server = await start()
    alone = await server.connect(source="127.0.1.1")
    others = [os.dup(0) for _ in range(100)]  # a quarter is some dozens: clients and server share them
    many = [await server.connect() for _ in range(4)]
    for one in (alone, *many):
        await one.ask(query())
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    next_one = many[-1].writer.get_extra_info("socket").fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_one + next_one // 4, limits[1]))
    try:
        for n in range(3):
            newest = await server.connect(source=f"127.0.{n + 2}.1")
            assert (await newest.ask(query()))[6:8] == b"\0\1"
            await many[n].ended()
        assert server.engine.lack == "too many open files"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in others:
            os.close(descriptor)
    assert server.engine.closed()["limit"] == 3
    assert (await alone.ask(query()))[6:8] == b"\0\1"


async def test_one_that_asks_upstreams_for_more_than_its_share_waits_for_replies(server: Server) -> None:
    client = await server.connect()
    client.send(*(query("example.com", id=id) for id in range(10)))  # no whole number of turns
    await until(lambda: len(server.upstream.asked) == 10)
    client.send(*(query("example.com", id=id) for id in range(10, 300)), query(id=999))
    seen = set()
    await until(lambda: len(server.upstream.asked) == 128)
    await asyncio.sleep(0.05)
    assert len(server.upstream.asked) == 128

    async def answer() -> None:
        while True:
            for asked, reply in server.upstream.asked:
                reply(asked[:2] + b"\x81\x80" + asked[4:])
            server.upstream.asked.clear()
            await asyncio.sleep(0.001)

    server.spawn(answer())  # beside the reading: what is asked next may come when all replies are read
    while len(seen) < 301:
        seen.add((await client.read())[:2])


async def test_clients_that_come_while_a_server_leaves_are_answered_by_it_or_by_another(start: Start) -> None:
    """A listener that is just closed would take along what its queue holds, and what is on its way."""
    old = await start()
    new = await start(port=old.address.port)
    early = await old.connect()
    leaving = asyncio.create_task(old.engine.stop())

    async def come(after: float) -> None:
        await asyncio.sleep(after)
        assert (await (await old.connect()).ask(query()))[6:8] == b"\0\1"

    await asyncio.gather(*(come(n / 2000) for n in range(100)), early.ask(query()))
    await leaving
    assert (await early.ask(query()))[6:8] == b"\0\1", "what is open is served on"
    old.engine.close()
    await until(lambda: new.open)


def test_a_listener_that_is_to_end_begins_no_connection_and_gives_those_that_had_begun() -> None:
    with ExitStack() as stack:
        old = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        early = stack.enter_context(socket.create_connection(old.getsockname(), PATIENCE))
        refuse_new(old)
        with pytest.raises(TimeoutError):
            socket.create_connection(old.getsockname(), 0.3)
        accepted, peer = old.accept()
        accepted.close()
        assert peer == early.getsockname()


async def test_without_descriptors_nobody_is_taken_then_all_are_and_it_is_told_once(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    first = await server.connect()
    await first.ask(query())
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert server.engine.lack == ""
    for _ in range(3):  # at the edge of a limit it comes and goes all the time
        with ExitStack() as stack:
            stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
            waiting = [stack.enter_context(socket.socket(socket.AF_INET, TCP)) for _ in range(3)]
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))  # those that are open stay
            for sock in waiting:
                sock.setblocking(False)
                await loop.sock_connect(sock, (server.address.host, server.address.port))
                await loop.sock_sendall(sock, framed(query()))
            await until(lambda: "no more TCP connections can be taken" in caplog.text)
            assert server.engine.lack == "too many open files"
            assert (await first.ask(query()))[6:8] == b"\0\1"
            await asyncio.sleep(0.25)
            assert server.open == 1
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for sock in waiting:
                reply = await asyncio.wait_for(loop.sock_recv(sock, 4096), PATIENCE)
                assert reply[8:10] == b"\0\1"
        await until(lambda: server.open == 1)
    told = caplog.text.count("no more TCP connections can be taken")
    assert told <= 2, "once by each thread that has a listener"


def listeners_on(port: int) -> int:
    """How many TCP sockets listen there (proc_net(5))."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)


@pytest.mark.parametrize("start", ENGINES[1:], indirect=True)
async def test_with_however_few_descriptors_a_start_fails_or_all_of_it_listens(start: Start) -> None:
    """A thread that found none for itself ended, nobody was told, and its part of all clients was reset."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    counts, said = [], set()
    for few in range(40):
        port, free = free_port(), os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + few, limits[1]))
        try:
            server = await start(port)
            await asyncio.sleep(0.01)  # its threads begin
        except (OSError, ListenError) as error:
            said.add("too many open files" in str(error).lower())
            counts.append(0)
            continue
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        counts.append(listeners_on(port))
        if len(counts) > 2 and all(counts[-3:]):
            break
    assert said == {True}
    assert set(counts) == {0, counts[-1]}
    assert (await (await server.connect()).ask(query()))[6:8] == b"\0\1"


async def test_what_a_client_does_not_read_waits_with_us_and_not_by_the_megabyte_in_the_kernel() -> None:
    """There it counts against no limit of ours."""
    listener = TcpListener(Dispatcher(Table()), LIMITS)
    with socket.socket(socket.AF_INET, TCP) as sock:
        sock.bind(("127.0.0.1", 0))
        listener.start([sock])
        unsent = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
        listener.close()
    assert unsent == KERNEL_UNSENT_BYTES, "what is accepted inherits it"


async def test_no_segment_waits_until_the_one_before_was_acknowledged() -> None:
    """A client acknowledges alone after some 40 ms (RFC 1122, section 4.2.3.2)."""
    listener = TcpListener(Dispatcher(Table()), LIMITS)
    with socket.socket(socket.AF_INET, TCP) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        listener.start([sock])
        with socket.create_connection(sock.getsockname(), PATIENCE):
            await until(lambda: len(listener.open) == 1)
            (connection,) = listener.open
            served = connection._transport.get_extra_info("socket")
            assert served.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            listener.close()


async def test_a_client_that_closes_leaves_its_place_at_once(server: Server) -> None:
    for _ in range(3):
        client = await server.connect()
        await client.ask(query())
        assert server.open == 1
        client.close()
        await until(lambda: server.open == 0)
    assert server.engine.closed().total() == 0, "it was not we who ended it"


async def test_a_client_that_was_reset_before_it_was_taken_is_nobody_and_asks_nothing(server: Server) -> None:
    dispatcher = server.engine.dispatcher
    dispatcher.note_clients(ClientTable())
    for _ in range(9):  # what asks here and now is taken by a loop of ours when all of them are gone
        with socket.create_connection((server.address.host, server.address.port), PATIENCE) as gone:
            gone.sendall(framed(query()))
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client = await server.connect()
    assert (await client.ask(query()))[:2] == query()[:2]
    assert {row.client for row in server.engine.told(None, None)().rows} <= {"127.0.0.1"}
    await until(lambda: server.open == 1)
    if type(server.engine) is PythonEngine:
        assert server.engine.counts().total() == 1


async def test_after_the_end_nothing_is_looked_at_any_more() -> None:
    listener = TcpListener(Dispatcher(Table()), LIMITS)
    listener.start([])
    sweeping = listener._sweeping
    assert sweeping is not None
    listener.close()
    assert sweeping.cancelled()
