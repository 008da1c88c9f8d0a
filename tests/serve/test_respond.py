"""The laws of a reply, whatever is served and whatever is asked; and packets of every kind of wrong."""

from __future__ import annotations

import os
import random

import dns.exception
import dns.message
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from support import tables, wire
from support.asking import respond
from support.examples import examples
from support.tables import Answers
from zkdns.answers.table import FRESH, Entry, Staleness
from zkdns.dns import ede, names
from zkdns.dns.packet import HIGHEST_UDP
from zkdns.serve.dispatch import Dispatcher
from zkdns.serve.respond import FORWARD

QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
PACKETS = int(os.environ.get("ZKDNS_PACKETS", "6000"))
"""Random packets; `make fuzz` and the curious may want 100,000."""

UPDATE = 5 << 3
"""dnspython reads the sections of this opcode by other rules (RFC 2136)."""

NORMAL = settings(max_examples=examples(60), deadline=None, suppress_health_check=QUIET)


def turn(n: int):  # type: ignore[no-untyped-def]
    return lambda entry: n


def room_of(query: bytes) -> int:
    """How long a UDP reply to it may be: min(what the client can take, 1232), 512 without EDNS."""
    (opt,) = wire.take_apart(query).opts or (b"\0\0\x29\2\0",)
    return max(512, min(1232, int.from_bytes(opt[3:5], "big")))


def is_query(query: bytes) -> bool:
    """Whether it can be read as one question, its name spelled out, and at most one OPT, of whole options."""
    try:
        parts = wire.take_apart(query)
        at = 12
        while query[at]:
            if query[at] > 63:
                return False  # a pointer: nothing stands before the question that it could aim at
            at += 1 + query[at]
    except (AssertionError, IndexError):
        return False
    return query[4:6] == b"\0\1" and len(parts.opts) < 2 and all(map(has_whole_options, parts.opts))


def has_whole_options(opt: bytes) -> bool:
    at = 11
    while at + 4 <= len(opt):
        at += 4 + int.from_bytes(opt[at + 2 : at + 4], "big")
    return at == len(opt)


@NORMAL
@given(st.data())
def test_every_reply_keeps_the_laws(data: st.DataObject) -> None:
    answers = data.draw(tables.compiled())
    known = tables.owners(answers.table)
    ra = data.draw(st.sampled_from([0, 0x80]))
    for query in data.draw(st.lists(tables.packets(known), min_size=5, max_size=15)):
        n = data.draw(st.integers(0, 2**20))
        reply = respond(query, answers, HIGHEST_UDP, turn(n), ra)
        if reply is None:
            assert len(query) < 12 or query[2] & 0x80, "only these are dropped"
            continue
        assert len(query) >= 12
        assert not query[2] & 0x80
        if reply is FORWARD:
            assert is_query(query)
            assert not any(query[12:].lower().startswith(zone.apex) for zone in answers.zones)
            continue
        assert isinstance(reply, bytes)
        check_reply(query, reply, ra)
        whole = respond(query, answers, 65_535, turn(n), ra)
        assert isinstance(whole, bytes)
        check_reply(query, whole, ra)
        check_cut(query, reply, whole)


def check_reply(query: bytes, reply: bytes, ra: int) -> None:
    """What holds for each, over UDP and TCP."""
    parts = wire.take_apart(reply)
    rcode = parts.rcode
    if query[2] & 0x78 != UPDATE:
        rcode = dns.message.from_wire(reply).rcode()
    assert reply[:2] == query[:2]
    assert parts.flags & 0x8000
    assert parts.flags & 0x7800 == (query[2] & 0x78) << 8, "the opcode comes back"
    assert parts.flags & 0x0100 == (query[2] & 1) << 8, "RD is copied"
    assert not parts.flags & 0x0070, "Z, AD and CD are clear"
    assert parts.flags & 0x80 == ra
    if parts.question:
        assert reply[12:].startswith(parts.question)
        assert query[12:].startswith(parts.question), "the question comes back byte for byte"
    else:
        assert rcode in (1, 4), "only what can't be read goes without its question"
    if query[2] & 0x78:
        assert rcode == 4
    elif not is_query(query):
        assert rcode == 1
    else:
        asked = wire.take_apart(query)
        assert parts.question == asked.question
        assert len(parts.opts) == len(asked.opts), "EDNS is answered with EDNS, and nothing else is"
        for opt in parts.opts:
            assert opt[3:5] == b"\x04\xd0", "we take 1232"
            assert opt[7] & 0x80 == asked.opts[0][7] & 0x80, "DO comes back"
            assert all(len(o) <= 4 + 2 + 99 for o in ede.each(opt[11:]) if o[:2] == b"\0\x0f")
    if parts.rcode in (0, 3) and not parts.section(1) and parts.flags & 0x0400 and not parts.tc:
        in_chaos = query[wire.skip_name(query, 12) + 2 :][:2] == b"\0\3"
        types = [wire.rtype_of(record) for record in parts.section(2)]
        assert in_chaos or types == [6], "nothing there: the zone's SOA says for how long"


def check_cut(query: bytes, reply: bytes, whole: bytes) -> None:
    """What a UDP reply may leave out of the whole one, and when."""
    if not is_query(query):
        assert reply == whole
        return
    room = room_of(query)
    assert len(reply) <= room
    if len(whole) <= room:
        assert reply == whole
        return
    cut, full = wire.take_apart(reply), wire.take_apart(whole)
    assert not full.tc
    for section in (1, 2):
        assert cut.section(section) == full.section(section)[: len(cut.section(section))]
    missing = full.section(1) + full.section(2)
    missing = missing[len(cut.section(1) + cut.section(2)) :]
    assert cut.tc == bool(missing)
    if full.section(3):
        assert cut.section(3) in ([], full.section(3)), "the additional section goes whole"
    if missing:
        assert not cut.section(3)
        assert len(reply) + len(missing[0]) > room, "one more would not fit"
        assert not any(ede.each(opt[11:]) and opt[11:13] == b"\0\x0f" for opt in cut.opts)
    if len(cut.section(3)) < len(full.section(3)):
        more = sum(map(len, full.section(3)))
        assert len(reply) + more > room, "nothing goes that there is room for"


@NORMAL
@given(st.data())
def test_the_plain_way_and_the_long_way_say_the_same(data: st.DataObject) -> None:
    """An Entry whose additional records may repeat is put together by the general builder."""
    answers = data.draw(tables.compiled())
    known = tables.owners(answers.table)
    asked = data.draw(st.lists(tables.packets(known), min_size=5, max_size=15))
    ways = [(query, limit) for query in asked for limit in (HIGHEST_UDP, 65_535)]
    replies = [respond(query, answers, limit, turn(3), 0x80) for query, limit in ways]
    for key, entry in answers.table.entries.items():
        answers.table.entries[key] = structs.replace(entry, repeats=True)
    folded = [respond(query, answers, limit, turn(3), 0x80) for query, limit in ways]
    for (query, _), reply, again in zip(ways, replies, folded, strict=True):
        if reply != again:  # only where there was something to fold
            assert isinstance(reply, bytes)
            assert isinstance(again, bytes)
            assert len(again) < len(reply) or wire.take_apart(reply).tc, query.hex()


@NORMAL
@given(st.data())
def test_the_spelling_of_a_question_changes_the_question_alone(data: st.DataObject) -> None:
    """0x20 randomisation (draft-vixie-dnsext-dns0x20): each spelling gets the same answer, spelled so."""
    answers = data.draw(tables.compiled())
    owner = data.draw(st.sampled_from(tables.owners(answers.table)))
    rtype = data.draw(st.sampled_from(tables.TYPES[:6]))
    flips = data.draw(st.lists(st.booleans(), min_size=len(owner), max_size=len(owner)))
    spelled = bytes(b ^ 0x20 if f and 97 <= b <= 122 else b for b, f in zip(owner, flips, strict=True))
    plain = respond(tables.query(owner, rtype), answers, 65_535, turn(0))
    other = respond(tables.query(spelled, rtype), answers, 65_535, turn(0))
    assert isinstance(plain, bytes)
    assert isinstance(other, bytes)
    assert other[12 : 12 + len(owner)] == spelled
    assert other[:12] + owner + other[12 + len(owner) :] == plain


@given(st.integers(0, 2**32))
@settings(max_examples=3, deadline=None)
def test_no_packet_at_random_raises_or_gets_what_no_client_can_read(seed: int) -> None:
    chance = random.Random(seed)
    answers = everything()
    dispatcher = Dispatcher(answers.table)
    known = tables.owners(answers.table)
    seeds = [
        tables.query(o, t, e, rclass=c)
        for o in known
        for t in (1, 28, 33, 16, 12, 255)
        for e in (b"", tables.opt(), tables.opt(4096, 0x8000, b"\0\3\0\0\0\x0a\0\x08abcdefgh"))
        for c in (1, 3)
    ]
    for _ in range(examples(PACKETS) // 3):
        kind = chance.randrange(10)
        if kind == 0:
            query = chance.randbytes(chance.randrange(80))
        elif kind == 1:
            query = chance.randbytes(2) + b"\1\0\0\1\0\0\0\0\0\1" + chance.randbytes(chance.randrange(60))
        else:
            query = tables.mutate(chance, chance.choice(seeds))
        limit = chance.choice((HIGHEST_UDP, 65_535))
        reply = dispatcher.dispatch(dispatcher.read(query, "192.0.2.1", "udp", limit))
        assert reply is None or isinstance(reply, bytes), query.hex()
        assert not dispatcher.errors, query.hex()
        if reply is None:
            assert len(query) < 12 or query[2] & 0x80, query.hex()
            continue
        try:
            wire.take_apart(reply)
            if query[2] & 0x78 != UPDATE:
                dns.message.from_wire(reply)
        except (dns.exception.DNSException, AssertionError, IndexError) as error:
            raise AssertionError(f"{query.hex()} got {reply.hex()}: {error!r}") from error
        assert len(reply) <= limit
        assert sum(dispatcher.counts.values()), "each reply is counted"


def everything() -> Answers:
    """Services of every kind, the same in each run."""
    chance = random.Random(1)
    answers = Answers(tables.ZONES, ("127.0.0.1", "::1"))
    answers.table.identity = {names.wire("version.bind"): "zkdns", names.wire("id.server"): "box"}
    for name in tables.LABELS:
        answers.replace(name, answers.compile(a_service(name, chance)))
    answers.bear(ede.option(3, "the registry is out of reach"))
    return answers


def a_service(name: str, chance: random.Random):  # type: ignore[no-untyped-def]
    from zkdns.model import Instance, Registration, Service, ServiceSettings, State

    held = []
    for n in range(chance.choice((0, 1, 5, 60))):
        registration = Registration(
            (f"10.0.{n}.1", f"fd00::{n:x}")[: chance.choice((1, 2))],
            port=chance.choice((0, 80)),
            weight=chance.choice((0, 1, 10)),
            priority=chance.choice((0, 1)),
            tags=("canary",) * chance.choice((0, 1)),
            protocol=chance.choice(("tcp", "udp")),
            ports=(("http", 80),),
            meta=(("version", "1.4"),),
        )
        state = chance.choice((State.HEALTHY, State.FAILING))
        held.append(
            Instance(
                f"i{n}", f"i{n}", f"/services/{name}/i{n}", registration, 0.0,
                state=state, weight=registration.weight, answered=state is State.HEALTHY,
            )
        )  # fmt: skip
    return Service(name, name, f"/services/{name}", ServiceSettings(), tuple(held))


@pytest.mark.parametrize("failure", [ede.option(14, "not loaded"), ede.option(22, "too old")])
@given(data=st.data())
@settings(max_examples=examples(30), deadline=None, suppress_health_check=QUIET)
def test_without_a_catalog_nothing_of_ours_is_denied_and_nothing_is_given(
    failure: bytes, data: st.DataObject
) -> None:
    answers = data.draw(tables.compiled())
    known = tables.owners(answers.table)
    for origin in (0, 1, 7):
        answers.set_staleness(Staleness(failure=failure), origin)
    for query in data.draw(st.lists(tables.packets(known), min_size=5, max_size=15)):
        reply = respond(query, answers, HIGHEST_UDP, turn(0))
        if not isinstance(reply, bytes) or not is_query(query):
            continue
        parts = wire.take_apart(reply)
        assert not parts.section(1) or query[wire.skip_name(query, 12) + 2 :][:2] == b"\0\3"
        assert parts.rcode != 3
        if parts.rcode == 2:
            assert all(failure in opt or failure[:4] != opt[11:15] for opt in parts.opts)
            assert not parts.flags & 0x0400


def test_a_packet_that_was_answered_wrongly_is_never_a_reply_itself() -> None:
    """What is sent to us with QR set is dropped, ours among it: two servers can't keep each other busy."""
    answers = everything()
    for query in (tables.query(names.wire("web.svc.local"), 1), tables.query(b"\0", 1, flags=0x7800)):
        reply = respond(query, answers, HIGHEST_UDP, turn(0))
        if isinstance(reply, bytes):
            assert respond(reply, answers, HIGHEST_UDP, turn(0)) is None


@pytest.mark.parametrize("length", range(12))
def test_less_than_a_header_is_dropped(length: int) -> None:
    answers = Answers(tables.ZONES)
    query = tables.query(names.wire("web.svc.local"), 1)
    assert respond(query, answers, HIGHEST_UDP, turn(0)) is not None
    assert respond(query[:length], answers, HIGHEST_UDP, turn(0)) is None


class Counting:
    def __init__(self) -> None:
        self.drawn = 0

    def __call__(self, entry: Entry) -> int:
        self.drawn += 1
        return self.drawn


@NORMAL
@given(st.data())
def test_each_answer_takes_at_most_one_turn(data: st.DataObject) -> None:
    answers = data.draw(tables.compiled())
    for query in data.draw(st.lists(tables.packets(tables.owners(answers.table)), min_size=5, max_size=15)):
        draw = Counting()
        respond(query, answers, HIGHEST_UDP, draw)
        assert draw.drawn <= 1


@pytest.mark.parametrize("rtype", [1, 28, 33, 16])
def test_a_name_below_an_instance_is_not_the_instance(rtype: int) -> None:
    answers = everything()
    for below in ("x", "i1"):
        reply = respond(tables.query(names.wire(f"{below}.i0.web.svc.local"), rtype), answers)
        assert isinstance(reply, bytes)
        assert (reply[3] & 15, reply[6:8]) == (3, b"\0\0"), "NXDOMAIN, whatever an instance below has"


def test_one_registry_lost_is_told_by_its_own_services_alone() -> None:
    option, failure = ede.option(3, "out of reach"), ede.option(22, "too long")
    answers = tables.Answers(("svc.local",))
    for origin, name in ((1, "here"), (2, "there")):
        answers.replace(name, answers.compile(a_service(name, random.Random(1)), origin))

    def say(name: str, rtype: int = 16) -> tuple[int, bytes]:
        reply = respond(tables.query(names.wire(name), rtype, tables.opt()), answers)
        assert isinstance(reply, bytes)
        return reply[3] & 15, wire.take_apart(reply).opts[0][11:]

    asked = ("here.svc.local", "i0.here.svc.local")
    fresh = [say(name) for name in asked]
    others = [say(name.replace("here", "there")) for name in asked]
    missing = ("nope.svc.local", "no.here.svc.local", "no.i0.here.svc.local", "a.b.here.svc.local")
    nothing = [say(name) for name in missing]
    answers.set_staleness(Staleness(option), 1)
    assert [(rcode, option + told) for rcode, told in fresh] == [say(name) for name in asked]
    answers.set_staleness(Staleness(option, failure), 1)
    assert [say(name) for name in asked] == [(2, failure)] * len(asked)
    assert [say(name.replace("here", "there")) for name in asked] == others
    # That a name is not there is for all of them to say: below a service of the other one, too.
    answers.set_staleness(FRESH, 1)
    assert [say(name) for name in missing] == nothing
    answers.set_staleness(Staleness(option))
    assert [say(name) for name in missing] == [(rcode, option + told) for rcode, told in nothing]
    assert [say(name) for name in asked] == fresh
    answers.set_staleness(Staleness(failure=failure))
    assert [say(name) for name in missing] == [(2, failure)] * len(missing)
    assert [say(name) for name in asked] == fresh
    assert [say(name.replace("here", "there")) for name in asked] == others
    answers.set_staleness(Staleness())
    answers.set_staleness(Staleness(), 1)
    assert [say(name) for name in asked] == fresh
