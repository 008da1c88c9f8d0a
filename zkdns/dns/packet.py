"""Queries as they come from anyone: read once, and never again by those that they go through.

Rules: pure; reading never raises: what is wrong with a packet is its `fault`. Names are kept in lower
case (safe on the wire: a label's length is at most 63, and "A" is 65).
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from zkdns.dns.types import BADVERS, FORMERR, IN, NOERROR, NOTIMP, OPT

DROP = -1
"""No rcode: nothing is to be said to it. A reply to a reply could go round for ever."""

HIGHEST_UDP = 1232
"""The longest UDP reply (DNS flag day 2020: it fits every path without fragments)."""
PLAIN_UDP = 512
"""The same without EDNS (RFC 1035, section 4.2.1)."""
MAX_MESSAGE_BYTES = 65_535
"""The longest message over TCP: what the two bytes of its length can say (RFC 1035, section 4.2.2)."""

NSID, SUBNET = b"\0\3", b"\0\x08"

MAX_REMEMBERED = 10_000
"""Questions, and OPT records, that are recalled by their bytes."""
ALONE, WITH_OPT = b"\0\1\0\0\0\0\0\0", b"\0\1\0\0\0\0\0\1"
"""The counts of a packet that has one question, and of one that has an OPT record, too."""


@dataclass(frozen=True, slots=True)
class Edns:
    """The OPT record of a query (RFC 6891, section 6.1). `subnet`: the client that it speaks for (RFC
    7871), as the option's data; None for none, and b"", which can't be read, for two."""

    size: int
    version: int = 0
    do: bool = False
    nsid: bool = False
    subnet: bytes | None = None
    room: int = field(init=False, compare=False)
    """How long a UDP reply may be."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "room", min(max(self.size, PLAIN_UDP), HIGHEST_UDP))


class Question(NamedTuple):
    """What is asked. `key`: name and type, as a table is asked for them; b"" in a class of no table."""

    name: bytes
    rtype: int
    rclass: int
    key: bytes


NO_QUESTION = Question(b"", 0, 0, b"")

_QUESTIONS: dict[bytes, Question] = {}
"""Questions by their bytes as they came: most were asked before."""
_ONCE = array("H", bytes(2 << 16))
"""Of questions that came once, two bytes of their hash, where two others say: one that comes again is worth
remembering. Names that are made up would push out all else, and each of them find cold memory."""
_PLAIN_OPTS: dict[bytes, Edns] = {}
"""Whole OPT records without options, as they came: few differ."""
_OPTS: dict[bytes, Edns] = {}
"""The same of OPT records by all that stands before their options: few differ."""


class Query:
    """A packet as it was read. What it says is held by `Final`, not by a frozen dataclass, which would
    cost more than all the reading.

    `fault`: the rcode of what can't be answered (`DROP`: nothing is said), else NOERROR. `end`: where the
    question ends; 12 where there is none to be read. `limit`: bytes that the transport carries; `room`:
    those of them that a reply may take. `key`: the question's, b"" where there is a fault.
    """

    __slots__ = ("edns", "end", "fault", "key", "limit", "packet", "question", "room")

    def __init__(self, packet: bytes, limit: int = HIGHEST_UDP) -> None:
        end = packet.find(0, 12) + 5
        raw = packet[12:end]
        question = _QUESTIONS.get(raw) or _learn(raw)
        fault = NOERROR
        edns: Edns | None = None
        plain = question is not None and packet[2] <= 1
        if plain:
            more = packet[end:]
            counts = packet[4:12]
            if counts == WITH_OPT:
                edns = _PLAIN_OPTS.get(more) or _read_plain_opt(more)
                plain = edns is not None
            else:
                plain = counts == ALONE and not more
        if not plain or question is None:
            question, end, edns, fault = _read(packet)
        self.packet: Final = packet
        self.question: Final = question
        self.end: Final = end
        self.edns: Final = edns
        self.fault: Final = fault
        self.limit: Final = limit
        self.room: Final = limit if limit > HIGHEST_UDP else edns.room if edns is not None else PLAIN_UDP
        self.key: Final = b"" if fault else question.key


def _learn(raw: bytes) -> Question | None:
    """The question in these bytes, where they end four bytes behind their first zero, as one does that has
    no zero in a label; None where that is not so."""
    last = len(raw) - 5
    if last > 254 or raw.find(0) != last:
        return None
    at = 0
    while at < last:
        length = raw[at]
        if length > 63:
            return None
        at += 1 + length
    if at != last:
        return None
    question = _question(raw[: last + 1].lower(), raw[last + 1 :])
    mark = hash(raw)
    place, sign = mark & 0xFFFF, mark >> 16 & 0xFFFF | 1
    if _ONCE[place] != sign:
        _ONCE[place] = sign
        return question
    if len(_QUESTIONS) >= MAX_REMEMBERED:
        _QUESTIONS.clear()
    _QUESTIONS[raw] = question
    return question


def _question(name: bytes, fixed: bytes) -> Question:
    rclass = fixed[2] << 8 | fixed[3]
    return Question(name, fixed[0] << 8 | fixed[1], rclass, name + fixed[:2] if rclass == IN else b"")


def _read_plain_opt(record: bytes) -> Edns | None:
    """One whole OPT record of version 0, and nothing else; None for all that is not so."""
    if record[:3] != b"\0\0\x29" or record[6:7] != b"\0":
        return None
    edns = read_opt(record, 0, len(record))
    if edns is not None and len(record) == 11 and len(_PLAIN_OPTS) < MAX_REMEMBERED:
        _PLAIN_OPTS[record] = edns
    return edns


def _read(packet: bytes) -> tuple[Question, int, Edns | None, int]:
    """Any packet: its question, where that ends, its EDNS, and its fault."""
    if len(packet) < 12 or packet[2] & 0x80:
        return NO_QUESTION, 12, None, DROP
    fault = NOTIMP if packet[2] & 0x78 else NOERROR
    sections = _read_sections(packet)
    if sections is None:
        return NO_QUESTION, 12, None, fault or FORMERR
    question, end, edns = sections
    if edns is not None and edns.version > 0:
        fault = fault or BADVERS
    return question, end, edns, fault


def _read_sections(packet: bytes) -> tuple[Question, int, Edns | None] | None:
    """None where they can't be read: no single question, a broken or compressed name, records that
    overrun, two OPTs, bytes left over."""
    if packet[4:6] != b"\0\1":
        return None
    size = len(packet)
    at = 12
    while True:
        if at >= size:
            return None
        length = packet[at]
        at += 1 + length
        if length > 63 or at - 12 > 255:
            return None
        if not length:
            break
    end = at + 4
    if end > size:
        return None
    edns: Edns | None = None
    left = sum(int.from_bytes(packet[k : k + 2], "big") for k in (6, 8, 10))
    in_additional = int.from_bytes(packet[10:12], "big")
    at = end
    while left:
        start = at
        at = _skip_name(packet, at)
        if at < 0 or at + 10 > size:
            return None
        rtype = int.from_bytes(packet[at : at + 2], "big")
        after = at + 10 + int.from_bytes(packet[at + 8 : at + 10], "big")
        if after > size:
            return None
        if rtype == OPT:
            if edns is not None or left > in_additional or at != start + 1:
                return None
            edns = read_opt(packet, start, after)
            if edns is None:
                return None
        at = after
        left -= 1
    if at != size:
        return None
    return _question(packet[12 : end - 4].lower(), packet[end - 4 : end]), end, edns


def _skip_name(packet: bytes, at: int) -> int:
    """Where the name at `at` ends; below 0 where it doesn't."""
    while at < len(packet):
        length = packet[at]
        if length >= 0xC0:
            return at + 2
        if length > 63:
            return -1
        at += 1 + length
        if not length:
            return at
    return -1


def read_opt(packet: bytes, at: int, end: int) -> Edns | None:
    """The OPT record between `at` and `end`; None where its options don't fill it exactly."""
    if at + 11 > end or end - at - 11 != packet[at + 9] << 8 | packet[at + 10]:
        return None
    nsid = False
    subnet: bytes | None = None
    k = at + 11
    while k < end:
        if k + 4 > end:
            return None
        code = packet[k : k + 2]
        after = k + 4 + (packet[k + 2] << 8 | packet[k + 3])
        if code == NSID:
            nsid = True
        elif code == SUBNET:
            subnet = packet[k + 4 : after] if subnet is None else b""
        k = after
    if k != end:
        return None
    fixed = packet[at + 3 : at + 9]
    edns = _OPTS.get(fixed)
    if edns is None:
        edns = Edns(fixed[0] << 8 | fixed[1], fixed[3], fixed[4] >= 0x80)
        if len(_OPTS) < MAX_REMEMBERED:
            _OPTS[fixed] = edns
    return replace(edns, nsid=nsid, subnet=subnet) if nsid or subnet is not None else edns
