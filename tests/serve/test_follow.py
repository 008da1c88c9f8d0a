"""Aliases in our data that lead outside: the upstreams tell the rest to who may have names forwarded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import dns.asyncquery
import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest
import pytest_asyncio

from support.forwarding import edes
from support.missing import ENGINES
from support.ports import free_port
from support.upstream import FakeUpstream, Seen, reply, run, soa
from zkdns.answers.builder import Builder
from zkdns.answers.table import Table
from zkdns.answers.zonefiles.overlay import Overlay
from zkdns.answers.zonefiles.reader import ZoneFolder
from zkdns.config import Address, Settings
from zkdns.forward.forwarder import Forwarder
from zkdns.serve import engine as engines
from zkdns.serve.dispatch import Dispatcher
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
* CNAME real.example.org.
moved DNAME example.org.
"""


HOME = {
    "home.example.org.": "NS.example.net.",
    "lost.example.org.": "nope.ns.example.net.",
    "again.example.org.": "db.example.net.",
}
"""Names outside that lead to ours, of which their upstream says that there is nothing."""


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
    if question.rdtype != 1:
        return reply(seen, authority=(soa(owner="example.org."),))
    if name == "big.example.org.":
        return reply(seen, *(f"{seen.name} 60 A 10.9.{n}.1" for n in range(200)), tc=not seen.tcp)
    return reply(seen, f"{seen.name} 60 CNAME deep.example.org.", "deep.example.org. 60 A 10.9.8.1")


@dataclass
class Server:
    upstream: FakeUpstream
    port: int
    engine: engines.PythonEngine

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
        yield Server(upstream, address.port, engine)
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
async def test_what_an_alias_leads_to_is_asked_as_it_was_asked_for(
    server: Server, do: bool, flags: int
) -> None:
    """Whoever validates himself (CD, DO) is to have what is signed, whether that is sound or not."""
    await server.ask("db.example.net", flags=dns.flags.RD | flags, want_dnssec=do)
    seen = server.upstream.queries[-1].message
    assert seen.flags & dns.flags.CD == flags
    assert bool(seen.ednsflags & dns.flags.DO) is do
