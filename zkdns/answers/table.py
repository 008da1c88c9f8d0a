"""The table that answers are read from: plain values, compiled before anyone asks.

Rules: no I/O, no clock, no chance. Records are whole wire records whose owner is the pointer C00C (offset
12, the question's name), and whose other pointers, if any, aim into the question too. So they can be put
in any order, cut anywhere, and serve any spelling of the name.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Protocol, TypeAlias

OWNER = b"\xc0\x0c"
"""A compression pointer to the question's name (RFC 1035, section 4.1.4)."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Rotation:
    """The orders that an RRset cycles through.

    `orders`: each one the indices of the instances to give, first place first, already cut to the
    service's `answers`. `sequence`: which order comes at each position; its length is the cycle. Over
    it, first places are in exact proportion to the weights. Equal weights share one Rotation.
    """

    orders: tuple[tuple[int, ...], ...]
    sequence: array[int]
    getters: tuple[Callable[[Any], tuple[Any, ...]], ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, orders: tuple[tuple[int, ...], ...], sequence: list[int]) -> Rotation:
        return cls(orders, array("I", sequence), tuple(map(_getter, orders)))


def _getter(order: tuple[int, ...]) -> Callable[[Any], tuple[Any, ...]]:
    if len(order) == 1:  # itemgetter of one index gives the bare item; of a slice, a tuple
        return itemgetter(slice(order[0], order[0] + 1))
    return itemgetter(*order)


@dataclass(frozen=True, slots=True, eq=False)
class Tier:
    """The instances of one priority. `records[i]` is the answer record of the i-th; `extras[i]` its
    additional records in one run (b"" for none) and `extra_counts[i]` how many those are.
    Two equal `extras` are one and the same additional record set and stand in a reply once."""

    rotation: Rotation
    records: tuple[bytes, ...]
    extras: tuple[bytes, ...] = ()
    extra_counts: tuple[int, ...] = ()


@dataclass(slots=True, eq=False)
class RotationCounter:
    """Where one owner and type stands in its rotation: the only thing here that moves."""

    position: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A positive answer. Tiers follow one another; `cut` bounds the records of all of them.

    `ede` is a whole Extended DNS Error option for this answer (RFC 8914), or b"". `repeats` says
    that equal extras occur, so that they must be folded. `counter` is handed on from an Entry to the
    one that replaces it, so that a busy registry does not start every cycle anew.
    """

    tiers: tuple[Tier, ...]
    cut: int
    ede: bytes = b""
    repeats: bool = False
    counter: RotationCounter = field(default_factory=RotationCounter)


@dataclass(frozen=True, slots=True, eq=False)
class InstanceAddresses:
    """The addresses of one instance's own name: A and AAAA records in one run each."""

    a: bytes
    aaaa: bytes


@dataclass(slots=True, eq=False)
class Zone:
    """A zone of ours. `apex`: wire name, lower case. `soa`: the SOA record after its owner (type,
    class, TTL, length, rdata; no pointers in it); replaced when the serial moves. `failure`: b""
    in good times, else the EDE option that goes with SERVFAIL for all that is not in the table."""

    index: int
    apex: bytes
    soa: bytes = b""
    failure: bytes = b""


@dataclass(frozen=True, slots=True)
class Sections:
    """An answer spelled on demand, whole wire records in each section. Owners are C00C or spelled
    out; nothing else is compressed. No answer and no authority: the zone's SOA is put there."""

    answer: tuple[bytes, ...] = ()
    authority: tuple[bytes, ...] = ()
    additional: tuple[bytes, ...] = ()
    rcode: int = 0
    aa: bool = True
    ede: bytes = b""


class Responder(Protocol):
    """What answers for a name that needs more than the table."""

    def answer(self, qname: bytes, qtype: int) -> Sections: ...


@dataclass(frozen=True, slots=True, eq=False)
class Name:
    """A name that exists. A type that the table doesn't hold for it is NODATA, with `ede`.

    `instances`: names one label below that exist as well, by lower-case label; their types other than
    A and AAAA are spelled by `spell(label, qtype)`. `responder`: this name, and what is below it,
    needs more than the table: the plain case ends here.
    """

    zone: Zone
    ede: bytes = b""
    instances: Mapping[bytes, InstanceAddresses] | None = None
    spell: Callable[[bytes, int], Sections] | None = None
    responder: Responder | None = None


Table: TypeAlias = dict[bytes, Entry]
"""Key: the owner's wire name in lower case, then the type in two bytes."""
