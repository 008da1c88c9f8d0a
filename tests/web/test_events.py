"""What waits for one client that listens to events."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from zkdns.web import events
from zkdns.web.events import BACKLOG, WAKES_PER_TURN, Stream, Waker, spell


async def taken(stream: Stream, size: int) -> list[bytes]:
    """What is sent until it is so long."""
    parts: list[bytes] = []
    async for part in stream:
        parts.append(part)
        if sum(map(len, parts)) >= size:
            break
    return parts


async def test_events_come_in_their_order() -> None:
    stream = Stream()
    for n in range(3):
        stream.put(b"%d;" % n)
    assert await taken(stream, 6) == [b"0;1;2;"], "what waits goes out at once"


async def test_of_much_that_waits_a_piece_goes_out_at_a_time_and_no_event_is_cut() -> None:
    stream = Stream()
    long = [b"%d" % n * 100_000 for n in range(3)]
    for event in long:
        stream.put(event)
    assert await taken(stream, 300_000) == [long[0] + long[1], long[2]]


async def test_of_many_streams_a_few_are_woken_in_each_turn_and_none_is_left_out() -> None:
    waker, woken = Waker(), []
    streams = [Stream() for _ in range(3 * WAKES_PER_TURN + 1)]

    async def read(n: int) -> None:
        async for _ in streams[n]:
            woken.append(n)

    tasks = [asyncio.create_task(read(n)) for n in range(len(streams))]
    await asyncio.sleep(0)
    for stream in streams:
        stream.put(b"x")
    waker.wake(streams)
    waker.wake(streams[:2])
    told = [0]
    while told[-1] < len(streams):
        await asyncio.sleep(0)
        told.append(len(woken))
    assert max(after - before for before, after in pairwise(told)) == WAKES_PER_TURN
    assert sorted(woken) == list(range(len(streams)))
    for stream in streams:
        stream.end()
    await asyncio.gather(*tasks)


async def test_an_idle_stream_shows_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT", 0.01)
    stream = Stream()
    assert await taken(stream, 10) == [b": alive\n\n"] * 2
    stream.put(b"event")
    assert await taken(stream, 1) == [b"event"]


async def test_who_is_as_far_behind_as_may_be_gets_all_and_one_more_event_cuts_it_off() -> None:
    patient, late = Stream(), Stream()
    for n in range(BACKLOG):
        patient.put(b"%d;" % n)
        late.put(b"%d;" % n)
    late.put(b"one too many")
    whole = b"".join(b"%d;" % n for n in range(BACKLOG))
    assert b"".join(await taken(patient, len(whole))) == whole
    assert [event async for event in late] == [], "it must read all again, and not go on with a hole"


async def test_a_stream_that_ended_gives_nothing_more() -> None:
    stream = Stream()
    stream.put(b"waits")
    stream.end()
    assert [event async for event in stream] == []


def test_an_event_is_one_block_whatever_it_holds() -> None:
    wire = spell({"why": "two\nlines\n\nevent: other"})
    assert wire.count(b"\n\n") == 1
    assert wire.endswith(b"\n\n")
