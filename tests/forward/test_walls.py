"""Every function of ours that is given an upstream's reply is broken for that reply: who asked for it gets
SERVFAIL or the right answer, and all others theirs. Which functions there are comes from a run.
"""

from __future__ import annotations

import asyncio

import dns.message
import dns.rcode
import pytest

from support.breaking import Breaker
from support.forwarding import LOCAL, ask, dispatch, edes, forwarding, query, said
from support.upstream import Seen, reply, run
from zkdns.forward.forwarder import Forwarder
from zkdns.forward.pending import Pending

ROOMS = ("zkdns.forward", "zkdns.dns")
HOSTILE = "hostile.example.org"
OTHERS = [f"other{n}.example.net" for n in range(3)]

LEDGERS = {
    "forwarder.Forwarder._finish", "forwarder.Forwarder._leave_room", "questions.Questions._finish",
    "asked.in_flight_key", "pending.Deliveries.do", "pending.Pending.deliver",
    "transport.Transport._read",
}  # fmt: skip
"""The walls themselves, and what keeps the books of who waits: they look into no answer."""


def script(seen: Seen) -> bytes:
    leads = "hostile" in seen.name.lower()
    end = f"end.{seen.name}" if leads else seen.name
    alias = [f"{seen.name} 60 CNAME {end}"] if leads else []
    return reply(seen, *alias, f"{end} 60 A 192.0.2.1", tc=leads and not seen.tcp)


def mentions(arguments: object) -> bool:
    text = repr(arguments).lower()
    return "hostile" in text and "other" not in text


def ask_all(forwarder: Forwarder) -> list[Pending]:
    """Asked, and not yet sent: what is met from here on is met by what comes back."""
    pending = [dispatch(forwarder, query(name).to_wire(), LOCAL) for name in (HOSTILE, *OTHERS)]
    return [each for each in pending if isinstance(each, Pending)]


async def take_all(asked: list[Pending]) -> list[dns.message.Message]:
    replies = await asyncio.wait_for(asyncio.gather(*(each.wait() for each in asked)), 5)
    return [dns.message.from_wire(each) for each in replies]


async def find() -> list[str]:
    async with run(script) as up, forwarding(up) as forwarder:
        asked = ask_all(forwarder)
        with Breaker(*ROOMS).watching(mentions) as met:
            await take_all(asked)
    return sorted(met)


MET = [name for name in asyncio.run(find()) if name.removeprefix("zkdns.forward.") not in LEDGERS]


def test_the_functions_that_are_given_a_reply_are_found() -> None:
    names = {name.removeprefix("zkdns.forward.").removeprefix("zkdns.dns.") for name in MET}
    assert {"message.read_reply", "believe.believe", "believe.follow", "judged.judge"} <= names


@pytest.mark.parametrize("name", MET)
async def test_an_error_of_ours_costs_that_reply_only(name: str) -> None:
    async with run(script) as up, forwarding(up) as forwarder:
        asked = ask_all(forwarder)
        with Breaker(*ROOMS).breaking(name, mentions) as met:
            first, *others = await take_all(asked)
        assert met
        for other in others:
            assert said(other) == ["192.0.2.1"]
        if first.rcode() == dns.rcode.SERVFAIL:
            assert edes(first) == [0] or not edes(first)
            assert forwarder.faults == 1, "it is counted"
        else:
            assert said(first)[-1] == "192.0.2.1"
        assert (forwarder._questions._load.total, len(forwarder._questions)) == (0, 0)
        again = await ask(forwarder, query("hostile2.example.org"))
        assert said(again)[-1] == "192.0.2.1"
