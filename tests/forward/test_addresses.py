"""The addresses that a reply holds for a name, and no others."""

from __future__ import annotations

import struct
from itertools import pairwise

from zkdns.dns import names
from zkdns.dns.message import Message, Record
from zkdns.forward.addresses import MAX_TOLD, Resolved, addresses_in


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


def test_however_many_aliases_lead_to_however_many_addresses_each_record_is_looked_at_once() -> None:
    """Sixty aliases before four thousand addresses, which fit a reply, were a turn of 25 ms."""
    looks = 0

    class Owner(bytes):
        def lower(self) -> bytes:
            nonlocal looks
            looks += 1
            return bytes(self)

    chain = [f"n{n}.example" for n in range(61)]
    aliases = [record(owner, 5, target) for owner, target in pairwise(chain)]
    ends = [record(chain[-1], 1, struct.pack("!I", n)) for n in range(500)]
    records = tuple(r._replace(owner=Owner(r.owner)) for r in (*aliases, *ends))
    found = addresses_in(Message(0, 0, b"", records, (), (), True), names.wire(chain[0]), 1)
    assert len(found.addresses) == MAX_TOLD
    assert looks <= len(records)


def test_of_too_many_addresses_the_same_ones_stay_in_whichever_order_they_come() -> None:
    ends = [record("web.example", 1, struct.pack("!I", n)) for n in range(3 * MAX_TOLD)]
    orders = [ends, ends[::-1], ends[100:] + ends[:100]]
    messages = [Message(0, 0, b"", tuple(order), (), (), True) for order in orders]
    found = [set(addresses_in(each, names.wire("web.example"), 1).addresses) for each in messages]
    assert len(found[0]) == MAX_TOLD
    assert found[0] == found[1] == found[2]
