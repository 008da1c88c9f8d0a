"""What is kept of an upstream's word and what is not, and that each client and answer is counted once."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.rcode
import pytest

from support.forwarding import LOCAL, Clock, ask, dispatch, forwarding, query, said
from support.upstream import FakeUpstream, Seen, Wait, addresses, reply, run, silent, soa
from support.waiting import until
from zkdns.config import Settings
from zkdns.dns import names
from zkdns.dns.packet import HIGHEST_UDP, Query
from zkdns.forward import asked, questions
from zkdns.forward import forwarder as module
from zkdns.forward.addresses import Resolved
from zkdns.forward.alarms import Alarm, Alarms
from zkdns.forward.forwarder import Forwarder
from zkdns.forward.pending import Pending
from zkdns.turn import TURN_SECONDS

NAME = "www.example.com"


async def asking(
    forwarder: Forwarder, upstream: FakeUpstream, **more: object
) -> asyncio.Task[dns.message.Message]:
    """A question that has reached the upstream."""
    task = asyncio.create_task(ask(forwarder, query(NAME, **more)))
    before = len(upstream.queries)
    await until(lambda: len(upstream.queries) > before)
    return task


@asynccontextmanager
async def expired(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[FakeUpstream, Forwarder]]:
    """With an answer for NAME that has ended, and clients who lose patience at once."""
    monkeypatch.setattr(module, "STALE_AFTER", 0.01)
    clock = Clock()
    async with run(addresses("192.0.2.1", ttl=60)) as up, forwarding(up, clock=clock) as forwarder:
        await ask(forwarder, NAME)
        clock.ahead += 100
        yield up, forwarder


async def test_who_was_answered_in_time_is_not_counted_as_given_something_stale_later() -> None:
    clock = Clock()
    async with run(addresses("192.0.2.1", ttl=60)) as up, forwarding(up, clock=clock) as forwarder:
        set_alarm, alarms = forwarder._patience.set, []

        def note(delay: float, call: Callable[[], None]) -> Alarm:
            alarms.append(set_alarm(delay, call))
            return alarms[-1]

        forwarder._patience.set = note  # type: ignore[method-assign]
        await ask(forwarder, NAME)
        clock.ahead += 100
        assert said(await ask(forwarder, NAME)) == ["192.0.2.1"]
        (patience,) = alarms
        assert patience.call is None
        assert (forwarder.cache_hits, forwarder.stale_hits) == (0, 0)


async def test_those_who_lose_patience_in_one_moment_have_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio calls all timers that are due in one turn: a thousand questions of one moment would be one."""
    monkeypatch.setattr(module, "STALE_AFTER", 0.05)
    loop, clock, turn, given = asyncio.get_running_loop(), Clock(), [0], list[int]()

    def count() -> None:
        turn[0] += 1
        loop.call_soon(count)

    async with run(addresses("192.0.2.1", ttl=60)) as up, forwarding(up, clock=clock) as forwarder:
        names = [f"n{n}.example.com" for n in range(20)]
        for name in names:
            await ask(forwarder, name)
        clock.ahead += 100
        up.script = silent
        forwarder._patience = Alarms(itertools.count(0.0, 0.6 * TURN_SECONDS).__next__)  # with each look
        count()
        for name in names:
            pending = forwarder.answer(Query(query(name).to_wire(), HIGHEST_UDP), LOCAL)
            assert isinstance(pending, Pending)
            pending.then(lambda reply: given.append(turn[0]))
        await until(lambda: len(given) == len(names))
    assert len(set(given)) == len(names)


async def test_who_lost_patience_is_answered_once_and_the_next_has_the_fresh_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with expired(monkeypatch) as (up, forwarder):

        def slow(seen: Seen) -> list[bytes | Wait]:
            return [Wait(0.1), reply(seen, f"{seen.name} 60 A 192.0.2.2")]

        up.script = slow
        assert said(await ask(forwarder, NAME)) == ["192.0.2.1"]
        assert (forwarder.cache_hits, forwarder.stale_hits) == (1, 1)
        await until(lambda: not forwarder.status().in_flight)
        assert said(await ask(forwarder, NAME)) == ["192.0.2.2"]
        assert (forwarder.cache_hits, forwarder.stale_hits) == (2, 1)


async def test_what_was_answered_since_it_failed_fails_anew_for_the_shortest_time() -> None:
    clock = Clock()

    def refuse(seen: Seen) -> bytes:
        return reply(seen, rcode="SERVFAIL")

    async with run(refuse) as up, forwarding(up, clock=clock) as forwarder:
        for script, asked in ((refuse, 1), (addresses("192.0.2.1", ttl=1), 2), (refuse, 3)):
            up.script = script
            await ask(forwarder, NAME)
            clock.ahead += 1.1  # over for a failure that is the first, and for the answer
            assert len({seen.wire[:2] for seen in up.queries}) == asked
        await ask(forwarder, NAME)
        assert forwarder.failure_hits == 0
        await ask(forwarder, NAME)
        assert forwarder.failure_hits == 1, "that was the second in a row"


async def test_what_was_asked_without_recursion_is_kept_for_nobody() -> None:
    async with run(addresses("192.0.2.1", ttl=300)) as up, forwarding(up) as forwarder:
        question = query(NAME)
        question.flags &= ~dns.flags.RD
        for _ in range(2):
            await ask(forwarder, question)
        assert len(forwarder.cache) == 0
        assert len(up.queries) == 2
        await ask(forwarder, NAME)
        assert len(forwarder.cache) == 1


async def test_what_an_upstream_says_that_the_settings_name_no_more_is_given_and_not_kept() -> None:
    async with (
        run(silent, hush=True) as old,
        run(addresses("192.0.2.2")) as new,
        forwarding(old) as forwarder,
    ):
        waiting = await asking(forwarder, old)
        forwarder.reload(Settings(forward=(new.address,)))
        old.script = addresses("192.0.2.1")  # it is sent again after half a second
        assert said(await waiting) == ["192.0.2.1"]
        assert len(forwarder.cache) == 0
        assert said(await ask(forwarder, NAME)) == ["192.0.2.2"]


async def test_that_a_name_is_not_there_is_not_kept_of_one_that_became_ours_meanwhile() -> None:
    """The SOA that says so may be that of a zone above, which is not ours."""
    ours: set[bytes] = set()
    async with run(silent, hush=True) as up, forwarding(up, is_ours=ours.__contains__) as forwarder:
        waiting = await asking(forwarder, up)
        ours.add(names.wire(NAME))
        up.script = lambda seen: reply(seen, rcode="NXDOMAIN", authority=(soa(300, owner="com."),))
        await waiting
        assert len(forwarder.cache) == 0


async def test_so_many_may_wait_for_one_question_and_the_next_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asked, "MAX_WAITERS", 3)
    async with run(silent, hush=True) as up, forwarding(up) as forwarder:
        waiting = [asyncio.create_task(ask(forwarder, NAME, f"10.0.{n}.1")) for n in range(3)]
        await until(lambda: up.queries)
        refused = await ask(forwarder, query(NAME, use_edns=0), "10.0.9.1")
        assert "too many clients wait for this name" in refused.options[0].to_text()
        assert (forwarder.joined, forwarder.limited) == (2, 1)
        up.script = addresses("192.0.2.1")
        assert [said(one) for one in await asyncio.gather(*waiting)] == [["192.0.2.1"]] * 3


async def test_one_network_can_not_take_all_the_room_of_those_who_wait_for_one_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asked, "MAX_WAITERS", 16)
    async with run(silent, hush=True) as up, forwarding(up) as forwarder:
        waiting = [asyncio.create_task(ask(forwarder, NAME, f"10.0.0.{n}")) for n in range(20)]
        await until(lambda: forwarder.limited == 8)
        waiting.append(asyncio.create_task(ask(forwarder, NAME, "10.0.1.1")))
        resolving = asyncio.create_task(forwarder.resolve(NAME))
        await until(lambda: forwarder.joined == 13)
        up.script = addresses("192.0.2.1")
        rcodes = Counter(one.rcode() for one in await asyncio.gather(*waiting))
        assert rcodes == {dns.rcode.NOERROR: 13, dns.rcode.SERVFAIL: 8}
        assert "192.0.2.1" in (await resolving).addresses


async def test_what_is_fetched_anew_is_fetched_once_and_not_while_much_else_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = names.wire(NAME) + b"\0\1\0\1\0"
    async with run(silent, hush=True) as up, forwarding(up) as forwarder:
        forwarder.renew(key)
        forwarder.renew(key)
        assert (forwarder.prefetches, forwarder.status().in_flight) == (1, 1)
        monkeypatch.setattr(questions, "MAX_IN_FLIGHT", 2)
        forwarder.renew(names.wire("other.example.com") + b"\0\1\0\1\0")
        assert (forwarder.prefetches, forwarder.status().in_flight) == (1, 1)


async def test_where_every_upstream_leads_back_to_us_nobody_waits_and_that_is_told() -> None:
    async with run(silent, hush=True) as up, forwarding(up) as forwarder:
        for upstream in forwarder._upstreams.all:
            upstream.loop(0.0)
        replied = dispatch(forwarder, query(NAME, use_edns=0).to_wire(), LOCAL)
        assert isinstance(replied, bytes)
        assert b"a loop: the upstreams lead back to this server" in replied
        assert up.queries == []


async def test_what_was_kept_while_private_addresses_were_believed_is_not_given_when_they_are_not() -> None:
    async with run(addresses("10.0.0.7", ttl=300)) as up, forwarding(up) as forwarder:
        assert said(await ask(forwarder, NAME)) == ["10.0.0.7"]
        forwarder.reload(Settings(forward=(up.address,), forward_private="deny"))
        assert said(await ask(forwarder, NAME)) == []
        assert forwarder.blocked == 1
        forwarder.reload(Settings(forward=(up.address,)))
        assert said(await ask(forwarder, NAME)) == ["10.0.0.7"]


async def test_who_wants_no_recursion_does_not_wait_for_who_does() -> None:
    async with run(silent, hush=True) as up, forwarding(up) as forwarder:
        question = query(NAME)
        question.flags &= ~dns.flags.RD
        both = [asyncio.create_task(ask(forwarder, one)) for one in (NAME, question)]
        await until(lambda: len(up.queries) == 2)
        assert {bool(seen.message.flags & dns.flags.RD) for seen in up.queries} == {True, False}
        assert forwarder.joined == 0
        up.script = addresses("192.0.2.1")
        await asyncio.gather(*both)


async def test_who_had_the_stale_answer_is_not_counted_again_when_the_question_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with expired(monkeypatch) as (up, forwarder):

        def fails_late(seen: Seen) -> list[bytes | Wait]:
            return [Wait(0.1), reply(seen, rcode="SERVFAIL")]

        up.script = fails_late
        assert said(await ask(forwarder, NAME)) == ["192.0.2.1"]
        await until(lambda: not forwarder.status().in_flight)
        assert (forwarder.cache_hits, forwarder.stale_hits) == (1, 1)


async def test_a_name_of_ours_is_true_for_as_long_as_the_shorter_of_its_addresses() -> None:
    def both(seen: Seen) -> bytes:
        is_a = seen.message.question[0].rdtype == 1
        return reply(
            seen, f"{seen.name} {60 if is_a else 20} {'A 192.0.2.1' if is_a else 'AAAA 2001:db8::1'}"
        )

    async with run(both) as up, forwarding(up) as forwarder:
        assert await forwarder.resolve(NAME) == Resolved(("192.0.2.1", "2001:db8::1"), 20)


async def test_a_conversation_over_tcp_ends_when_another_upstream_has_answered() -> None:
    def cut(seen: Seen) -> bytes | list[bytes | Wait]:
        return [Wait(30), reply(seen)] if seen.tcp else reply(seen, tc=True)

    async with run(cut) as slow, run(addresses("192.0.2.2")) as quick, forwarding(slow, quick) as forwarder:
        assert said(await ask(forwarder, NAME)) == ["192.0.2.2"]
        await until(lambda: not [t for t in asyncio.all_tasks() if "_converse" in repr(t.get_coro())])


async def test_a_place_is_taken_until_what_came_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Datagrams of two hundred records waited for the thread by the thousand: 0.1 GB a second."""
    gate = threading.Event()
    monkeypatch.setattr(module, "judge", lambda *of, judge=module.judge: gate.wait(10) and judge(*of))
    many = [f"192.0.2.{n}" for n in range(module.MAX_RECORDS_PER_TURN + 1)]
    async with run(addresses(*many)) as up, forwarding(up) as forwarder:
        first = asyncio.create_task(ask(forwarder, query(NAME), limit=65535))
        await until(lambda: up.queries and not len(forwarder._questions))
        assert forwarder._questions._load.total == 1
        assert forwarder._questions._load._by_client == {LOCAL: 1}
        gate.set()
        assert len(said(await first)) == len(many)
        assert forwarder._questions._load.total == 0


async def test_who_is_not_told_yet_waits_still_and_all_of_them_have_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To tell what an alias leads to takes longer than to ask: those who were to be told were kept without
    end, for seven megabytes a second."""
    monkeypatch.setattr(module, "MAX_ALL_WAITERS", 16)
    told: list[Pending] = []
    async with run(addresses("192.0.2.1")) as up, forwarding(up) as forwarder:
        monkeypatch.setattr(forwarder._deliveries, "do", lambda waiting, deliver: told.extend(waiting))
        waiting = [dispatch(forwarder, query(f"n{n}.example.com").to_wire(), "10.0.0.1") for n in range(20)]
        assert [isinstance(each, Pending) for each in waiting] == [True] * 12 + [False] * 8
        await until(lambda: len(told) == 12)
        assert not isinstance(dispatch(forwarder, query(NAME).to_wire(), "10.0.0.2"), Pending)
        assert isinstance(dispatch(forwarder, query(NAME).to_wire(), "10.0.1.1"), Pending)
        for one in told[:12]:
            one.deliver(b"told")
        assert isinstance(dispatch(forwarder, query(NAME).to_wire(), "10.0.0.2"), Pending)
        assert (forwarder._room.taken, forwarder.limited) == (2, 9)
