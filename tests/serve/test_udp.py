"""UDP on real sockets: bursts, wildcard addresses, clients that are gone; in batches and one by one."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from typing import Any

import pytest

from support import tables
from support.tables import Answers
from zkdns.answers.table import Entry
from zkdns.config import Address
from zkdns.dns import names
from zkdns.dns.packet import Query
from zkdns.forward.pending import Pending
from zkdns.model import Instance, Registration, Service
from zkdns.serve.batch import SLOTS, Batch
from zkdns.serve.dispatch import Dispatcher, Outcome
from zkdns.serve.listen import udp
from zkdns.serve.listen.bind import bind
from zkdns.serve.listen.udp import IN_A_ROW, UdpListener
from zkdns.serve.request import Request
from zkdns.turn import ALONE_SECONDS, FEW, TURN_SECONDS

WEB = names.wire("web.svc.local")
BURST = 150
"""More than two batches, and no more than a client's default receive buffer holds."""


def answers() -> Answers:
    made = Answers(("svc.local",))
    instance = Instance("a", "a", "/s/web/a", Registration(("10.0.0.1",), port=80), 0.0)
    made.replace("web", made.compile(Service("web", "web", "/s/web", instances=(instance,))))
    return made


@pytest.fixture(params=["in batches", "one by one"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "one by one":

        def none_here(*_: object) -> None:
            raise OSError("no recvmmsg here")

        monkeypatch.setattr(udp, "Batch", none_here)
    return str(request.param)


@asynccontextmanager
async def listening(host: str, dispatcher: Dispatcher | None = None) -> AsyncIterator[tuple[Dispatcher, int]]:
    dispatcher = dispatcher or Dispatcher(answers().table)
    address = Address(host, 0)
    sock = bind(address, socket.SOCK_DGRAM)
    listener = UdpListener(sock, dispatcher, address.wildcard)
    listener.start(asyncio.get_running_loop())
    try:
        yield dispatcher, sock.getsockname()[1]
    finally:
        listener.retire(asyncio.get_running_loop())
        listener.close()


def client(host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(10)
    sock.bind((host, 0))
    return sock


def numbered(n: int, name: bytes = WEB, rtype: int = 1) -> bytes:
    return n.to_bytes(2, "big") + tables.query(name, rtype)[2:]


async def receive(sock: socket.socket, count: int) -> list[tuple[bytes, tuple[str, int]]]:
    return await asyncio.to_thread(lambda: [sock.recvfrom(4096) for _ in range(count)])


@pytest.mark.parametrize(
    ("bound", "asked"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.2"),
        ("0.0.0.0", "127.3.2.1"),
        ("::1", "::1"),
        ("::", "::1"),
    ],
)
async def test_a_reply_leaves_from_the_address_that_was_asked(way: str, bound: str, asked: str) -> None:
    async with listening(bound) as (_, port):
        with client("::1" if ":" in asked else "127.0.0.1") as sock:
            for n in range(5):
                sock.sendto(numbered(n), (asked, port))
            for reply, source in await receive(sock, 5):
                assert source[:2] == (asked, port)
                assert reply[3] & 15 == 0


ALL_NODES = socket.inet_pton(socket.AF_INET6, "ff02::1")


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "in turns"])
async def test_what_was_asked_of_all_nodes_is_answered_from_an_address_of_ours(
    alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 4291, section 2.7: nothing leaves from ff02::1. The native engine does the same. A link that has
    such addresses is no test's: here the kernel is made to say so."""
    receive_all = Batch.receive

    def receive_from_link(batch: Batch, first: int = 0) -> int:
        count = receive_all(batch, first)
        for at in (64 * k + 16 for k in range(first, first + count)):
            batch.controls[at : at + 16] = ALL_NODES
        return count

    monkeypatch.setattr(Batch, "receive", receive_from_link)
    monkeypatch.setattr(udp, "_are_of_one", lambda clients: alone)
    late = numbered(7, names.wire("late.svc.local"))
    upstream = Pending(Query(late))
    dispatcher = Dispatcher(answers().table)
    conclude = dispatcher._conclude

    def wait(request: Request, answer: Callable[[Request], Outcome]) -> Outcome:
        return upstream if request.packet == late else conclude(request, answer)

    monkeypatch.setattr(dispatcher, "_conclude", wait)
    async with listening("::", dispatcher) as (_, port):
        with client("::1") as sock:
            for query in (*map(numbered, range(6)), late):
                sock.sendto(query, ("::1", port))
            got = await receive(sock, 6)
            upstream.deliver(b"\0\7late")
            got += await receive(sock, 1)
    assert {source[0] for _, source in got} == {"::1"}
    assert sorted(reply[1] for reply, _ in got) == [0, 1, 2, 3, 4, 5, 7]
    assert not dispatcher.dropped
    assert udp._source([(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, ALL_NODES + b"\1\0\0\0")]) == []


async def test_two_clients_that_ask_two_addresses_at_once_each_get_their_own(way: str) -> None:
    """In one batch: whose address and whose source go with which reply."""
    async with listening("0.0.0.0") as (_, port):
        with client() as one, client() as two:
            for n in range(40):
                who, where = ((one, "127.0.0.1"), (two, "127.0.0.2"))[n % 2]
                # Every third gets no reply, so that replies and queries are not in step.
                query = numbered(n) if n % 3 else b"\0" + numbered(n)[1:3] + b"\x81"
                who.sendto(query, (where, port))
            due = [n for n in range(40) if n % 3]
            for who, where, parity in ((one, "127.0.0.1", 0), (two, "127.0.0.2", 1)):
                expected = [n for n in due if n % 2 == parity]
                got = await receive(who, len(expected))
                assert {source[0] for _, source in got} == {where}
                assert sorted(int.from_bytes(reply[:2], "big") for reply, _ in got) == expected


async def test_a_burst_is_answered_whole_each_with_its_own_answer(way: str) -> None:
    kinds: list[Callable[[int], bytes]] = [
        lambda n: numbered(n),
        lambda n: numbered(n, names.wire("nope.svc.local")),
        lambda n: numbered(n, names.wire("a.web.svc.local"), 33),
        lambda n: numbered(n)[:20],
        lambda n: numbered(n, names.wire("example.com")),
    ]
    rcodes = [0, 3, 0, 1, 5]
    async with listening("127.0.0.1") as (dispatcher, port):
        with client() as sock:
            for n in range(BURST):
                sock.sendto(kinds[n % 5](n), ("127.0.0.1", port))
            got = await receive(sock, BURST)
            assert sorted(int.from_bytes(reply[:2], "big") for reply, _ in got) == [*range(BURST)]
            for reply, _ in got:
                assert reply[3] & 15 == rcodes[int.from_bytes(reply[:2], "big") % 5]
        counted: Counter[int] = Counter()
        for (transport, _, rcode), n in dispatcher.counts.items():
            assert transport == "udp"
            counted[rcode] += n
        assert counted == {0: 60, 3: 30, 1: 30, 5: 30}


async def test_a_query_that_breaks_us_costs_its_own_answer_alone(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    def draw(entry: Entry) -> int:
        draws.append(entry)
        if len(draws) == 3:
            raise RuntimeError("a mistake of ours")
        return 0

    draws: list[Entry] = []
    dispatcher = Dispatcher(answers().table, position=draw)
    async with listening("127.0.0.1", dispatcher) as (_, port):
        with client() as sock:
            for n in range(6):
                sock.sendto(numbered(n), ("127.0.0.1", port))
            got = await receive(sock, 6)
    assert [reply[3] & 15 for reply, _ in sorted(got)] == [0, 0, 2, 0, 0, 0]
    assert dispatcher.errors == 1
    assert numbered(2).hex() in caplog.text, "the packet is in the log: it becomes a test"


async def test_clients_that_are_gone_disturb_nobody(way: str) -> None:
    """Replies to a closed port come back as ICMP errors on our socket."""
    async with listening("127.0.0.1") as (_, port):
        for n in range(20):
            with client() as gone:
                gone.sendto(numbered(n), ("127.0.0.1", port))
        with client() as sock:
            for n in range(20):
                sock.sendto(numbered(n), ("127.0.0.1", port))
            assert len(await receive(sock, 20)) == 20


async def test_an_empty_datagram_and_one_that_is_too_long_are_nothing_to_fear(way: str) -> None:
    async with listening("127.0.0.1") as (_, port):
        with client() as sock:
            sock.sendto(b"", ("127.0.0.1", port))
            sock.sendto(numbered(1) + bytes(60_000), ("127.0.0.1", port))
            sock.sendto(numbered(2), ("127.0.0.1", port))
            first, second = await receive(sock, 2)
            assert first[0][3] & 15 == 1, "bytes that are left over"
            assert second[0][:2] == b"\0\2"


async def test_what_waits_in_the_socket_is_answered_before_it_closes(way: str) -> None:
    dispatcher = Dispatcher(answers().table)
    address = Address("127.0.0.1", 0)
    sock = bind(address, socket.SOCK_DGRAM)
    listener = UdpListener(sock, dispatcher, False)
    loop = asyncio.get_running_loop()
    with client() as asking:
        for n in range(BURST):
            asking.sendto(numbered(n), sock.getsockname())
        listener.start(loop)
        listener.retire(loop)
        listener.close()
        assert len(await receive(asking, BURST)) == BURST


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a socket cannot leave its group")
async def test_one_that_retires_leaves_what_comes_to_the_other_on_its_address() -> None:
    loop = asyncio.get_running_loop()
    old = bind(Address("127.0.0.1", 0), socket.SOCK_DGRAM)
    new = bind(Address("127.0.0.1", old.getsockname()[1]), socket.SOCK_DGRAM)
    retiring, staying = (UdpListener(sock, Dispatcher(answers().table), False) for sock in (old, new))
    retiring.start(loop)
    staying.start(loop)
    retiring.retire(loop)
    for n in range(40):  # each from a port of its own: any of them could be the old one's
        with client() as asking:
            asking.sendto(numbered(n), new.getsockname())
            assert (await receive(asking, 1))[0][0][:2] == n.to_bytes(2, "big")
    retiring.close()
    staying.retire(loop)
    staying.close()


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])
async def test_a_batch_does_not_remember_whom_the_one_before_was_for(bound: str) -> None:
    """A query without a reply moves those behind it one place to the front, for that once."""
    async with listening(bound) as (_, port):
        with client() as one, client() as two:
            for _ in range(3):
                one.sendto(b"no query", ("127.0.0.1", port))
                two.sendto(numbered(2), ("127.0.0.1", port))
                assert (await receive(two, 1))[0][0][:2] == b"\0\2"
                one.sendto(numbered(3), ("127.0.0.1", port))
                two.sendto(numbered(4), ("127.0.0.1", port))
                assert (await receive(one, 1))[0][0][:2] == b"\0\3"
                assert (await receive(two, 1))[0][0][:2] == b"\0\4"


async def test_a_reply_that_the_kernel_will_not_take_is_counted_and_those_behind_it_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []
    real = Batch.__init__

    def fragile(batch: Batch, sock: socket.socket, control: bool = False) -> None:
        real(batch, sock, control)
        send = batch._send_call

        def refuse_the_second(fd: int, heads: object, count: int, flags: int) -> int:
            calls.append(count)
            if len(calls) == 1:
                return int(send(fd, heads, 1, flags))  # sendmmsg stops before the one that fails
            return -1 if len(calls) == 2 else int(send(fd, heads, count, flags))

        batch._send_call = refuse_the_second

    monkeypatch.setattr(Batch, "__init__", fragile)
    async with listening("127.0.0.1") as (dispatcher, port):
        with client() as sock:
            for n in range(5):
                sock.sendto(numbered(n), ("127.0.0.1", port))
            got = await receive(sock, 4)
    assert sorted(reply[1] for reply, _ in got) == [0, 2, 3, 4]
    assert dispatcher.dropped == {"send": 1}
    assert calls == [5, 4, 3]


def test_two_may_stand_on_one_address() -> None:
    one = bind(Address("127.0.0.1", 0), socket.SOCK_DGRAM)
    port = one.getsockname()[1]
    two = bind(Address("127.0.0.1", port), socket.SOCK_DGRAM)
    assert two.getsockname() == one.getsockname()
    one.close()
    two.close()


def test_an_address_that_is_not_ours_is_an_error_and_leaves_no_socket() -> None:
    with pytest.raises(OSError, match="assign"):
        bind(Address("192.0.2.1", 5300), socket.SOCK_DGRAM)


async def test_a_late_reply_that_the_kernel_will_not_take_is_counted() -> None:
    """What an upstream owed goes out by itself."""
    async with listening("127.0.0.1") as (dispatcher, port):
        with closing(bind(Address("127.0.0.1", 0), socket.SOCK_DGRAM)) as sock:
            listener = UdpListener(sock, dispatcher, wildcard=False)
            listener._send_from([], ("127.0.0.1", port))(b"x" * 70_000)
    assert dispatcher.dropped == {"send": 1}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 is no address of ours")
@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])
async def test_one_that_floods_has_the_questions_of_others_answered_before_its_own(bound: str) -> None:
    dispatcher = Dispatcher(answers().table)
    address = Address(bound, 0)
    sock = bind(address, socket.SOCK_DGRAM)
    listener = UdpListener(sock, dispatcher, address.wildcard)
    order: list[str] = []
    dispatch_all = dispatcher.dispatch_all

    def note(packets: Sequence[bytes], clients: Sequence[str], *rest: Any) -> Any:
        outcomes = dispatch_all(packets, clients, *rest)
        order.extend(clients[: len(outcomes)])
        return outcomes

    dispatcher.dispatch_all = note  # type: ignore[method-assign]
    port = sock.getsockname()[1]
    with client("127.0.0.2") as flood, client("127.0.0.3") as own:
        for n in range(BURST):
            flood.sendto(numbered(n), ("127.0.0.1", port))
        own.sendto(numbered(7), ("127.0.0.1", port))
        listener.start(asyncio.get_running_loop())
        assert [reply[:2] for reply, _ in await receive(own, 1)] == [b"\0\7"]
        got = await receive(flood, BURST)
        assert sorted(int.from_bytes(reply[:2], "big") for reply, _ in got) == [*range(BURST)]
        assert {source for _, source in got} == {("127.0.0.1", port)}
    assert order.index("127.0.0.3") == 1
    listener.retire(asyncio.get_running_loop())
    listener.close()


@pytest.mark.parametrize(
    ("bound", "asked"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "::1"), ("::", "::1")],
)
async def test_what_waited_for_its_turn_is_answered_from_where_it_was_asked(
    bound: str, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udp, "_are_of_one", lambda clients: False)
    async with listening(bound) as (dispatcher, port):
        with client(asked) as sock:
            for n in range(BURST):
                sock.sendto(numbered(n) if n % 5 else b"no query", (asked, port))
            expected = [n for n in range(BURST) if n % 5]
            got = await receive(sock, len(expected))
            assert sorted(int.from_bytes(reply[:2], "big") for reply, _ in got) == expected
            assert {source[:2] for _, source in got} == {(asked, port)}
        assert dispatcher.dropped == {"not a query": BURST // 5}


async def test_what_waits_beyond_all_parts_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp, "MAX_WAITING", 20)
    monkeypatch.setattr(udp, "_are_of_one", lambda clients: False)
    dispatcher = Dispatcher(answers().table)
    sock = bind(Address("127.0.0.1", 0), socket.SOCK_DGRAM)
    listener = UdpListener(sock, dispatcher, False)
    with client() as asking:
        for n in range(60):
            asking.sendto(numbered(n), sock.getsockname())
        listener.start(asyncio.get_running_loop())
        assert len(await receive(asking, 20)) == 20
    assert dispatcher.dropped == {"share": 40}
    listener.retire(asyncio.get_running_loop())
    listener.close()


class Clock:
    """Moves by `step` seconds with each answer."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step
        self.order: list[str] = []

    def watch(self, dispatcher: Dispatcher) -> Dispatcher:
        """`order`: who is answered when."""
        dispatch_all = dispatcher.dispatch_all

        def note(
            packets: Sequence[bytes], clients: Sequence[str], is_over: Callable[[], bool] | None = None
        ) -> Any:
            outcomes = []
            for packet, client in zip(packets, clients, strict=True):
                self.now += self.step
                self.order.append(client)
                outcomes += dispatch_all([packet], [client])
                if is_over is not None and is_over():
                    break
            return outcomes

        dispatcher.dispatch_all = note  # type: ignore[method-assign]
        return dispatcher

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("hosts", [["127.0.0.2"], ["127.0.0.2", "127.0.0.3"]], ids=["one", "two"])
@pytest.mark.parametrize("count", [2, FEW, 3 * FEW])
async def test_what_takes_a_turn_to_be_compiled_has_it_alone_however_many_come_together(
    count: int, hosts: list[str]
) -> None:
    clock = Clock(2 * ALONE_SECONDS)
    sock = bind(Address("127.0.0.1", 0), socket.SOCK_DGRAM)
    listener = UdpListener(sock, clock.watch(Dispatcher(answers().table)), False, clock)
    with ExitStack() as stack:
        clients = [stack.enter_context(client(host)) for host in hosts]
        for n in range(count):
            clients[n % len(clients)].sendto(numbered(n), sock.getsockname())
        listener.start(asyncio.get_running_loop())
        turns = []
        while len(clock.order) < count:
            before = len(clock.order)
            await asyncio.sleep(0)
            turns.append(len(clock.order) - before)
        assert max(turns) == 1
        for n, one in enumerate(clients):
            assert len(await receive(one, len(range(n, count, len(clients))))) >= 1
    listener.retire(asyncio.get_running_loop())
    listener.close()


@pytest.mark.parametrize("answers_a_turn", [1, IN_A_ROW, 20])
async def test_a_turn_of_those_that_wait_ends_by_time_whatever_an_answer_costs(answers_a_turn: int) -> None:
    clock = Clock(TURN_SECONDS / answers_a_turn * 1.01)
    sock = bind(Address("127.0.0.1", 0), socket.SOCK_DGRAM)
    listener = UdpListener(sock, clock.watch(Dispatcher(answers().table)), False, clock)
    with client("127.0.0.2") as one, client("127.0.0.3") as two:
        for n in range(30):
            one.sendto(numbered(n), sock.getsockname())
            two.sendto(numbered(n), sock.getsockname())
        listener.start(asyncio.get_running_loop())
        turns = []
        while len(clock.order) < 60:
            before = len(clock.order)
            await asyncio.sleep(0)
            turns.append(len(clock.order) - before)
        assert answers_a_turn <= max(turns) < answers_a_turn + IN_A_ROW, "a look at the clock after a few"
        assert len(await receive(one, 30)) == len(await receive(two, 30)) == 30
    listener.retire(asyncio.get_running_loop())
    listener.close()


async def test_one_client_alone_holds_the_loop_for_a_bounded_time_too() -> None:
    clock = Clock(ALONE_SECONDS / 20 * 1.01)
    sock = bind(Address("127.0.0.1", 0), socket.SOCK_DGRAM)
    listener = UdpListener(sock, clock.watch(Dispatcher(answers().table)), False, clock)
    with client() as alone:
        for n in range(BURST):
            alone.sendto(numbered(n) if n % 5 else b"no query", sock.getsockname())
        listener.start(asyncio.get_running_loop())
        turns = []
        while len(clock.order) < BURST:
            before = len(clock.order)
            await asyncio.sleep(0)
            turns.append(len(clock.order) - before)
        got = await receive(alone, BURST * 4 // 5)
        assert [int.from_bytes(reply[:2], "big") for reply, _ in got] == [n for n in range(BURST) if n % 5]
        assert max(turns) <= 20
    listener.retire(asyncio.get_running_loop())
    listener.close()


async def test_what_one_client_alone_sent_leaves_together_while_others_are_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []

    def noting(name: str, real: Callable[..., int]) -> Callable[..., int]:
        def note(*args: Any) -> int:
            calls.append(name)
            return real(*args)

        return note

    for name in ("send", "receive"):
        monkeypatch.setattr(Batch, name, noting(name, getattr(Batch, name)))
    clock = Clock(TURN_SECONDS / 10 * 1.01)
    sock = bind(Address("127.0.0.1", 0), socket.SOCK_DGRAM)
    listener = UdpListener(sock, clock.watch(Dispatcher(answers().table)), False, clock)
    with client() as alone:
        for n in range(40):
            alone.sendto(numbered(n), sock.getsockname())
        listener.start(asyncio.get_running_loop())
        assert len(await receive(alone, 40)) == 40
    assert calls.count("send") == 1
    assert calls.index("send") >= 1 + 40 // 10, "as it came, and once a turn"
    listener.retire(asyncio.get_running_loop())
    listener.close()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many replies left at each call."""
    counts: list[int] = []
    send = Batch.send

    def note(batch: Batch, count: int, *rest: Any) -> int:
        counts.append(count)
        return send(batch, count, *rest)

    monkeypatch.setattr(Batch, "send", note)
    return counts


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])
async def test_what_comes_behind_the_rest_of_a_turn_is_answered_with_it(bound: str, sent: list[int]) -> None:
    clock = Clock(ALONE_SECONDS / 20 * 1.01)
    sock = bind(Address(bound, 0), socket.SOCK_DGRAM)
    listener = UdpListener(sock, clock.watch(Dispatcher(answers().table)), bound == "0.0.0.0", clock)
    where = "127.0.0.1", sock.getsockname()[1]
    with client() as one, client() as two:
        for n in range(32):
            one.sendto(numbered(n), where)
        listener.start(asyncio.get_running_loop())
        while not sent:  # noqa: ASYNC110
            await asyncio.sleep(0)
        for n in range(8):
            two.sendto(numbered(n), where)
        for sock_, count in ((one, 32), (two, 8)):
            got = await receive(sock_, count)
            assert [reply[:2] for reply, _ in got] == [numbered(n)[:2] for n in range(count)]
            assert {source for _, source in got} == {where}
    assert sent == [20, 20]
    listener.retire(asyncio.get_running_loop())
    listener.close()


async def test_the_last_half_of_a_turn_alone_begins_nothing_that_would_be_cut(sent: list[int]) -> None:
    clock = Clock(ALONE_SECONDS / 100)
    sock = bind(Address("127.0.0.1", 0), socket.SOCK_DGRAM)
    listener = UdpListener(sock, clock.watch(Dispatcher(answers().table)), False, clock)
    with client() as alone:
        for n in range(BURST):
            alone.sendto(numbered(n), sock.getsockname())
        listener.start(asyncio.get_running_loop())
        assert len(await receive(alone, BURST)) == BURST
    assert sent == [SLOTS, SLOTS, BURST - 2 * SLOTS]
    listener.retire(asyncio.get_running_loop())
    listener.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 is no address of ours")
async def test_whose_question_comes_while_another_is_answered_waits_for_a_few_of_those() -> None:
    """The other's are all read before it comes, and it is looked for in the middle of their turn."""
    clock = Clock(TURN_SECONDS / 4)
    sock = bind(Address("127.0.0.1", 0), socket.SOCK_DGRAM)
    dispatcher = clock.watch(Dispatcher(answers().table))
    listener = UdpListener(sock, dispatcher, False, clock)
    with client("127.0.0.2") as flood, client("127.0.0.3") as own:

        def come() -> float:
            if len(clock.order) == 10:
                own.sendto(numbered(7), sock.getsockname())
            return clock()

        listener._tick = come
        for n in range(BURST):
            flood.sendto(numbered(n), sock.getsockname())
        listener.start(asyncio.get_running_loop())
        assert [reply[:2] for reply, _ in await receive(own, 1)] == [b"\0\7"]
        assert len(await receive(flood, BURST)) == BURST
    assert clock.order.index("127.0.0.3") <= 10 + FEW
    listener.retire(asyncio.get_running_loop())
    listener.close()


async def test_newcomers_are_told_before_those_that_wait_are_answered(sent: list[int]) -> None:
    clock = Clock(TURN_SECONDS / 10)
    sock = bind(Address("127.0.0.1", 0), socket.SOCK_DGRAM)
    listener = UdpListener(sock, clock.watch(Dispatcher(answers().table)), False, clock)
    with client("127.0.0.2") as flood, client("127.0.0.3") as own:
        for n in range(20):
            flood.sendto(numbered(n), sock.getsockname())
        own.sendto(numbered(7), sock.getsockname())
        listener.start(asyncio.get_running_loop())
        assert len(await receive(own, 1)) == 1
        assert len(await receive(flood, 20)) == 20
    assert sent[:2] == [2, IN_A_ROW], "one of the other's is a newcomer too"
    listener.retire(asyncio.get_running_loop())
    listener.close()


def test_in_ipv6_turns_go_to_all_that_one_client_may_have() -> None:
    with closing(bind(Address("::1", 0), socket.SOCK_DGRAM)) as sock:
        batch = Batch(sock)
        for k, host in enumerate(["2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"]):
            batch.addresses[k * 28 + 8 : k * 28 + 24] = socket.inet_pton(socket.AF_INET6, host)
        one, two, three = batch.keep([b""] * 3, batch.clients(3))
        assert one.whose == two.whose != three.whose
        assert one.client != two.client
