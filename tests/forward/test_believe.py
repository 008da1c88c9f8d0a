"""What of an upstream's answer is passed on."""

from __future__ import annotations

import ipaddress

import pytest

from zkdns.dns import names
from zkdns.dns.message import Message, Record
from zkdns.forward.believe import believe, is_private


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
    "fd00::1", "fe80::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "255.255.255.255",
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


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]
)
def test_addresses_of_the_internet_are_not(address: str) -> None:
    assert not is_private(ipaddress.ip_address(address).packed)


def test_what_is_no_address_is_left_alone() -> None:
    assert not is_private(b"\x0a\0\0")
    text = Record(names.wire("x.example"), 16, 1, 60, (b"\x0a\0\0\1",))
    message = Message(0, 0, b"", (text,), (), (), False)
    assert believe(message, lambda name: False, True) == (message, False)
