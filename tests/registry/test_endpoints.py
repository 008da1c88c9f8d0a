"""Host and port in the spellings of others."""

from __future__ import annotations

import pytest

from zkdns.registry.endpoints import host_port, sequence, url
from zkdns.registry.fields import BadData


@pytest.mark.parametrize(
    ("text", "where", "port"),
    [
        ("10.0.0.1:80", "10.0.0.1", 80),
        ("db.example:5432", "db.example", 5432),
        ("[fd00::1]:80", "fd00::1", 80),
        ("fd00::1:80", "fd00::1", 80),  # without brackets the last colon parts them
    ],
)
def test_host_and_port_are_told_apart(text: str, where: str, port: int) -> None:
    found = host_port(text, "it")
    assert (found.host or found.addresses[0], found.port) == (where, port)


@pytest.mark.parametrize("text", ["", ":", "a", "a:", ":80", "a:b", "a:99999", "[::1:80", "a b:80", 7, None])
def test_what_is_not_host_and_port_is_refused(text: object) -> None:
    with pytest.raises(BadData):
        host_port(text, "it")


@pytest.mark.parametrize(
    ("text", "scheme", "where", "port"),
    [
        ("SASL_SSL://kafka.example:9093", "SASL_SSL", "kafka.example", 9093),
        ("http://user:pw@10.0.0.1:80/a?b#c", "http", "10.0.0.1", 80),
        ("postgres://[fd00::1]:5432/x", "postgres", "fd00::1", 5432),
        ("pulsar+ssl://h:6651", "pulsar+ssl", "h", 6651),
        ("http://h", "http", "h", 0),
    ],
)
def test_a_url_is_read(text: str, scheme: str, where: str, port: int) -> None:
    found = url(text, "it")
    assert (found.scheme, found.host or found.addresses[0], found.port) == (scheme, where, port)


@pytest.mark.parametrize("text", ["", "h:80", "http:/h", "http://", "://h:1", "a://h:x", "a://h:99999", 7])
def test_what_is_no_url_is_refused(text: object) -> None:
    with pytest.raises(BadData):
        url(text, "it")


def test_a_sequence_number_has_ten_digits_at_the_end_or_a_sign() -> None:
    assert sequence("_c_1f-latch-0000000012") == "0000000012"
    assert sequence("x__lock__2147483647") == "2147483647"
    assert sequence("_c_1f-latch--2147483648") == "-2147483648"
    assert sequence("json.info_-999999999") == "-999999999"
    for name in ("json.info", "lock-12", "0000000001-x", "member-1700000", "lock-123456789", ""):
        assert sequence(name) is None
