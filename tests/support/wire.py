"""A message taken apart by hand, byte by byte: a judge that shares nothing with what it judges."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """Records are their whole bytes. `opts`: the OPT records, which stand in no section here."""

    flags: int
    question: bytes
    opts: list[bytes]
    _sections: dict[int, list[bytes]]

    @property
    def rcode(self) -> int:
        return self.flags & 15

    @property
    def tc(self) -> bool:
        return bool(self.flags & 0x0200)

    def section(self, number: int) -> list[bytes]:
        """The records of section 1 (answer), 2 (authority) or 3 (additional), as they stand."""
        return self._sections[number]


def skip_name(message: bytes, at: int) -> int:
    while True:
        length = message[at]
        if length >= 0xC0:
            return at + 2
        assert length < 64, "a label of an unknown kind"
        at += 1 + length
        if not length:
            return at


def rtype_of(record: bytes) -> int:
    at = skip_name(record, 0)
    return int.from_bytes(record[at : at + 2], "big")


def take_apart(message: bytes) -> Message:
    """The parts of a whole message; an exception where it isn't whole."""
    flags, questions, *counts = (int.from_bytes(message[k : k + 2], "big") for k in (2, 4, 6, 8, 10))
    at = 12
    for _ in range(questions):
        at = skip_name(message, at) + 4
    question = message[12:at]
    opts: list[bytes] = []
    sections: dict[int, list[bytes]] = {}
    for section, many in enumerate(counts, 1):
        sections[section] = []
        for _ in range(many):
            start = at
            at = skip_name(message, at)
            at += 10 + int.from_bytes(message[at + 8 : at + 10], "big")
            assert at <= len(message), "a record that overruns"
            record = message[start:at]
            (opts if rtype_of(record) == 41 else sections[section]).append(record)
    assert at == len(message), "bytes are left over"
    return Message(flags, question, opts, sections)
