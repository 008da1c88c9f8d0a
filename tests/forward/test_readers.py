"""Many sockets behind one descriptor of the loop: each is read when something came, none after its end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from support.waiting import until
from zkdns.forward import readers
from zkdns.forward.readers import MAX_READY, READING_SECONDS, Readers

Play = Callable[[Readers], Coroutine[Any, Any, None]]


def pair() -> tuple[socket.socket, socket.socket]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.setblocking(False)
    return one, other


@pytest.fixture(params=[True, False], ids=["epoll", "the loop's own"])
def play(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[Play], None]:
    monkeypatch.setattr(readers, "HAS_EPOLL", request.param and readers.HAS_EPOLL)

    def run(act: Play) -> None:
        async def main() -> None:
            watched = Readers()
            try:
                await act(watched)
            finally:
                watched.stop()

        asyncio.run(main())

    return run


def test_each_socket_is_read_when_something_came_for_it(play: Callable[[Play], None]) -> None:
    async def act(watched: Readers) -> None:
        pairs = [pair() for _ in range(2 * MAX_READY + 1)]
        heard: list[bytes] = []
        for mine, _ in pairs:
            watched.watch(mine, lambda mine=mine: heard.append(mine.recv(64)))  # type: ignore[misc]
        for n, (_, theirs) in enumerate(pairs):
            theirs.send(b"%d" % n)
        await until(lambda: len(heard) == len(pairs))
        assert sorted(heard) == sorted(b"%d" % n for n in range(len(pairs)))
        for mine, theirs in pairs:
            watched.close(mine)
            theirs.close()

    play(act)


def test_what_one_closes_of_those_that_came_together_is_not_read(play: Callable[[Play], None]) -> None:
    async def act(watched: Readers) -> None:
        (one, to_one), (two, to_two) = pair(), pair()
        heard: list[str] = []

        def take(own: socket.socket, word: str) -> None:
            heard.append(word)
            for sock in (one, two):
                watched.close(sock)

        watched.watch(one, lambda: take(one, "one"))
        watched.watch(two, lambda: take(two, "two"))
        to_one.send(b"x")
        to_two.send(b"x")
        await until(lambda: bool(heard))
        await asyncio.sleep(0)
        assert len(heard) == 1
        to_one.close()
        to_two.close()

    play(act)


def test_a_descriptor_that_is_used_again_belongs_to_its_new_socket(play: Callable[[Play], None]) -> None:
    async def act(watched: Readers) -> None:
        mine, theirs = pair()
        heard: list[str] = []
        watched.watch(mine, lambda: heard.append("old"))
        descriptor = mine.fileno()
        watched.close(mine)
        theirs.close()
        mine, theirs = pair()
        assert mine.fileno() == descriptor
        watched.watch(mine, lambda: heard.append(mine.recv(64).decode()))
        theirs.send(b"new")
        await until(lambda: bool(heard))
        assert heard == ["new"]
        watched.close(mine)
        theirs.close()

    play(act)


def test_after_its_stop_it_can_be_used_again(play: Callable[[Play], None]) -> None:
    async def act(watched: Readers) -> None:
        for word in (b"first", b"second"):
            mine, theirs = pair()
            heard: list[bytes] = []
            watched.watch(mine, lambda mine=mine, heard=heard: heard.append(mine.recv(64)))  # type: ignore[misc]
            theirs.send(word)
            await until(lambda heard=heard: bool(heard))  # type: ignore[misc]
            assert heard == [word]
            watched.close(mine)
            theirs.close()
            watched.stop()

    play(act)


async def test_of_two_that_came_together_one_may_close_the_other(caplog: pytest.LogCaptureFixture) -> None:
    readers = Readers()
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
    taken: list[int] = []

    def take(n: int) -> None:
        taken.append(n)
        for ours, _ in pairs:
            readers.close(ours)

    for n, (ours, theirs) in enumerate(pairs):
        ours.setblocking(False)
        readers.watch(ours, partial(take, n))
        theirs.send(b"x")
    await until(lambda: taken)
    await asyncio.sleep(0.02)
    assert len(taken) == 1
    assert caplog.text == ""
    readers.stop()
    for _, theirs in pairs:
        theirs.close()


async def test_a_socket_whose_reading_breaks_costs_itself() -> None:
    if not readers.HAS_EPOLL:
        return
    watched = Readers()
    pairs = [pair() for _ in range(3)]
    read: list[int] = []

    def take(n: int) -> None:
        read.append(n)
        if n == 1:
            raise RuntimeError("planted")
        pairs[n][0].recv(10)

    for n, (one, other) in enumerate(pairs):
        watched.watch(one, partial(take, n))
        other.send(b"x")
    await until(lambda: sorted(read) == [0, 1, 2])
    for _ in range(3):
        await asyncio.sleep(0.01)
    assert read.count(1) == 1, "it is read no more"
    for one, other in pairs:
        watched.close(one)
        other.close()
    watched.stop()


async def test_it_is_time_that_ends_a_turn_and_the_others_are_read_in_their_order() -> None:
    """Sixteen replies with sixty aliases each kept the loop for 20 ms."""
    if not readers.HAS_EPOLL:
        return
    now = 0.0
    watched = Readers(lambda: now)
    pairs = [pair() for _ in range(2 * MAX_READY)]
    turns: list[list[int]] = [[]]

    def take(n: int) -> None:
        nonlocal now
        now += READING_SECONDS / 2
        turns[-1].append(n)
        watched.close(pairs[n][0])

    def count() -> None:
        turns.append([])
        asyncio.get_running_loop().call_soon(count)

    for n, (one, other) in enumerate(pairs):
        watched.watch(one, partial(take, n))
        other.send(b"x")
    count()
    await until(lambda: sum(map(len, turns)) == len(pairs))
    assert max(map(len, turns)) == 2
    assert [n for turn in turns for n in turn] == [*range(len(pairs))]
    watched.stop()
    for _, other in pairs:
        other.close()


async def test_a_network_that_has_hundreds_of_replies_keeps_nobody_elses_waiting() -> None:
    """Two clients whose upstream answered in a kilobyte each made others' answers wait for 0.4 s of CPU."""
    if not readers.HAS_EPOLL:
        return
    now = 0.0
    watched = Readers(lambda: now)
    pairs = [pair() for _ in range(2 * MAX_READY + 20)]
    order: list[int] = []

    def take(n: int) -> None:
        nonlocal now
        now += READING_SECONDS
        order.append(n)
        watched.close(pairs[n][0])

    last = len(pairs) - 1
    for n, (one, other) in enumerate(pairs):
        watched.watch(one, partial(take, n), b"quiet" if n == last else b"busy%d" % (n % 2))
        other.send(b"x")
    await until(lambda: len(order) == len(pairs))
    assert order.index(last) <= 6, "the kernel names it in the third turn"
    assert sorted(order) == [*range(len(pairs))]
    watched.stop()
    for _, other in pairs:
        other.close()
