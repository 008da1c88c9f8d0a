"""Aliases in our data that lead outside: the upstreams tell the rest to who may have names forwarded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import dns.asyncquery
import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
import pytest_asyncio

from support.forwarding import edes
from support.missing import ENGINES
from support.ports import free_port
from support.upstream import FakeUpstream, Seen, reply, run, soa
from support.waiting import until
from zkdns.answers.builder import Builder
from zkdns.answers.table import Table
from zkdns.answers.zonefiles.overlay import Overlay
from zkdns.answers.zonefiles.reader import ZoneFolder
from zkdns.config import Address, Settings
from zkdns.dns.message import Message
from zkdns.forward.forwarder import Forwarder
from zkdns.forward.intake import LARGE_BYTES
from zkdns.forward.load import Room
from zkdns.serve import engine as engines
from zkdns.serve import joined
from zkdns.serve.dispatch import Dispatcher
from zkdns.serve.following import MAX_LEAVES
from zkdns.serve.respond import is_ours

ZONE = """
$ORIGIN example.net.
$TTL 30
@ SOA ns host 1 7200 900 1209600 60
@ NS ns
ns A 10.6.0.1
db CNAME real.example.org.
gone CNAME nope.example.org.
bad CNAME broken.example.org.
far CNAME near
near CNAME real.example.org.
big CNAME big.example.org.
out CNAME home.example.org.
round CNAME round.example.org.
long CNAME long.example.org.
torn CNAME torn.example.org.
* CNAME real.example.org.
moved DNAME example.org.
"""


HOME = {
    "home.example.org.": "NS.example.net.",
    "lost.example.org.": "nope.ns.example.net.",
    "again.example.org.": "db.example.net.",
    "round.example.org.": "round.example.net.",
}
"""Names outside that lead to ours, of which their upstream says that there is nothing."""


LONG = 1400
"""Addresses of a reply of more than LARGE_BYTES."""

EVIL = "203.0.113.66"

LYING = {
    "end.example.org.": (f"ns.example.net. 60 A {EVIL}", "ns.example.net. 60 AAAA 2001:db8::66"),
    "through.example.org.": ("ns.example.net. 60 CNAME x.example.org.", f"x.example.org. 60 A {EVIL}"),
    "made.example.org.": ("example.net. 60 DNAME example.org.", "ns.example.net. 60 CNAME ns.example.org."),
    "hidden.example.org.": ("example.org. 60 DNAME example.net.", f"x.NS.eXample.net. 60 A {EVIL}"),
}
"""Aliases that lead to NS.example.net, and what their upstream has to say of that."""

LYING_BESIDE = {
    "SRV": ("1 1 80 NS.example.net.", f"ns.example.net. 60 A {EVIL}"),
    "HTTPS": ("0 NS.example.net.", f"ns.example.net. 60 A {EVIL}"),
    "MX": ("1 NS.example.net.", f"ns.example.net. 60 A {EVIL}"),
    "NS": ("NS.example.net.", f"ns.example.net. 60 A {EVIL}"),
    "PTR": ("NS.example.net.", f"ns.example.net. 60 A {EVIL}"),
}
"""Records that name one of ours, and what is said of that beside them."""


A_OF_ASKED = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4"


def long_reply(seen: Seen) -> bytes:
    """Put together by hand: dnspython takes so long that a busy machine's server gives its upstream up."""
    bare = reply(seen, tc=not seen.tcp)
    records = b"".join(A_OF_ASKED + bytes((10, 9, n >> 8, n & 255)) for n in range(LONG))
    assert bare[-11:-8] == b"\0\0\x29", "OPT comes last"
    return bare[:6] + LONG.to_bytes(2, "big") + bare[8:-11] + records + bare[-11:]


def script(seen: Seen) -> bytes:
    question = seen.message.question[0]
    name = question.name.to_text().lower()
    if name == "broken.example.org.":
        return reply(seen, rcode="SERVFAIL")
    if name == "nope.example.org.":
        return reply(seen, rcode="NXDOMAIN", authority=(soa(owner="example.org."),))
    if name in HOME:
        alias = f"{seen.name} 60 CNAME {HOME[name]}"
        return reply(seen, alias, rcode="NXDOMAIN", authority=(soa(owner="."),))
    if name in LYING:
        return reply(seen, f"{seen.name} 60 CNAME NS.example.net.", *LYING[name])
    if name == "beside.example.org.":
        rtype = dns.rdatatype.to_text(question.rdtype)
        rdata, beside = LYING_BESIDE[rtype]
        ours = ("example.net. 60 NS ns.evil.example.", "example.net. 60 SOA a. b. 1 2 3 4 5")
        return reply(seen, f"{seen.name} 60 {rtype} {rdata}", authority=ours, additional=(beside,))
    if question.rdtype != 1:
        return reply(seen, authority=(soa(owner="example.org."),))
    if name == "torn.example.org.":
        return reply(seen, f"{seen.name} 60 A 10.9.8.1", tc=True)
    if name == "long.example.org.":
        return long_reply(seen)
    if name == "big.example.org.":
        return reply(seen, *(f"{seen.name} 60 A 10.9.{n}.1" for n in range(200)), tc=not seen.tcp)
    return reply(seen, f"{seen.name} 60 CNAME deep.example.org.", "deep.example.org. 60 A 10.9.8.1")


@dataclass
class Server:
    upstream: FakeUpstream
    port: int
    engine: engines.PythonEngine
    forwarder: Forwarder

    async def ask(
        self, name: str, rtype: str = "A", *, tcp: bool = False, source: str = "127.0.0.1", **more: object
    ) -> dns.message.Message:
        query = dns.message.make_query(name, rtype, **{"use_edns": 0, **more})  # type: ignore[arg-type]
        send = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
        return await send(query, "127.0.0.1", 10, self.port, source)


@pytest_asyncio.fixture(params=ENGINES)
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    (tmp_path / "example.net.zone").write_text(ZONE)
    async with run(script) as upstream:
        settings = Settings(
            forward=(upstream.address,), forward_allow=("127.0.0.1/32",), engine=request.param
        )
        cache = engines.choose_cache(settings)
        table = Table()
        forwarder = Forwarder(settings, cache=cache, is_ours=lambda name: is_ours(name, table))
        await forwarder.start()
        engine = engines.choose(Dispatcher(table, forwarder), engines.open_native(request.param, cache))
        engine.configure(settings)
        builder = Builder(["svc.local"])
        Overlay(builder).put(ZoneFolder(tmp_path).load().zones)
        engine.apply(builder.take())
        address = Address("127.0.0.1", free_port())
        await engine.start([address], 1)
        yield Server(upstream, address.port, engine, forwarder)
        await engine.stop()
        await forwarder.stop()
        engine.close()


def said(message: dns.message.Message) -> list[str]:
    return [f"{rrset.name} {rd}" for rrset in message.answer for rd in rrset]


OUTSIDE = ["real.example.org. deep.example.org.", "deep.example.org. 10.9.8.1"]


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("db.example.net", ["db.example.net. real.example.org."]),
        ("any.example.net", ["any.example.net. real.example.org."]),
        ("far.example.net", ["far.example.net. near.example.net.", "near.example.net. real.example.org."]),
        (
            "real.moved.example.net",
            ["moved.example.net. example.org.", "real.moved.example.net. real.example.org."],
        ),
    ],
)
async def test_an_alias_that_leads_outside_comes_with_what_is_there(
    server: Server, name: str, ours: list[str], tcp: bool
) -> None:
    for _ in range(2):
        answered = await server.ask(name, tcp=tcp)
        assert said(answered) == [*ours, *OUTSIDE]
        assert answered.rcode() == dns.rcode.NOERROR
        assert answered.flags & dns.flags.AA, "of the first name (RFC 1035, section 4.1.1)"
        assert answered.flags & dns.flags.RA
    assert len(server.upstream.queries) == 1, "the rest is in the cache"


async def test_what_is_not_there_at_the_end_is_told_with_its_zones_soa(server: Server) -> None:
    gone = await server.ask("gone.example.net")
    assert gone.rcode() == dns.rcode.NXDOMAIN, "the code is the last name's (RFC 6604)"
    assert said(gone) == ["gone.example.net. nope.example.org."]
    assert gone.authority[0].name.to_text() == "example.org."
    other = await server.ask("db.example.net", "AAAA")
    assert other.rcode() == dns.rcode.NOERROR
    assert said(other) == ["db.example.net. real.example.org."]
    assert other.authority[0].name.to_text() == "example.org."


async def test_where_no_upstream_knows_it_is_servfail_and_why(server: Server) -> None:
    failed = await server.ask("bad.example.net")
    assert (failed.rcode(), said(failed), edes(failed)) == (dns.rcode.SERVFAIL, [], [22])


async def test_who_may_not_or_wants_no_recursion_gets_our_part_alone(server: Server) -> None:
    stranger = await server.ask("db.example.net", source="127.0.0.2")
    plain = await server.ask("db.example.net", flags=0)
    for answered in (stranger, plain):
        assert said(answered) == ["db.example.net. real.example.org."]
        assert answered.rcode() == dns.rcode.NOERROR
    assert not stranger.flags & dns.flags.RA
    assert said(await server.ask("db.example.net", "CNAME")) == ["db.example.net. real.example.org."]
    assert not server.upstream.queries


async def test_a_long_answer_is_cut_over_udp_and_whole_over_tcp(server: Server) -> None:
    cut = await server.ask("big.example.net")
    assert cut.flags & dns.flags.TC
    assert len(cut.to_wire()) <= 1232
    whole = await server.ask("big.example.net", tcp=True)
    assert len(said(whole)) == 201
    assert not whole.flags & dns.flags.TC


async def test_each_such_question_is_counted_once(server: Server) -> None:
    for tcp in (False, True):
        await server.ask("db.example.net", tcp=tcp)
    assert server.engine.counts() == {("udp", 1, 0): 1, ("tcp", 1, 0): 1}


@pytest.mark.parametrize("tcp", [False, True])
async def test_an_upstreams_alias_that_leads_to_us_comes_with_what_we_have_there(
    server: Server, tcp: bool
) -> None:
    for asked in range(1, 3):
        home = await server.ask("home.example.org", tcp=tcp)
        assert said(home) == ["home.example.org. NS.example.net.", "ns.example.net. 10.6.0.1"]
        assert home.rcode() == dns.rcode.NOERROR, "the upstream can't know what is ours"
        assert not home.flags & dns.flags.AA
        assert home.flags & dns.flags.RA
        assert len(server.upstream.queries) == asked, "what we have is of each moment: it is not kept"
    other = await server.ask("home.example.org", "AAAA", tcp=tcp)
    assert (said(other), other.rcode()) == (["home.example.org. NS.example.net."], dns.rcode.NOERROR)
    assert other.authority[0].name.to_text() == "example.net."
    lost = await server.ask("lost.example.org", tcp=tcp)
    assert (said(lost), lost.rcode()) == (["lost.example.org. nope.ns.example.net."], dns.rcode.NXDOMAIN)
    alias = await server.ask("home.example.org", "CNAME", tcp=tcp)
    assert said(alias) == ["home.example.org. NS.example.net."]


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("name", LYING)
async def test_what_an_upstream_says_of_a_name_of_ours_on_the_way_is_put_right(
    server: Server, name: str, tcp: bool
) -> None:
    for asked in range(1, 3):
        home = await server.ask(name.removesuffix("."), tcp=tcp)
        above = [line for line in said(home) if line.startswith("example.org.")]
        assert said(home) == [*above, f"{name} NS.example.net.", "ns.example.net. 10.6.0.1"]
        assert len(server.upstream.queries) == asked, "it is not kept"
    other = await server.ask(name.removesuffix("."), "AAAA", tcp=tcp)
    assert [line for line in said(other) if not line.startswith("example.org.")] == [
        f"{name} NS.example.net."
    ]
    assert other.authority[0].name.to_text() == "example.net."


@pytest.mark.parametrize("rtype", LYING_BESIDE)
async def test_what_an_upstream_says_of_a_name_of_ours_beside_its_answer_is_left_out(
    server: Server, rtype: str
) -> None:
    for _ in range(2):
        answered = await server.ask("beside.example.org", rtype)
        assert len(said(answered)) == 1
        assert (answered.authority, answered.additional) == ([], [])


async def test_an_alias_of_ours_that_leads_out_and_home_again_ends_with_what_we_have(server: Server) -> None:
    for _ in range(2):
        answered = await server.ask("out.example.net")
        assert said(answered) == [
            "out.example.net. home.example.org.",
            "home.example.org. NS.example.net.",
            "ns.example.net. 10.6.0.1",
        ]
        assert answered.rcode() == dns.rcode.NOERROR, "the upstream can't know what is ours"


async def test_aliases_that_lead_out_and_home_for_ever_are_given_up(server: Server) -> None:
    answered = await server.ask("round.example.net")
    assert (answered.rcode(), said(answered), edes(answered)) == (dns.rcode.SERVFAIL, [], [23])
    assert len(server.upstream.queries) <= MAX_LEAVES


async def test_a_long_reply_behind_an_alias_is_joined_beside_the_loop(server: Server) -> None:
    """One of 64 KB takes some ten milliseconds to read and to write."""
    loop_thread = threading.get_ident()
    read: list[tuple[int, int]] = []
    real = joined.read_reply

    def watched(data: bytes) -> Message | None:
        read.append((len(data), threading.get_ident()))
        return real(data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joined, "read_reply", watched)
        whole = await server.ask("long.example.net", tcp=True)
        cut = await server.ask("long.example.net")
    assert len(said(whole)) == LONG + 1
    assert cut.flags & dns.flags.TC
    assert len(said(cut)) > 1
    assert [size > LARGE_BYTES for size, _ in read] == [True, False], "a datagram has no room for more"
    assert [thread == loop_thread for _, thread in read] == [False, True]


async def test_few_long_replies_wait_to_be_joined(server: Server) -> None:
    """Each takes 64 KB, and its time in the one thread; a thousand connections may wait for 128 each."""
    gate = threading.Event()
    real = joined.read_reply
    server.engine.dispatcher.following._room = Room(4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joined, "read_reply", lambda data: gate.wait(10) and real(data))
        asking = [asyncio.create_task(server.ask("long.example.net", tcp=True)) for _ in range(5)]
        await until(lambda: sum(task.done() for task in asking) == 2)
        gate.set()
        answered = await asyncio.gather(*asking)
    assert sorted(len(said(one)) for one in answered) == [0, 0, LONG + 1, LONG + 1, LONG + 1]
    assert [edes(one) for one in answered if not said(one)] == [[22], [22]]
    assert len(said(await server.ask("long.example.net", tcp=True))) == LONG + 1


async def test_what_an_upstream_cut_stays_cut_behind_an_alias_of_ours(server: Server) -> None:
    answered = await server.ask("torn.example.net")
    assert said(answered) == ["torn.example.net. torn.example.org.", "torn.example.org. 10.9.8.1"]
    assert answered.flags & dns.flags.TC


@pytest.mark.parametrize("private", ["allow", "deny"])
async def test_where_private_addresses_are_denied_an_alias_from_outside_leads_to_none_of_ours(
    server: Server, private: str
) -> None:
    """A page from outside would reach a machine of ours under its own name (DNS rebinding)."""
    server.forwarder.reload(Settings(forward=(server.upstream.address,), forward_private=private))
    answered = await server.ask("home.example.org")
    assert said(answered)[1:] == ["ns.example.net. 10.6.0.1"] * (private == "allow")
    assert said(await server.ask("ns.example.net")) == ["ns.example.net. 10.6.0.1"]


async def test_an_alias_may_come_home_and_leave_again(server: Server) -> None:
    again = await server.ask("again.example.org")
    assert said(again) == [
        "again.example.org. db.example.net.",
        "db.example.net. real.example.org.",
        *OUTSIDE,
    ]
    assert again.rcode() == dns.rcode.NOERROR


@pytest.mark.parametrize("flags", [0, dns.flags.CD])
@pytest.mark.parametrize("do", [False, True])
@pytest.mark.parametrize("name", ["db.example.net", "again.example.org"])
async def test_what_an_alias_leads_to_is_asked_as_it_was_asked_for(
    server: Server, name: str, do: bool, flags: int
) -> None:
    """Whoever validates himself (CD, DO) is to have what is signed, whether that is sound or not."""
    await server.ask(name, flags=dns.flags.RD | flags, want_dnssec=do)
    assert server.upstream.queries[-1].name.lower() == "real.example.org."
    seen = server.upstream.queries[-1].message
    assert seen.flags & dns.flags.CD == flags
    assert bool(seen.ednsflags & dns.flags.DO) is do


async def test_who_wants_no_recursion_is_led_home_and_not_out_again(server: Server) -> None:
    answered = await server.ask("again.example.org", flags=0)
    assert said(answered) == ["again.example.org. db.example.net.", "db.example.net. real.example.org."]
    assert [seen.name.lower() for seen in server.upstream.queries] == ["again.example.org."]
