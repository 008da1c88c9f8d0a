"""What is kept of an upstream's word and what is not, and that each client and answer is counted once."""

from __future__ import annotations

import asyncio

import dns.flags
import dns.message
import pytest

from support.forwarding import Clock, ask, forwarding, query, said
from support.upstream import FakeUpstream, Seen, Wait, addresses, reply, run, silent, soa
from support.waiting import until
from zkdns.config import Settings
from zkdns.dns import names
from zkdns.forward import forwarder as module
from zkdns.forward.forwarder import Forwarder

NAME = "www.example.com"


async def asking(
    forwarder: Forwarder, upstream: FakeUpstream, **more: object
) -> asyncio.Task[dns.message.Message]:
    """A question that has reached the upstream."""
    task = asyncio.create_task(ask(forwarder, query(NAME, **more)))
    before = len(upstream.queries)
    await until(lambda: len(upstream.queries) > before)
    return task


async def test_who_was_answered_in_time_is_not_counted_as_given_something_stale_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "STALE_AFTER", 0.05)
    clock = Clock()
    async with run(addresses("192.0.2.1", ttl=60)) as up, forwarding(up, clock=clock) as forwarder:
        await ask(forwarder, NAME)
        clock.ahead += 100
        assert said(await ask(forwarder, NAME)) == ["192.0.2.1"]
        await asyncio.sleep(0.1)
        assert (forwarder.cache_hits, forwarder.stale_hits) == (0, 0)


async def test_who_lost_patience_is_answered_once_and_the_next_has_the_fresh_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "STALE_AFTER", 0.01)
    clock = Clock()
    async with run(addresses("192.0.2.1", ttl=60)) as up, forwarding(up, clock=clock) as forwarder:
        await ask(forwarder, NAME)
        clock.ahead += 100

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
