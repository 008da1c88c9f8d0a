"""Names as bytes: what a reverse name is, and what only looks like one."""

from __future__ import annotations

import pytest

from zkdns.dns import names


def test_a_reverse_name_gives_its_address() -> None:
    for address in ("10.0.0.1", "255.255.255.255", "0.0.0.0", "fd00::1"):
        assert names.address_of(names.reverse(address)) == names.address_of(names.reverse(address.upper()))
        assert names.reverse(address) == names.reverse(names.address_of(names.reverse(address)) or b"")


@pytest.mark.parametrize(
    "name",
    [
        b"\x011\x010\x010\x0a10\x07in-addr\x04arpa\0",
        b"\x011\x010\x010\x0210\x0ex\x07in-addr\x04arpa\0",
        b"\x011\x010\x010\x0210\x0d\x07in-addr\x04arpa\0",
        b"\x011\x010\x010\x0210\x011\x07in-addr\x04arpa\0",
        b"\x010\x010\x0210\x07in-addr\x04arpa\0",
        b"\x011\x010\x010\x0301a\x07in-addr\x04arpa\0",
        b"\x011\x010\x010\x03256\x07in-addr\x04arpa\0",
        b"\x011\x010\x010\x0201\x07in-addr\x04arpa\0",
    ],
)
def test_what_only_looks_like_a_reverse_name_has_no_address(name: bytes) -> None:
    assert names.address_of(name) is None


@pytest.mark.parametrize(
    ("name", "domain"),
    [("a.b.example.com", "example.com"), ("example.com", "example.com"), ("com", "com"), ("", "")],
)
def test_a_domain_is_the_last_two_labels(name: str, domain: str) -> None:
    assert names.domain_of(names.wire(name)) == names.wire(domain)
