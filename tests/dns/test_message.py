"""Replies as anyone may have written them: read whole, at a cost that their length bounds."""

from __future__ import annotations

import dns.message
import dns.name
import dns.wirebase
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdns.dns import names
from zkdns.dns.message import read_reply
from zkdns.dns.rdata import Names

LONG = names.wire(".".join("abcdefghijklmnopqrstuvwxyz"[i % 26] for i in range(120)))
A = b"\0\1\0\1\0\0\0\x3c\0\4\1\2\3\4"


def message(records: list[bytes], question: bytes = LONG) -> bytes:
    return (
        b"\0\0\x81\x80\0\1"
        + len(records).to_bytes(2, "big")
        + bytes(4)
        + question
        + b"\0\1\0\1"
        + b"".join(records)
    )


def pointer(at: int) -> bytes:
    return (0xC000 | at).to_bytes(2, "big")


class Counted(bytes):
    """Counts how often it is looked into."""

    looks = 0

    def __getitem__(self, key: object) -> object:  # type: ignore[override]
        Counted.looks += 1
        return super().__getitem__(key)  # type: ignore[index]


def by_one_pointer() -> list[bytes]:
    return [pointer(12) + b"\0\x0e\0\1\0\0\0\x3c\0\4" + pointer(12) * 2] * 4000


def by_labels_of_their_own() -> list[bytes]:
    return [b"\4%04d" % n + pointer(12) + A for n in range(3000)]


def by_pointers_into_labels() -> list[bytes]:
    """Sixty names of 126 labels, and records that point into every one of those."""
    records, starts, at = [], [], 12 + len(LONG) + 4
    for n in range(40):
        own = b"".join(bytes([1, 97 + (i * 7 + n) % 26]) for i in range(126)) + b"\0"
        records.append(own + A)
        starts += range(at, at + 252, 2)
        at += len(own + A)
    return records + [pointer(starts[n * 13 % len(starts)]) + A for n in range(3000)]


def by_a_tower_of_pointers() -> list[bytes]:
    """A record of an unknown type, full of pointers to the one before; then owners that point into it."""
    at = 12 + len(LONG) + 4 + 12
    tower = b"".join(pointer(12 if n == 0 else at + 2 * (n - 1)) for n in range(6000))
    txt = pointer(12) + b"\xff\0\0\1\0\0\0\x3c" + len(tower).to_bytes(2, "big") + tower
    return [txt] + [pointer(at + 2 * (5999 - n)) + A for n in range(3000)]


FEW = 400
"""So many records of each are read by dnspython as well."""

CRAFTED = (by_one_pointer, by_labels_of_their_own, by_pointers_into_labels, by_a_tower_of_pointers)


@pytest.mark.parametrize("crafted", CRAFTED)
def test_a_crafted_reply_costs_what_its_length_allows(crafted: object) -> None:
    raw = message(crafted())  # type: ignore[operator]
    assert len(raw) < 65_536
    Counted.looks = 0
    found = read_reply(Counted(raw))
    assert found is not None
    assert Counted.looks < 3 * len(raw)
    if crafted is by_a_tower_of_pointers:  # dnspython follows no such chain
        assert {record.owner for record in found.answer} == {LONG}
        return
    few = message(crafted()[:FEW])  # type: ignore[operator]
    theirs = dns.message.from_wire(few, one_rr_per_rrset=True).answer
    assert [record.owner for record in found.answer[:FEW]] == [rrset.name.to_wire() for rrset in theirs]
    assert len(found.answer) == len(crafted())  # type: ignore[operator]


class Reader(dns.wirebase.Parser):
    """dnspython's, with our rule of where a name ends that is pointed at: before the pointer. Its own, since
    2.9, is that it ends before the name that has the pointer, which others don't ask for."""

    def restrict_end(self, end: int) -> None:
        pass


@given(st.data())
def test_a_name_is_read_the_same_whatever_was_read_before(data: st.DataObject) -> None:
    raw = bytearray(b"\0" * 12)
    for _ in range(data.draw(st.integers(1, 12))):
        kind = data.draw(st.sampled_from(["label", "end", "pointer", "byte"]))
        if kind == "label":
            raw += bytes([length := data.draw(st.integers(1, 5))]) + b"abcde"[:length]
        elif kind == "pointer":
            raw += pointer(data.draw(st.integers(0, len(raw))))
        else:
            raw += b"\0" if kind == "end" else bytes([data.draw(st.integers(0, 255))])
    wire = bytes(raw)
    known = Names(wire)
    for at in data.draw(st.permutations(range(12, len(wire)))):
        alone, after_others = Names(wire).read(at, len(wire)), known.read(at, len(wire))
        assert after_others == alone
        if alone is not None:
            theirs = Reader(wire, at)
            assert alone == (dns.name.from_wire_parser(theirs).to_wire(), theirs.current)


@pytest.mark.parametrize(("rtype", "what"), [(41, "OPT"), (249, "TKEY"), (250, "TSIG")])
def test_what_speaks_of_one_hop_goes_no_further(rtype: int, what: str) -> None:
    hop = b"\0" + rtype.to_bytes(2, "big") + b"\0\xff" + bytes(6)
    raw = bytearray(message([pointer(12) + A, hop]))
    raw[6:12] = b"\0\1\0\0\0\1"  # it stands where it belongs, in the additional section
    found = read_reply(bytes(raw))
    assert found is not None
    assert [record.rtype for record in (*found.answer, *found.additional)] == [1], what


def test_a_name_that_runs_into_its_own_pointer_is_none_though_it_was_read_as_another() -> None:
    wire = bytes(12) + b"\4ab" + pointer(12) + b"\0"
    known = Names(wire)
    assert known.read(12, len(wire)) == (b"\4ab" + pointer(12) + b"\0", 18)
    assert known.read(15, len(wire)) is None
    assert Names(wire).read(15, len(wire)) is None
