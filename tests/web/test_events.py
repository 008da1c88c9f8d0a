"""What waits for clients that listen to events."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from zkdns.model import Change
from zkdns.web import events, shapes
from zkdns.web.events import PIECE_BYTES, WAKES_PER_TURN, Listeners, Stream, Waker, spell


def opened(listeners: Listeners, client: str = "") -> Stream:
    stream = Stream()
    listeners.open(stream, client)
    return stream


async def taken(stream: Stream, size: int) -> list[bytes]:
    """What is sent until it is so long."""
    parts: list[bytes] = []
    async for part in stream:
        parts.append(part)
        if sum(map(len, parts)) >= size:
            break
    return parts


async def test_events_come_in_their_order() -> None:
    listeners = Listeners()
    stream = opened(listeners)
    for n in range(3):
        listeners.latest.add(b"%d;" % n)
    late = opened(listeners)
    listeners.latest.add(b"3;")
    assert await taken(stream, 8) == [b"0;1;2;3;"], "what waits goes out at once"
    assert await taken(late, 2) == [b"3;"], "what came before it is not for it"


async def test_of_much_that_waits_a_piece_goes_out_at_a_time_and_no_event_is_cut() -> None:
    listeners = Listeners()
    stream = opened(listeners)
    long = [b"%d" % n * 50_000 for n in range(3)]
    for event in long:
        listeners.latest.add(event)
    assert await taken(stream, 150_000) == [long[0] + long[1], long[2]]


async def test_of_many_streams_a_few_are_woken_in_each_turn_and_none_is_left_out() -> None:
    waker, woken, listeners = Waker(), [], Listeners()
    streams = [opened(listeners) for _ in range(3 * WAKES_PER_TURN + 1)]

    async def read(n: int) -> None:
        async for _ in streams[n]:
            woken.append(n)

    tasks = [asyncio.create_task(read(n)) for n in range(len(streams))]
    await asyncio.sleep(0)
    listeners.latest.add(b"x")
    waker.wake(streams)
    waker.wake(streams[:2])
    told = [0]
    while told[-1] < len(streams):
        await asyncio.sleep(0)
        told.append(len(woken))
    assert max(after - before for before, after in pairwise(told)) == WAKES_PER_TURN
    assert sorted(woken) == list(range(len(streams)))
    listeners.end()
    await asyncio.gather(*tasks)


async def test_who_lacks_much_gets_a_piece_in_each_of_its_turns() -> None:
    """The kernel takes some hundreds of kilobytes at once: eight such made a turn of 20 ms."""
    listeners, sent = Listeners(), []
    streams = [opened(listeners) for _ in range(2 * WAKES_PER_TURN)]

    async def read(n: int) -> None:
        async for _ in streams[n]:
            sent.append(n)

    tasks = [asyncio.create_task(read(n)) for n in range(len(streams))]
    await asyncio.sleep(0)
    for _ in range(5):
        listeners.latest.add(bytes(PIECE_BYTES))
    listeners._waker.wake(streams)
    told = [0]
    while told[-1] < 5 * len(streams):
        await asyncio.sleep(0)
        told.append(len(sent))
    assert max(after - before for before, after in pairwise(told)) == WAKES_PER_TURN
    assert sent[: len(streams)] == list(range(len(streams))), "each had one before any had another"
    listeners.end()
    await asyncio.gather(*tasks)


async def test_an_idle_stream_shows_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT", 0.01)
    listeners = Listeners()
    stream = opened(listeners)
    assert await taken(stream, 10) == [b": alive\n\n"] * 2
    listeners.latest.add(b"event")
    assert await taken(stream, 1) == [b"event"]


def change(id: str, now: str = "") -> Change:
    return Change(0.0, 1, "web", id, "gone", "healthy", now)


async def test_who_is_as_far_behind_as_may_be_gets_all_and_one_more_event_cuts_it_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size = len(events.spell(next(shapes.events([change("i0")]))))
    monkeypatch.setattr(events, "MAX_KEPT_BYTES", 5 * size)
    listeners, cut = Listeners(), list[str]()
    patient, late = Stream(lambda: cut.append("patient")), Stream(lambda: cut.append("late"))
    listeners.open(late, "")
    listeners.tell([change("i0")])
    listeners.open(patient, "")
    for n in range(1, 6):
        await asyncio.sleep(0)
        listeners.tell([change(f"i{n}")])
    assert cut == ["late"]
    whole = b"".join(await taken(patient, 5 * size))
    assert all(b'"i%d"' % n in whole for n in range(1, 6))
    assert [event async for event in late] == [], "it must read all again, and not go on with a hole"


async def test_what_waits_is_kept_once_by_bytes_and_no_longer_than_somebody_lacks_it() -> None:
    listeners = Listeners()
    deaf, reader = [opened(listeners) for _ in range(20)], opened(listeners)
    long = "x" * (events.MAX_KEPT_BYTES // 10)
    for n in range(30):
        listeners.tell([change(f"i{n}", long)])
        await taken(reader, len(long))
        assert listeners.latest.size <= events.MAX_KEPT_BYTES
    for stream in deaf:
        assert [event async for event in stream] == [], "it was cut"
        listeners.close(stream)
    assert not listeners.latest.size


async def test_who_reads_is_told_of_all_of_thousands_however_many_listen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "MAX_KEPT_BYTES", 3 * events.PIECE_BYTES)
    listeners, many, readers = Listeners(), 3000, 10 * WAKES_PER_TURN
    seen = [0] * readers

    async def read(n: int) -> None:
        async for part in opened(listeners):
            seen[n] += part.count(b"\n\n")
            if seen[n] == many:
                return
            await asyncio.sleep(0)  # what is sent takes a turn

    tasks = [asyncio.create_task(read(n)) for n in range(readers)]
    await asyncio.sleep(0)
    listeners.tell([change(f"i{n}") for n in range(many)])
    await asyncio.gather(*tasks)
    assert seen == [many] * readers


async def test_where_more_changes_come_than_can_be_told_all_streams_end_and_nothing_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "MAX_UNTOLD", 6)
    monkeypatch.setattr(events, "SECONDS", 0.0)  # an event a turn

    def some(first: int, many: int) -> list[Change]:
        return [change(f"i{n}") for n in range(first, first + many)]

    listeners = Listeners()
    stream = opened(listeners)
    listeners.tell(some(0, 10))
    size = len(b"".join([spell(one) for one in shapes.events(some(0, 10))]))
    assert b"".join(await taken(stream, size)).count(b"\n\n") == 10, "of one moment all, where nothing waits"
    await asyncio.sleep(0)
    for first in (10, 13):
        listeners.tell(some(first, 3))
    waits = opened(listeners)
    size = len(b"".join([spell(one) for one in shapes.events(some(11, 5))]))
    assert b"".join(await taken(waits, size)).count(b"\n\n") == 5, "as many as may wait are told"
    await asyncio.sleep(0)
    listeners.tell(some(16, 3))
    listeners.tell(some(19, 4))
    for one in (stream, waits):
        assert [part async for part in one] == [], "it reads all again, and does not go on with a hole"
        listeners.close(one)
    listeners.tell(some(23, 1))
    late = opened(listeners)
    listeners.tell(some(24, 6))
    assert b"".join(await taken(late, size)).count(b"\n\n") >= 5, "what was given up waits no more"


async def test_a_stream_that_ended_gives_nothing_more() -> None:
    listeners = Listeners()
    stream = opened(listeners)
    listeners.latest.add(b"waits")
    stream.end()
    assert [event async for event in stream] == []


def test_an_event_is_one_block_whatever_it_holds() -> None:
    wire = spell({"why": "two\nlines\n\nevent: other"})
    assert wire.count(b"\n\n") == 1
    assert wire.endswith(b"\n\n")
