"""Where a packet goes: answered, forwarded or refused, decided once and counted once."""

from __future__ import annotations

from collections.abc import Callable

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from support import tables
from support.tables import Answers
from zkdns.answers.table import Entry
from zkdns.dns import names
from zkdns.dns.packet import Query
from zkdns.dns.reply import fail
from zkdns.dns.types import NXDOMAIN
from zkdns.forward.pending import Pending
from zkdns.serve.dispatch import HIGHEST_COUNTED, Dispatcher
from zkdns.serve.respond import next_position
from zkdns.web.metrics import TYPES

ALLOWED, STRANGER = "10.0.0.1", "192.0.2.1"
OUTSIDE = tables.query(names.wire("www.example.com"), 1, tables.opt())
OURS = tables.query(names.wire("nope.svc.local"), 1, tables.opt())


class Upstreams:
    """Stands where the forwarder does. `now`: what it says at once; else it is told later."""

    def __init__(self) -> None:
        self.enabled = True
        self.refused = 0
        self.checked: list[str] = []
        self.asked: list[Pending] = []
        self.probes: set[bytes] = set()
        self.now: Callable[[Query], bytes] | None = None

    def allows(self, client: str) -> bool:
        self.checked.append(client)
        return client == ALLOWED

    def is_probe(self, name: bytes) -> bool:
        return name in self.probes

    def answer(self, query: Query, client: str) -> bytes | Pending:
        if self.now is not None:
            return self.now(query)
        self.asked.append(Pending(query))
        return self.asked[-1]


@pytest.fixture
def upstreams() -> Upstreams:
    return Upstreams()


def serving(upstreams: Upstreams | None, position: Callable[[Entry], int] = next_position) -> Dispatcher:
    return Dispatcher(Answers(["svc.local"]).table, upstreams, position)  # type: ignore[arg-type]


def ask(dispatcher: Dispatcher, packet: bytes, client: str = ALLOWED) -> bytes | Pending | None:
    return dispatcher.dispatch(dispatcher.read(packet, client))


def refusal(outcome: object) -> list[str]:
    assert isinstance(outcome, bytes)
    reply = dns.message.from_wire(outcome)
    assert reply.rcode() == dns.rcode.REFUSED
    return [o.text or "" for o in reply.options if isinstance(o, dns.edns.EDEOption)]


def test_whoever_asks_for_all_types_there_are_leaves_few_counts(upstreams: Upstreams) -> None:
    """Each scrape walks over them: of 200,000 that was a turn of 80 ms, for good."""
    dispatcher = serving(upstreams)
    asked = [*range(1, HIGHEST_COUNTED + 1), *range(HIGHEST_COUNTED + 1, 1 << 16, 97)]
    for name in ("nope.svc.local", "www.example.com"):
        for rtype in asked:
            ask(dispatcher, tables.query(names.wire(name), rtype), STRANGER)
    assert dispatcher.counts.total() == 2 * len(asked)
    assert {rtype for _, rtype, _ in dispatcher.counts} <= {*range(HIGHEST_COUNTED + 1)}
    together = serving(upstreams)
    packet = tables.query(names.wire("nope.svc.local"), 65_280)
    together.dispatch_all([packet] * 3, [STRANGER] * 3)
    assert together.counts == {("udp", 0, NXDOMAIN): 3}
    assert max(TYPES) <= HIGHEST_COUNTED, "those that have a label"


def test_whether_a_client_may_is_asked_once_for_each_packet(upstreams: Upstreams) -> None:
    dispatcher = serving(upstreams)
    for packet in (OUTSIDE, OURS, b"\0" * 12):
        ask(dispatcher, packet)
    assert upstreams.checked == [ALLOWED] * 3


def test_a_name_of_others_is_refused_and_why_is_told(upstreams: Upstreams) -> None:
    assert refusal(ask(serving(None), OUTSIDE)) == ["not a zone of ours"]
    assert refusal(ask(serving(upstreams), OUTSIDE, STRANGER)) == ["forwarding is not for this client"]
    assert upstreams.refused == 1
    upstreams.enabled = False
    assert refusal(ask(serving(upstreams), OUTSIDE)) == ["not a zone of ours"]


def test_our_own_probe_is_told_of_the_loop_whoever_brings_it_back(upstreams: Upstreams) -> None:
    upstreams.probes.add(names.wire("www.example.com"))
    reply = ask(serving(upstreams), OUTSIDE, STRANGER)
    assert isinstance(reply, bytes)
    assert dns.message.from_wire(reply).rcode() == dns.rcode.SERVFAIL
    assert not upstreams.asked


def test_what_comes_later_is_told_and_counted_once(upstreams: Upstreams) -> None:
    dispatcher = serving(upstreams)
    outcome = ask(dispatcher, OUTSIDE)
    assert isinstance(outcome, Pending)
    told: list[bytes] = []
    outcome.then(told.append)
    assert not dispatcher.counts
    for rcode in (0, 2):
        upstreams.asked[0].deliver(fail(upstreams.asked[0].query, rcode))
    assert [reply[3] & 15 for reply in told] == [0]
    assert dispatcher.counts == {("udp", 1, 0): 1}
    outcome.then(told.append)
    assert told[0] == told[1], "who asks after it came is told at once"


def test_what_upstreams_do_not_know_is_no_search_lists_doing(upstreams: Upstreams) -> None:
    dispatcher = serving(upstreams)
    upstreams.now = lambda query: fail(query, NXDOMAIN)
    assert isinstance(ask(dispatcher, OUTSIDE), bytes)
    assert not dispatcher.search_misses
    for _ in range(2):
        ask(dispatcher, tables.query(names.wire("www.example.com.svc.local"), 1))
    ask(dispatcher, OURS)
    assert dispatcher.search_misses == {ALLOWED: 2}


def test_past_a_thousand_clients_search_misses_are_counted_together(upstreams: Upstreams) -> None:
    dispatcher = serving(upstreams)
    for n in range(1100):
        ask(dispatcher, tables.query(names.wire("a.b.svc.local"), 1), f"10.1.{n >> 8}.{n & 255}")
    ask(dispatcher, tables.query(names.wire("a.b.svc.local"), 1), "10.1.0.0")
    assert len(dispatcher.search_misses) == 1001
    assert (dispatcher.search_misses[""], dispatcher.search_misses["10.1.0.0"]) == (100, 2)


def test_an_error_of_ours_is_servfail_with_ra_as_it_is_due(
    upstreams: Upstreams, caplog: pytest.LogCaptureFixture
) -> None:
    def break_it(query: Query) -> bytes:
        raise RuntimeError("a mistake of ours")

    upstreams.now = break_it
    dispatcher = serving(upstreams)
    reply = ask(dispatcher, OUTSIDE)
    assert isinstance(reply, bytes)
    assert dns.message.from_wire(reply).rcode() == dns.rcode.SERVFAIL
    assert dns.message.from_wire(reply).flags & dns.flags.RA
    assert dispatcher.errors == 1
    assert OUTSIDE.hex() in caplog.text
    assert dispatcher.counts == {("udp", 1, 2): 1}


def test_what_is_no_query_is_counted_as_dropped(upstreams: Upstreams) -> None:
    dispatcher = serving(upstreams)
    assert ask(dispatcher, b"\0" * 11) is None
    assert ask(dispatcher, OUTSIDE[:2] + b"\x81" + OUTSIDE[3:]) is None
    assert dispatcher.dropped == {"not a query": 2}
    assert not dispatcher.counts


def test_a_request_can_not_be_written() -> None:
    """By mypy: `Final`. What no type says: nothing else is kept in it."""
    request = serving(None).read(OUTSIDE, ALLOWED)
    assert not hasattr(request, "__dict__")
    with pytest.raises(AttributeError):
        request.other = 1  # type: ignore[attr-defined]
