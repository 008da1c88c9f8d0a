"""What is kept of upstreams' answers: times by a clock of the test's own, bytes by dnspython."""

from __future__ import annotations

import tracemalloc

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.drawing import pick
from zkdns.dns import names
from zkdns.dns.message import read_reply
from zkdns.dns.packet import HIGHEST_UDP, Query
from zkdns.forward import cache as cache_module
from zkdns.forward.believe import believe, follow
from zkdns.forward.cache import Cache
from zkdns.forward.stored import KEEP_EXPIRED, MAX_OTHER_BYTES, MAX_TTL, OFTEN, Stored, key_of

NAME = "www.example.com."


def query(name: str = NAME, rtype: str = "A", **more: object) -> bytes:
    return dns.message.make_query(name, rtype, **more).to_wire()  # type: ignore[arg-type]


def replied(
    wire: bytes, answer: str = "", authority: str = "", additional: str = "", rcode: str = "NOERROR"
) -> bytes:
    made = dns.message.make_response(dns.message.from_wire(wire), recursion_available=True)
    made.set_rcode(dns.rcode.from_text(rcode))
    for section, text in ((made.answer, answer), (made.authority, authority), (made.additional, additional)):
        for line in filter(None, text.split("\n")):
            name, ttl, rtype, rdata = line.split(None, 3)
            section.append(dns.rrset.from_text(name, int(ttl), "IN", rtype, rdata))
    return made.to_wire(max_size=65535)


def stored(wire: bytes, reply: bytes, now: float = 0.0) -> Stored:
    message = read_reply(reply)
    assert message is not None
    return Stored(message, key_of(Query(wire)), now)


def served(kept: Stored, wire: bytes, now: float, limit: int = 65535) -> dns.message.Message:
    asked = Query(wire)
    made = kept.reply(wire, asked.end, asked.edns.size if asked.edns else 0, limit, now)
    assert len(made) <= limit
    return dns.message.from_wire(made)


# --- times ----------------------------------------------------------------------------------------------

COUNTDOWN = """
0      www.example.com. 300
0.9    www.example.com. 300
1      www.example.com. 299
150.5  www.example.com. 150
299.9  www.example.com. 1
300    www.example.com. 30 stale
4000   www.example.com. 30 stale
86699  www.example.com. 30 stale
"""


def test_ttls_count_down_and_end_in_stale_answers() -> None:
    wire = query(use_edns=0)
    kept = stored(wire, replied(wire, f"{NAME} 300 A 192.0.2.1"))
    for line in COUNTDOWN.strip().splitlines():
        now, _, ttl, *stale = line.split()
        answered = served(kept, wire, float(now))
        assert answered.answer[0].ttl == int(ttl), line
        assert [int(o.code) for o in answered.options if isinstance(o, dns.edns.EDEOption)] == [3] * len(
            stale
        ), line


def test_each_record_counts_down_from_its_own_ttl_and_the_least_ends_all() -> None:
    wire = query()
    kept = stored(wire, replied(wire, f"{NAME} 300 CNAME b.example.\nb.example. 60 A 192.0.2.1"))
    assert kept.ttl == 60
    assert [r.ttl for r in served(kept, wire, 59.5).answer] == [241, 1]


@pytest.mark.parametrize(
    ("answer", "authority", "rcode", "rtype", "ttl"),
    [
        ("", "example.com. 900 SOA a. b. 1 2 3 4 300", "NXDOMAIN", "A", 300),
        ("", "example.com. 60 SOA a. b. 1 2 3 4 300", "NXDOMAIN", "A", 60),
        ("", "example.com. 900 SOA a. b. 1 2 3 4 300", "NOERROR", "A", 300),
        ("", "example.com. 99999 SOA a. b. 1 2 3 4 99999", "NXDOMAIN", "A", 10800),
        ("", "", "NXDOMAIN", "A", 0),
        ("", "", "NOERROR", "A", 0),
        ("", "com. 60 NS a.gtld.", "NOERROR", "A", 0),
        (f"{NAME} 20 CNAME b.", "example.com. 900 SOA a. b. 1 2 3 4 300", "NXDOMAIN", "A", 20),
        (f"{NAME} 20 CNAME b.", "", "NOERROR", "A", 0),
        (f"{NAME} 20 CNAME b.", "", "NOERROR", "CNAME", 20),
        (f"{NAME} 0 A 192.0.2.1", "", "NOERROR", "A", 0),
        (f"{NAME} 20 A 192.0.2.1", "", "SERVFAIL", "A", 0),
        (f"{NAME} 2147483647 A 192.0.2.1", "", "NOERROR", "A", MAX_TTL),
        (f"{NAME} 20 A 192.0.2.1", "", "NOERROR", "ANY", 20),
    ],
)
def test_how_long_an_answer_is_kept(answer: str, authority: str, rcode: str, rtype: str, ttl: int) -> None:
    wire = query(rtype=rtype)
    assert stored(wire, replied(wire, answer, authority, rcode=rcode)).ttl == ttl


@pytest.mark.parametrize("section", ["authority", "additional"])
def test_no_record_outlives_its_ttl_wherever_it_stands(section: str) -> None:
    wire = query()
    reply = replied(wire, f"{NAME} 60 A 192.0.2.1", **{section: "ns.example. 7 A 192.0.2.2"})
    assert stored(wire, reply).ttl == 7


def test_a_negative_answers_soa_shows_how_long_it_may_be_believed() -> None:
    wire = query()
    kept = stored(wire, replied(wire, "", "example.com. 900 SOA a. b. 1 2 3 4 300", rcode="NXDOMAIN"))
    assert served(kept, wire, 100).authority[0].ttl == 200


def test_a_ttl_with_its_highest_bit_set_is_zero() -> None:
    wire = query()
    reply = replied(wire, f"{NAME} 1 A 192.0.2.1").replace(b"\0\0\0\1\0\4", b"\xff\0\0\1\0\4")
    kept = stored(wire, reply)
    assert kept.ttl == 0
    assert served(kept, wire, 0).answer[0].ttl == 0


def test_expired_answers_are_kept_for_a_day() -> None:
    wire = query()
    key = wire[12:] + b"\0"
    cache = Cache()
    cache.put(key, stored(wire, replied(wire, f"{NAME} 60 A 192.0.2.1")), 0)
    assert cache.get(key, 60 + KEEP_EXPIRED - 1) is not None
    assert cache.get(key, 60 + KEEP_EXPIRED + 1) is None


@pytest.mark.parametrize(("records", "least"), [(1, 2000), (60, 500)])
def test_what_is_kept_takes_no_more_memory_than_it_is_charged(records: int, least: int) -> None:
    replies = []
    for number in range(3 * least):
        name = names.wire(f"host{number:05d}.example.org")
        head = b"\0\0\x81\x80\0\1" + records.to_bytes(2, "big") + bytes(4) + name + b"\0\1\0\1"
        reply = head + b"\xc0\x0c\0\1\0\1\0\0\x0e\x10\0\4\xc0\0\2\1" * records
        replies.append((name + b"\0\1\0\1\0", reply))
    limit = 2 << 20
    tracemalloc.start()
    try:
        cache = Cache(limit)
        for key, reply in replies:
            message = read_reply(reply)
            assert message is not None
            cache.put(key, Stored(message, key, 0.0), 0)
        del message
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(cache) > least
    assert 0.6 * cache.used < taken < 1.1 * cache.used <= 1.1 * limit


@pytest.mark.parametrize("more", ["", f"\n{NAME} 200000 CNAME x.example."])
def test_no_ttl_is_believed_for_more_than_a_day(more: str) -> None:
    wire = query()
    kept = stored(wire, replied(wire, f"{NAME} 200000 A 192.0.2.1{more}"))
    assert {rrset.ttl for rrset in served(kept, wire, 0).answer} == {kept.ttl} == {MAX_TTL}


def test_an_answer_that_is_asked_often_is_due_once_before_it_ends() -> None:
    wire = query()
    kept = stored(wire, replied(wire, f"{NAME} 60 A 192.0.2.1"))
    assert [kept.hit(now) for now in (1, 59, 59, 59, 59, 59)] == [False] * 3 + [True] + [False] * 2


def test_an_answer_of_a_short_ttl_is_due_a_second_before_it_ends_and_one_of_a_shorter_never() -> None:
    wire = query()
    for ttl, moments in ((5, [4.0]), (4, [])):
        kept = stored(wire, replied(wire, f"{NAME} {ttl} A 192.0.2.1"))
        for _ in range(OFTEN + 1):
            assert not kept.hit(0.0)
        assert [at for at in (3.0, 3.9, 4.0, 4.5, 4.9) if kept.hit(at)] == moments


def test_an_edns_size_below_what_all_can_take_counts_as_that() -> None:
    """RFC 6891, section 6.2.3."""
    wire = query(use_edns=0, payload=100)
    text = "\n".join(f"{NAME} 60 A 192.0.2.{n}" for n in range(20))
    made = served(stored(wire, replied(wire, text)), wire, 1.0, HIGHEST_UDP)
    assert len(made.answer[0]) == 20
    assert not made.flags & dns.flags.TC


@pytest.mark.parametrize(("do", "ad", "is_told"), [(0, 0, False), (0, 1, True), (1, 0, True), (1, 1, True)])
def test_that_an_answer_was_validated_is_told_to_who_asks_for_that(do: int, ad: int, is_told: bool) -> None:
    """By DO, or by AD alone (RFC 6840, section 5.7 and 5.8)."""
    wire = query(use_edns=0, want_dnssec=bool(do), flags=dns.flags.RD | (dns.flags.AD if ad else 0))
    made = dns.message.from_wire(replied(wire, f"{NAME} 60 A 192.0.2.1"))
    made.flags |= dns.flags.AD
    message = read_reply(made.to_wire())
    assert message is not None
    kept = Stored(message, key_of(Query(wire)), 0.0, trusted=True)
    assert bool(served(kept, wire, 1.0).flags & dns.flags.AD) is is_told
    assert not served(stored(wire, made.to_wire()), wire, 1.0).flags & dns.flags.AD, "of whom we don't trust"


@pytest.mark.parametrize("flag", [0, dns.flags.CD])
def test_checking_disabled_is_told_as_it_was_asked(flag: int) -> None:
    """RFC 4035, section 3.2.2."""
    wire = query(use_edns=0, flags=dns.flags.RD | flag)
    kept = stored(wire, replied(wire, f"{NAME} 60 A 192.0.2.1"))
    assert served(kept, wire, 1.0).flags & dns.flags.CD == flag


def test_why_an_upstream_says_so_is_passed_on_of_those_alone_that_are_trusted() -> None:
    wire = query(use_edns=0)
    made = dns.message.from_wire(replied(wire, f"{NAME} 60 A 192.0.2.1"))
    made.use_edns(0, options=[dns.edns.EDEOption(dns.edns.EDECode.FORGED_ANSWER, "by decree")])
    message = read_reply(made.to_wire())
    assert message is not None
    for trusted, told in ((True, ["by decree"]), (False, [])):
        kept = Stored(message, key_of(Query(wire)), 0.0, trusted=trusted)
        options = served(kept, wire, 1.0).options
        assert [o.text for o in options if isinstance(o, dns.edns.EDEOption)] == told


def test_a_name_that_becomes_ours_is_forgotten_with_all_that_is_said_below_it() -> None:
    own, below = names.wire("svc.example"), names.wire("a.b.svc.example")
    beside, reverse = names.wire("xsvc.example"), names.reverse("192.0.2.1")
    keys = [
        own + b"\0\1\0\1\0", own + b"\0\x1c\0\1\3", below + b"\0\1\0\1\0", beside + b"\0\1\0\1\0",
        reverse + b"\0\x0c\0\1\0", reverse + b"\0\1\0\1\0",
    ]  # fmt: skip
    wire = query()

    def left(owners: list[bytes], below: bool = False) -> list[bool]:
        cache = Cache()
        for key in keys:
            cache.put(key, stored(wire, replied(wire, f"{NAME} 60 A 192.0.2.1")), 0)
        cache.forget(owners, below)
        found = [cache.get(key, 1.0) is not None for key in keys]
        assert len(cache) == sum(found)
        assert not len(cache) or cache.used
        return found

    assert left([own]) == [False, False, True, True, True, True]
    assert left([own], below=True) == [False, False, False, True, True, True]
    assert left([reverse]) == [True] * 4 + [False] * 2
    assert left([reverse, own]) == [False, False, True, True, False, False]
    assert left([names.wire("2.0.192.in-addr.arpa")], below=True) == [True] * 4 + [False] * 2
    assert left([b"\0"], below=True) == [False] * 6


def test_of_many_replies_few_are_looked_through_in_a_row_and_what_is_forgotten_is_never_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cache_module, "AT_A_TIME", 5)
    looks: list[bytes] = []
    speaks = cache_module._Walk.meets

    def meets(walk: cache_module._Walk, key: bytes, kept: Stored) -> bool:
        looks.append(key)
        return speaks(walk, key, kept)

    monkeypatch.setattr(cache_module._Walk, "meets", meets)
    wire, cache = query(), Cache()
    ours = [names.wire(f"n{n}.svc.example") + b"\0\1\0\1\0" for n in range(40)]
    others = [names.wire(f"n{n}.other.example") + b"\0\1\0\1\0" for n in range(40)]
    for key in (*others, *ours):
        cache.put(key, stored(wire, replied(wire, f"{NAME} 60 A 192.0.2.1")), 0)
    cache.forget([names.wire("svc.example")], below=True)
    cache.forget([names.wire("n7.other.example")])
    assert len(looks) <= 10
    assert len(cache) > 70, "the most of it was not looked at yet"
    assert cache.get(ours[-1], 1.0) is None
    assert cache.get(others[7], 1.0) is None
    assert cache.get(others[-1], 1.0) is not None
    for key in [*others, *ours] * 2:
        looks.clear()
        assert (cache.get(key, 1.0) is not None) is (key in others and key != others[7])
        assert len(looks) <= 7
    assert len(cache) == 39, "none of it is kept"
    assert cache._find == cache._items.__getitem__, "and looking costs no more than ever"


def test_once_all_is_cleared_nothing_is_looked_for_any_more() -> None:
    wire, cache = query(), Cache()
    key = names.wire("a.svc.example") + b"\0\1\0\1\0"
    for n in range(3000):
        cache.put(
            names.wire(f"n{n}.example") + b"\0\1\0\1\0",
            stored(wire, replied(wire, f"{NAME} 60 A 192.0.2.1")),
            0,
        )
    cache.put(key, stored(wire, replied(wire, f"{NAME} 60 A 192.0.2.1")), 0)
    cache.forget([names.wire("svc.example")], below=True)
    assert cache._find != cache._items.__getitem__
    cache.clear()
    cache.put(key, stored(wire, replied(wire, f"{NAME} 60 A 192.0.2.1")), 0)
    assert cache.get(key, 1.0) is not None


def test_reverse_names_are_found_however_others_come_and_go() -> None:
    wire, reverse = query(), names.reverse("192.0.2.1")
    cache = Cache(1 << 20, 8)
    for turn in range(20):
        for rtype in range(6):
            for name in (reverse, names.wire(f"n{turn}.example")):
                key = name + bytes((0, rtype, 0, 1, 0))
                cache.put(key, stored(wire, replied(wire, f"{NAME} 60 A 192.0.2.1")), rtype)
        cache.forget([reverse])
        assert not any(cache.get(reverse + bytes((0, rtype, 0, 1, 0)), 1.0) for rtype in range(6))
        assert len(cache) <= 8


def test_of_thousands_of_replies_that_speak_of_one_name_few_go_in_a_row_and_none_is_found_again() -> None:
    wire, reverse = query(), "1.2.0.192.in-addr.arpa."
    speaks = stored(wire, replied(wire, f"{NAME} 60 CNAME {reverse}\n{reverse} 60 A 192.0.2.1"))
    keys = [names.wire(f"n{n}.example") + b"\0\1\0\1\0" for n in range(1000)]
    cache = Cache()
    for key in keys:
        cache.put(key, speaks, 0)
    cache.forget([names.wire(reverse)])
    cache.forget([names.wire(reverse)])
    assert len(cache) >= len(keys) - 2 * cache_module.GONE_AT_A_TIME
    assert len(cache._gone) == len(cache), "however often it is forgotten, it is noted once"
    cache.put(keys[-1], stored(wire, replied(wire, f"{NAME} 60 A 192.0.2.1")), 0)
    for key in keys[:-1]:
        before = len(cache)
        assert cache.get(key, 1.0) is None
        assert before - len(cache) <= cache_module.GONE_AT_A_TIME + 1
    assert cache.get(keys[-1], 1.0) is not None, "what is said now is not what was forgotten"
    assert len(cache) == 1
    assert cache._find == cache._items.__getitem__, "and looking costs no more than ever"


def test_a_reply_is_kept_with_all_names_that_it_speaks_of() -> None:
    wire, reverse = query(), "1.2.0.192.in-addr.arpa."
    key = key_of(Query(wire))
    reply = replied(
        wire,
        f"{NAME} 60 CNAME B.example.\nb.example. 60 CNAME {reverse}\n{reverse} 60 A 192.0.2.1",
        "com. 60 NS ns.else.example.",
        "ns.else.example. 60 A 192.0.2.1",
    )
    kept = stored(wire, reply)
    spoken_of = [names.wire(name) for name in ("b.example.", reverse, "com.", "ns.else.example.")]
    assert [*names.each(kept.others)] == spoken_of
    plain = stored(wire, replied(wire, f"{NAME} 60 A 192.0.2.1"))
    assert plain.others == b""
    for name in (*spoken_of, names.wire(NAME)):
        cache = Cache()
        cache.put(key, plain, 0)
        cache.put(key, kept, 0)
        cache.forget([names.wire("nothing.example")], below=True)
        cache.forget([names.reverse("192.0.2.9")])
        assert len(cache) == 1
        cache.forget([name])
        assert len(cache) == 0
        assert not cache._items.of_reverse_name


def test_a_reply_that_speaks_of_very_many_names_is_given_but_not_kept() -> None:
    wire = query()
    many = "\n".join(f"{'x' * 60}{n:03d}.example. 60 A 192.0.2.1" for n in range(1 + MAX_OTHER_BYTES // 73))
    kept = stored(wire, replied(wire, f"{NAME} 60 A 192.0.2.1", additional=many))
    assert kept.ttl == 0
    assert (
        stored(wire, replied(wire, f"{NAME} 60 A 192.0.2.1", additional=many.rpartition("\n")[0])).ttl == 60
    )


def test_a_very_large_answer_is_given_but_not_kept() -> None:
    wire = query(rtype="TXT")
    kept = stored(wire, replied(wire, "\n".join(f"{NAME} 60 TXT {n:03d}{'x' * 200}" for n in range(60))))
    cache = Cache()
    cache.put(b"key", kept, 0)
    assert len(cache) == 0
    assert len(served(kept, wire, 0.0).answer[0]) == 60


# --- bytes ----------------------------------------------------------------------------------------------

labels = st.binary(min_size=1, max_size=8) | st.sampled_from([b"www", b"example", b"com", b"\0", b"a\0b"])
owners = st.lists(labels, min_size=1, max_size=5).map(
    lambda parts: b"".join(bytes([len(p)]) + p for p in parts) + b"\0"
)
RDATA = """A 192.0.2.1 | AAAA 2001:db8::1 | CNAME b.example.com. | NS ns.example.com. | PTR Example.COM.
MX 10 mail.example.com. | SRV 1 2 3 srv.example.com. | TXT "a" "b" | CAA 0 issue "ca.example"
KX 1 kx.example. | NAPTR 1 2 "u" "sip" "!a!b!" next.example.com. | DNAME d.example.com.
RP a.example. b.example. | AFSDB 1 af.example. | HTTPS 1 . alpn=h2 | TYPE65280 \\# 3 abcdef
RRSIG A 8 2 60 20300101000000 20200101000000 1 example.com. AAAA""".replace("\n", "|").split("|")
records = st.lists(
    st.tuples(
        st.sampled_from(["www.example.com.", "b.example.com.", "EXAMPLE.com.", "x."]),
        st.integers(1, 9999),
        st.sampled_from(RDATA),
    ),
    max_size=8,
    # dnspython takes two equal records for one: a cut that lost the second would look whole.
    unique_by=lambda record: (record[0].lower(), record[2].lower()),
).map(lambda found: "\n".join(f"{owner} {ttl} {rdata}" for owner, ttl, rdata in found))


def lines(section: list[dns.rrset.RRset]) -> list[str]:
    return sorted(line.lower() for rrset in section for line in rrset.to_text().splitlines())


@given(records, records, records, st.sampled_from([False, True]), st.integers(300, 2000))
def test_every_record_survives_the_way_through_the_cache(
    answer: str, authority: str, additional: str, edns: bool, limit: int
) -> None:
    wire = query("wWw.example.com", use_edns=0 if edns else False, want_dnssec=edns)
    reply = replied(wire, answer, authority, additional)
    kept = stored(wire, reply)
    asked = query("www.EXAMPLE.com", use_edns=0 if edns else False, want_dnssec=edns)
    theirs, ours = dns.message.from_wire(reply), served(kept, asked, 0.0)
    assert lines(ours.answer) == lines(theirs.answer)
    assert [r for r in lines(ours.authority) if " soa " not in r] == [
        r for r in lines(theirs.authority) if " soa " not in r
    ]
    assert lines(ours.additional) == lines(theirs.additional)
    assert ours.question[0].name.to_text() == "www.EXAMPLE.com."
    cut = served(kept, asked, 0.0, limit)
    if len(cut.answer) + len(cut.authority) < len(ours.answer) + len(ours.authority):
        assert cut.flags & dns.flags.TC
    if lines(cut.answer) == lines(ours.answer) and lines(cut.authority) == lines(ours.authority):
        assert not cut.flags & dns.flags.TC


@st.composite
def hostile(draw: st.DrawFn) -> bytes:
    """A reply that somebody meddled with."""
    wire = bytearray(replied(query(), draw(records), draw(records), draw(records)))
    for _ in range(draw(st.integers(0, 8))):
        at = draw(st.integers(0, len(wire) - 1))
        how = draw(pick("set", "point", "cut", "grow"))
        if how == "set":
            wire[at] = draw(st.integers(0, 255))
        elif how == "point":
            wire[at : at + 2] = draw(st.integers(0xC000, 0xC000 + len(wire))).to_bytes(2, "big")
        elif how == "cut":
            del wire[max(at, 1) :]
        else:
            wire[at:at] = draw(st.binary(max_size=20))
    return bytes(wire)


@given(hostile() | st.binary(max_size=300), st.integers(12, 1400), st.floats(0, 1e6))
def test_nothing_that_an_upstream_sends_raises_or_makes_a_reply_that_cant_be_read(
    reply: bytes, limit: int, now: float
) -> None:
    message = read_reply(reply)
    if message is None:
        return
    name = message.question[:-4].lower()
    key = name + message.question[-4:] + b"\0"
    kept = Stored(message, key, 0.0)
    anew = Stored(message._replace(plain=b""), key, 0.0)
    assert (kept.body, kept.marks, kept.ttl) == (anew.body, anew.marks, anew.ttl)
    wire = b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + message.question
    made = kept.reply(wire, len(wire), 0, 65535, now)
    again = read_reply(made)
    assert again is not None
    assert [len(s) for s in again[3:6]] == [len(s) for s in message[3:6]]
    assert len(kept.reply(wire, len(wire), 0, limit, now)) <= max(limit, len(wire))


A, OPT = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\1\2\3\4", b"\0\0\x29\4\xd0\0\0\0\0\0\0"
PLAIN = {
    "addresses": ((2, 0, 0), A + A, True),
    "addresses, and OPT behind them": ((2, 0, 1), A + A + OPT, True),
    "text in each section": ((1, 1, 1), 3 * (b"\xc0\x0c\0\x10\0\1\0\0\0\5\0\2\1x"), True),
    "OPT among them": ((1, 0, 2), A + OPT + A, False),
    "an owner that is spelled out": ((1, 0, 0), names.wire(NAME) + A[2:], False),
    "an owner that is another": ((1, 0, 0), b"\xc0\x10" + A[2:], False),
    "an alias": ((1, 0, 0), b"\xc0\x0c\0\5\0\1\0\0\0\5\0\4\1a\xc0\x10", False),
    "a TTL that is none": ((1, 0, 0), A[:6] + b"\x80\0\0\1" + A[10:], False),
}


@pytest.mark.parametrize("what", PLAIN)
def test_records_of_the_question_alone_are_kept_as_they_came(what: str) -> None:
    counts, came, is_plain = PLAIN[what]
    wire = query(use_edns=False)
    numbers = b"".join(n.to_bytes(2, "big") for n in counts)
    reply = wire[:2] + b"\x81\x80\0\1" + numbers + wire[12:] + came
    message = read_reply(reply)
    assert message is not None
    assert message.plain == (came.removesuffix(OPT) if is_plain else b"")
    assert served(stored(wire, reply), wire, 0.0).answer == dns.message.from_wire(reply).answer


def test_records_that_were_taken_out_of_a_message_leave_it_no_plain_ones() -> None:
    wire = query(use_edns=False)
    message = read_reply(replied(wire, f"{NAME} 60 A 8.8.8.8\n{NAME} 60 A 10.0.0.1"))
    assert message is not None
    assert message.plain
    signed = message._replace(answer=(*message.answer, message.answer[0]._replace(rtype=46)))
    followed = follow(signed, query(use_edns=False)[12:])
    assert followed is not None
    assert (followed.plain, len(followed.answer)) == (b"", 2)
    public, blocked = believe(message, lambda name: False, deny_private=True)
    assert (public.plain, blocked) == (b"", True)
    assert len(served(Stored(public, key_of(Query(wire)), 0.0), wire, 0.0).answer[0]) == 1


def test_a_pointer_loop_and_a_tower_of_pointers_are_no_names() -> None:
    head = b"\0\0\x81\x80\0\1\0\1\0\0\0\0"
    assert read_reply(head + b"\xc0\x0c\0\1\0\1") is None
    tower = b"".join((0xC000 | 12 + 2 * n).to_bytes(2, "big") for n in range(8000))
    assert read_reply(head + b"\0\0\1\0\1" + tower) is None


def test_half_a_gigabyte_of_names_out_of_pointers_is_not_made() -> None:
    """Each record's rdata points at one long name: small on the wire, large when read."""
    long = names.wire(".".join(["x" * 60] * 4))
    head = b"\0\0\x81\x80\0\1\x0f\xa0\0\0\0\0" + long + b"\0\2\0\1"
    record = b"\xc0\x0c\0\2\0\1\0\0\0\x3c\0\2\xc0\x0c"
    message = read_reply(head + record * 4000)
    assert message is not None
    kept = Stored(message, long + b"\0\2\0\1\0", 0.0)
    assert len(kept.body) < 65535


def test_additional_records_are_given_all_or_none_and_without_tc() -> None:
    """A part of an RRset would pass for the whole (RFC 2181, section 5)."""
    wire = query(rtype="SRV", use_edns=0, payload=4096)
    more = "\n".join(f"a.example.com. 60 A 192.0.2.{n}" for n in range(1, 30))
    kept = stored(wire, replied(wire, f"{NAME} 60 SRV 0 0 80 a.example.com.", additional=more))
    whole = len(kept.reply(wire, Query(wire).end, 4096, 4096, 0.0))
    for room in range(512, whole + 1):
        answered = served(kept, wire, 0.0, room)
        given = sum(map(len, answered.additional))
        assert given == (29 if room >= whole else 0), room
        assert not answered.flags & dns.flags.TC
        assert answered.answer


def test_an_answer_of_thousands_is_cut_without_a_look_at_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of hundreds who waited for it over UDP cost half a millisecond."""
    looks: list[int] = []
    end_of = Stored._end_of
    monkeypatch.setattr(Stored, "_end_of", lambda self, n: looks.append(n) or end_of(self, n))
    wire = query()
    kept = stored(
        wire, replied(wire, "\n".join(f"{NAME} 60 A 10.0.{n // 250}.{n % 250}" for n in range(4000)))
    )
    answered = served(kept, wire, 0.0, 512)
    assert answered.flags & dns.flags.TC
    assert len(answered.answer[0]) == (512 - len(wire)) // 16
    assert len(looks) <= 14


def test_what_is_told_beside_an_answer_is_charged_with_it() -> None:
    wire = query(use_edns=0)
    made = dns.message.from_wire(replied(wire, f"{NAME} 60 A 192.0.2.1"))
    plain = read_reply(made.to_wire())
    made.use_edns(0, options=[dns.edns.EDEOption(3, "x" * 100)])
    told = read_reply(made.to_wire())
    assert plain is not None
    assert told is not None
    key = key_of(Query(wire))
    weights = [Stored(message, key, 0.0, trusted=True).weight for message in (plain, told)]
    assert weights[1] - weights[0] > 100


def test_reverse_names_that_went_leave_nothing_behind() -> None:
    wire = query()
    cache = Cache(1 << 20, 4)
    for n in range(50):
        key = names.reverse(f"192.0.2.{n}") + b"\0\x0c\0\1\0"
        cache.put(key, stored(wire, replied(wire, f"{NAME} 60 A 192.0.2.1")), n)
    assert len(cache._items.of_reverse_name) == len(cache) <= 4
    cache.forget(names.REVERSE, below=True)
    assert not cache._items.of_reverse_name
