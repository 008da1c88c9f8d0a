"""Which of kazoo's sockets are ready is told in one system call, as `select` would tell it."""

from __future__ import annotations

import os
import resource
import select
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from zkdns.registry.zk.adopt import wait_for

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pairs() -> Iterator[tuple[Pair, Pair]]:
    one, other = socket.socketpair(), socket.socketpair()
    yield one, other
    for end in (*one, *other):
        end.close()


def test_only_the_sockets_with_something_to_read_are_told(pairs: tuple[Pair, Pair]) -> None:
    (near, far), (quiet, _) = pairs
    far.send(b"x")
    assert wait_for([near, quiet], [], [], 1.0) == ([near], [], [])
    assert wait_for([near, quiet], [], [], 1.0) == select.select([near, quiet], [], [], 1.0)


def test_a_socket_with_room_may_be_written_to_and_a_full_one_may_not(pairs: tuple[Pair, Pair]) -> None:
    (near, _), (full, _) = pairs
    full.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            full.send(bytes(65536))
    assert wait_for([], [near, full], [], 1.0) == ([], [near], [])


def test_nothing_is_told_when_the_time_is_over(pairs: tuple[Pair, Pair]) -> None:
    (near, _), _ = pairs
    assert wait_for([near], [], [], 0.0005) == ([], [], [])


def test_one_whose_other_end_is_gone_is_ready_so_that_its_reader_learns_of_it(
    pairs: tuple[Pair, Pair],
) -> None:
    (near, far), _ = pairs
    far.close()
    assert wait_for([near], [], [], 1.0) == ([near], [], [])
    assert near.recv(1) == b""


def test_a_descriptor_beyond_those_that_select_can_take_is_told_too(pairs: tuple[Pair, Pair]) -> None:
    (near, far), _ = pairs
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if most != resource.RLIM_INFINITY and most <= 1100:
        pytest.skip("no more descriptors here than select takes")
    os.dup2(near.fileno(), 1050)
    with socket.socket(fileno=1050) as high:
        far.send(b"x")
        assert wait_for([high], [], [], 1.0) == ([high], [], [])
