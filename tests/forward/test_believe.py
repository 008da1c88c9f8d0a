"""What of an upstream's answer is passed on."""

from __future__ import annotations

import ipaddress

import pytest

from zkdns.dns import names
from zkdns.dns.message import Message, Record
from zkdns.dns.types import CNAME, HTTPS, SVCB, A
from zkdns.forward.believe import MAX_ALIASES, believe, follow, is_private


def record(owner: str, rtype: int, address: str) -> Record:
    return Record(names.wire(owner), rtype, 1, 60, (ipaddress.ip_address(address).packed,))


def test_records_of_our_names_go_from_every_section_in_any_case() -> None:
    ours, theirs = record("WEB.svc.local", 1, "192.0.2.1"), record("www.example", 1, "8.8.8.8")
    ours = ours._replace(owner=b"\3WEB\3svc\5local\0")
    message = Message(0, 0, b"", (ours, theirs), (ours,), (theirs, ours), True)
    kept, blocked = believe(message, lambda name: name == b"\3web\3svc\5local\0", False)
    assert (kept.answer, kept.authority, kept.additional) == ((theirs,), (), (theirs,))
    assert not blocked
    assert believe(message, lambda name: False, False)[0] is message


def test_records_of_another_class_than_was_asked_for_go() -> None:
    theirs = record("www.example", 1, "8.8.8.8")
    message = Message(0, 0, b"", (theirs._replace(rclass=3), theirs), (), (), True)
    assert believe(message, lambda name: False, False) == (message._replace(answer=(theirs,)), False)


PRIVATE = (
    "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.1.1", "100.64.0.1", "0.0.0.0", "::1", "::",
    "fd00::1", "fe80::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "255.255.255.255", "fec0::1", "::10.0.0.1",
    "2002:a00:1::1", "64:ff9b:1::a00:1",
)  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_of_ours_and_of_nobody_are_private(address: str) -> None:
    packed = ipaddress.ip_address(address)
    assert is_private(packed.packed)
    message = Message(
        0, 0, b"", (record("x.example", 1 if packed.version == 4 else 28, address),), (), (), False
    )
    assert believe(message, lambda name: False, True) == (message._replace(answer=()), True)
    assert believe(message, lambda name: False, False) == (message, False)
    key = b"\0\4" if packed.version == 4 else b"\0\6"
    hint = https((b"\0\1", b"\2h2"), (key, bytes(len(packed.packed)) + packed.packed))
    hinting = message._replace(answer=(hint,))
    assert believe(hinting, lambda name: False, True) == (message._replace(answer=()), True)
    assert believe(hinting, lambda name: False, False) == (hinting, False)


def https(*parameters: tuple[bytes, bytes], rtype: int = HTTPS) -> Record:
    each = (key + len(value).to_bytes(2, "big") + value for key, value in parameters)
    return Record(names.wire("x.example"), rtype, 1, 60, (b"\0\1\0" + b"".join(each),))


def test_a_record_that_tells_how_a_service_is_reached_hints_at_addresses_of_the_internet_alone() -> None:
    ours = bytes((10, 0, 0, 1))
    good = https((b"\0\1", b"\2h2"), (b"\0\4", bytes((8, 8, 8, 8))), (b"\x7f\4", ours))
    cut = (https((b"\0\4", ours[:3])), good._replace(parts=(good.parts[0][:-1],)))
    nothing = good._replace(parts=(b"\0",))
    message = Message(0, 0, b"", (good, *cut, nothing, https((b"\0\4", ours), rtype=SVCB)), (), (), False)
    assert believe(message, lambda name: False, True) == (message._replace(answer=(good, cut[0])), True)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8", "2002:808:808::1"],
)
def test_addresses_of_the_internet_are_not(address: str) -> None:
    assert not is_private(ipaddress.ip_address(address).packed)


def test_what_is_no_address_is_left_alone() -> None:
    assert not is_private(b"\x0a\0\0")
    text = Record(names.wire("x.example"), 16, 1, 60, (b"\x0a\0\0\1",))
    message = Message(0, 0, b"", (text,), (), (), False)
    assert believe(message, lambda name: False, True) == (message, False)


def named(owner: str, rtype: int, *parts: bytes) -> Record:
    return Record(names.wire(owner), rtype, 1, 60, parts)


def alias(owner: str, target: str, rtype: int = 5) -> Record:
    return named(owner, rtype, b"", names.wire(target))


def signature(owner: str, covered: int) -> Record:
    return named(owner, 46, covered.to_bytes(2, "big") + bytes(20))


QUESTION = names.wire("www.a.example") + b"\0\1\0\1"


def test_an_answer_is_followed_from_alias_to_alias_with_their_signatures_and_nothing_else() -> None:
    made = alias("a.example", "b.example", 39)
    way = (
        made,
        signature("a.example", 39),
        alias("WWW.A.example", "www.b.example"),
        signature("www.a.example", 5),
        record("www.b.example", 1, "192.0.2.1"),
        signature("www.b.example", 1),
    )
    others = (
        signature("www.a.example", 1),
        signature("www.b.example", 28),
        record("evil.example", 1, "192.0.2.6"),
        record("www.b.example", 28, "2001:db8::1"),
        alias("c.example", "d.example", 39),
    )
    for mixed in ((*way, *others), (*others, *reversed(way))):
        followed = follow(Message(0, 0, b"", mixed, (), (), True), QUESTION)
        assert followed is not None
        assert set(followed.answer) == set(way)
        owners = [r.owner.lower() for r in followed.answer if r.rtype in (1, 5)]
        assert owners == [names.wire("www.a.example"), names.wire("www.b.example")]


@pytest.mark.parametrize(("rtype", "kept"), [(5, [5]), (255, [5, 1, 16]), (16, [5])])
def test_who_asks_for_an_alias_or_for_all_has_what_stands_there(rtype: int, kept: list[int]) -> None:
    answer = (
        alias("www.a.example", "www.a.example"),
        record("www.a.example", 1, "192.0.2.1"),
        named("www.a.example", 16, b"\1x"),
    )
    message = Message(0, 0, b"", answer, (), (), True)
    followed = follow(message, QUESTION[:-4] + rtype.to_bytes(2, "big") + b"\0\1")
    if rtype == 16:
        assert followed is None, "it leads to itself"
    else:
        assert followed is not None
        assert [r.rtype for r in followed.answer] == kept


def test_an_alias_is_followed_whatever_the_case_in_which_it_names_the_next() -> None:
    alias = Record(names.wire("www.example"), CNAME, 1, 60, (b"", b"\3CDN\7EXAMPLE\0"))
    address = record("cdn.example", A, "8.8.8.8")
    other = record("other.example", A, "8.8.4.4")
    message = Message(0, 0, b"", (other, address, alias), (), (), True)
    kept = follow(message, names.wire("www.example") + b"\0\1\0\1")
    assert kept is not None
    assert kept.answer == (alias, address)


@pytest.mark.parametrize(
    ("aliases", "is_followed"), [(MAX_ALIASES, True), (MAX_ALIASES + 1, False), (1000, False)]
)
def test_so_many_aliases_are_followed_and_no_more(aliases: int, is_followed: bool) -> None:
    """Each costs a walk up its name, and nobody has so many."""
    chain = [
        Record(names.wire(f"n{n}.example"), CNAME, 1, 60, (b"", names.wire(f"n{n + 1}.example")))
        for n in range(aliases)
    ]
    end = record(f"n{aliases}.example", A, "192.0.2.1")
    message = Message(0, 0, b"", (*chain, end), (), (), True)
    followed = follow(message, names.wire("n0.example") + b"\0\1\0\1")
    assert (followed is not None) == is_followed
    assert followed is None or followed.answer[-1] == end
