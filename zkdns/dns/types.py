"""Types, classes and rcodes: their numbers, here alone, and their names (IANA).

Rules: pure. Whoever compares a type with anything takes its name from here. dnslib, which has the names, is
imported by who asks for one first: a start asks for none.
"""

from __future__ import annotations

A, NS, CNAME, SOA, PTR, HINFO, MX, TXT = 1, 2, 5, 6, 12, 13, 15, 16
AAAA, SRV, DNAME, OPT, DS, RRSIG = 28, 33, 39, 41, 43, 46
SVCB, HTTPS, AXFR, ANY = 64, 65, 252, 255

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, YXDOMAIN, BADVERS = 0, 1, 2, 3, 4, 5, 6, 16

IN, CH = 1, 3


def type_name(rtype: int) -> str:
    """As people write it; TYPE65280 where it has none (RFC 3597, section 5)."""
    import dnslib

    name: str = dnslib.QTYPE[rtype]
    return name


def rcode_name(rcode: int) -> str:
    """As people write it; RCODE25 where it has none."""
    if rcode == BADVERS:
        return "BADVERS"
    import dnslib

    known: dict[int, str] = dnslib.RCODE.forward
    return known.get(rcode, f"RCODE{rcode}")
