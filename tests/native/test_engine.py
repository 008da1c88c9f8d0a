"""The native engine with real sockets: threads, batches, hand-over, publishing while it answers, ends."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from msgspec import structs

from support import tables
from support.native import APEX, WEB, A, Asking, address, ask, client, entry, first, small
from support.waiting import eventually, until
from zkdns.answers.rotation import Rotation
from zkdns.answers.table import Delta, InstanceAddresses, Name, Staleness
from zkdns.dns import ede, names
from zkdns.serve import dispatch, native
from zkdns.turn import ALONE_SECONDS, FEW, TURN_SECONDS

pytestmark = pytest.mark.skipif(native.WHY_NOT != "", reason="the native engine is not built")


def test_every_address_is_answered_on_by_every_worker(engine: native.Native) -> None:
    bound = engine.start([("127.0.0.1", 0), ("127.0.0.2", 0)], 3)
    assert [host for host, _ in bound] == ["127.0.0.1", "127.0.0.2"]
    for at in bound:
        firsts = Counter(first(ask(at, tables.query(WEB, 1))) for _ in range(60))
        assert firsts == {0: 20, 1: 20, 2: 20}, "the draws are shared by all threads, so turns are exact"


def test_ipv6_is_answered_on(engine: native.Native) -> None:
    try:
        bound = engine.start([("::1", 0)], 1)
    except OSError as error:
        pytest.skip(str(error))
    assert ask(bound[0], tables.query(WEB, 1))[:4] == b"\x12\x34\x85\0"


def test_on_a_wildcard_the_reply_leaves_from_the_address_that_was_asked(engine: native.Native) -> None:
    loop = asyncio.new_event_loop()
    (_, port) = engine.start([("0.0.0.0", 0)], 2)[0]
    engine.watch(loop, lambda packet, route: engine.reply(route, b"handed" + packet) and None)
    for host in ("127.0.0.1", "127.0.0.9"):
        # A connected socket takes nothing that comes from elsewhere.
        assert ask((host, port), tables.query(WEB, 1))[:2] == b"\x12\x34"
        with client((host, port)) as one:
            one.send(b"\0" * 20)
            eventually(engine._engine.waiting)
            loop.call_soon(loop.stop)
            loop.run_forever()
            assert one.recv(100) == b"handed" + b"\0" * 20
    engine.close()
    loop.close()


async def test_what_is_not_plain_comes_to_python_and_goes_back_by_the_same_way(engine: native.Native) -> None:
    loop = asyncio.get_running_loop()
    seen: list[str] = []

    def taken(packet: bytes, route: native.Route) -> None:
        seen.append(route.host)
        loop.call_soon(engine.reply, route, packet[::-1])

    at = engine.start([("127.0.0.1", 0)], 2)[0]
    engine.watch(loop, taken)
    odd = [tables.query(names.wire(f"n{n}.example"), 1) for n in range(150)]
    with client(at) as one:
        one.setblocking(False)
        for packet in odd:
            one.send(packet)
        got = {await asyncio.wait_for(loop.sock_recv(one, 4096), 20) for _ in odd}
    assert got == {packet[::-1] for packet in odd}
    assert seen == ["127.0.0.1"] * len(odd)
    assert engine.totals()["passed"] == len(odd)


def test_a_full_queue_drops_and_counts_and_the_plain_case_goes_on() -> None:
    engine = native.Native(queue=10)
    engine.apply(small(entry(1), {WEB: Name(0)}))
    at = engine.start([("127.0.0.1", 0)], 1)[0]
    with client(at) as one:
        for _ in range(50):
            one.send(tables.query(names.wire("example"), 1))
        one.send(tables.query(WEB, 1))
        assert one.recv(4096)[3] & 15 == 0
    totals = engine.totals()
    assert (totals["passed"], totals["overflowed"]) == (10, 40)
    engine.close()


def test_a_client_that_floods_what_is_pythons_to_answer_keeps_nobody_waiting_and_nobody_out() -> None:
    """Who asked one thing waited for all that had come before, or was dropped with it."""
    engine = native.Native(queue=400)  # of which 50 wait before clients are held to their part
    engine.apply(small(entry(1), {WEB: Name(0)}))
    loop = asyncio.new_event_loop()
    seen: list[str] = []
    engine.watch(loop, lambda packet, route: seen.append(route.host))
    at = engine.start([("127.0.0.1", 0)], 1)[0]
    with client(at) as flood, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        for _ in range(300):
            flood.send(tables.query(names.wire("example"), 1))
        other.bind(("127.0.0.2", 0))
        other.sendto(tables.query(names.wire("example"), 1), at)
        eventually(lambda: engine.totals()["passed"] == 301)
        while engine._engine.waiting():
            engine.take()
    assert seen == ["127.0.0.1", "127.0.0.2"] + ["127.0.0.1"] * 49
    assert (engine.totals()["beyond"], engine.totals()["overflowed"]) == (250, 0)
    engine.close()
    loop.close()


async def test_what_takes_long_has_one_turn_in_each_of_the_loops_however_much_waits() -> None:
    """Each that was over early asked for one more, beside the one that its socket had: they grew."""
    engine = native.Native(tick=iter(range(1_000_000)).__next__)  # each look at the clock is a second later
    loop, turn, seen = asyncio.get_running_loop(), [0], list[int]()

    def count() -> None:
        turn[0] += 1
        loop.call_soon(count)

    count()
    engine.watch(loop, lambda packet, route: seen.append(turn[0]))
    at = engine.start([("127.0.0.1", 0)], 1)[0]
    with client(at) as one:
        for n in range(200):
            one.send(tables.query(names.wire("example"), 1))
            if n > 50:
                await asyncio.sleep(0.001)
        await until(lambda: len(seen) == 200)
    assert max(Counter(seen).values()) == 1
    engine.close()


def test_replies_and_packets_of_no_size_are_dropped_and_counted(engine: native.Native) -> None:
    at = engine.start([("127.0.0.1", 0)], 1)[0]
    with client(at) as one:
        for packet in (b"", b"\0" * 11, tables.query(WEB, 1, flags=0x8100)):
            one.send(packet)
        one.send(tables.query(WEB, 1))
        assert one.recv(4096)[2] & 0x80
    eventually(lambda: engine.totals()["dropped"] == 3)


def test_counts_are_exact_by_type_and_rcode_and_in_the_histogram(engine: native.Native) -> None:
    at = engine.start([("127.0.0.1", 0)], 2)[0]
    nope = names.label("nope") + APEX
    for _ in range(7):
        ask(at, tables.query(WEB, 1))
    for _ in range(5):
        ask(at, tables.query(nope, 28, tables.opt()))
    for _ in range(3):
        ask(at, tables.query(WEB, 65280))
    for other in (b"", tables.query(WEB, 1, tables.opt(version=1))):  # one for nobody, one for Python
        with client(at) as one:
            one.send(other)
    eventually(lambda: engine.totals()["dropped"] + engine.totals()["passed"] == 2)
    eventually(lambda: sum(engine.latency().counts) >= 15)
    assert sum(engine.latency().counts) == 15
    assert engine.replies() == {("udp", 1, 0): 7, ("udp", 28, 3): 5, ("udp", 0, 0): 3}
    assert engine.latency().bounds == dispatch.BUCKETS
    assert engine.latency().seconds > 0


def test_recursion_is_offered_to_those_in_the_networks_only(engine: native.Native) -> None:
    at = engine.start([("127.0.0.1", 0)], 1)[0]
    assert ask(at, tables.query(WEB, 1))[3] & 0x80 == 0
    engine.offer_recursion(["10.0.0.0/8", "127.0.0.0/8"])
    assert ask(at, tables.query(WEB, 1))[3] & 0x80
    engine.offer_recursion(["10.0.0.0/8", "::/0"])
    assert ask(at, tables.query(WEB, 1))[3] & 0x80 == 0


def test_the_stale_option_goes_with_every_answer_that_has_edns(engine: native.Native) -> None:
    stale = ede.option(3, "out of reach")
    before = engine.respond(tables.query(WEB, 1, tables.opt()), 1232)
    engine.apply(Delta(staleness={0: Staleness(stale)}))
    after = engine.respond(tables.query(WEB, 1, tables.opt()), 1232)
    assert before is not None
    assert after is not None
    assert after.endswith(stale)
    assert len(after) == len(before) + len(stale)
    engine.apply(Delta(staleness={0: Staleness()}))
    again = engine.respond(tables.query(WEB, 1, tables.opt()), 1232)
    assert again is not None
    assert len(again) == len(before)


def test_where_nothing_may_be_said_everything_of_that_origin_is_handed_over(engine: native.Native) -> None:
    other, nope = names.label("other") + APEX, names.label("nope") + APEX
    engine.apply(Delta({other + A: structs.replace(entry(1), origin=3)}, {other: Name(0, origin=3)}))

    def said() -> list[bool]:
        asked = [(WEB, 1), (WEB, 99), (nope, 1), (other, 1), (other, 99), (names.label("x") + other, 1)]
        return [engine.respond(tables.query(name, rtype), 1232) is not None for name, rtype in asked]

    assert said() == [True] * 6
    engine.apply(Delta(staleness={0: Staleness(failure=ede.option(14))}))
    assert said() == [False, False, False, True, True, False]
    engine.apply(Delta(staleness={0: Staleness(), 3: Staleness(failure=ede.option(22))}))
    assert said() == [True, True, True, False, False, False]
    engine.apply(Delta(staleness={3: Staleness()}))
    assert said() == [True] * 6


def test_a_client_of_no_class_gets_the_entry_and_none_of_its_variants(engine: native.Native) -> None:
    engine.apply(Delta({WEB + A: entry(1)}))
    alone = engine.respond(tables.query(WEB, 1), 1232)
    engine.apply(Delta({WEB + A: structs.replace(entry(1), variants={2: entry(2)})}))
    assert engine.respond(tables.query(WEB, 1), 1232) == alone


@pytest.mark.parametrize("origin", [65_535, 65_536, -1])
def test_an_origin_that_the_table_cannot_hold_is_refused(engine: native.Native, origin: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        engine.apply(Delta({WEB + A: structs.replace(entry(1), origin=origin)}))
    with pytest.raises((ValueError, OverflowError)):
        engine.apply(Delta(staleness={origin: Staleness()}))
    assert engine.respond(tables.query(WEB, 1), 1232)


def test_a_panic_costs_its_packet_and_is_told_with_it_in_hex(
    engine: native.Native, caplog: pytest.LogCaptureFixture
) -> None:
    broken = names.label("broken") + APEX
    rotation = Rotation.of(((7,),), [0])  # an instance that the tier does not have
    engine.apply(Delta({broken + A: entry(1, rotation=rotation)}))
    at = engine.start([("127.0.0.1", 0)], 1)[0]
    packet = tables.query(broken, 1)
    taken: list[bytes] = []
    loop = asyncio.new_event_loop()
    engine.watch(loop, lambda packet, route: taken.append(packet))
    with client(at) as one:
        for _ in range(3):
            one.send(packet)
            one.send(tables.query(WEB, 1))
            assert one.recv(4096)[3] & 15 == 0, "the thread goes on"
    with caplog.at_level(logging.ERROR):
        loop.run_until_complete(until(lambda: len(taken) == 3))
    assert [packet.hex() in record.getMessage() for record in caplog.records] == [True] * 3
    assert taken == [packet] * 3, "Python has the last word: it says SERVFAIL"
    assert engine.totals()["panics"] == 3
    engine.close()
    loop.close()


def test_what_a_thread_tells_of_itself_beside_packets_is_told(
    engine: native.Native, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Telling:
        def take_faults(self) -> list[tuple[str, bytes, str]]:
            return [("elsewhere", b"", "attempt to add"), ("lack", b"", "Too many open files")]

    monkeypatch.setattr(engine, "_engine", Telling())
    with caplog.at_level(logging.ERROR):
        engine.take()
    assert "an error of ours: attempt to add" in caplog.text
    assert engine.lack == "too many open files"


def test_a_change_that_cannot_be_read_leaves_the_table_before(engine: native.Native) -> None:
    other = names.label("other") + APEX
    with pytest.raises((TypeError, AttributeError)):
        engine.apply(Delta({other + A: entry(1), WEB + A: 7}))  # type: ignore[dict-item]
    assert engine.respond(tables.query(WEB, 1), 1232)
    assert engine.respond(tables.query(other, 1), 1232)[3] & 15 == 3  # type: ignore[index]


def test_an_address_longer_than_any_message_is_cut_as_the_python_twin_cuts_it(engine: native.Native) -> None:
    instances = {b"many": InstanceAddresses(address(1) * 5000, b"")}
    engine.apply(Delta(names={WEB: Name(0, instances=instances)}))
    said = engine.respond(tables.query(names.label("many") + WEB, 1), 65_535)
    assert said is not None
    assert said[2] & 2, "truncated: not even TCP carries it"
    assert (
        int.from_bytes(said[6:8], "big") == (65_535 - len(tables.query(names.label("many") + WEB, 1))) // 16
    )


def test_a_taken_port_is_an_error_that_names_it() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        with pytest.raises(OSError, match="in use") as caught:
            native.Native().start([("127.0.0.1", port)], 1)
        assert caught.value.filename == f"127.0.0.1:{port}"
        assert caught.value.errno == errno.EADDRINUSE


def threads() -> int:
    return sum(
        1 for task in Path("/proc/self/task").iterdir() if (task / "comm").read_text().startswith("zkdns-")
    )


def test_no_thread_and_no_socket_is_left_behind() -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    gc.collect()  # what earlier tests left is not ours to count
    before = descriptors()
    for _ in range(3):
        engine = native.Native()
        engine.start([("127.0.0.1", 0)], 4)
        eventually(lambda: threads() == 8)  # four for each transport; a thread names itself
        engine.close()
        assert threads() == 0
        del engine
    gc.collect()
    assert descriptors() <= before


def test_what_had_come_is_answered_after_the_stop_and_python_may_still_reply(engine: native.Native) -> None:
    at = engine.start([("127.0.0.1", 0)], 1)[0]
    kept: list[native.Route] = []
    loop = asyncio.new_event_loop()
    engine.watch(loop, lambda packet, route: kept.append(route))
    with client(at) as one:
        for _ in range(100):
            one.send(tables.query(WEB, 1))
        one.send(tables.query(names.wire("example"), 1))
        engine.stop()
        for _ in range(100):
            one.recv(4096)
        engine.take()
        assert len(kept) == 1
        engine.reply(kept[0], b"late")
        loop.run_until_complete(asyncio.sleep(0))
        assert one.recv(4096) == b"late"
    assert engine.replies() == {("udp", 1, 0): 100}, "counters outlive the threads"
    engine.close()
    engine.reply(kept[0], b"too late")
    assert engine.totals()["unsent"] == 1
    loop.close()


def test_a_restart_by_overlap_loses_no_query() -> None:
    def begin(port: int) -> tuple[native.Native, tuple[str, int]]:
        made = native.Native()
        made.apply(small(entry(2), {WEB: Name(0)}))
        return made, made.start([("127.0.0.1", port)], 2)[0]

    old, at = begin(0)
    askers = [Asking(at, tables.query(WEB, 1)) for _ in range(3)]
    for asker in askers:
        asker.start()
    for _ in range(60):
        new, _ = begin(at[1])
        old.stop()
        old.close()
        old = new
    for asker in askers:
        asker.finish()
    old.close()
    assert all(asker.replies for asker in askers)
    assert [asker.lost for asker in askers] == [0, 0, 0]


OTHER = """
import sys, time
sys.path[:0] = {path!r}
from support.native import *
from zkdns.serve import native
engine = native.Native()
engine.apply(small(entry(2), {{WEB: Name(0)}}))
engine.start([("127.0.0.1", {port})], 1)
print("ready", flush=True)
sys.stdin.read()
engine.close()
"""


def test_two_processes_share_one_port(engine: native.Native) -> None:
    at = engine.start([("127.0.0.1", 0)], 1)[0]
    here = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    code = OTHER.format(path=here, port=at[1])
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "ready\n"
        counts = Counter(ask(at, tables.query(WEB, 1))[7] for _ in range(100))
        other.stdin.close()
    assert set(counts) == {2, 3}, "both answered: one has two records, the other three"


@pytest.mark.parametrize(
    ("seconds", "most"), [(TURN_SECONDS / 10, 2 * FEW), (2 * ALONE_SECONDS, 1)], ids=["short", "long"]
)
def test_packets_that_are_pythons_to_answer_are_taken_for_a_turn_by_time(seconds: float, most: int) -> None:
    """A look at the clock after each few, and after each that took longer than a few may."""
    now = [0.0]
    taken: list[bytes] = []
    engine = native.Native(tick=lambda: now[0])

    def take(packet: bytes, route: native.Route) -> None:
        now[0] += seconds
        taken.append(packet)

    at = engine.start([("127.0.0.1", 0)], 1)[0]
    loop = asyncio.new_event_loop()
    engine.watch(loop, take)
    with client(at) as one:
        for _ in range(100):
            one.send(tables.query(names.wire("example"), 1))
        engine.stop()
        turns = []
        while len(taken) < 100:
            before = len(taken)
            engine.take()
            turns.append(len(taken) - before)
    assert max(turns) == most
    engine.close()
    loop.close()
