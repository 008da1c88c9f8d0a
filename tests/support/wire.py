"""A message taken apart by hand, byte by byte: a judge that shares nothing with what it judges."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    """One record: where it starts and ends, and its whole bytes."""

    section: int
    rtype: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Message:
    flags: int
    question: bytes
    records: tuple[Record, ...]

    @property
    def rcode(self) -> int:
        return self.flags & 15

    @property
    def tc(self) -> bool:
        return bool(self.flags & 0x0200)

    def section(self, number: int) -> list[bytes]:
        """The records of section 1 (answer), 2 (authority) or 3 (additional, without OPT), as they stand."""
        return [r.raw for r in self.records if r.section == number and r.rtype != 41]

    @property
    def opts(self) -> list[bytes]:
        return [r.raw for r in self.records if r.rtype == 41]


def skip_name(message: bytes, at: int) -> int:
    while True:
        length = message[at]
        if length >= 0xC0:
            return at + 2
        assert length < 64, "a label of an unknown kind"
        at += 1 + length
        if not length:
            return at


def take_apart(message: bytes) -> Message:
    """The parts of a whole message; an exception where it isn't whole."""
    flags, questions, *counts = (int.from_bytes(message[k : k + 2], "big") for k in (2, 4, 6, 8, 10))
    at = 12
    for _ in range(questions):
        at = skip_name(message, at) + 4
    question = message[12:at]
    records = []
    for section, many in enumerate(counts, 1):
        for _ in range(many):
            start = at
            at = skip_name(message, at)
            rtype = int.from_bytes(message[at : at + 2], "big")
            at += 10 + int.from_bytes(message[at + 8 : at + 10], "big")
            assert at <= len(message), "a record that overruns"
            records.append(Record(section, rtype, message[start:at]))
    assert at == len(message), "bytes are left over"
    return Message(flags, question, tuple(records))
