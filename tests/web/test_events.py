"""What waits for one client that listens to events."""

from __future__ import annotations

from zkdns.web.events import BACKLOG, Stream, spell


async def test_events_come_in_their_order() -> None:
    stream = Stream()
    for n in range(3):
        stream.put(b"%d" % n)
    got = []
    async for event in stream:
        got.append(event)
        if len(got) == 3:
            break
    assert got == [b"0", b"1", b"2"]


async def test_who_is_as_far_behind_as_may_be_gets_all_and_one_more_event_cuts_it_off() -> None:
    patient, late = Stream(), Stream()
    for n in range(BACKLOG):
        patient.put(b"%d" % n)
        late.put(b"%d" % n)
    late.put(b"one too many")
    got = []
    async for event in patient:
        got.append(event)
        if len(got) == BACKLOG:
            break
    assert got == [b"%d" % n for n in range(BACKLOG)]
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
