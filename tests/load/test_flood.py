"""Floods over UDP: own names are answered all the while, memory is bounded, what is dropped is counted."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from load.conftest import INSTANCES, OWN, Start
from support.flood import Flood
from support.ordinary import Ordinary
from support.process import descriptors, resident
from support.server import Zkdns
from support.waiting import eventually

ENOUGH = 30
"""Own answers that an ordinary client has had before a flood may end."""
LOOK = 0.05
"""Seconds between two looks at what is under way; what is, is so for a second at least."""
GROWTH = 64 << 20
"""Bytes that a flood may leave behind: buffers of the allocator's, and what is kept of clients."""


@contextmanager
def silence() -> Iterator[int]:
    """The port of an upstream that takes every question and says nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def handled(server: Zkdns) -> tuple[float, float]:
    """How many datagrams were replied to and how many dropped, as the metrics have it."""
    seen = server.metrics()
    replies = {name: n for name, n in seen.items() if name.startswith("zkdns_queries_total")}
    replied = sum(n for name, n in replies.items() if 'transport="udp"' in name)
    dropped = sum(n for name, n in seen.items() if name.startswith("zkdns_dropped_total"))
    return replied, dropped


def test_a_flood_of_names_that_are_not_there_keeps_nobody_from_those_that_are(start: Start) -> None:
    server = start()
    before = resident(server.pid)
    with Ordinary(server, OWN) as client:
        for kind, rcode in (("inside", "3"), ("outside", "5")):
            enough = client.right + ENOUGH
            while client.right < enough and not client.wrong:
                with Flood(server.port, kind, sources=2000, each=16, at_once=8) as flood:
                    told = flood.told()
                assert told["wrong"] == 0
                assert set(told["rcodes"]) == {rcode}
                assert told["answered"] > 0.9 * told["sent"]
    assert resident(server.pid) - before < GROWTH


def test_every_datagram_is_answered_or_counted_as_dropped(start: Start) -> None:
    """A server that stood still for a while finds more than its buffers hold."""
    server = start()
    replied, dropped = handled(server)
    server.signal(signal.SIGSTOP)
    with (
        Flood(server.port, "inside", sources=2, each=20_000, at_once=2, patience=3) as inside,
        Flood(server.port, "outside", sources=2, each=20_000, at_once=2, patience=3) as outside,
    ):
        inside.wait_until_sent()
        outside.wait_until_sent()
        server.signal(signal.SIGCONT)
        sent = inside.told()["sent"] + outside.told()["sent"]

    def is_accounted() -> bool:
        now = handled(server)
        assert now[0] - replied + now[1] - dropped == sent
        return True

    eventually(is_accounted)
    assert handled(server)[1] > dropped, "the test was too small to lose any"
    assert server.answers("web.svc.local") == ["10.0.0.1", "10.0.0.2"]


def test_thousands_of_sources_with_a_silent_upstream_are_held_to_the_limit_of_all(start: Start) -> None:
    """A limit for each client is none where the flood has a source for each question."""
    with silence() as port:
        server = start("--forward", f"127.0.0.1:{port}")
        before, files = resident(server.pid), descriptors(server.pid)
        seen: list[float] = []
        with (
            Ordinary(server, OWN) as client,
            Flood(server.port, "outside", sources=4000, at_once=2000, patience=5) as flood,
        ):
            while flood.flows:
                seen.append(server.metrics()["zkdns_forward_in_flight"])
                time.sleep(LOOK)
            told = flood.told()
        assert client.right > 20
        assert 500 < max(seen) <= 1000
        after = server.metrics()
        assert told["answered"] == told["rcodes"]["2"]
        dropped = sum(after.get(f'zkdns_dropped_total{{reason="{why}"}}', 0) for why in ("queue", "share"))
        assert told["answered"] + dropped == told["sent"] == 4000
        assert after["zkdns_forward_limited_total"] >= 1000
        eventually(lambda: server.metrics()["zkdns_forward_in_flight"] == 0)
        eventually(lambda: descriptors(server.pid) <= files + 2)
        assert resident(server.pid) - before < GROWTH


def test_one_source_with_a_silent_upstream_has_a_tenth_and_leaves_the_rest(start: Start) -> None:
    with silence() as port:
        server = start("--forward", f"127.0.0.1:{port}")
        seen: list[float] = []
        with Ordinary(server, OWN), Flood(server.port, "outside", sources=1, each=1000, patience=5) as flood:
            while flood.flows:
                seen.append(server.metrics()["zkdns_forward_in_flight"])
                time.sleep(LOOK)
            told = flood.told()
        assert 50 < max(seen) <= 100
        assert told["answered"] == told["sent"] == told["rcodes"]["2"] == 1000
        assert server.metrics()["zkdns_forward_limited_total"] == 900


def test_a_service_of_thousands_asked_at_speed_is_cut_and_costs_no_memory(start: Start) -> None:
    server = start()
    assert len(server.answers("big.svc.local", tcp=True)) == INSTANCES
    before = resident(server.pid)
    with Ordinary(server, OWN) as client:
        while client.right < ENOUGH and not client.wrong:
            with Flood(server.port, "big", sources=400, each=32, at_once=4) as flood:
                told = flood.told()
            assert told["wrong"] == 0
            assert told["answered"] == told["cut"] == told["sent"] == 400 * 32
    assert resident(server.pid) - before < GROWTH
