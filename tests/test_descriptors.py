"""Where descriptors are few each purpose leaves the others some, and what is lacking is told as ours."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket

import pytest

from zkdns.config import Address
from zkdns.descriptors import PROBES, STREAMS, UPSTREAMS, WEB, Scarcity, are_scarce, open_socket
from zkdns.forward.sockets import begin_stream, connect
from zkdns.forward.upstream import Upstream
from zkdns.health.connection import connect as connect_probe
from zkdns.health.targets import Target
from zkdns.lack import is_local_lack
from zkdns.model import Check


def limited(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))


def test_clients_leave_some_to_upstreams_those_to_probes_and_those_to_what_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limited(monkeypatch, 1024)
    parts = (WEB, STREAMS, UPSTREAMS, PROBES)
    assert [sum(not are_scarce(n, part) for n in range(1024)) for part in parts] == [512, 768, 896, 960]
    limited(monkeypatch, resource.RLIM_INFINITY)
    assert not are_scarce(1 << 30, WEB)


def test_who_made_room_leaves_a_number_that_the_next_one_takes_and_there_are_no_fewer_for_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limited(monkeypatch, 100)
    scarcity = Scarcity(STREAMS)
    assert [scarcity.meets(n, 0.0) for n in (74, 75, 3, 4)] == [False, True, True, True]
    assert [scarcity.meets(5, now) for now in (0.9, 1.1)] == [True, False]


@pytest.mark.parametrize("way", ["udp", "tcp", "probe"])
async def test_what_would_take_the_last_ones_is_our_lack_and_leaves_none_open(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Target("/services/web/a", "a", "127.0.0.1", 9, 0.0, Check("tcp"))
    upstream = Upstream(Address("127.0.0.1", 9))
    with socket.socket() as sock:
        free = sock.fileno()
    limited(monkeypatch, free)

    async def ask() -> object:
        if way == "udp":
            return connect(upstream)
        return await (begin_stream(upstream, b"") if way == "tcp" else connect_probe(target))

    with pytest.raises(OSError, match="Too many open files") as error:
        await ask()
    assert is_local_lack(error.value)
    assert error.value.errno == errno.EMFILE
    await asyncio.sleep(0)
    with socket.socket() as sock:
        assert sock.fileno() == free


def test_while_there_are_enough_a_socket_is_one_that_does_not_block() -> None:
    with open_socket(socket.AF_INET, socket.SOCK_DGRAM, WEB) as sock:
        assert not sock.getblocking()
