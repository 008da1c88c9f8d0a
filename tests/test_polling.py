"""Of many sockets that have something a turn of the loop looks at a few, and at what is preferred in each."""

from __future__ import annotations

import asyncio
import errno
import gc
import selectors
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import pytest

from zkdns.polling import MAX_READY, Loop, Selector, new_loop, prefer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="epoll is Linux'")

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    made = [socket.socketpair() for _ in range(5 * MAX_READY)]
    yield made
    for pair in made:
        for sock in pair:
            sock.close()


def test_all_that_is_ready_is_named_in_turn_and_none_waits_for_more_than_a_round(
    pairs: list[tuple[socket.socket, socket.socket]],
) -> None:
    selector = Selector()
    for ours, theirs in pairs:
        selector.register(ours, READ)
        theirs.send(b"x")
    named: Counter[int] = Counter()
    for _ in range(3 * len(pairs) // MAX_READY):
        ready = selector.select(0)
        assert len(ready) <= MAX_READY + 1
        named.update(key.fd for key, _ in ready)
    assert min(named.values()) == 3
    assert len(named) == len(pairs)
    selector.close()


def test_what_is_preferred_is_named_in_each_turn(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    selector = Selector()
    for ours, _ in pairs:
        selector.register(ours, READ)
    first, dear = pairs[0][0], pairs[-1][0]
    selector.prefer(dear.fileno())
    for _, theirs in pairs:
        theirs.send(b"x")
    for _ in range(10):
        assert {first.fileno(), dear.fileno()} <= {key.fd for key, _ in selector.select(0)}
    dear.recv(1)
    for _ in range(10):
        assert dear.fileno() not in {key.fd for key, _ in selector.select(0)}
    selector.unregister(dear)
    pairs[-1][1].send(b"x")
    for _ in range(10):
        assert dear.fileno() not in {key.fd for key, _ in selector.select(0)}
    selector.close()


def test_it_does_what_asyncio_asks_of_a_selector(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    ours, theirs = pairs[0]
    other = pairs[1][0]
    for selector in (Selector(), selectors.EpollSelector()):
        selector.register(ours.fileno(), READ, "data")
        selector.register(other, WRITE)
        with pytest.raises(KeyError):
            selector.get_key(theirs.fileno())
        with pytest.raises(FileExistsError) if isinstance(selector, Selector) else pytest.raises(KeyError):
            selector.register(ours.fileno(), READ)
        assert selector.get_key(ours).data == "data"
        assert [(key.fd, events) for key, events in selector.select(0)] == [(other.fileno(), WRITE)]
        selector.modify(ours.fileno(), READ | WRITE, "more")
        assert {events for _, events in selector.select(0)} == {WRITE}, "nothing came that could be read"
        theirs.send(b"x")
        ready = {key.fd: (key.data, events) for key, events in selector.select(None)}
        assert ready == {ours.fileno(): ("more", READ | WRITE), other.fileno(): (None, WRITE)}
        selector.modify(ours.fileno(), READ, "less")
        assert ("less", READ) in [(key.data, events) for key, events in selector.select(1)]
        ours.recv(1)
        assert selector.unregister(ours.fileno()).data == "less"
        assert selector.unregister(other).fileobj is other
        assert selector.select(0.001) == []
        assert not selector.get_map()
        selector.close()


def test_what_can_be_read_alone_is_not_said_to_have_room(
    pairs: list[tuple[socket.socket, socket.socket]],
) -> None:
    selector, (ours, theirs) = Selector(), pairs[0]
    ours.setblocking(False)
    with suppress(BlockingIOError):
        while ours.send(bytes(1 << 16)):
            pass
    selector.register(ours, READ | WRITE)
    assert selector.select(0) == []
    theirs.send(b"x")
    assert [events for _, events in selector.select(0)] == [READ]
    selector.close()


def test_it_waits_until_a_timer_is_due_and_not_a_millisecond_less() -> None:
    """The loop that is woken before that looks again at once, and has a core for itself meanwhile."""
    selector, waits = Selector(), list[float]()

    class Epoll:
        def poll(self, wait: float, most: int) -> list[tuple[int, int]]:
            waits.append(wait)
            return []

    epoll, selector._all = selector._all, Epoll()
    for timeout in (None, -1, 0, 0.0001, 0.0104, 2):
        selector.select(timeout)
    assert waits == pytest.approx([-1, 0, 0, 0.001, 0.011, 2])
    epoll.close()


def test_a_closed_socket_that_was_registered_is_let_go_of() -> None:
    selector, (ours, theirs) = Selector(), socket.socketpair()
    fd = ours.fileno()
    selector.register(ours, READ)
    ours.close()
    assert selector.unregister(ours).fd == fd
    with pytest.raises(KeyError):
        selector.unregister(ours)
    with pytest.raises(ValueError, match="closed"):
        selector.register(ours, READ)
    theirs.close()
    selector.close()


def test_a_thousand_that_have_something_are_no_one_turn(
    pairs: list[tuple[socket.socket, socket.socket]],
) -> None:
    async def most_in_a_turn() -> int:
        loop, read, most = asyncio.get_running_loop(), list[socket.socket](), 0
        for ours, theirs in pairs:
            ours.setblocking(False)
            loop.add_reader(ours, lambda ours=ours: (ours.recv(1), read.append(ours)))
            theirs.send(b"x")
        prefer(loop, pairs[-1][0].fileno())
        while len(read) < len(pairs):
            before = len(read)
            await asyncio.sleep(0)
            most = max(most, len(read) - before)
            assert not read or pairs[-1][0] in read
        for ours, _ in pairs:
            loop.remove_reader(ours)
        return most

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert isinstance(runner.get_loop(), Loop)
        assert runner.run(most_in_a_turn()) <= MAX_READY + 2


def test_where_the_loop_is_another_nothing_is_preferred() -> None:
    async def ask() -> None:
        prefer(asyncio.get_running_loop(), 12345)

    asyncio.run(ask())


def test_a_loop_that_could_not_be_made_ends_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    """asyncio would close what it never had, as Python lets go of it."""
    unraisable: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", lambda what: unraisable.append(what.exc_value))

    def lack(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    for broken in ("socket.socketpair", "select.epoll"):
        with monkeypatch.context() as scarce:
            scarce.setattr(broken, lack)
            with pytest.raises(OSError, match="Too many"):
                Loop()
        gc.collect()
    assert not unraisable
    assert not recwarn.list
