"""Connections by the thousand over TCP, slow ones, greedy ones: others are answered, and all is let go of."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from load.conftest import INSTANCES, OWN, Start
from support.crowd import Crowd, framed, send_what_fits
from support.ordinary import Ordinary
from support.process import descriptors, resident
from support.server import Zkdns
from support.waiting import eventually

MOST = 1000
PIPELINED = 20
GROWTH = 160 << 20
"""Bytes: a thousand that don't read, each with a full write buffer, one answer more and its own queries."""


@pytest.fixture
def crowd(start: Start) -> Iterator[Crowd]:
    made = Crowd(start())
    yield made
    made.close()


def closed(server: Zkdns, reason: str) -> float:
    return server.metrics()[f'zkdns_tcp_closed_total{{reason="{reason}"}}']


def read_whole_answers(sock: socket.socket) -> None:
    with sock.makefile("rb") as stream:
        ids = set()
        for _ in range(PIPELINED):
            reply = stream.read(int.from_bytes(stream.read(2), "big"))
            assert int.from_bytes(reply[6:8], "big") == INSTANCES
            assert not reply[2] & 2
            ids.add(int.from_bytes(reply[:2], "big"))
    assert ids == set(range(PIPELINED))


def test_thirteen_hundred_idle_connections_leave_room_for_one_more(crowd: Crowd) -> None:
    server = crowd.server
    files = descriptors(server.pid)
    with Ordinary(server, OWN) as client:
        for n in range(1300):
            sock = crowd.connect()
            if n % 3 == 0:
                sock.sendall(framed("web.svc.local"))
        # The idlest made room; the ordinary client's own connections were among those that came and went.
        eventually(lambda: server.metrics()["zkdns_tcp_connections"] <= MOST)
        assert len(server.answers("web.svc.local", tcp=True)) == 2
        eventually(lambda: crowd.ended() >= 1300 - MOST)
        assert closed(server, "limit") >= 300
        eventually(lambda: crowd.ended() == 1300)
    assert client.right > 50
    # One of the ordinary client's may have been the idlest, when it was slow to close it.
    assert closed(server, "limit") + closed(server, "idle") >= 1300
    eventually(lambda: server.metrics()["zkdns_tcp_connections"] == 0)
    eventually(lambda: descriptors(server.pid) <= files + 2)  # the HTTP connection that asks is one


def test_each_that_makes_room_is_counted_however_many_others_come_and_go(crowd: Crowd) -> None:
    """A place may be given to one that is gone before the thread that lost it is told."""
    over = threading.Event()
    goers = [threading.Thread(target=come_and_go, args=(crowd.server, n, over)) for n in range(3)]
    for goer in goers:
        goer.start()
    try:
        for _ in range(3 * MOST):
            crowd.connect()
    finally:
        over.set()
        for goer in goers:
            goer.join()
    counts = ('zkdns_tcp_closed_total{reason="limit"}', 'zkdns_tcp_closed_total{reason="idle"}')

    def known() -> float:
        metrics = crowd.server.metrics()
        return metrics["zkdns_tcp_connections"] + sum(metrics[name] for name in counts)

    eventually(lambda: known() == 3 * MOST)


def come_and_go(server: Zkdns, n: int, over: threading.Event) -> None:
    """From a network of its own, which never has as many as the crowd's."""
    while not over.is_set():
        with socket.socket() as sock:
            sock.bind((f"127.0.{n + 1}.1", 0))
            sock.connect((server.host, server.port))


def test_those_that_read_or_write_slowly_cost_nobody_and_are_ended(crowd: Crowd) -> None:
    server = crowd.server
    before, files = resident(server.pid), descriptors(server.pid)
    most = before
    with Ordinary(server, OWN) as client:
        for n in range(400):
            send_what_fits(crowd.connect(receive=4096), framed("big.svc.local") * 100)
            crowd.connect().sendall(framed("web.svc.local", n)[:5])
        until = time.monotonic() + 60
        while crowd.ended() < len(crowd.all) and time.monotonic() < until:
            for n, sock in enumerate(crowd.all):
                try:
                    if n % 2:
                        sock.send(b"\0")  # a byte of a query that never ends
                    else:
                        sock.recv(64)
                except OSError:
                    pass
            most = max(most, resident(server.pid))
            time.sleep(0.5)
        assert crowd.ended() == len(crowd.all)
    assert client.right > 100
    assert closed(server, "idle") == len(crowd.all)
    assert most - before < GROWTH
    eventually(lambda: descriptors(server.pid) <= files + 2)


def test_a_service_of_thousands_is_given_whole_at_speed(crowd: Crowd) -> None:
    server = crowd.server
    before = resident(server.pid)
    asked = b"".join(framed("big.svc.local", id) for id in range(PIPELINED))
    for _ in range(30):
        crowd.connect()
    with Ordinary(server, OWN) as client:
        while client.right < 30 and not client.wrong:
            for sock in crowd.all:
                sock.sendall(asked)
            for sock in crowd.all:
                read_whole_answers(sock)
    assert resident(server.pid) - before < GROWTH
