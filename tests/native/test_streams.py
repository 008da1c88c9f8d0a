"""TCP by the native engine where it is short of something: room in the queue, Python's time, descriptors."""

from __future__ import annotations

import asyncio
import resource
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support import tables
from support.native import APEX, WEB, entry, small
from support.waiting import eventually
from zkdns.answers.table import Name
from zkdns.dns import names
from zkdns.serve import native

pytestmark = pytest.mark.skipif(native.WHY_NOT != "", reason="the native engine is not built")

PLAIN = tables.query(WEB, 1)
OUTSIDE = tables.query(names.wire("example"), 1)


def framed(*messages: bytes) -> bytes:
    return b"".join(len(m).to_bytes(2, "big") + m for m in messages)


def connect(at: tuple[str, int]) -> socket.socket:
    sock = socket.create_connection(at, 20)
    sock.settimeout(20)
    return sock


def read(sock: socket.socket) -> bytes:
    def exactly(size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = sock.recv(size - len(data))
            assert more, "the connection ended"
            data += more
        return data

    return exactly(int.from_bytes(exactly(2), "big"))


@contextmanager
def begun(queue: int) -> Iterator[tuple[native.Native, tuple[str, int]]]:
    engine = native.Native(queue)
    engine.apply(small(entry(3), {APEX: Name(0), WEB: Name(0)}))
    yield engine, engine.start([("127.0.0.1", 0)], 1)[0]
    engine.close()


def test_queries_that_python_has_no_room_for_wait_with_their_client_and_are_answered() -> None:
    with begun(queue=16) as (engine, at):  # of which streams may fill two
        loop = asyncio.new_event_loop()
        engine.watch(loop, lambda packet, route: engine.reply(route, packet[:2] + b"\x81" + packet[3:]))
        with connect(at) as crowd, connect(at) as other:
            crowd.sendall(framed(*[OUTSIDE] * 50))
            eventually(lambda: engine._engine.waiting() == 2)
            other.sendall(framed(PLAIN))
            assert read(other)[7] == 3, "who asks what is plain does not wait"
            assert engine._engine.waiting() == 2
            for _ in range(50):
                eventually(engine._engine.waiting)
                engine.take()
                if engine.totals()["passed"] == 50 and not engine._engine.waiting():
                    break
            for _ in range(50):
                assert read(crowd)[:3] == OUTSIDE[:2] + b"\x81"
        assert engine.totals()["overflowed"] == 0
        loop.close()


def test_a_reply_for_one_that_has_gone_is_nobodys(engine: native.Native) -> None:
    at = engine.start([("127.0.0.1", 0)], 1)[0]
    loop = asyncio.new_event_loop()
    kept: list[native.Route] = []
    engine.watch(loop, lambda packet, route: kept.append(route))
    with connect(at) as gone:
        gone.sendall(framed(OUTSIDE))
        eventually(engine._engine.waiting)
        engine.take()
        assert (kept[0].host, kept[0].port, kept[0].transport) == (*gone.getsockname(), "tcp")
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST: not half an end
    eventually(lambda: engine.connections() == (0, 0))
    with connect(at) as next_one:  # it has the same place
        next_one.sendall(framed(PLAIN))
        read(next_one)
        engine._engine.send([(kept[0], b"late")])
        next_one.sendall(framed(PLAIN))
        assert read(next_one)[:2] == PLAIN[:2]
    engine.close()
    loop.close()


def test_a_sampled_query_over_tcp_is_pythons_and_what_is_no_query_is_not(engine: native.Native) -> None:
    at = engine.start([("127.0.0.1", 0)], 1)[0]
    engine.sample(1)
    with connect(at) as client:
        client.sendall(framed(b"short", PLAIN))
        eventually(lambda: engine._engine.waiting() == 1)
        ((packet, route),) = engine._engine.take(9)
        assert (packet, route.sampled, route.transport) == (PLAIN, True, "tcp")
    assert engine.totals()["dropped"] == 1


def test_who_asks_for_a_name_that_is_not_there_is_noted_as_told_of_nothing(engine: native.Native) -> None:
    at = engine.start([("127.0.0.1", 0)], 1)[0]
    with connect(at) as client:
        for _ in range(2):  # what is noted of the first is there when the second is answered
            client.sendall(framed(tables.query(b"\4nope" + APEX, 1)))
            assert read(client)[3] & 0x0F == 3
    assert engine.demand(0.0, 9).clients == []


def test_without_descriptors_no_client_is_taken_and_then_all_are(engine: native.Native) -> None:
    """The kernel keeps those that wait; the thread does not spin at them, and serves those that it has."""
    at = engine.start([("127.0.0.1", 0)], 1)[0]
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with connect(at) as first:
        first.sendall(framed(PLAIN))
        read(first)
        waiting = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(5)]
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))  # those that are open stay
            for sock in waiting:
                sock.connect(at)
                sock.sendall(framed(PLAIN))
            first.sendall(framed(PLAIN))
            assert read(first)[7] == 3
            rounds = engine.totals()["rounds"]
            for _ in range(20):
                first.sendall(framed(PLAIN))
                read(first)
            assert engine.totals()["rounds"] - rounds < 60, "it does not look for clients all the while"
            assert engine.connections()[0] == 1
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for sock in waiting:
                sock.settimeout(20)
                assert read(sock)[7] == 3
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for sock in waiting:
                sock.close()
