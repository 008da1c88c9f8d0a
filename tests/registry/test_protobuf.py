"""The small reader of protobuf: what it reads, and how every kind of broken message is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdns.registry.fields import BadData
from zkdns.registry.protobuf import MAX_FIELDS, Message


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


@given(st.integers(1, 2**28), st.integers(0, 2**64 - 1), st.text(max_size=300))
def test_what_is_written_is_read(number: int, value: int, text: str) -> None:
    message = Message(field(number, value) + field(number + 1, text.encode()), "it")
    assert message.number(number, "n") == value
    assert message.text(number + 1, "t") == text
    assert message.number(number + 2, "absent", 7) == 7


def test_fixed_fields_are_passed_over() -> None:
    data = b"\x0d" + b"\0" * 4 + b"\x11" + b"\0" * 8 + field(3, 5)
    assert Message(data, "it").number(3, "n") == 5


def test_of_a_field_that_is_told_twice_the_last_counts() -> None:
    assert Message(field(1, 1) + field(1, 2), "it").number(1, "n") == 2


def test_messages_in_a_message_are_read() -> None:
    inner = Message(field(6, field(1, b"a")) + field(6, field(1, b"b")), "it").messages(6, "endpoint")
    assert [one.text(1, "id") for one in inner] == ["a", "b"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x0a\x05abc", "field 1 goes on past the end"),
        (b"\x0a\xff\xff\xff\xff\x0f", "field 1 goes on past the end"),
        (b"\x0d\0\0", "field 1 goes on past the end"),
        (b"\x08", "a number goes on past the end"),
        (b"\x08\x80", "a number goes on past the end"),
        (b"\x08" + b"\x80" * 10 + b"\1", "a number of more than 64 bits"),
        (b"\x00\1", "a field without a number"),
        (b"\x0b", "field 1 is of wire type 3"),
        (b"\x0f", "field 1 is of wire type 7"),
        (field(1, 1) * (MAX_FIELDS + 1), f"more than {MAX_FIELDS} fields"),
    ],
)
def test_a_broken_message_is_refused_and_says_why(data: bytes, why: str) -> None:
    with pytest.raises(BadData) as error:
        Message(data, "Master")
    assert error.value.what == f"Master can't be read: {why}"


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(BadData):
        message = Message(data, "it")
        assert message.number(1, "n", 0) >= 0
        assert isinstance(message.messages(2, "m"), list)
        assert isinstance(message.text(3, "t"), str)


def test_a_field_of_another_kind_is_refused() -> None:
    message = Message(field(1, 1) + field(2, b"\xff"), "it")
    for ask, why in (
        (lambda: message.text(1, "host"), "host is no text"),
        (lambda: message.text(2, "host"), "host is not UTF-8"),
        (lambda: message.number(2, "port"), "port is no number"),
        (lambda: message.text(3, "host"), "no host"),
        (lambda: message.messages(1, "inner"), "inner is no message"),
    ):
        with pytest.raises(BadData, match=why):
            ask()
