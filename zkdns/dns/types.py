"""Types and rcodes by number, once (IANA's registry of DNS parameters)."""

from __future__ import annotations

A, NS, CNAME, SOA, PTR, HINFO, MX, TXT = 1, 2, 5, 6, 12, 13, 15, 16
AAAA, SRV, DNAME, OPT, DS, HTTPS, ANY = 28, 33, 39, 41, 43, 65, 255

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, YXDOMAIN, BADVERS = 0, 1, 2, 3, 4, 5, 6, 16

IN, CH = 1, 3
