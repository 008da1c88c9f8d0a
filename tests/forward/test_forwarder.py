"""Forwarding against an upstream on real sockets that drops, delays, lies and breaks."""

from __future__ import annotations

import asyncio
import errno
import gc
import random
import resource
import threading
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from support.forwarding import LOCAL, Clock, ask, ask_wire, dispatch, edes, forwarding, query, said, tell
from support.ports import free_port
from support.upstream import (
    Seen,
    Wait,
    addresses,
    dead_port,
    reply,
    run,
    silent,
    soa,
)
from support.waiting import until
from zkdns.answers.builder import Builder
from zkdns.answers.table import Table
from zkdns.config import MAX_UPSTREAMS, Address, Settings
from zkdns.dns.message import Message, read_reply
from zkdns.forward.addresses import MAX_TOLD, Lacking, Unresolved
from zkdns.forward.forwarder import Forwarder
from zkdns.forward.intake import LARGE_BYTES
from zkdns.forward.load import MAX_IN_FLIGHT, MAX_IN_FLIGHT_OF_CLIENT
from zkdns.forward.questions import STARTS_PER_TURN
from zkdns.forward.resolution import Resolution
from zkdns.forward.resolvconf import nameservers
from zkdns.forward.transport import Transport
from zkdns.serve.respond import is_ours

# --- one that works -----------------------------------------------------------------------------------


async def test_an_upstreams_answer_comes_back_as_ours() -> None:
    async with run(addresses("192.0.2.1", "192.0.2.2")) as up, forwarding(up) as forwarder:
        answered = await ask(forwarder, query("www.example.com", use_edns=0, want_dnssec=True))
        assert said(answered) == ["192.0.2.1", "192.0.2.2"]
        assert answered.flags & dns.flags.RA
        assert answered.flags & dns.flags.RD
        assert not answered.flags & (dns.flags.AA | dns.flags.AD)
        assert answered.edns == 0
        assert answered.payload == 1232
        assert answered.ednsflags & dns.flags.DO
        assert forwarder.queries[up.address, "NOERROR"] == 1


async def test_the_question_comes_back_byte_for_byte_whatever_case_filled_the_cache() -> None:
    async with run(addresses("192.0.2.1")) as up, forwarding(up) as forwarder:
        for name in ("WWW.eXample.com.", "www.EXAMPLE.com.", "www.example.com."):
            wire = query(name).to_wire()
            answered = await ask_wire(forwarder, wire)
            assert answered[12 : 12 + len(wire) - 12] == wire[12:]
            assert dns.message.from_wire(answered).answer[0].name.to_text() == name
        assert len(up.queries) == 1
        assert forwarder.cache_hits == 2


async def test_without_edns_none_comes_back() -> None:
    async with run(addresses("192.0.2.1")) as up, forwarding(up) as forwarder:
        for _ in range(2):
            answered = await ask(forwarder, query("www.example.com", use_edns=False))
            assert answered.edns == -1
            assert said(answered) == ["192.0.2.1"]


async def test_each_question_has_a_port_and_an_id_and_a_case_of_its_own() -> None:
    async with run(addresses("192.0.2.1")) as up, forwarding(up) as forwarder:
        await asyncio.gather(*(ask(forwarder, f"host{n}.a-long-name.example.com") for n in range(40)))
        assert len({seen.source[1] for seen in up.queries}) > 30
        assert len({seen.wire[:2] for seen in up.queries}) > 30
        assert sum(seen.name != seen.name.lower() for seen in up.queries) > 30


async def test_do_and_cd_are_passed_on_and_kept_apart() -> None:
    async with run(addresses("192.0.2.1")) as up, forwarding(up) as forwarder:
        await ask(forwarder, query("www.example.com", want_dnssec=True))
        await ask(forwarder, query("www.example.com", use_edns=0))
        checking = query("www.example.com")
        checking.flags |= dns.flags.CD
        answered = await ask(forwarder, checking)
        assert answered.flags & dns.flags.CD
        flags = [
            (bool(s.message.ednsflags & dns.flags.DO), bool(s.message.flags & dns.flags.CD))
            for s in up.queries
        ]
        assert flags == [(True, False), (False, False), (False, True)]


async def test_alias_chains_and_negative_answers_are_passed_on_and_kept() -> None:
    def script(seen: Seen) -> bytes:
        if seen.name.lower().startswith("alias"):
            chain = (
                f"{seen.name} 60 CNAME b.example.",
                "b.example. 60 CNAME c.example.",
                "c.example. 60 A 192.0.2.9",
            )
            return reply(seen, *chain)
        return reply(seen, rcode="NXDOMAIN", authority=(soa(),))

    async with run(script) as up, forwarding(up) as forwarder:
        for _ in range(2):
            assert said(await ask(forwarder, "alias.example")) == ["b.example.", "c.example.", "192.0.2.9"]
            gone = await ask(forwarder, "gone.example")
            assert gone.rcode() == dns.rcode.NXDOMAIN
            assert gone.authority[0].rdtype == dns.rdatatype.SOA
        assert len(up.queries) == 2


async def test_equal_questions_in_flight_are_joined() -> None:
    def script(seen: Seen) -> list[bytes | Wait]:
        return [Wait(0.2), reply(seen, f"{seen.name} 0 A 192.0.2.1")]

    async with run(script) as up, forwarding(up) as forwarder:
        names = ["www.example.com", "WWW.example.com", "www.EXAMPLE.com"] * 50
        found = await asyncio.gather(*(ask(forwarder, name) for name in names))
        assert all(said(each) == ["192.0.2.1"] for each in found)
        assert [each.question[0].name.to_text() for each in found] == [name + "." for name in names]
        assert len(up.queries) == 1
        assert forwarder.joined == 149


# --- sizes ----------------------------------------------------------------------------------------------


def many(count: int) -> Callable[[Seen], bytes]:
    def script(seen: Seen) -> bytes:
        records = [f"{seen.name} 60 TXT {'x' * 100}{n:03d}" for n in range(count)]
        return reply(seen, *(records if seen.tcp else records[:3]), tc=not seen.tcp)

    return script


async def test_a_truncated_answer_is_asked_again_over_tcp() -> None:
    async with run(many(40)) as up, forwarding(up) as forwarder:
        whole = await ask(forwarder, query("big.example", "TXT"), limit=65535)
        assert len(said(whole)) == 40
        assert not whole.flags & dns.flags.TC
        assert [*dict.fromkeys(seen.tcp for seen in up.queries)] == [False, True], (
            "in this order, however often"
        )


@pytest.mark.parametrize(("edns", "limit"), [(None, 512), (600, 600), (4096, 1232), (100, 512)])
async def test_whole_records_that_fit_and_tc(edns: int | None, limit: int) -> None:
    async with run(many(40)) as up, forwarding(up) as forwarder:
        asked = (
            query("big.example", "TXT")
            if edns is None
            else query("big.example", "TXT", use_edns=0, payload=edns)
        )
        wire = await ask_wire(forwarder, asked.to_wire())
        assert len(wire) <= limit
        cut = dns.message.from_wire(wire)
        assert cut.flags & dns.flags.TC
        assert len(wire) > limit - 130
        assert len(said(cut)) >= 3


async def test_additional_records_go_first_and_without_tc() -> None:
    def script(seen: Seen) -> bytes:
        glue = [f"mx{n}.example. 60 TXT {'y' * 200}" for n in range(8)]
        return reply(seen, *(f"{seen.name} 60 MX {n} mx{n}.example." for n in range(8)), additional=glue)

    async with run(script) as up, forwarding(up) as forwarder:
        short = await ask(forwarder, query("example", "MX"))
        assert len(said(short)) == 8
        assert not short.additional
        assert not short.flags & dns.flags.TC
        assert len((await ask(forwarder, query("example", "MX"), limit=65535)).additional) == 8
        assert len(up.queries) == 1


async def test_slow_tcp_is_waited_for_within_the_time() -> None:
    async with run(many(300)) as up, forwarding(up) as forwarder:
        up.slow_tcp = 0.05
        assert len(said(await ask(forwarder, query("big.example", "TXT"), limit=65535))) == 300


async def test_what_comes_over_tcp_is_read_in_turns_as_datagrams_are() -> None:
    """Where each stream had a reader of its own, a thousand replies of one moment were a turn of 700 ms."""
    # Its clock stands still: however long a busy machine takes, nobody has been silent for a while.
    async with run(many(100)) as up, forwarding(up, clock=lambda: 0.0) as forwarder:
        up.slow_tcp = 0.2
        asking = asyncio.create_task(ask(forwarder, query("big.example", "TXT"), limit=65535))
        readers = forwarder._questions._readers
        await until(lambda: any(seen.tcp for seen in up.queries) and len(readers._watched) == 1)
        assert len(said(await asking)) == 100
        assert readers._watched == {}


async def test_where_tcp_is_closed_the_truncated_answer_is_better_than_none() -> None:
    async with run(many(40), tcp=False) as up, forwarding(up) as forwarder:
        cut = await ask(forwarder, query("big.example", "TXT"))
        assert cut.flags & dns.flags.TC
        assert len(said(cut)) == 3
        assert up.queries
        assert forwarder.status().upstreams[0].state == "healthy"


@pytest.mark.parametrize("kept", [(), ("60 CNAME other.example.",)])
async def test_what_was_cut_to_nothing_is_no_empty_answer(kept: tuple[str, ...]) -> None:
    """Over TCP nobody looks for TC: it passed for NODATA."""

    def script(seen: Seen) -> bytes:
        return reply(seen, *(f"{seen.name} {record}" for record in kept), tc=True)

    for limit in (1232, 65535):
        async with run(script) as up, forwarding(up) as forwarder:
            whole = await ask(forwarder, query("big.example", "TXT", use_edns=0), limit=limit)
            assert (whole.rcode(), whole.answer) == (dns.rcode.SERVFAIL, [])
            assert "truncated answer over TCP" in whole.options[0].text
            with pytest.raises(Unresolved, match="no upstream gives an answer"):
                await forwarder.resolve("big.example")


# --- those that don't work ------------------------------------------------------------------------------


async def test_a_silent_upstream_is_passed_over_after_half_a_second() -> None:
    async with (
        run(silent) as first,
        run(addresses("192.0.2.2")) as second,
        forwarding(first, second) as forwarder,
    ):
        assert said(await ask(forwarder, "www.example.com")) == ["192.0.2.2"]
        assert len(first.queries) == 1


async def test_a_late_answer_of_the_first_still_counts() -> None:
    def late(seen: Seen) -> list[bytes | Wait]:
        return [Wait(0.9), reply(seen, f"{seen.name} 60 A 192.0.2.1")]

    async with run(late) as first, run(silent) as second, forwarding(first, second) as forwarder:
        assert said(await ask(forwarder, "www.example.com")) == ["192.0.2.1"]
        assert len(second.queries) == 1


async def test_a_refusing_port_is_passed_over_at_once_and_left_alone() -> None:
    async with (
        run(addresses("192.0.2.2")) as second,
        forwarding(f"127.0.0.1:{dead_port()}", second) as forwarder,
    ):
        for n in range(5):
            assert said(await ask(forwarder, f"www{n}.example.com")) == ["192.0.2.2"]
        assert [u.state for u in forwarder.status().upstreams] == ["dead", "healthy"]
        assert forwarder.status().upstreams[0].why == "connection refused"


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED", "NOTIMP"])
async def test_a_failing_upstream_is_passed_over_but_not_dead(rcode: str) -> None:
    def failing(seen: Seen) -> bytes:
        return reply(seen, rcode=rcode)

    async with (
        run(failing) as first,
        run(addresses("192.0.2.2")) as second,
        forwarding(first, second) as forwarder,
    ):
        assert said(await ask(forwarder, "www.example.com")) == ["192.0.2.2"]
        assert forwarder.status().upstreams[0].state == "healthy"
        assert forwarder.queries[first.address, rcode] == 1


async def test_when_all_fail_it_is_servfail_and_says_why() -> None:
    async with run(lambda seen: reply(seen, rcode="SERVFAIL")) as up, forwarding(up) as forwarder:
        answered = await ask(forwarder, query("www.example.com", use_edns=0))
        assert answered.rcode() == dns.rcode.SERVFAIL
        assert edes(answered) == [22]
    async with forwarding(f"127.0.0.1:{dead_port()}") as forwarder:
        answered = await ask(forwarder, query("www.example.com", use_edns=0))
        assert answered.rcode() == dns.rcode.SERVFAIL
        assert edes(answered) == [23]
        assert answered.flags & dns.flags.RA


async def test_silence_ends_in_servfail_after_two_seconds_and_one_repeated_packet() -> None:
    async with run(silent, hush=True) as up, forwarding(up) as forwarder:
        answered = await ask(forwarder, query("www.example.com", use_edns=0))
        assert answered.rcode() == dns.rcode.SERVFAIL
        assert edes(answered) == [22]
        assert len(up.queries) > 1
        assert len({seen.wire for seen in up.queries}) == 1
        assert forwarder.status().upstreams[0].state == "dead"


async def test_who_asks_for_names_that_nobody_answers_for_ends_no_upstream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zkdns.forward.upstream.SILENCE", 1.9)  # a busy machine is late with its probe
    async with run(silent) as up, forwarding(up) as forwarder:
        await until(lambda: up.seen)
        await asyncio.sleep(0.1)
        assert (await ask(forwarder, "dead.example")).rcode() == dns.rcode.SERVFAIL
        assert forwarder.status().upstreams[0].state == "healthy"
        up.hush = True
        assert (await ask(forwarder, "dead2.example")).rcode() == dns.rcode.SERVFAIL
        assert forwarder.status().upstreams[0].state == "dead"


async def test_a_lost_datagram_is_sent_again() -> None:
    async with run(silent) as up, forwarding(up) as forwarder:

        def second_time(seen: Seen) -> bytes | None:
            return reply(seen, f"{seen.name} 60 A 192.0.2.1") if len(up.queries) > 1 else None

        up.script = second_time
        assert said(await ask(forwarder, "www.example.com")) == ["192.0.2.1"]


async def test_a_dead_upstream_is_found_again_in_the_background() -> None:
    port = dead_port()
    async with run(addresses("192.0.2.2")) as second, forwarding(f"127.0.0.1:{port}", second) as forwarder:
        await ask(forwarder, "www.example.com")
        assert forwarder.status().upstreams[0].state == "dead"
        async with run(addresses("192.0.2.1"), port=port) as first:
            await until(lambda: forwarder.status().upstreams[0].state == "healthy")
            assert said(await ask(forwarder, "other.example.com")) == ["192.0.2.1"]
            assert first.queries


# --- what is not believed -------------------------------------------------------------------------------


def wrong_id(wire: bytes) -> bytes:
    return bytes([wire[0] ^ 1]) + wire[1:]


def wrong_question(wire: bytes) -> bytes:
    at = wire.lower().index(b"www")
    return wire[:at] + b"wwx" + wire[at + 3 :]


def wrong_type(wire: bytes) -> bytes:
    return wire.replace(b"\3com\0\0\1\0\1".swapcase(), b"\3com\0\0\2\0\1")


LIES: dict[str, Callable[[bytes], bytes]] = {
    "a wrong id": wrong_id,
    "a wrong question": wrong_question,
    "a query": lambda wire: wire[:2] + bytes([wire[2] & 0x7F]) + wire[3:],
    "a notify": lambda wire: wire[:2] + bytes([wire[2] | 0x20]) + wire[3:],
    "nothing": lambda wire: b"",
    "garbage": lambda wire: b"\xff" * 300,
    "a name that goes round": lambda wire: wire[:2] + b"\x81\x80\0\1\0\1\0\0\0\0\xc0\x0c\0\1\0\1" + wire[20:],
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_reply_that_does_not_match_is_ignored_not_believed(lie: str) -> None:
    def script(seen: Seen) -> list[bytes | Wait]:
        forged = reply(seen, f"{seen.name} 60 A 203.0.113.66")
        return [LIES[lie](forged), Wait(0.1), reply(seen, f"{seen.name} 60 A 192.0.2.1")]

    async with run(script) as up, forwarding(up) as forwarder:
        assert said(await ask(forwarder, "www.example.com")) == ["192.0.2.1"]
        assert len(up.queries) == 1
        assert forwarder.forgeries == 1


UNREAD: dict[str, Callable[[bytes], bytes]] = {
    "no question": lambda wire: wire[:4] + b"\0\0" + wire[6:],
    "without its end": lambda wire: wire[:-5],
    "a header alone": lambda wire: wire[:4] + bytes(8),
    "the question twice": lambda wire: wire[:4] + b"\0\2" + wire[6:],
}


@pytest.mark.parametrize("kind", UNREAD)
async def test_a_reply_that_fits_and_can_not_be_read_is_asked_for_over_tcp_at_once(kind: str) -> None:
    """Whoever could forge it could as well have forged a good one; on its way it may have been cut."""

    def script(seen: Seen) -> bytes:
        whole = reply(seen, f"{seen.name} 60 A 192.0.2.1")
        return whole if seen.tcp else UNREAD[kind](whole)

    async with run(script) as up, forwarding(up) as forwarder:
        assert said(await ask(forwarder, "www.example.com")) == ["192.0.2.1"]
        assert [*dict.fromkeys(seen.tcp for seen in up.queries)] == [False, True], (
            "in this order, however often"
        )
        assert forwarder.forgeries == 1


async def test_whatever_an_upstream_sends_each_client_has_its_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    draw = random.Random(20)

    def hostile(seen: Seen) -> list[bytes | Wait]:
        wire = bytearray(
            reply(seen, *(f"{seen.name} 60 MX {n} mail{n}.example." for n in range(draw.randrange(9))))
        )
        if draw.random() < 0.3:
            wire[2] |= 0x02  # truncated: come again over TCP
        for _ in range(draw.randrange(5)):
            wire[draw.randrange(len(wire))] = draw.randrange(256)
        end = draw.randrange(len(wire) + 1) if draw.random() < 0.3 else len(wire)
        return [bytes(wire[:end])] * draw.choice([1, 1, 2, 40])

    async with run(hostile) as up, forwarding(up) as forwarder:
        names = [query(f"h{n}.example.com", "MX").to_wire() for n in range(400)]
        asked = (ask_wire(forwarder, wire, client=f"10.0.0.{n % 9}") for n, wire in enumerate(names))
        for wire, answered in zip(names, await asyncio.gather(*asked), strict=True):
            assert answered[:2] == wire[:2]
            assert answered[12 : 12 + len(wire) - 12] == wire[12:]
            assert (
                read_reply(answered) is not None
            )  # each record whole, what a type holds being the upstream's
        assert forwarder.queries[up.address, "NOERROR"] > 5
        assert forwarder.forgeries > 5
        assert not forwarder.status().in_flight
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_an_upstream_on_ipv6() -> None:
    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            said = reply(Seen(data, False, addr), rcode="NXDOMAIN", authority=(soa(),))
            self.transport.sendto(said, addr)  # type: ignore[attr-defined]

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=("::1", 0))
    port = transport.get_extra_info("sockname")[1]
    try:
        async with forwarding(f"[::1]:{port}") as forwarder:
            assert (await ask(forwarder, "www.example.com")).rcode() == dns.rcode.NXDOMAIN
            assert forwarder.status().upstreams[0].address == f"[::1]:{port}"
    finally:
        transport.close()


async def test_a_reply_from_another_address_is_not_heard() -> None:
    import socket

    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stranger.bind(("127.0.0.1", 0))
    try:

        def script(seen: Seen) -> list[bytes | Wait]:
            stranger.sendto(reply(seen, f"{seen.name} 60 A 203.0.113.66"), seen.source)
            return [Wait(0.1), reply(seen, f"{seen.name} 60 A 192.0.2.1")]

        async with run(script) as up, forwarding(up) as forwarder:
            assert said(await ask(forwarder, "www.example.com")) == ["192.0.2.1"]
            assert forwarder.forgeries == 0
    finally:
        stranger.close()


async def test_a_flood_of_forgeries_is_escaped_over_tcp() -> None:
    def script(seen: Seen) -> list[bytes | Wait]:
        if seen.tcp:
            return [reply(seen, f"{seen.name} 60 A 192.0.2.1")]
        return [wrong_id(reply(seen, f"{seen.name} 60 A 203.0.113.66"))] * 40

    async with run(script) as up, forwarding(up) as forwarder:
        assert said(await ask(forwarder, "www.example.com")) == ["192.0.2.1"]


async def test_an_upstream_that_loses_the_case_is_learned_and_still_asked() -> None:
    def lowers(seen: Seen) -> bytes:
        wire = seen.wire[:12] + seen.wire[12:].lower()
        return reply(Seen(wire, seen.tcp, seen.source), f"{seen.name.lower()} 60 A 192.0.2.1")

    async with run(lowers) as up, forwarding(up) as forwarder:
        for n in range(6):
            name = f"a-name-long-enough-to-have-some-upper-case-{n}.example.com"
            assert said(await ask(forwarder, query(name, use_edns=0))) == ["192.0.2.1"]
        spelled = [seen.name == seen.name.lower() for seen in up.queries]
        assert spelled[:2] == [False, True]  # random case; then again, in lower case, to be sure
        assert spelled[-3:] == [True, True, True]  # learned


@pytest.mark.parametrize("how", ["a header with FORMERR", "FORMERR without EDNS", "NOTIMP without EDNS"])
async def test_an_upstream_from_before_edns_is_learned_and_still_asked(how: str) -> None:
    def old(seen: Seen) -> bytes:
        if seen.message.edns < 0:
            return reply(seen, f"{seen.name} 60 A 192.0.2.1")
        if how == "a header with FORMERR":
            return seen.wire[:2] + b"\x80\x81" + b"\0" * 8
        return reply(seen, rcode=how.split()[0], edns=False)

    async with run(old) as up, forwarding(up) as forwarder:
        for n in range(3):
            assert said(await ask(forwarder, f"www{n}.example.com")) == ["192.0.2.1"]
        assert [seen.message.edns for seen in up.queries] == [0, -1, -1, -1]


async def test_the_upstreams_own_opt_and_records_of_one_hop_stay_out() -> None:
    def script(seen: Seen) -> bytes:
        made = dns.message.from_wire(reply(seen, f"{seen.name} 60 A 192.0.2.1"))
        made.use_edns(0, payload=4000, options=[dns.edns.GenericOption(10, b"cookie..")])
        made.flags |= dns.flags.AA | dns.flags.AD
        return made.to_wire()

    async with run(script) as up, forwarding(up) as forwarder:
        assert (await ask(forwarder, query("www.example.com", use_edns=False))).edns == -1
        answered = await ask(forwarder, query("www.example.com", use_edns=0))
        assert answered.options == ()
        assert answered.payload == 1232
        assert not answered.flags & (dns.flags.AA | dns.flags.AD)
        assert up.queries


# --- limits ---------------------------------------------------------------------------------------------


async def test_one_client_has_a_tenth_of_the_room_and_the_rest_is_refused_at_once() -> None:
    async with run(silent) as up, forwarding(up) as forwarder:
        early: list[bytes] = []
        for n in range(MAX_IN_FLIGHT_OF_CLIENT + 20):
            tell(forwarder, query(f"n{n}.example.com").to_wire(), "10.0.0.1", early.append)
        assert [dns.message.from_wire(wire).rcode() for wire in early] == [dns.rcode.SERVFAIL] * 20
        assert forwarder.limited == 20
        others: list[bytes] = []
        tell(forwarder, query("n.example.com").to_wire(), "10.0.0.2", others.append)
        assert not others
        await until(lambda: len(early) == MAX_IN_FLIGHT_OF_CLIENT + 20)  # and each gets its answer in the end
        await until(lambda: not forwarder.status().in_flight)
        assert up.queries


async def test_the_whole_has_a_limit_and_the_cache_answers_all_the_same() -> None:
    async with run(addresses("192.0.2.1")) as up, forwarding(up) as forwarder:
        await ask(forwarder, "known.example.com")
        up.script = silent
        early: list[bytes] = []
        for n in range(MAX_IN_FLIGHT + 30):
            tell(forwarder, query(f"n{n}.example.com").to_wire(), f"10.0.{n % 50}.1", early.append)
        assert len(early) >= 30
        assert forwarder.status().in_flight == MAX_IN_FLIGHT
        assert said(await ask(forwarder, "known.example.com")) == ["192.0.2.1"]
        await until(lambda: len(early) == MAX_IN_FLIGHT + 30)


async def test_where_files_run_out_it_is_our_lack_and_not_the_upstreams(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def lacking(upstream: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async with run(addresses("192.0.2.1")) as up, forwarding(up) as forwarder:
        await ask(forwarder, "first.example.com")
        with monkeypatch.context() as patch:
            patch.setattr("zkdns.forward.transport.connect", lacking)
            answered = await ask(forwarder, query("www.example.com", use_edns=0))
            assert answered.rcode() == dns.rcode.SERVFAIL
            assert edes(answered) == [23]
            with pytest.raises(Lacking, match="too many open files"):
                await forwarder.resolve("db.example.com")
        assert forwarder.status().upstreams[0].state == "healthy"
        assert "too many open files" in forwarder.lack
        assert caplog.text.count("too many open files") == 1
        assert said(await ask(forwarder, "www.example.com")) == ["192.0.2.1"]
        up.script = lambda seen: reply(seen, rcode="NXDOMAIN", authority=(soa(),))
        with pytest.raises(Unresolved):
            await forwarder.resolve("gone.example.com")


async def test_who_asks_for_much_keeps_no_other_network_waiting_to_be_sent() -> None:
    async with run(addresses("192.0.2.1")) as up, forwarding(up) as forwarder:
        for n in range(20):
            tell(forwarder, query(f"n{n}.example.com").to_wire(), "10.0.0.1", lambda _: None)
        tell(forwarder, query("other.example.com").to_wire(), "10.0.1.1", lambda _: None)
        await until(lambda: len(up.queries) == 21)
        assert "other.example.com." in [seen.name.lower() for seen in up.queries[:5]]


async def test_who_registered_many_host_names_keeps_those_of_other_domains_waiting_no_longer() -> None:
    async with run(addresses("192.0.2.1")) as up, forwarding(up) as forwarder:
        names = [*(f"n{n}.busy.example" for n in range(20)), "db.quiet.example"]
        found = [asyncio.create_task(forwarder.resolve(name)) for name in names]
        await asyncio.wait(found)
        asked = [seen.name.lower() for seen in up.queries]
        assert asked.index("db.quiet.example.") <= 5
        assert len(asked) == 2 * len(names)


async def test_what_we_ask_for_ourselves_no_client_takes_the_place_of() -> None:
    async with run(silent, hush=True) as up, forwarding(up) as forwarder:
        for n in range(MAX_IN_FLIGHT):
            tell(forwarder, query(f"n{n}.example.com").to_wire(), f"10.0.{n % 50}.1", lambda _: None)
        assert forwarder.status().in_flight == MAX_IN_FLIGHT
        resolving = asyncio.create_task(forwarder.resolve("db.example.com"))
        await until(lambda: forwarder.status().in_flight == MAX_IN_FLIGHT + 2)
        up.script = addresses("192.0.2.1")
        assert "192.0.2.1" in (await resolving).addresses


async def test_many_questions_hold_many_sockets() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        # Its clock stands still: however long a busy machine takes, nobody has been silent for a while.
        async with run(silent) as up, forwarding(up, clock=lambda: 0.0) as forwarder:
            found: list[bytes] = []
            for n in range(600):
                asked = query(f"n{n}.example.com", use_edns=0)
                tell(forwarder, asked.to_wire(), f"10.0.{n % 9}.1", found.append)
                await asyncio.sleep(0)  # the upstream reads: its socket need not hold them all
            await until(lambda: len(up.queries) >= 600)
            failures = [dns.message.from_wire(wire) for wire in found]
            assert not any(23 in edes(failed) for failed in failures), "no lack of ours"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_who_may_not_is_refused() -> None:
    async with (
        run(addresses("192.0.2.1")) as up,
        forwarding(up, forward_allow=("10.1.0.0/16", "fd00::/8")) as forwarder,
    ):
        refused = await ask(forwarder, query("www.example.com", use_edns=0), client="192.0.2.7")
        assert refused.rcode() == dns.rcode.REFUSED
        assert edes(refused) == [18]
        assert not refused.flags & dns.flags.RA
        for client in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "fd00::1%lo"):
            assert forwarder.allows(client)
            assert said(await ask(forwarder, "www.example.com", client=client)) == ["192.0.2.1"]
        for client in ("10.2.0.1", "::ffff:192.0.2.7", "fe80::1", "no address"):
            assert not forwarder.allows(client)


async def test_without_upstreams_nobody_may() -> None:
    async with forwarding() as forwarder:
        assert not forwarder.enabled
        assert not forwarder.allows(LOCAL)
        assert (await ask(forwarder, "www.example.com")).rcode() == dns.rcode.REFUSED


async def test_bytes_behind_the_last_record_are_nobodys() -> None:
    """BIND logs them as trailing garbage and unbound as spurious data: both take the reply."""
    async with (
        run(lambda seen: [reply(seen, f"{seen.name} 60 A 192.0.2.1") + bytes(7)]) as up,
        forwarding(up) as forwarder,
    ):
        for _ in range(2):
            answered = await ask(forwarder, "www.example.com")
            assert said(answered) == ["192.0.2.1"]
        assert len(up.queries) == 1


# --- what is ours, what is private, what failed ------------------------------------------------------------


OURS = ("Svc.Local. 60 A 203.0.113.66",)


async def test_what_an_upstream_says_of_our_names_is_neither_passed_on_nor_kept() -> None:
    def script(seen: Seen) -> list[bytes]:
        alias = f"{seen.name} 60 CNAME web.svc.local."
        return [reply(seen, alias, "web.svc.local. 60 A 203.0.113.66", additional=OURS)]

    table = Table()
    table.apply(Builder(["svc.local"]).take())
    ours = partial(is_ours, table=table)
    async with run(script) as up, forwarding(up, is_ours=ours) as forwarder:
        for _ in range(2):
            answered = await ask(forwarder, "www.example.com", table=table)
            assert said(answered) == ["web.svc.local."]
            assert not answered.additional
            assert b"\xcb\0\x71\x42" not in answered.to_wire()


@pytest.mark.parametrize(
    ("private", "given"), [("allow", ["10.0.0.1", "192.0.78.1"]), ("deny", ["192.0.78.1"])]
)
async def test_private_addresses_are_taken_out_where_the_settings_deny_them(
    private: str, given: list[str]
) -> None:
    async with (
        run(addresses("10.0.0.1", "192.0.78.1")) as up,
        forwarding(up, forward_private=private) as forwarder,
    ):
        for _ in range(2):
            assert said(await ask(forwarder, "www.example.com")) == given
        assert forwarder.blocked == (private == "deny")


def validating(seen: Seen) -> bytes:
    """One that validates: AD where it is asked for, and says what is wrong with `bogus`."""
    message = dns.message.make_response(seen.message, recursion_available=True)
    message.use_edns(0, options=[dns.edns.EDEOption(6, "signature expired")])
    if "bogus" in seen.name.lower():
        message.set_rcode(dns.rcode.SERVFAIL)
    else:
        message.answer.append(dns.rrset.from_text(seen.name, 60, "IN", "A", "192.0.2.1"))
        if seen.message.flags & dns.flags.AD or seen.message.ednsflags & dns.flags.DO:
            message.flags |= dns.flags.AD
    return message.to_wire()


@pytest.mark.parametrize("trusted", [False, True])
async def test_what_a_trusted_upstream_says_of_dnssec_goes_to_who_asks_for_it(trusted: bool) -> None:
    port = free_port()
    named = (f"127.0.0.1:{port}",) if trusted else ()
    async with run(validating, port=port) as up, forwarding(up, forward_trusted=named) as forwarder:
        for _ in range(2):  # fresh, and of the cache
            plain = await ask(forwarder, query("www.example.com", use_edns=0, flags=dns.flags.RD))
            wanting = await ask(forwarder, query("www.example.com", flags=dns.flags.RD | dns.flags.AD))
            do = await ask(forwarder, query("www.example.com", want_dnssec=True, flags=dns.flags.RD))
            assert not plain.flags & dns.flags.AD, "it did not ask (RFC 6840, section 5.8)"
            assert bool(wanting.flags & dns.flags.AD) == bool(do.flags & dns.flags.AD) == trusted
            assert edes(plain) == edes(do) == ([6] if trusted else [])
            assert edes(wanting) == []
        bogus = await ask(forwarder, query("bogus.example.com", use_edns=0))
        assert (bogus.rcode(), edes(bogus)) == (dns.rcode.SERVFAIL, [6] if trusted else [22])
        texts = [o.text for o in bogus.options if isinstance(o, dns.edns.EDEOption)]
        assert ("signature expired" in texts) == trusted


async def test_a_question_that_failed_is_not_asked_again_at_once() -> None:
    clock = Clock()
    async with (
        run(lambda seen: [reply(seen, rcode="SERVFAIL")]) as up,
        forwarding(up, clock=clock) as forwarder,
    ):
        for _ in range(20):
            failed = await ask(forwarder, query("bad.example.com", use_edns=0))
            assert (failed.rcode(), edes(failed)) == (dns.rcode.SERVFAIL, [22])
        assert len(up.queries) == 1
        clock.ahead += 1.1
        await ask(forwarder, "bad.example.com")
        assert len(up.queries) == 2
        clock.ahead += 1.1  # it failed twice: for twice as long
        await ask(forwarder, "bad.example.com")
        assert len(up.queries) == 2
        clock.ahead += 1.1
        await ask(forwarder, "bad.example.com")
        assert len(up.queries) == 3


async def test_a_question_that_failed_is_asked_at_once_where_an_upstream_came_back() -> None:
    port = dead_port()
    async with forwarding(f"127.0.0.1:{port}") as forwarder:
        assert (await ask(forwarder, "www.example.com")).rcode() == dns.rcode.SERVFAIL
        async with run(addresses("192.0.2.1"), port=port):
            await until(lambda: forwarder.status().upstreams[0].state == "healthy")
            assert said(await ask(forwarder, "www.example.com")) == ["192.0.2.1"]


async def test_a_network_that_floods_leaves_the_others_room() -> None:
    async with run(silent) as up, forwarding(up) as forwarder:
        told: list[bytes] = []
        for n in range(1000):
            tell(forwarder, query(f"n{n}.example.com").to_wire(), f"10.0.1.{n % 10}", told.append)
        assert forwarder.status().in_flight == 750
        tell(forwarder, query("one.example.com").to_wire(), "10.0.2.1", told.append)
        assert forwarder.status().in_flight == 751


@pytest.mark.parametrize("sent", [False, True])
async def test_ten_networks_that_wait_for_silent_names_leave_another_room(
    sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zkdns.forward.load.MAX_IN_FLIGHT", 100)
    monkeypatch.setattr("zkdns.forward.load.MAX_IN_FLIGHT_OF_CLIENT", 10)
    good = addresses("192.0.2.1")

    def script(seen: Seen) -> bytes | None:
        return good(seen) if "good" in seen.name.lower() else None  # type: ignore[return-value]

    # No question is over for having taken too long, however slow this machine is.
    async with run(script) as up, forwarding(up, clock=lambda: 1000.0) as forwarder:
        told: dict[int, list[bytes]] = {n: [] for n in range(10)}
        for k in range(10):
            for n, early in told.items():
                tell(forwarder, query(f"n{n}x{k}.example.com").to_wire(), f"10.0.{n}.1", early.append)
        assert forwarder.status().in_flight == 100
        if sent:
            await until(lambda: len(up.queries) >= 100)
        # A question that others wait for as well is nobody's to give up.
        joined: list[bytes] = []
        tell(forwarder, query("n0x0.example.com").to_wire(), "10.0.77.1", joined.append)
        for n in range(5):
            answered = await ask(forwarder, f"good{n}.example.com", client="10.0.99.1")
            assert said(answered) == ["192.0.2.1"]
        assert not joined
        (given_up,) = [dns.message.from_wire(wire) for wires in told.values() for wire in wires]
        assert given_up.rcode() == dns.rcode.SERVFAIL
        assert not forwarder._failures, "nothing is said of these names"


async def test_a_client_that_came_and_went_leaves_nothing_of_its_count_behind() -> None:
    """Else each client would be refused for ever after a hundred questions."""
    async with run(addresses("192.0.2.1")) as up, forwarding(up) as forwarder:
        for n in range(150):
            assert said(await ask(forwarder, f"n{n}.example.com")) == ["192.0.2.1"]
        assert forwarder.limited == 0


# --- stale, renewed ---------------------------------------------------------------------------------------


async def test_an_expired_answer_is_given_while_no_upstream_answers() -> None:
    clock = Clock()
    async with run(addresses("192.0.2.1", ttl=60)) as up, forwarding(up, clock=clock) as forwarder:
        await ask(forwarder, "www.example.com")
        clock.ahead += 100
        up.script, up.hush = silent, True
        for _ in range(3):
            stale = await ask(forwarder, query("www.example.com", use_edns=0))
            assert said(stale) == ["192.0.2.1"]
            assert stale.answer[0].ttl == 30
            assert edes(stale) == [3]
        await until(lambda: forwarder.status().upstreams[0].state == "dead")
        clock.ahead += 10  # and none of it is because the question failed a moment ago
        dead = dispatch(forwarder, query("www.example.com", use_edns=0).to_wire(), LOCAL)
        assert isinstance(dead, bytes), "nobody is there to wait for"
        up.script, up.hush = addresses("192.0.2.7", ttl=60), False
        await until(lambda: forwarder.status().upstreams[0].state == "healthy")
        fresh = await ask(forwarder, query("www.example.com", use_edns=0))
        assert said(fresh) == ["192.0.2.7"]
        assert edes(fresh) == []
        assert fresh.answer[0].ttl in (59, 60)


async def test_an_expired_answer_is_given_when_the_upstream_only_fails() -> None:
    clock = Clock()
    async with run(addresses("192.0.2.1", ttl=60)) as up, forwarding(up, clock=clock) as forwarder:
        await ask(forwarder, "www.example.com")
        clock.ahead += 100
        up.script = lambda seen: reply(seen, rcode="SERVFAIL")
        assert edes(await ask(forwarder, query("www.example.com", use_edns=0))) == [3]


async def test_after_a_day_the_expired_answer_is_gone() -> None:
    clock = Clock()
    async with run(addresses("192.0.2.1", ttl=60)) as up, forwarding(up, clock=clock) as forwarder:
        await ask(forwarder, "www.example.com")
        clock.ahead += 60 + 86400 + 1
        up.script = silent
        assert (await ask(forwarder, "www.example.com")).rcode() == dns.rcode.SERVFAIL


async def test_what_is_asked_often_is_renewed_just_before_its_end() -> None:
    clock = Clock()
    async with run(addresses("192.0.2.1", ttl=100)) as up, forwarding(up, clock=clock) as forwarder:
        for _ in range(6):
            await ask(forwarder, "often.example.com")
        await ask(forwarder, "seldom.example.com")
        clock.ahead += 95
        up.script = addresses("192.0.2.2", ttl=100)
        assert said(await ask(forwarder, "often.example.com")) == ["192.0.2.1"]
        assert said(await ask(forwarder, "seldom.example.com")) == ["192.0.2.1"]
        await until(lambda: len(up.queries) == 3)
        await until(lambda: not forwarder.status().in_flight)
        assert said(await ask(forwarder, "often.example.com")) == ["192.0.2.2"]
        assert forwarder.prefetches == 1


# --- loops ----------------------------------------------------------------------------------------------


async def test_an_upstream_that_leads_back_to_us_is_turned_off_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    forwarders: list[Forwarder] = []

    def back(seen: Seen) -> list[bytes]:
        out: list[bytes] = []
        for forwarder in forwarders:
            tell(forwarder, seen.wire, LOCAL, out.append)
        return out

    async with (
        run(back, hush=True) as looping,
        run(addresses("192.0.2.2")) as good,
        forwarding(looping, good) as forwarder,
    ):
        forwarders.append(forwarder)
        await until(lambda: forwarder.status().upstreams[0].state == "loop")
        assert "our own query came back" in forwarder.status().upstreams[0].why
        assert "leads back to this server" in caplog.text
        assert "name a resolver that does not forward to this server" in caplog.text, "and its cure"
        assert said(await ask(forwarder, "www.example.com")) == ["192.0.2.2"]
        assert not looping.queries


async def test_where_all_is_a_loop_it_is_servfail_at_once() -> None:
    forwarders: list[Forwarder] = []

    def back(seen: Seen) -> list[bytes]:
        out: list[bytes] = []
        tell(forwarders[0], seen.wire, LOCAL, out.append)
        return out

    async with run(back, hush=True) as looping, forwarding(looping) as forwarder:
        forwarders.append(forwarder)
        await until(lambda: forwarder.status().upstreams[0].state == "loop")
        answered = await ask(forwarder, query("www.example.com", use_edns=0))
        assert answered.rcode() == dns.rcode.SERVFAIL
        assert edes(answered)[0] in (22, 23)
        assert not looping.queries


# --- settings -------------------------------------------------------------------------------------------


async def test_resolv_conf_is_read_again_and_our_own_address_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zkdns.forward.upstreams.LOOK", 0.1)
    path = tmp_path / "resolv.conf"
    path.write_text("# made by a test\nsearch svc.local\nnameserver 127.0.0.53\nnameserver 192.0.2.53\n")
    listen = (Address("127.0.0.53", 53),)
    async with forwarding("resolv.conf", resolv_conf=path, listen=listen) as forwarder:
        assert [u.address for u in forwarder.status().upstreams] == ["192.0.2.53:53"]
        path.write_text(
            "nameserver 192.0.2.54\nnameserver 127.0.0.53\n nameserver fd00::53\noptions ndots:1\n"
        )
        await until(lambda: len(forwarder.status().upstreams) == 2)
        assert [u.address for u in forwarder.status().upstreams] == ["192.0.2.54:53", "[fd00::53]:53"]
        path.unlink()
        await asyncio.sleep(0.5)
        assert len(forwarder.status().upstreams) == 2
        path.write_text("search nowhere\n")
        await until(lambda: not forwarder.status().upstreams)
        assert "no upstream" in forwarder.status().problem


def test_of_a_resolv_conf_without_an_end_the_first_upstreams_count() -> None:
    many = [f"10.0.{n >> 8}.{n & 255}" for n in range(1000)]
    assert nameservers("".join(f"nameserver {each}\n" for each in many)) == many[:MAX_UPSTREAMS]


async def test_a_reload_takes_other_upstreams_and_forgets_what_the_old_ones_said() -> None:
    async with (
        run(addresses("192.0.2.1")) as first,
        run(addresses("192.0.2.2")) as second,
        forwarding(first) as forwarder,
    ):
        assert said(await ask(forwarder, "www.example.com")) == ["192.0.2.1"]
        forwarder.reload(Settings(forward=(second.address,)))
        assert said(await ask(forwarder, "www.example.com")) == ["192.0.2.2"]


async def test_stop_answers_what_is_under_way() -> None:
    def slow(seen: Seen) -> list[bytes | Wait]:
        return [Wait(0.3), reply(seen, f"{seen.name} 60 A 192.0.2.1")]

    async with run(slow) as up, forwarding(up) as forwarder:
        waiting = asyncio.ensure_future(ask(forwarder, "www.example.com"))
        await until(lambda: forwarder.status().in_flight)
        await forwarder.stop(wait=2)
        assert said(await waiting) == ["192.0.2.1"]
        assert (await ask(forwarder, "other.example.com")).rcode() == dns.rcode.SERVFAIL


# --- names for ourselves --------------------------------------------------------------------------------


async def test_a_name_is_resolved_for_ourselves_through_its_aliases() -> None:
    def script(seen: Seen) -> bytes:
        question = seen.message.question[0]
        if question.name.to_text().lower() == "nowhere.example.":
            return reply(seen, rcode="NXDOMAIN", authority=(soa(),))
        data = "A 192.0.2.1" if question.rdtype == 1 else "AAAA 2001:db8::1"
        return reply(seen, f"db2.example. 7 {data}", f"{question.name} 60 CNAME db2.example.")

    async with run(script) as up, forwarding(up) as forwarder:
        found = await forwarder.resolve("db.example")
        assert found.addresses == ("192.0.2.1", "2001:db8::1")
        assert found.ttl == 7
        with pytest.raises(Unresolved, match="does not exist"):
            await forwarder.resolve("nowhere.example")
        with pytest.raises(Unresolved):
            await forwarder.resolve("a" * 70 + ".example")
        up.script = lambda seen: reply(seen, rcode="SERVFAIL")
        with pytest.raises(Unresolved, match="no upstream"):
            await forwarder.resolve("other.example")


async def test_a_long_answer_to_ourselves_is_read_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner may tell four thousand addresses of each host name that he registers."""
    by_thread: list[tuple[str, bool]] = []

    def note(reply: bytes) -> Message | None:
        by_thread.append((threading.current_thread().name.partition("_")[0], len(reply) > LARGE_BYTES))
        return read_reply(reply)

    monkeypatch.setattr("zkdns.forward.resolve.read_reply", note)
    many = [f"192.0.{n // 200}.{n % 200}" for n in range(600)]
    async with run(addresses("192.0.2.1")) as up, forwarding(up) as forwarder:
        assert (await forwarder.resolve("few.example")).addresses == ("192.0.2.1",)
        up.script = addresses(*many)
        assert len((await forwarder.resolve("many.example")).addresses) == MAX_TOLD
    assert {is_large for thread, is_large in by_thread if thread == "MainThread"} == {False}
    assert ("replies", True) in by_thread


async def test_a_burst_of_questions_takes_off_a_few_at_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Own answers have their turns in between: a thousand sockets at once would hold them up."""
    started: list[object] = []

    class Noted(Transport):
        def step(self) -> None:
            started.append(self)
            super().step()

    monkeypatch.setattr("zkdns.forward.questions.Transport", Noted)
    async with run(silent) as upstream, forwarding(upstream) as forwarder:
        for n in range(40):
            tell(forwarder, query(f"n{n}.example").to_wire(), f"127.0.0.{n + 1}", lambda made: None)
        assert forwarder.status().in_flight == 40, "they count from the moment they are taken"
        assert not started
        await asyncio.sleep(0)
        assert len(started) == STARTS_PER_TURN
        await until(lambda: len(upstream.queries) == 40)


async def test_stop_answers_those_that_have_not_taken_off() -> None:
    async with run(silent) as upstream:
        replies: list[bytes] = []
        async with forwarding(upstream) as forwarder:
            for n in range(40):
                tell(forwarder, query(f"n{n}.example").to_wire(), f"127.0.0.{n + 1}", replies.append)
        assert len(replies) == 40
        assert {reply[3] & 15 for reply in replies} == {dns.rcode.SERVFAIL}
        assert forwarder.status().in_flight == 0


async def test_stop_tells_a_few_in_each_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands may wait, and were told in one turn of 0.6 s."""
    for module in ("zkdns.turn", "zkdns.forward.pending"):
        monkeypatch.setattr(f"{module}.TURN_SECONDS", 0.0)
    async with run(silent) as upstream, forwarding(upstream) as forwarder:
        replies: list[bytes] = []
        for n in range(200):
            tell(forwarder, query(f"n{n % 50}.example").to_wire(), f"127.0.{n}.1", replies.append)
        stopping = asyncio.ensure_future(forwarder.stop())
        told = [0]
        while not stopping.done():
            await asyncio.sleep(0)
            told.append(len(replies))
        await stopping
    assert len(replies) == 200
    assert max(now - before for before, now in pairwise(told)) <= 8


async def test_a_question_that_is_done_leaves_nothing_for_the_collector() -> None:
    """Else what upstreams say stays in memory until the collector comes by, and a busy server has it
    come seldom."""
    gc.collect()
    gc.disable()
    try:
        async with run(addresses("192.0.2.1")) as up, forwarding(up) as forwarder:
            for n in range(5):
                await ask(forwarder, f"n{n}.example.com")
            await ask(forwarder, "no.example.com", client="192.0.2.9")
            left = [each for each in gc.get_objects() if isinstance(each, Transport | Resolution | Message)]
            assert not left
    finally:
        gc.enable()
