"""What the RFCs ask of a name server, as one table: each row cites its section and asks a real server.

The server runs as a process on each engine; a row is asked over UDP and over TCP, unless it is about
one of them. To add a row, write what is sent and what must come back.
"""
# ruff: noqa: E501  (a row of a table stays a row)

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import pytest

from support.missing import ENGINES
from support.server import Zkdns
from zkdns.dns import names
from zkdns.dns.types import AAAA, ANY, AXFR, CH, IN, NS, OPT, PTR, SOA, SRV, TXT, A

REGISTRY = Path(__file__).with_name("registry.toml")
UDP, TCP = "udp", "tcp"

HS, NONE = 4, 254
WEB = "web.svc.local"


def header(*, id: int = 0x1234, flags: int = 0, counts: tuple[int, ...] = (1, 0, 0, 0)) -> bytes:
    return b"".join(n.to_bytes(2, "big") for n in (id, flags, *counts))


def question(name: str | bytes = WEB, rtype: int = A, rclass: int = IN) -> bytes:
    owner = names.wire(name) if isinstance(name, str) else name
    return owner + rtype.to_bytes(2, "big") + rclass.to_bytes(2, "big")


def ask(name: str | bytes = WEB, rtype: int = A, rclass: int = IN, *, flags: int = 0) -> bytes:
    return header(flags=flags) + question(name, rtype, rclass)


def opt(
    size: int = 1232, *, version: int = 0, flags: int = 0, options: bytes = b"", owner: bytes = b"\0"
) -> bytes:
    ttl = bytes([0, version]) + flags.to_bytes(2, "big")
    return (
        owner
        + OPT.to_bytes(2, "big")
        + size.to_bytes(2, "big")
        + ttl
        + len(options).to_bytes(2, "big")
        + options
    )


def option(code: int, data: bytes = b"") -> bytes:
    return code.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data


def edns(query: bytes, *opts: bytes) -> bytes:
    """The query with these OPT records behind it."""
    return query[:10] + len(opts).to_bytes(2, "big") + query[12:] + b"".join(opts)


class Reply:
    """One reply: its bytes, and what dnspython reads in them."""

    def __init__(self, query: bytes, wire: bytes, transport: str) -> None:
        self.query, self.wire, self.transport = query, wire, transport
        self.flags = int.from_bytes(wire[2:4], "big")
        self.counts = [int.from_bytes(wire[k : k + 2], "big") for k in (4, 6, 8, 10)]
        self.message: dns.message.Message | None = None
        if self.opcode != dns.opcode.UPDATE:
            self.message = dns.message.from_wire(wire, ignore_trailing=False)

    @property
    def read(self) -> dns.message.Message:
        assert self.message is not None
        return self.message

    @property
    def opcode(self) -> int:
        return self.flags >> 11 & 15

    @property
    def rcode(self) -> int:
        extended = self.message.ednsflags >> 24 if self.message and self.message.edns >= 0 else 0
        return extended << 4 | self.flags & 15

    def has(self, flag: int) -> bool:
        return bool(self.flags & flag)

    @property
    def answer(self) -> list[str]:
        return [
            f"{rrset.name} {dns.rdatatype.to_text(rrset.rdtype)} {item.to_text()}"
            for rrset in self.read.answer for item in rrset
        ]  # fmt: skip

    @property
    def soa(self) -> str:
        """The owner of the SOA in the authority section."""
        (rrset,) = self.read.authority
        assert rrset.rdtype == dns.rdatatype.SOA
        return str(rrset.name)

    def errors(self) -> list[tuple[int, str]]:
        """The Extended DNS Errors."""
        return [(int(o.code), o.text or "") for o in self.read.options if isinstance(o, dns.edns.EDEOption)]


Check = Callable[[Reply], object]


@dataclass(frozen=True)
class Row:
    """`check` raises or is false where the reply is wrong; None: no reply may come."""

    rfc: str
    says: str
    query: bytes
    check: Check | None
    over: tuple[str, ...] = (UDP, TCP)

    def __str__(self) -> str:
        return f"RFC {self.rfc}: {self.says}"


def rcode(expected: int) -> Check:
    return lambda r: r.rcode == expected


def all_of(*checks: Check) -> Check:
    def check(reply: Reply) -> bool:
        for number, one in enumerate(checks, 1):
            assert one(reply) is not False, f"part {number} of {len(checks)}"
        return True

    return check


def found(*answer: str) -> Check:
    return lambda r: (r.rcode, sorted(r.answer)) == (0, sorted(answer))


def no_data(reply: Reply) -> bool:
    return (reply.rcode, reply.counts[1], reply.soa) == (0, 0, "svc.local.") and reply.has(dns.flags.AA)


def nowhere(reply: Reply) -> bool:
    return (reply.rcode, reply.counts[1], reply.soa) == (3, 0, "svc.local.") and reply.has(dns.flags.AA)


def no_edns(reply: Reply) -> bool:
    return reply.read.edns == -1


def one_opt(reply: Reply) -> bool:
    return reply.read.edns == 0 and reply.wire.count(b"\0\0\x29\x04\xd0") == 1


WEB_A = found("web.svc.local. A 10.0.0.1")


def negative_ttl(reply: Reply) -> bool:
    (rrset,) = reply.read.authority
    return rrset.ttl <= 2 and rrset[0].minimum <= 2


def srv_in_order(reply: Reply) -> bool:
    (rrset,) = reply.read.answer
    rows = [(i.priority, i.weight, i.port, str(i.target)) for i in rrset]
    return sorted(rows) == [(0, 10, 8080, "a.web.svc.local."), (5, 20, 8080, "b.web.svc.local.")]


def srv_addresses(reply: Reply) -> bool:
    glue = {str(s.name): sorted(i.to_text() for t in reply.read.additional if t.name == s.name for i in t)
            for s in reply.read.additional}  # fmt: skip
    return glue == {"a.web.svc.local.": ["10.0.0.1", "fd00::1"], "b.web.svc.local.": ["10.0.0.2"]}


def target_is_spelled_out(reply: Reply) -> bool:
    return names.wire("a.web.svc.local") in reply.wire[12 + len(question()) :]


def browsed(*ends: str) -> Check:
    def check(reply: Reply) -> bool:
        (rrset,) = reply.read.answer
        return sorted(i.to_text() for i in rrset) == sorted(ends) and rrset.rdtype == dns.rdatatype.PTR

    return check


def ede(code: int, *words: str) -> Check:
    def check(reply: Reply) -> bool:
        ((given, text),) = reply.errors()
        return given == code and all(word in text for word in words) and len(text.encode()) < 100

    return check


def has_nsid(reply: Reply) -> bool:
    (nsid,) = [o for o in reply.read.options if o.otype == dns.edns.OptionType.NSID]
    return nsid.to_wire() == socket.gethostname().encode()


def no_options(reply: Reply) -> bool:
    return not reply.read.options


def strings(*expected: str) -> Check:
    """One TXT of these strings, in any order."""

    def check(reply: Reply) -> bool:
        (rrset,) = reply.read.answer
        return len(rrset) == 1 and sorted(s.decode() for s in rrset[0].strings) == sorted(expected)

    return check


def chaos(text: str) -> Check:
    def check(reply: Reply) -> bool:
        (rrset,) = reply.read.answer
        said = b"".join(rrset[0].strings).decode()
        return (reply.rcode, rrset.rdclass, rrset.ttl) == (0, dns.rdataclass.CH, 0) and said.startswith(text)

    return check


def truncated(most: int) -> Check:
    def check(reply: Reply) -> bool:
        if reply.transport == TCP:
            return not reply.has(dns.flags.TC) and reply.counts[1] == 100
        room = most - len(reply.wire)
        return reply.has(dns.flags.TC) and 0 <= room < 16 and 0 < reply.counts[1] < 100

    return check


def answers_any(reply: Reply) -> bool:
    (rrset,) = reply.read.answer
    return rrset.rdtype == dns.rdatatype.HINFO and rrset[0].cpu == b"RFC8482" and rrset[0].os == b""


def echoed(reply: Reply) -> bool:
    return reply.wire[12:].startswith(reply.query[12 : 12 + len(question())])


def bare_header(reply: Reply) -> bool:
    return len(reply.wire) == 12


LONG = b"\x3f" + b"x" * 63
AT_255 = LONG * 3 + b"\x33" + b"y" * 51 + names.wire("svc.local")
assert len(AT_255) == 255
COMPRESSED = b"\3www\xc0\x0c"

ROWS = [
    # --- RFC 1035: the message ------------------------------------------------------------------------
    Row("1035 4.1.1", "the id comes back", header(id=0xBEEF) + question(), lambda r: r.wire[:2] == b"\xbe\xef"),
    Row("1035 4.1.1", "QR is set and AA is set on our zones", ask(),
        all_of(WEB_A, lambda r: r.has(dns.flags.QR), lambda r: r.has(dns.flags.AA))),
    Row("1035 4.1.1", "RD comes back set", ask(flags=0x0100), lambda r: r.has(dns.flags.RD)),
    Row("1035 4.1.1", "RD comes back clear", ask(), lambda r: not r.has(dns.flags.RD)),
    Row("1035 4.1.1", "RA is clear where nothing is forwarded", ask(flags=0x0180),
        all_of(WEB_A, lambda r: not r.has(dns.flags.RA))),
    Row("1035 4.1.1", "Z must be zero in every reply", ask(flags=0x0040), all_of(WEB_A, lambda r: not r.has(0x0040))),
    Row("4035 3.1.6", "AD is clear", ask(flags=0x0020), all_of(WEB_A, lambda r: not r.has(dns.flags.AD))),
    Row("4035 3.1.6", "CD is clear where we are the authority", ask(flags=0x0010),
        all_of(WEB_A, lambda r: not r.has(dns.flags.CD))),
    Row("1035 4.1.1", "TC in a query means nothing", ask(flags=0x0200), all_of(WEB_A, lambda r: not r.has(dns.flags.TC))),
    Row("1035 4.1.1", "AA in a query means nothing", ask(flags=0x0400), WEB_A),
    Row("1035 4.1.1", "RCODE in a query means nothing", ask(flags=0x0003), WEB_A),
    Row("1035 4.1.1", "a reply is not answered", ask(flags=0x8000), None),
    Row("1035 4.1.1", "less than a header is not answered", header()[:11], None),
    Row("1035 4.1.1", "a header alone is a format error", header(), all_of(rcode(1), bare_header)),
    Row("1035 4.1.2", "no question is a format error", header(counts=(0, 0, 0, 0)), all_of(rcode(1), bare_header)),
    Row("9619 3", "two questions are a format error", header(counts=(2, 0, 0, 0)) + question() + question(),
        all_of(rcode(1), bare_header)),
    Row("1035 4.1.1", "counts that promise more than there is: a format error",
        header(counts=(1, 0, 0, 9)) + question(), rcode(1)),
    Row("1035 4.1.1", "a count that promises one record: a format error", header(counts=(1, 0, 0, 1)) + question(), rcode(1)),
    Row("1035 4.1.1", "a record that is not counted: a format error", ask() + opt(), rcode(1)),
    Row("1035 4.1.1", "one record where two are counted: a format error", header(counts=(1, 0, 0, 2)) + question() + opt(), rcode(1)),
    Row("1035 4.1.1", "an OPT that is counted as an answer: a format error", header(counts=(1, 1, 0, 1)) + question() + opt(), rcode(1)),
    Row("1035 4.1.2", "bytes behind the message: a format error", ask() + b"\0", rcode(1)),
    Row("1035 4.1.2", "a question cut short is a format error", ask()[:-1], rcode(1)),
    Row("1035 2.3.4", "a label past 63 is a format error", ask(b"\x40" + b"x" * 64 + b"\0"), rcode(1)),
    Row("1035 2.3.4", "a name of 255 can be asked", ask(AT_255), nowhere),
    Row("1035 2.3.4", "a name of 256 is a format error", ask(AT_255[:192] + b"\x34" + b"y" * 52 + AT_255[-11:]), rcode(1)),
    Row("1035 4.1.4", "a compressed question name is a format error", ask(COMPRESSED), rcode(1)),
    Row("1035 4.1.4", "a name that points at itself is a format error", ask(b"\xc0\x0c"), rcode(1)),
    Row("6891 5", "the label types of old are a format error", ask(b"\x41\x01x\0"), rcode(1)),
    Row("1035 2.3.3", "upper and lower case are the same", ask(b"\3WeB\3sVc\5LOCAL\0"),
        all_of(lambda r: r.rcode == 0 and r.counts[1] == 1, echoed)),
    Row("4343 4.1", "the case asked comes back, in owners too", ask(b"\3WeB\3sVc\5LOCAL\0"), found("WeB.sVc.LOCAL. A 10.0.0.1")),
    Row("4343 2", "bytes that are no letters are not folded", ask(b"\3w\x05b\3svc\5local\0"), nowhere),
    Row("1035 4.1.4", "names are compressed: owners are pointers to the question", ask(),
        lambda r: r.wire[12 + len(question()) :][:2] == b"\xc0\x0c"),
    Row("1035 3.2.1", "the TTL is the service's", ask(), lambda r: r.read.answer[0].ttl == 30),
    Row("1035 3.2.1", "the TTL is the server's where the service sets none", ask("four.svc.local"),
        lambda r: r.read.answer[0].ttl == 5),
    Row("2181 5.2", "the TTLs of one RRset are equal", ask(WEB, SRV), lambda r: len(r.read.answer) == 1),
    Row("1035 4.2.1", "512 bytes without EDNS, TC beyond", ask("many.svc.local"), truncated(512)),
    Row("1034 3.7.1", "the root is not ours", ask(b"\0", NS), rcode(5)),
    Row("1034 4.2.1", "the apex has its SOA", ask("svc.local", SOA),
        lambda r: (r.rcode, r.counts[1], r.read.answer[0].rdtype) == (0, 1, dns.rdatatype.SOA)),
    Row("1034 4.2.1", "the apex has its NS", ask("svc.local", NS), found("svc.local. NS ns.dns.svc.local.")),
    Row("1912 2.8", "each name server has an address", ask("ns.dns.svc.local"), found("ns.dns.svc.local. A 127.0.0.1")),
    Row("1035 3.5", "an address has its name", ask("2.0.0.10.in-addr.arpa", PTR),
        found("2.0.0.10.in-addr.arpa. PTR b.web.svc.local.")),
    Row("3596 2.5", "an IPv6 address has its name",
        ask(names.reverse("fd00::1"), PTR), lambda r: r.rcode == 0 and r.answer[0].endswith(" PTR a.web.svc.local.")),
    Row("1035 3.2.3", "a type of tomorrow is no data", ask(WEB, 65280), no_data),
    Row("1035 3.2.3", "a type that names no data is refused: AXFR", ask("svc.local", AXFR), rcode(5)),
    Row("1035 3.2.3", "a type that names no data is refused: OPT", ask(WEB, OPT), rcode(5)),
    Row("1035 3.2.4", "the class HS is refused", ask(WEB, A, HS), rcode(5)),
    Row("1035 3.2.5", "the class ANY is refused", ask(WEB, A, 255), rcode(5)),
    Row("2136 2.4", "the class NONE is refused", ask(WEB, A, NONE), rcode(5)),
    # --- RFC 8906: what broken servers get wrong --------------------------------------------------------
    *(Row("8906 3.1.2", f"opcode {n} is not implemented, and comes back", header(flags=n << 11) + question(),
          all_of(lambda r: r.flags & 15 == 4, lambda r, n=n: r.opcode == n)) for n in (1, 2, 3, 4, 5, 6, 7, 15)),
    Row("8906 3.1.2", "an unknown opcode without a question is answered as well",
        header(flags=15 << 11, counts=(0, 0, 0, 0)), all_of(rcode(4), bare_header)),
    *(Row("8906 3.1.1", f"type {n} of a name that is there is no data", ask(WEB, n), no_data)
      for n in (5, 15, 35, 43, 46, 48, 52, 64, 65, 99, 257, 1000, 0xFEFF)),
    *(Row("8906 3.1.1", f"type {n} of a name that is not there does not exist", ask("nope.svc.local", n), nowhere)
      for n in (1, 2, 6, 28, 33, 65, 257, 1000)),
    Row("8906 3.1.4", "it answers over TCP", ask(), WEB_A, (TCP,)),
    Row("8906 3.2.1", "EDNS version 1 is BADVERS, with version 0 in it", edns(ask(), opt(version=1)),
        all_of(rcode(16), lambda r: r.read.edns == 0 and r.counts[1] == 0)),
    Row("8906 3.2.2", "an unknown option is ignored", edns(ask(), opt(options=option(100, b"xy"))), all_of(WEB_A, no_options)),
    Row("8906 3.2.3", "unknown EDNS flags come back clear", edns(ask(), opt(flags=0x0040)),
        all_of(WEB_A, lambda r: r.read.ednsflags & 0xFFFF == 0)),
    Row("8906 3.2.4", "version 1 with an unknown option is BADVERS without it",
        edns(ask(), opt(version=1, options=option(100))), all_of(rcode(16), no_options)),
    Row("8906 3.2.5", "version 1 with unknown flags is BADVERS with them clear",
        edns(ask(), opt(version=1, flags=0x0040)), all_of(rcode(16), lambda r: r.read.ednsflags & 0xFFFF == 0)),
    Row("8906 3.2.6", "version 1, unknown flags and option", edns(ask(), opt(version=1, flags=0x40, options=option(100))),
        all_of(rcode(16), no_options)),
    Row("8906 3.2.7", "an answer that is cut has its OPT all the same", edns(ask("many.svc.local"), opt(512)),
        all_of(truncated(512), one_opt)),
    Row("8906 3.2.8", "DO is no obstacle, and comes back", edns(ask(), opt(flags=0x8000)),
        all_of(WEB_A, lambda r: bool(r.read.ednsflags & 0x8000))),
    Row("8906 3.2.9", "DO with an unknown type", edns(ask(WEB, 1000), opt(flags=0x8000)), no_data),
    # --- RFC 6891: EDNS ----------------------------------------------------------------------------------
    Row("6891 7", "no OPT where none was sent", ask(), all_of(WEB_A, no_edns)),
    Row("6891 6.1.1", "one OPT where one was sent", edns(ask(), opt()), all_of(WEB_A, one_opt)),
    Row("6891 6.1.1", "two OPTs are a format error", edns(ask(), opt(), opt()), rcode(1)),
    Row("6891 6.1.2", "an OPT below a name is a format error", edns(ask(), opt(owner=b"\1x\0")), rcode(1)),
    Row("6891 6.1.1", "an OPT may stand anywhere in the additional section",
        edns(ask(), b"\0\0\x01\0\x01\0\0\0\0\0\x04\x7f\0\0\x01", opt()), all_of(WEB_A, one_opt)),
    Row("6891 6.1.1", "an OPT in the answer section is a format error",
        header(counts=(1, 1, 0, 0)) + question() + opt(), rcode(1)),
    Row("6891 6.1.2", "options that overrun are a format error", edns(ask(), opt(options=b"\0\x64\0\x09x")), rcode(1)),
    Row("6891 6.1.2", "an option of half a head is a format error", edns(ask(), opt(options=b"\0\x64\0")), rcode(1)),
    Row("6891 6.2.3", "a size below 512 is 512", edns(ask("many.svc.local"), opt(100)), truncated(512)),
    Row("6891 6.2.3", "the size 0 is 512", edns(ask("many.svc.local"), opt(0)), truncated(512)),
    Row("6891 6.2.5", "the size is kept: 700", edns(ask("many.svc.local"), opt(700)), truncated(700)),
    Row("9715 3", "we never send more than 1232", edns(ask("many.svc.local"), opt(4096)), truncated(1232)),
    Row("6891 6.2.5", "over TCP the size means nothing", edns(ask("many.svc.local"), opt(512)),
        lambda r: r.counts[1] == 100, (TCP,)),
    Row("6891 6.1.3", "an extended RCODE in a query means nothing",
        edns(ask(), opt()[:5] + b"\x07" + opt()[6:]), all_of(WEB_A, lambda r: r.rcode == 0)),
    Row("6891 7", "a format error that can be read has its OPT no less", edns(ask(flags=0), opt(options=option(3))),
        one_opt),
    Row("7873 5.4", "a client's cookie is no obstacle", edns(ask(), opt(options=option(10, b"12345678"))), WEB_A),
    Row("7871 7.1", "a client's subnet is no obstacle", edns(ask(), opt(options=option(8, b"\0\1\x18\0\x0a\0\0"))), WEB_A),
    Row("7828 3.3", "a keepalive option is no obstacle", edns(ask(), opt(options=option(11))), WEB_A),
    Row("7830 3", "padding is no obstacle", edns(ask(), opt(options=option(12, b"\0" * 400))), WEB_A),
    Row("8945 5.3", "a record behind the question is no obstacle",
        header(counts=(1, 0, 0, 1)) + question() + b"\1k\0\0\xfa\0\xff\0\0\0\0\0\x04abcd", WEB_A),
    # --- RFC 2308, 8020: what is not there --------------------------------------------------------------
    Row("2308 2.1", "a name that does not exist: NXDOMAIN and the zone's SOA", ask("nope.svc.local"), nowhere),
    Row("2308 2.2", "a type that is not there: no error and the zone's SOA", ask("four.svc.local", AAAA), no_data),
    Row("2308 5", "how long that may be believed: two seconds at most", ask("nope.svc.local"), negative_ttl),
    Row("2308 3", "the SOA is in the authority section, and no NS", ask("nope.svc.local"),
        lambda r: r.counts[1:3] == [0, 1]),
    Row("2308 2.2", "a service without instances is no data", ask("empty.svc.local"), no_data),
    Row("2308 2.2", "a service without instances has no SRV", ask("_empty._tcp.svc.local", SRV), no_data),
    Row("8020 2", "below a name that does not exist there is nothing", ask("a.b.nope.svc.local"), nowhere),
    Row("8020 2", "a name with names below it exists", ask("_tcp.web.svc.local"), no_data),
    Row("8020 2", "the folder of named ports exists before them", ask("_tcp.four.svc.local"), no_data),
    Row("8020 2", "a port in it does not", ask("_http._tcp.four.svc.local", SRV), nowhere),
    Row("8020 2", "_tcp of the zone exists", ask("_tcp.svc.local"), no_data),
    Row("8020 2", "_udp of the zone exists", ask("_udp.svc.local"), no_data),
    Row("8020 2", "_dns-sd._udp of the zone exists", ask("_dns-sd._udp.svc.local"), no_data),
    Row("8020 2", "the folder of the name server exists", ask("dns.svc.local"), no_data),
    Row("8020 2", "below an instance there is nothing", ask("x.a.web.svc.local"), nowhere),
    Row("8020 2", "below a tag there is nothing", ask("x.canary.web.svc.local"), nowhere),
    Row("8020 2", "below a port's name there is nothing", ask("x._http._tcp.web.svc.local"), nowhere),
    Row("8020 2", "a port that nobody has does not exist", ask("_nope._tcp.web.svc.local", SRV), nowhere),
    Row("8020 2", "a name server that is none does not exist", ask("ns2.dns.svc.local"), nowhere),
    Row("1034 4.3.1", "a name that ends like our zone is not ours", ask("notsvc.local"), rcode(5)),
    Row("1034 4.3.1", "the parent of our zone is not ours", ask("local"), rcode(5)),
    # --- RFC 2782, 6763: services ------------------------------------------------------------------------
    Row("2782", "SRV by _service._proto, with priority and weight", ask("_web._tcp.svc.local", SRV), srv_in_order),
    Row("2782", "the targets' addresses are in the additional section", ask("_web._tcp.svc.local", SRV), srv_addresses),
    Row("2782", "the target is not compressed", ask("_web._tcp.svc.local", SRV), target_is_spelled_out),
    Row("2782", "the target has an address of its own", ask("a.web.svc.local", AAAA), found("a.web.svc.local. AAAA fd00::1")),
    Row("2782", "the target is no alias", ask("a.web.svc.local", 5), no_data),
    Row("2782", "the other protocol is not there", ask("_web._udp.svc.local", SRV), nowhere),
    Row("2782", "SRV in any case", ask(b"\4_WEB\4_TCP\3SVC\5LOCAL\0", SRV), srv_in_order),
    Row("2782", "a named port", ask("_http._tcp.web.svc.local", SRV),
        found("_http._tcp.web.svc.local. SRV 0 10 8081 a.web.svc.local.")),
    Row("6763 4", "a service's instances can be browsed", ask("_web._tcp.svc.local", PTR),
        browsed("a._web._tcp.svc.local.", "b._web._tcp.svc.local.")),
    Row("6763 5", "an instance that was browsed has its SRV", ask("a._web._tcp.svc.local", SRV),
        lambda r: r.answer == ["a._web._tcp.svc.local. SRV 0 10 8080 a.web.svc.local."]),
    Row("6763 6.3", "its TXT holds key=value strings", ask("a._web._tcp.svc.local", TXT),
        strings("version=1.4", "path=/x")),
    Row("6763 6.1", "a TXT of nothing is one empty string", ask("b._web._tcp.svc.local", TXT),
        strings("")),
    Row("6763 9", "the types of service can be enumerated", ask("_services._dns-sd._udp.svc.local", PTR),
        browsed(*(f"_{s}._tcp.svc.local." for s in ("web", "four", "empty", "many")))),
    Row("6763 4", "an instance that is not there does not exist", ask("x._web._tcp.svc.local", SRV), nowhere),
    # --- RFC 8482: ANY ------------------------------------------------------------------------------------
    *(Row("8482 4.2", f"ANY of {name} is one HINFO", ask(name, ANY), answers_any)
      for name in (WEB, "a.web.svc.local", "svc.local", "_web._tcp.svc.local", "canary.web.svc.local",
                   "_http._tcp.web.svc.local", "2.0.0.10.in-addr.arpa")),
    Row("8482 4.2", "ANY of a name that does not exist is NXDOMAIN", ask("nope.svc.local", ANY), nowhere),
    # --- RFC 8914: why ------------------------------------------------------------------------------------
    Row("8914 4.19", "Prohibited where the name is not ours", edns(ask("example.com"), opt()), all_of(rcode(5), ede(18))),
    Row("8914 4.19", "Prohibited where the class is not served", edns(ask(WEB, A, HS), opt()), all_of(rcode(5), ede(18))),
    Row("8914 2", "no error without EDNS", ask("example.com"), all_of(rcode(5), no_edns)),
    Row("8914 4.1", "an empty answer tells the counts", edns(ask("empty.svc.local"), opt()),
        all_of(no_data, ede(0, "empty: 0 registered, 0 healthy"))),
    Row("8914 4.1", "an answer of another family tells them too", edns(ask("four.svc.local", AAAA), opt()),
        all_of(no_data, ede(0, "four: 1 registered, 1 healthy"))),
    Row("8914 2", "a good answer has no error", edns(ask(), opt()), all_of(WEB_A, no_options)),
    # --- RFC 5001, 4892: who ------------------------------------------------------------------------------
    Row("5001 2.1", "NSID where it is asked for", edns(ask(), opt(options=option(3))), all_of(WEB_A, has_nsid)),
    Row("5001 2.1", "NSID with a negative answer", edns(ask("nope.svc.local"), opt(options=option(3))), all_of(nowhere, has_nsid)),
    Row("5001 2.1", "NSID with CHAOS", edns(ask("id.server", TXT, CH), opt(options=option(3))), has_nsid),
    Row("5001 2.1", "no NSID where it is not", edns(ask(), opt()), no_options),
    Row("4892 3.1", "version.bind", ask("version.bind", TXT, CH), chaos("zkdns ")),
    Row("4892 3.1", "hostname.bind", ask("hostname.bind", TXT, CH), chaos(socket.gethostname())),
    Row("4892 3.2", "id.server", ask("id.server", TXT, CH), chaos(socket.gethostname())),
    Row("4892 3.1", "id.server in any case", ask(b"\2ID\6SerVER\0", TXT, CH), chaos(socket.gethostname())),
    Row("4892 3.1", "it is said in class CH alone", ask("version.bind", TXT), rcode(5)),
    Row("4892 3.1", "nothing of ours is in class CH", ask(WEB, A, CH), rcode(5)),
]  # fmt: skip


@pytest.fixture(scope="module", params=ENGINES)
def server(request: pytest.FixtureRequest) -> Iterator[Zkdns]:
    with Zkdns("--engine", request.param, "--workers", "1", registry=f"file:{REGISTRY}") as running:
        yield running


AFTER = b"\xff\xff" + ask()[2:]
"""A query that is answered, behind one that must not be."""


def exchange(server: Zkdns, transport: str, query: bytes, answered: bool) -> bytes | None:
    """The reply, or None. Where none may come, one to a query behind it says that it won't."""
    there = (server.host, server.port)
    packets = [query] if answered else [query, AFTER]
    if transport == UDP:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(20)
            sock.connect(there)
            for packet in packets:
                sock.send(packet)
            reply = sock.recv(65_535)
            if answered:
                return reply
            assert reply[:2] == AFTER[:2], "this must not be answered"
            sock.settimeout(0.3)  # two threads may answer in any order
            try:
                return sock.recv(65_535)
            except TimeoutError:
                return None
    with socket.create_connection(there, timeout=20) as sock, sock.makefile("rb") as stream:
        for packet in packets:
            sock.sendall(len(packet).to_bytes(2, "big") + packet)
        sock.shutdown(socket.SHUT_WR)
        replies = []
        while size := stream.read(2):
            replies.append(stream.read(int.from_bytes(size, "big")))
    if answered:
        assert len(replies) == 1, "one query, one reply"
        return replies[0]
    assert [r[:2] for r in replies] == [AFTER[:2]], "the one behind is answered, and nothing else"
    return None


CASES = [(row, transport) for row in ROWS for transport in row.over]


@pytest.mark.parametrize(("row", "transport"), CASES, ids=[f"{row} [{over}]" for row, over in CASES])
def test_a_row_of_the_table(server: Zkdns, row: Row, transport: str) -> None:
    wire = exchange(server, transport, row.query, row.check is not None)
    if row.check is None:
        assert wire is None, "this must not be answered"
        return
    assert wire is not None, "this must be answered"
    reply = Reply(row.query, wire, transport)
    assert reply.has(dns.flags.QR)
    assert wire[:2] == row.query[:2]
    shown = reply.message.to_text() if reply.message else wire.hex()
    assert row.check(reply) is not False, f"{row}\n{shown}"
