"""The addresses that a reply holds for a name, and no others."""

from __future__ import annotations

from zkdns.dns import names
from zkdns.dns.message import Message, Record
from zkdns.forward.addresses import Resolved, addresses_in


def record(owner: str, rtype: int, rdata: bytes | str) -> Record:
    parts = (b"", names.wire(rdata)) if isinstance(rdata, str) else (rdata,)
    return Record(names.wire(owner), rtype, 1, 60, parts)


def test_addresses_are_those_of_the_name_and_of_what_it_is_an_alias_of_alone() -> None:
    records = (
        record("other.example", 1, b"\x0a\0\0\x66"),
        record("b.example", 1, b"\x0a\0\0\2"),
        record("web.example", 5, "b.example"),
        record("b.example", 28, bytes(16)),
    )
    message = Message(0, 0, b"", records, (), (record("web.example", 1, b"\x0a\0\0\x67"),), True)
    assert addresses_in(message, names.wire("web.example"), 1) == Resolved(("10.0.0.2",), 60)
    assert addresses_in(message, names.wire("nope.example"), 1) == Resolved((), 0)


def test_a_circle_of_aliases_has_no_address() -> None:
    records = (record("a.example", 5, "b.example"), record("b.example", 5, "a.example"))
    message = Message(0, 0, b"", records, (), (), True)
    assert addresses_in(message, names.wire("a.example"), 1) == Resolved((), 0)
