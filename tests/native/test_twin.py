"""The twin law: the same table, the same packet, the same draw give the same bytes from both engines.

What the native engine does not take is None, and Python's to answer; a test below sees to it that
this is no way out of the plain case.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import tables
from support.asking import respond
from support.drawing import pick
from support.examples import examples
from support.tables import Answers
from zkdns.answers.builder import Builder
from zkdns.answers.table import (
    Delta,
    Entry,
    InstanceAddresses,
    Name,
    Rotation,
    Staleness,
    Table,
    Tier,
    Zone,
)
from zkdns.dns import ede, names
from zkdns.dns.message import Message, Record
from zkdns.dns.packet import HIGHEST_UDP, PLAIN_UDP, Query
from zkdns.forward.cache import Cache
from zkdns.forward.stored import Stored, key_of
from zkdns.serve import native
from zkdns.serve.respond import FORWARD, is_ours

pytestmark = pytest.mark.skipif(native.WHY_NOT != "", reason="the native engine is not built")

LIMITS = (HIGHEST_UDP, 65_535)
CLIENTS = ("10.1.2.3", "fd00::9", "::ffff:10.1.2.3", "192.0.2.1")
QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)


def publish(table: Table) -> native.Native:
    engine = native.Native()
    engine.apply(tables.everything(table))
    return engine


def compare(
    engine: native.Native, table: Table, packet: bytes, limit: int, ra: int, client: str = "192.0.2.1"
) -> bytes | None:
    """Native's answer, found equal to Python's for the same position; None where it is handed over."""

    def at(entry: Entry) -> int:
        return engine.position_of(entry) - 1

    said = engine.respond(packet, limit, ra, client=client)
    if said is not None:
        assert said == respond(packet, table, limit, at, ra, client), packet.hex()
    return said


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=QUIET)
def test_both_engines_answer_alike_from_what_the_compiler_makes(data: st.DataObject) -> None:
    check(data, data.draw(tables.compiled()).table)


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=QUIET)
def test_both_engines_answer_alike_from_a_table_that_no_compiler_made(data: st.DataObject) -> None:
    check(data, data.draw(tables.invented()))


def check(data: st.DataObject, table: Table) -> None:
    engine = publish(table)
    known = tables.owners(table)
    for packet in data.draw(st.lists(tables.packets(known), min_size=10, max_size=20)):
        for limit in LIMITS:
            ra = data.draw(pick(0, 0x80))
            compare(engine, table, packet, limit, ra, data.draw(tables.clients))


some_labels = st.sets(st.sampled_from(tables.LABELS[:5]), max_size=2)


def draw_delta(data: st.DataObject, builder: Builder) -> Delta:
    """Services come, change and go, registries are lost and come back, networks and the serial move."""
    for name in data.draw(some_labels):
        if data.draw(st.integers(0, 3)):
            answers = builder.compile(data.draw(tables.services(name)), data.draw(tables.origins))
            builder.replace(name, answers)
        else:
            builder.replace(name, None)
    builder.set_serial(data.draw(st.integers(0, 2**32 - 1)))
    staleness = Staleness(data.draw(tables.options), data.draw(tables.failures))
    builder.set_staleness(staleness, data.draw(tables.origins))
    if not data.draw(st.integers(0, 3)):
        builder.set_topology(data.draw(tables.topologies), data.draw(pick((), ("0.0.0.0/0",))))
    return builder.take()


@given(st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=QUIET)
def test_both_engines_answer_alike_after_each_of_the_same_deltas(data: st.DataObject) -> None:
    engine = native.Native()
    builder, table = Builder(tables.ZONES, position_of=engine.position_of), Table()
    for _ in range(data.draw(st.integers(1, 4))):
        delta = draw_delta(data, builder)
        table.apply(delta)
        engine.apply(delta)
        for packet in data.draw(st.lists(tables.packets(tables.owners(table)), min_size=5, max_size=10)):
            compare(engine, table, packet, data.draw(pick(*LIMITS)), 0, data.draw(tables.clients))
    assert engine.size() == (len(table.entries), len(table.names))


OUTSIDE = [
    names.wire(text)
    for text in ("www.example.org", "example.org", "nope.svc.local", "web.svc.local", "1.0.0.10.in-addr.arpa")
]
"""Names that upstreams have said something of; some are ours by now, or become so."""

some_outside = st.sets(st.sampled_from(OUTSIDE), min_size=2)


@given(st.data())
@settings(max_examples=examples(15), deadline=None, suppress_health_check=QUIET)
def test_what_upstreams_said_is_given_alike_between_deltas_until_it_is_ours(
    data: st.DataObject,
) -> None:
    """Over UDP and TCP; a cached answer is given for a name that is nobody's of ours, and for no other."""
    ours, theirs = Cache(), native.NativeCache()
    engine = native.Native(cache=theirs)
    builder, table = Builder(tables.ZONES, position_of=engine.position_of), Table()

    def at(entry: Entry) -> int:
        return engine.position_of(entry) - 1

    for _ in range(3):
        delta = draw_delta(data, builder)
        table.apply(delta)
        engine.apply(delta)
        for cache in (ours, theirs):
            cache.forget([owner for owner in OUTSIDE if is_ours(owner, table)])
        for owner in data.draw(some_outside):
            if is_ours(owner, table):
                continue  # the forwarder believes nobody about it
            key = owner + b"\0\1\0\1\0"
            record = Record(owner, 1, 1, data.draw(st.integers(1, 300)), (b"\xc0\0\2\1",))
            message = Message(0x8180, 0, key[:-1], (record,) * data.draw(st.integers(1, 90)), (), (), True)
            for cache in (ours, theirs):
                cache.put(key, Stored(message, key, 100.0), 1)
        for packet in data.draw(st.lists(outside_packets(table), min_size=5, max_size=10)):
            limit, client = data.draw(pick(*LIMITS)), data.draw(tables.clients)
            now = data.draw(pick(100.0, 101.0, 350.0))
            said = engine.respond(packet, limit, 0x80, now, client)
            mine = respond(packet, table, limit, at, 0x80, client)
            if mine is FORWARD:
                asked = Query(packet, limit)
                kept = ours.get(key_of(asked), now)
                if kept is not None and now < kept.expires:
                    size = 0 if asked.edns is None else asked.edns.size or PLAIN_UDP
                    assert said == kept.reply(packet, asked.end, size, limit, now)
                else:
                    assert said is None
            elif said is not None:
                assert said == mine
    engine.close()


@st.composite
def outside_packets(draw: st.DrawFn, table: Table) -> bytes:
    owner = draw(pick(*OUTSIDE, *tables.owners(table)[:5]))
    return tables.query(owner, 1, draw(pick(b"", tables.opt(), tables.opt(512), tables.opt(65535))))


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=QUIET)
def test_the_plain_case_is_never_handed_over(data: st.DataObject) -> None:
    answers = data.draw(tables.compiled())
    for origin in (0, 1, 7):
        answers.set_staleness(Staleness(), origin)
    engine = publish(answers.table)
    for key in answers.table.entries:
        name, rtype = key[:-2], int.from_bytes(key[-2:], "big")
        subnet = b"\0\x08\0\x07\0\1\x18\0\x0a\1\2"
        for tail in (b"", tables.opt(), tables.opt(4096, 0x8000, b"\0\x0a\0\x08abcdefgh" + subnet)):
            asked = tables.query(name.upper(), rtype, tail)
            assert compare(engine, answers.table, asked, HIGHEST_UDP, 0, data.draw(tables.clients))
    for owner, known in answers.table.names.items():
        if known.responder is None:
            assert compare(engine, answers.table, tables.query(owner, 99), HIGHEST_UDP, 0)
            if owner == names.wire("svc.local") or known.instances is not None:
                nope = names.label("no-such") + owner
                said = compare(engine, answers.table, tables.query(nope, 1, tables.opt()), HIGHEST_UDP, 0)
                assert said is None or said[3] & 15 == 3
        for instance in known.instances or () if known.responder is None else ():
            for rtype in (1, 28):
                asked = tables.query(bytes((len(instance),)) + instance + owner, rtype)
                assert compare(engine, answers.table, asked, HIGHEST_UDP, 0)


@given(tables.compiled(), st.integers(0, 2**32))
@settings(max_examples=5, deadline=None, suppress_health_check=QUIET)
def test_bytes_at_random_are_answered_alike(answers: Answers, seed: int) -> None:
    """Mutations at volume: seeds that are mostly good, then bytes that are mostly not."""
    chance = random.Random(seed)
    engine = publish(answers.table)
    known = tables.owners(answers.table)
    seeds = [tables.query(o, t, e) for o in known for t in (1, 33) for e in (b"", tables.opt())]
    for _ in range(2000):
        packet = tables.mutate(chance, chance.choice(seeds))
        compare(engine, answers.table, packet, chance.choice(LIMITS), 0, chance.choice(CLIENTS))


def test_draws_go_up_by_one_for_each_answer_and_not_for_what_is_handed_over() -> None:
    answers = Answers(tables.ZONES)
    engine = publish(answers.table)
    owner = names.wire("svc.local")
    entry = answers.table.entries[owner + b"\0\2"]
    entry.counter.position = 0
    for turn in range(3):
        assert engine.position_of(entry) == turn
        assert engine.respond(tables.query(owner, 2), HIGHEST_UDP)
    assert engine.respond(tables.query(owner, 2, tables.opt(version=1)), HIGHEST_UDP) is None
    assert engine.position_of(entry) == 3
    assert engine.take_position(entry) == 3, (
        "an answer that Python gives takes the next position of the same counter"
    )
    assert engine.position_of(entry) == 4
    assert entry.counter.position == 0, "who looks at it writes nothing"


def sized(length: int, fill: bytes = b".") -> bytes:
    return b"\xc0\x0c" + fill * (length - 2)


@pytest.mark.parametrize("said", [b"", ede.option(0, "w" * 40), ede.option(0, "w" * 40) + ede.option(3)])
@pytest.mark.parametrize("extras", [(), (sized(60, b"x"), b"", sized(90, b"y"), sized(90, b"y"))])
def test_at_every_size_the_same_is_left_out(said: bytes, extras: tuple[bytes, ...]) -> None:
    """Texts, options, additional records, records: each goes at the very byte where room ends."""
    answers = Answers(tables.ZONES)
    rotation = Rotation.of(((0, 1, 2, 3), (3, 2, 1, 0)), [0, 1])
    pieces = tuple(sized(length) for length in (150, 170, 190, 210))
    entry = Entry((Tier(rotation, pieces, extras, tuple(map(bool, extras)) or (0,) * 4),), 8, said, True)
    owner = names.label("web") + answers.zones[0].apex
    answers.table.entries[owner + b"\0\1"] = entry
    answers.table.names[owner] = Name(0, said, {b"k": InstanceAddresses(sized(16) * 70, sized(28) * 40)})
    for stale in (b"", ede.option(3, "out of reach")):
        answers.bear(stale)
        engine = publish(answers.table)
        for size in range(500, 1240):
            for name, rtype in ((owner, 1), (owner, 99), (b"\1k" + owner, 1), (b"\1k" + owner, 28)):
                assert compare(
                    engine, answers.table, tables.query(name, rtype, tables.opt(size)), HIGHEST_UDP, 0
                )


@pytest.mark.parametrize("count", [31, 32, 33, 64, 900])
def test_of_hundreds_of_additional_records_that_repeat_each_stands_once(count: int) -> None:
    answers = Answers(tables.ZONES)
    rotation = Rotation.of((tuple(range(count)), tuple(reversed(range(count)))), [0, 1])
    pieces = tuple(sized(24) for _ in range(count))
    extras = tuple(sized(26) + n.to_bytes(2, "big") for n in range(count // 2))
    given = (extras[0], b"", *extras, *extras, *extras)[:count]
    tiers = tuple(Tier(rotation, pieces, given, tuple(map(bool, given))) for _ in range(2))
    owner = names.label("web") + answers.zones[0].apex
    answers.table.entries[owner + b"\0\x21"] = Entry(tiers, 2 * count, b"", True)
    engine = publish(answers.table)
    for tail in (b"", tables.opt()):
        said = compare(engine, answers.table, tables.query(owner, 33, tail), 65_535, 0)
        assert said
        assert int.from_bytes(said[10:12], "big") == count // 2 + bool(tail)


def test_without_edns_an_answer_has_512_bytes_and_not_one_more() -> None:
    answers = Answers(tables.ZONES)
    owner = names.label("web") + answers.zones[0].apex
    rotation = Rotation.of(((0, 1),), [0])
    lengths = range(300, 420)
    for length in lengths:
        pieces = (sized(100), sized(length))
        answers.table.entries[owner + length.to_bytes(2, "big")] = Entry(
            (Tier(rotation, pieces, (), (0, 0)),), 8
        )
    engine = publish(answers.table)
    whole = []
    for length in lengths:
        said = compare(engine, answers.table, tables.query(owner, length), HIGHEST_UDP, 0)
        assert said
        whole.append(len(said) if not said[2] & 2 else 0)
    assert max(whole) == 512


@pytest.mark.parametrize("length", range(430, 500))
def test_a_soa_that_does_not_fit_is_left_out_alike(length: int) -> None:
    answers = Answers(tables.ZONES)
    answers.table.zones[0] = Zone(0, answers.zones[0].apex, sized(length))
    engine = publish(answers.table)
    for tail in (b"", tables.opt(0), tables.opt(600)):
        nope = names.label("nope") + answers.zones[0].apex
        assert compare(engine, answers.table, tables.query(nope, 1, tail), HIGHEST_UDP, 0)
