"""What upstreams answered is kept and given alike by both engines: same bytes, same times, same evictions."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zkdns.answers.table import Delta, Name, Staleness, Zone
from zkdns.dns import ede, names
from zkdns.dns.message import Message, Record, read_reply
from zkdns.dns.packet import HIGHEST_UDP, PLAIN_UDP, Query
from zkdns.forward.cache import Cache
from zkdns.forward.eviction import MIN_GHOSTS
from zkdns.forward.stored import KEEP_EXPIRED, Kept, Stored, key_of
from zkdns.serve import native

STREAM = 65_535
RECURSION = 0x80
OWNERS = [names.wire(text) for text in ("www.example.org", "example.org", "a.b.example", "x" * 60)]
RDATA = [
    (1, (b"\xc0\0\2\1",)), (28, (b"\x20\1\x0d\xb8" + bytes(12),)), (5, (b"", OWNERS[1])), (16, (b"\5hello",)),
    (2, (b"", OWNERS[2])), (15, (b"\0\x0a", OWNERS[0])), (46, (bytes(40),)), (65280, (b"z" * 200,)),
    (6, (b"", OWNERS[1], b"", OWNERS[2], (7).to_bytes(4, "big") * 5)),
]  # fmt: skip

records = st.lists(
    st.builds(
        lambda owner, rdata, ttl: Record(owner, rdata[0], 1, ttl, rdata[1]),
        st.sampled_from(OWNERS),
        st.sampled_from(RDATA),
        st.integers(0, 3) | st.integers(4, 100_000),
    ),
    max_size=6,
).map(tuple)
questions = st.tuples(st.sampled_from(OWNERS), st.sampled_from([1, 28, 16, 6, 65]))
sizes = st.integers(0, 1500) | st.integers(0, 65_535)
edns = st.none() | st.tuples(sizes, st.booleans(), st.sampled_from([b"", b"\0\x0a\0\2ab"]))
ages = st.floats(0, 5) | st.floats(0, 200_000)


def asked(
    owner: bytes, rtype: int, edns: tuple[int, bool, bytes] | None, upper: int, rd: bool, cd: bool
) -> bytes:
    """A query, letters of its name in upper case by the bits of `upper`."""
    name = bytes(
        byte - 32 if 97 <= byte <= 122 and upper >> (k % 64) & 1 else byte for k, byte in enumerate(owner)
    )
    tail = b""
    if edns is not None:
        size, do, options = edns
        tail = b"\0\0\x29" + size.to_bytes(2, "big") + bytes((0, 0, 0x80 if do else 0, 0))
        tail += len(options).to_bytes(2, "big") + options
    head = b"\xab\xcd" + bytes((rd, 0x10 if cd else 0)) + b"\0\1\0\0\0\0" + bytes((0, bool(tail)))
    return head + name + rtype.to_bytes(2, "big") + b"\0\1" + tail


def key_for(packet: bytes) -> bytes:
    """As the forwarder has it, of any class."""
    query = Query(packet, STREAM)
    key = bytearray(key_of(query))
    key[-3:-1] = packet[query.end - 2 : query.end]
    return bytes(key)


def reply_of(kept: Kept, packet: bytes, limit: int, now: float) -> bytes:
    query = Query(packet, limit)
    size = 0 if query.edns is None else query.edns.size or PLAIN_UDP
    return kept.reply(packet, query.end, size, limit, now)


@given(
    questions, edns, st.integers(0, 2**64), st.booleans(), st.booleans(), st.sampled_from([0, 0, 3]),
    records, records, records, st.floats(0, 10), ages, st.sampled_from([HIGHEST_UDP, STREAM]),
    st.booleans(), st.booleans(), st.booleans(), st.lists(st.text("xy", max_size=90), max_size=3),
)  # fmt: skip
# A size below 512, which counts as that; and what was validated, for who asks with DO (RFC 6840, 5.8).
@example(
    (OWNERS[0], 16),
    (100, False, b""),
    0,
    True,
    False,
    0,
    (Record(OWNERS[0], 65280, 1, 60, (b"z" * 200,)),),
    (),
    (),
    0.0,
    1.0,
    HIGHEST_UDP,
    False,
    False,
    False,
    [],
)
@example(
    (OWNERS[0], 1),
    (1232, True, b""),
    0,
    True,
    False,
    0,
    (Record(OWNERS[0], 1, 1, 60, RDATA[0][1]),),
    (),
    (),
    0.0,
    1.0,
    HIGHEST_UDP,
    True,
    True,
    False,
    [],
)
def test_a_hit_has_the_same_bytes_from_both_engines_at_any_time(
    question: tuple[bytes, int],
    edns: tuple[int, bool, bytes] | None,
    upper: int,
    rd: bool,
    cd: bool,
    rcode: int,
    answer: tuple[Record, ...],
    authority: tuple[Record, ...],
    additional: tuple[Record, ...],
    stored_at: float,
    age: float,
    limit: int,
    trusted: bool,
    validated: bool,
    ad: bool,
    errors: list[str],
) -> None:
    query = asked(*question, edns, upper, rd, cd)
    query = query[:3] + bytes((query[3] | 0x20 * ad,)) + query[4:]
    options = b"\0\x0a\0\2ab" + b"".join(ede.option(6, text) for text in errors)
    key = key_for(query)
    soa = Record(OWNERS[1], 6, 1, 60, RDATA[-1][1])
    flags = 0x8180 | 0x20 * validated
    message = Message(flags, rcode, query[12:], answer, (*authority, soa), additional, True, options)
    stored = Stored(message, key, stored_at, trusted=trusted)
    now = stored_at + age
    ours = Cache()
    theirs = native.NativeCache()
    engine = native.Native(cache=theirs)
    for cache in (ours, theirs):
        cache.put(key, stored, 1)
    mine, native_one = ours.get(key, now), theirs.get(key, now)
    assert (mine is None) == (native_one is None) == (stored.ttl == 0 or age >= stored.ttl + KEEP_EXPIRED)
    if mine is None or native_one is None:
        assert engine.respond(query, limit, RECURSION, now) is None
        return
    made = reply_of(mine, query, limit, now)
    assert reply_of(native_one, query, limit, now) == made
    assert engine.respond(query, limit, 0, now) is None
    given_by_the_threads = engine.respond(query, limit, RECURSION, now)
    assert given_by_the_threads == (made if now < stored.expires else None)
    assert read_reply(made) is not None
    assert len(made) <= limit
    engine.close()


@given(
    questions, edns, st.booleans(), questions, edns, st.booleans(), st.sampled_from([1, 1, 1, 3, 4, 255]),
)  # fmt: skip
def test_an_answer_is_given_for_its_own_name_type_class_do_and_cd_alone(
    kept: tuple[bytes, int],
    kept_edns: tuple[int, bool, bytes] | None,
    kept_cd: bool,
    question: tuple[bytes, int],
    edns: tuple[int, bool, bytes] | None,
    cd: bool,
    rclass: int,
) -> None:
    first = key_for(asked(*kept, kept_edns, 0, True, kept_cd))
    query = bytearray(asked(*question, edns, 0, True, cd))
    at = 12 + len(question[0]) + 3
    query[at] = rclass
    second = key_for(bytes(query))
    same = (
        kept == question
        and kept_cd == cd
        and rclass == 1
        and (kept_edns is not None and kept_edns[1]) == (edns is not None and edns[1])
    )
    record = Record(kept[0], kept[1], 1, 60, (b"\xc0\0\2\1",))
    stored = Stored(Message(0x8180, 0, b"", (record,), (), (), True), first, 0.0)
    theirs = native.NativeCache()
    engine = native.Native(cache=theirs)
    ours = Cache()
    for cache in (ours, theirs):
        cache.put(first, stored, 1)
        assert (cache.get(second, 1.0) is not None) == same
    assert (engine.respond(bytes(query), STREAM, RECURSION, 1.0) is not None) == same
    engine.close()


KINDS = ["put"] * 6 + ["hit"] * 6 + ["forget", "later"]


def steps(seed: int) -> list[tuple[str, int, int, int]]:
    """What is done: a kind, which key, a share, a TTL. Long ones: the main queue has to fill."""
    draw = random.Random(seed)
    return [
        (
            draw.choice(KINDS),
            draw.randrange(draw.choice((8, 41))),
            draw.randrange(4),
            draw.choice((5, 60, 3600)),
        )
        for _ in range(150)
    ]


@given(st.integers(3, 16) | st.integers(3, 3 * MIN_GHOSTS), st.integers(0, 2**32))
def test_the_same_goes_in_both_engines_whatever_is_put_asked_and_forgotten(entries: int, seed: int) -> None:
    """The charge by number is the same in both; by bytes each charges what it takes."""
    limit = 1 << 20
    ours, theirs = Cache(limit, entries), native.NativeCache(limit, entries)
    keys = [names.wire(f"n{number}.example") + b"\0\1\0\1\0" for number in range(30)]
    keys += [names.reverse(f"192.0.2.{number}") + b"\0\x0c\0\1\0" for number in range(11)]
    now = 0.0
    for what, number, share, ttl in steps(seed):
        key = keys[number]
        if what == "put":
            record = Record(key[:-5], key[-4], 1, ttl, (b"\xc0\0\2\1",))
            beside = tuple(
                Record(keys[n % len(keys)][:-5], 1, 1, ttl, (b"\xc0\0\2\1",)) for n in (ttl, number + share)
            )
            message = Message(0x8180, 0, b"", (record,), (), beside, True)
            ours.put(key, Stored(message, key, now), share)
            theirs.put(key, Stored(message, key, now), share)
        elif what == "hit":
            mine, other = ours.get(key, now), theirs.get(key, now)
            if mine is not None and other is not None and now < mine.expires:
                for _ in range(share + 1):
                    assert mine.hit(now) == other.hit(now)
        elif what == "forget":
            for cache in (ours, theirs):
                cache.forget([key[:-5]], below=share == 0)
        else:
            now += ttl if share else KEEP_EXPIRED
        if what == "put":
            assert [ours.get(k, now) is None for k in keys] == [theirs.get(k, now) is None for k in keys]
        assert len(ours) == len(theirs) <= entries
        assert ours.used == theirs.used <= limit


@pytest.mark.parametrize("expired", [False, True])
def test_a_failing_catalog_leaves_upstreams_answers(expired: bool) -> None:
    """A name outside our zones is answered before the first catalog is loaded; one within is Python's."""
    theirs = native.NativeCache()
    engine = native.Native(cache=theirs)
    zone = Zone(0, names.wire("svc.local"), b"\0\6\0\1\0\0\0\2\0\4soa.")
    failing = {0: Staleness(failure=b"\0\x0f\0\2\0\x0e")}
    engine.apply(Delta(names={zone.apex: Name(0)}, zones={0: zone}, staleness=failing))
    for owner in (OWNERS[0], b"\1x" + zone.apex):
        key = owner + b"\0\1\0\1\0"
        record = Record(owner, 1, 1, 60, (b"\xc0\0\2\1",))
        theirs.put(key, Stored(Message(0x8180, 0, b"", (record,), (), (), True), key, 0.0), 1)
        made = engine.respond(
            asked(owner, 1, None, 0, True, False), STREAM, RECURSION, 61.0 if expired else 1.0
        )
        assert (made is None) == (expired or owner is not OWNERS[0])
    engine.close()


def test_a_reverse_name_that_was_let_go_with_all_else_takes_nobody_along_later() -> None:
    """What came in its place afterwards is another's."""
    record = Record(OWNERS[0], 1, 1, 300, (b"\xc0\0\2\1",))
    reverse = names.reverse("192.0.2.1")
    for cache in (Cache(), native.NativeCache()):
        for owner in (reverse, OWNERS[0], None, OWNERS[1], OWNERS[2]):
            if owner is None:
                cache.clear()
                continue
            key = owner + b"\0\1\0\1\0"
            message = Message(0x8180, 0, key[:-1], (record,), (), (), False)
            cache.put(key, Stored(message, key, 0.0), 1)
        cache.forget([reverse])
        assert len(cache) == 2
        assert cache.get(OWNERS[0] + b"\0\1\0\1\0", 1.0) is None
