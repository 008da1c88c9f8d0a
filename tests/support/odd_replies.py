"""Replies as imperfect upstreams write them, and what unbound 1.17.1 and BIND 9.18 make of each.

Both were run as forwarders before an upstream that sends these (dnssec off, no qname minimisation); the words
in the table are what a client of theirs saw: records, or an rcode. `ours` is what we promise. Where the two
part we go with one of them, or give the client the answer where one of them lets it through as it stands.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zkdns.dns import names
from zkdns.dns.types import AAAA, CNAME, MX, OPT, SOA, SRV, TXT, A

OWNER = b"\xc0\x0c"
GOOD = bytes([192, 0, 2, 1])
OTHER = bytes([192, 0, 2, 6])
SERVFAIL = "SERVFAIL"
ADDRESS = "A 192.0.2.1"
TIMES = struct.pack("!5I", 1, 60, 60, 60, 60)


def rr(owner: bytes, rtype: int, rdata: bytes, ttl: int = 300, rclass: int = 1, size: int = -1) -> bytes:
    return owner + struct.pack("!HHIH", rtype, rclass, ttl, len(rdata) if size < 0 else size) + rdata


def opt(rdata: bytes = b"", ttl: int = 0, owner: bytes = b"\0") -> bytes:
    return rr(owner, OPT, rdata, ttl, 1232)


@dataclass(frozen=True)
class Odd:
    """`sections` makes answer, authority and additional out of the asked name; `change` then the whole."""

    title: str
    ours: str
    unbound: str
    bind: str
    sections: Callable[[bytes], Sequence[Sequence[bytes]]]
    rtype: int = A
    flags: int = 0x8180
    change: Callable[[bytes, int], bytes] = lambda wire, end: wire

    def reply(self, query: bytes) -> bytes:
        end = query.index(b"\0", 12) + 5
        name = query[12 : end - 4]
        sections = [*self.sections(name), (), ()][:3]
        counts = [len(section) for section in sections]
        head = query[:2] + struct.pack("!5H", self.flags, 1, *counts)
        return self.change(head + query[12:end] + b"".join(map(b"".join, sections)), end)


def good(name: bytes) -> Sequence[Sequence[bytes]]:
    return ((rr(OWNER, A, GOOD),),)


def answer(*records: bytes) -> Callable[[bytes], Sequence[Sequence[bytes]]]:
    return lambda name: (records,)


def count(at: int, to: int) -> Callable[[bytes, int], bytes]:
    return lambda wire, end: wire[:at] + struct.pack("!H", to) + wire[at + 2 :]


def recase(wire: bytes, end: int) -> bytes:
    return wire[:12] + wire[12 : end - 4].upper() + wire[end - 4 :]


T, U, ROUND = map(names.wire, ("t.odd.example", "u.odd.example", "round.odd.example"))
BY_ALIAS = "CNAME t.odd.example. A 192.0.2.1"
SOA_NAMES = names.wire("ns.odd.example") + names.wire("h.odd.example")

REPLIES = (
    # --- bytes that are too many or too few
    Odd("bytes behind the last record", ADDRESS, ADDRESS, ADDRESS, good, change=lambda w, e: w + b"\xde\xad"),
    Odd("fewer records counted than there are", ADDRESS, ADDRESS, ADDRESS,
        answer(rr(OWNER, A, GOOD), rr(OWNER, A, OTHER)), change=count(6, 1)),
    Odd("more records counted than there are", SERVFAIL, SERVFAIL, SERVFAIL, good, change=count(6, 2)),
    Odd("an end that is torn off", SERVFAIL, SERVFAIL, SERVFAIL, good, change=lambda w, e: w[:-2]),
    Odd("an address of five bytes", SERVFAIL, "malformed", SERVFAIL, answer(rr(OWNER, A, GOOD + b"\t"))),
    Odd("an address of three bytes", SERVFAIL, "malformed", SERVFAIL, answer(rr(OWNER, A, GOOD[:3]))),
    Odd("an address of none", SERVFAIL, "malformed", SERVFAIL, answer(rr(OWNER, A, b""))),
    Odd("an IPv6 address of four bytes", SERVFAIL, "malformed", SERVFAIL, answer(rr(OWNER, AAAA, GOOD)),
        AAAA),
    Odd("a text that ends early", SERVFAIL, "malformed", SERVFAIL, answer(rr(OWNER, TXT, b"\tab")), TXT),
    Odd("a text of no string", SERVFAIL, "malformed", SERVFAIL, answer(rr(OWNER, TXT, b"")), TXT),
    Odd("bytes behind the name of an MX", "MX 1 t.odd.example.", "malformed", SERVFAIL,
        answer(rr(OWNER, MX, b"\0\1" + T + b"XX")), MX),
    Odd("bytes behind the target of an SRV", "SRV 0 1 80 t.odd.example.", "malformed", SERVFAIL,
        answer(rr(OWNER, SRV, b"\0\0\0\1\0\x50" + T + b"X")), SRV),
    Odd("bytes behind the name of an alias", BY_ALIAS, "malformed", SERVFAIL,
        answer(rr(OWNER, CNAME, T + b"X"), rr(T, A, GOOD))),
    Odd("bytes behind a SOA", "", "malformed", SERVFAIL,
        lambda name: ((), (rr(names.wire("odd.example"), SOA, SOA_NAMES + TIMES + b"XX"),))),
    Odd("a SOA without its end", SERVFAIL, "malformed", SERVFAIL,
        lambda name: ((), (rr(names.wire("odd.example"), SOA, SOA_NAMES + TIMES[:16]),))),
    # --- names
    Odd("a compressed target where none is to be (RFC 2782)", "SRV 0 1 80 t.{name}", "SRV 0 1 80 t.{name}",
        "SRV 0 1 80 t.{name}", answer(rr(OWNER, SRV, b"\0\0\0\1\0\x50\1t" + OWNER)), SRV),
    Odd("a pointer to itself", SERVFAIL, SERVFAIL, SERVFAIL, good,
        change=lambda w, e: w[:e] + struct.pack("!H", 0xC000 | e) + w[e + 2 :]),
    Odd("a pointer onwards", SERVFAIL, ADDRESS, SERVFAIL,
        answer(rr(b"\xc0\x80", A, GOOD)), change=lambda w, e: w.ljust(0x80, b"\0") + w[12 : e - 4]),
    Odd("a label of another kind", SERVFAIL, SERVFAIL, SERVFAIL,
        answer(rr(b"\x41" + b"a" * 8 + b"\0", A, GOOD))),
    Odd("the owner in capitals", ADDRESS, ADDRESS, ADDRESS, lambda name: ((rr(name.upper(), A, GOOD),),)),
    # --- head and question
    Odd("the question in capitals", ADDRESS, ADDRESS, ADDRESS, good, change=recase),
    Odd("no question", SERVFAIL, SERVFAIL, SERVFAIL, lambda name: ((rr(name, A, GOOD),),),
        change=lambda w, e: w[:4] + b"\0\0" + w[6:12] + w[e:]),
    Odd("the question twice", SERVFAIL, SERVFAIL, SERVFAIL, good,
        change=lambda w, e: w[:4] + b"\0\2" + w[6:e] + w[12:]),
    Odd("AA", ADDRESS, ADDRESS, ADDRESS, good, flags=0x8580),
    Odd("no RA", ADDRESS, ADDRESS, ADDRESS, good, flags=0x8100),
    Odd("no RD", ADDRESS, ADDRESS, ADDRESS, good, flags=0x8080),
    Odd("Z", ADDRESS, ADDRESS, ADDRESS, good, flags=0x81C0),
    Odd("SERVFAIL with an answer", SERVFAIL, SERVFAIL, SERVFAIL, good, flags=0x8182),
    Odd("REFUSED with an answer", SERVFAIL, SERVFAIL, SERVFAIL, good, flags=0x8185),
    Odd("NOTAUTH", SERVFAIL, SERVFAIL, SERVFAIL, answer(), flags=0x8189),
    Odd("NXDOMAIN without a SOA", "NXDOMAIN", "NXDOMAIN", "NXDOMAIN", answer(), flags=0x8183),
    Odd("nothing at all", "", "", "", answer()),
    # --- OPT (RFC 6891)
    Odd("no OPT", ADDRESS, ADDRESS, ADDRESS, good),
    Odd("two OPT", ADDRESS, ADDRESS, ADDRESS, lambda name: (*good(name), (), (opt(), opt()))),
    Odd("OPT of a later version", ADDRESS, ADDRESS, ADDRESS,
        lambda name: (*good(name), (), (opt(b"", 1 << 16),))),
    Odd("OPT with an unknown option", ADDRESS, ADDRESS, ADDRESS,
        lambda name: (*good(name), (), (opt(b"\xff\xfe\0\3abc"),))),
    Odd("OPT with an option that runs over", ADDRESS, ADDRESS, SERVFAIL,
        lambda name: (*good(name), (), (opt(b"\0\n\0\x20abc"),))),
    Odd("OPT under a name", ADDRESS, ADDRESS, SERVFAIL,
        lambda name: (*good(name), (), (opt(owner=b"\1x\0"),))),
    Odd("OPT in the answer", SERVFAIL, SERVFAIL, SERVFAIL, answer(rr(OWNER, A, GOOD), opt())),
    Odd("OPT in the authority", SERVFAIL, SERVFAIL, SERVFAIL, lambda name: (*good(name), (opt(),))),
    # --- what the records say
    Odd("a TTL with its top bit set", f"{ADDRESS} ttl 0", f"{ADDRESS} ttl 0", f"{ADDRESS} ttl 604800",
        answer(rr(OWNER, A, GOOD, 0x80000005))),
    Odd("a TTL of 68 years", f"{ADDRESS} ttl 86400", f"{ADDRESS} ttl 86400", f"{ADDRESS} ttl 604800",
        answer(rr(OWNER, A, GOOD, 0x7FFFFFFF))),
    Odd("one record twice", ADDRESS, ADDRESS, ADDRESS, answer(rr(OWNER, A, GOOD), rr(OWNER, A, GOOD))),
    Odd("another name's records too", ADDRESS, ADDRESS, ADDRESS, answer(rr(OWNER, A, GOOD), rr(U, A, OTHER))),
    Odd("another name's records alone", "", "", SERVFAIL, answer(rr(U, A, OTHER))),
    Odd("another type's records too", ADDRESS, ADDRESS, ADDRESS,
        answer(rr(OWNER, A, GOOD), rr(OWNER, TXT, b"\2hi"))),
    Odd("another type's records alone", "", "", SERVFAIL, answer(rr(OWNER, TXT, b"\2hi"))),
    # --- aliases
    Odd("an alias behind what it leads to", BY_ALIAS, BY_ALIAS,
        BY_ALIAS, answer(rr(T, A, GOOD), rr(OWNER, CNAME, T))),
    Odd("an alias and an address of one name", BY_ALIAS,
        BY_ALIAS, BY_ALIAS,
        answer(rr(OWNER, CNAME, T), rr(OWNER, A, OTHER), rr(T, A, GOOD))),
    Odd("two aliases of one name", BY_ALIAS, BY_ALIAS, SERVFAIL,
        answer(rr(OWNER, CNAME, T), rr(OWNER, CNAME, U), rr(T, A, GOOD), rr(U, A, OTHER))),
    Odd("an alias of itself", SERVFAIL, SERVFAIL, SERVFAIL, answer(rr(OWNER, CNAME, OWNER))),
    Odd("an alias of itself and an address", SERVFAIL, SERVFAIL, SERVFAIL,
        answer(rr(OWNER, CNAME, OWNER), rr(OWNER, A, GOOD))),
    Odd("aliases that go round", SERVFAIL, SERVFAIL, SERVFAIL,
        answer(rr(OWNER, CNAME, ROUND), rr(ROUND, CNAME, OWNER))),
    # --- the additional section
    Odd("garbage in the additional section", SERVFAIL, SERVFAIL, SERVFAIL,
        lambda name: (*good(name), (), (b"\xff" * 20,))),
    Odd("an additional record that runs over", SERVFAIL, SERVFAIL, SERVFAIL,
        lambda name: (*good(name), (), (rr(T, A, GOOD, size=400),))),
    Odd("an additional record of wrong rdata", ADDRESS, ADDRESS, SERVFAIL,
        lambda name: (*good(name), (), (rr(T, A, b"\1"),))),
    Odd("additional records that are counted and not there", SERVFAIL, SERVFAIL, SERVFAIL, good,
        change=count(10, 3)),
)  # fmt: skip
