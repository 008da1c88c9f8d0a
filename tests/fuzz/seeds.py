"""What mutations start from: good examples of each kind of bytes, and the words of that kind.

Rules: an example is something that its target takes, so that what is made of it gets far.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import fields

from support.placing import read_fixture
from zkdns import config
from zkdns.dns import names
from zkdns.registry import presets
from zkdns.registry import settings as service_settings

NUMBERS = ("0", "-1", "65536", "0.5", "1e400", "1" * 400, "1" * 5000, "NaN", "inf", "0x" + "f" * 5000)

# --- packets ------------------------------------------------------------------------------------------


def question(name: str, rtype: int = 1, tail: bytes = b"", rclass: int = 1) -> bytes:
    head = struct.pack("!6H", 0x1234, 0x0100, 1, 0, 0, bool(tail))
    return head + names.wire(name) + struct.pack("!HH", rtype, rclass) + tail


def opt(size: int = 1232, flags: int = 0, data: bytes = b"", version: int = 0) -> bytes:
    return b"\0" + struct.pack("!HHBBHH", 41, size, 0, version, flags, len(data)) + data


QUERIES = (
    question("web.svc.local"),
    question("i0.web.svc.local", 28, opt()),
    question("_http._web._tcp.svc.local", 33, opt(4096, 0x8000, b"\0\x0a\0\x08abcdefgh\0\3\0\0")),
    question("nope.big.svc.local", 1, opt(512)),
    question("big.svc.local", 255, opt(version=1)),
    question("1.3.0.10.in-addr.arpa", 12),
    question("www.lab.example", 16),
    question("a.old.lab.example", 1, opt()),
    question("version.bind", 16, rclass=3),
    question("example.com", 65),
)
PACKET_WORDS = (
    *(bytes((n,)) for n in (0, 1, 63, 64, 192, 255)),
    *(struct.pack("!H", n) for n in (1, 6, 15, 33, 35, 39, 41, 255, 0xC00C, 0xC000, 0xFFFF)),
    *(
        question("web.svc.local")[12:-4],
        b"\3web",
        names.wire("in-addr.arpa"),
        opt(),
        b"\0\1\0\1",
        b"\0\3\0\0",
    ),
)


def replies(respond: Callable[[bytes], object]) -> tuple[bytes, ...]:
    """What our own table says, as a stranger's replies, and one with each kind of rdata that holds names."""
    asked = ("web", "_web._tcp", "big", "nope", "i1.web")
    zone = ("x.team.lab.example", "a.old.lab.example", "_sip._tcp.lab.example", "lab.example")
    said = [
        respond(question(name, rtype, opt()))
        for name in (*(f"{label}.svc.local" for label in asked), *zone)
        for rtype in (1, 6, 33, 255)
    ]
    head = b"\0\1\x81\x80\0\1\0\4\0\0\0\0" + names.wire("a.example") + b"\0\x0f\0\1"
    rdatas = (
        (15, b"\0\x0a\1b\xc0\x0e"),
        (6, b"\xc0\x0c\xc0\x0e" + b"\0" * 20),
        (35, b"\0\1\0\1\1s\1t\1u\0"),
        (39, b"\1d\0"),
    )
    records = (
        b"\xc0\x0c" + struct.pack("!HHIH", rtype, 1, 60, len(rdata)) + rdata for rtype, rdata in rdatas
    )
    return (*(made for made in said if isinstance(made, bytes)), head + b"".join(records))


EXPLAINED = (
    b"web.svc.local\nA\n\n",
    b"_http._web._tcp.svc.local\nSRV\n10.0.0.1\ndrain=web/i0\nweight:web/i1=50",
    b"10.0.3.1\nPTR\nfd00::1\nremove=web/i1\ndown=db/i0",
    b"x.team.lab.example\nTYPE65280\n\n",
    b"_sip._tcp.lab.example\nANY\n\n",
    b"old.lab.example\n255\n\nundrain=big/i9",
)
EXPLAIN_WORDS = (
    *b"big.svc.local none.svc.local . .. * _tcp www a.old here.old.lab.example example.com ns.dns".split(),
    *b"A AAAA TXT SOA NS OPT ANY TYPE0 TYPE65536 65535 AXFR NAPTR HTTPS NONE RRSIG DNAME CNAME".split(),
    *b"drain= up= weight: =65536 web/ / /i0 : = ::ffff:1.2.3.4 [::1] fe80::1%eth0".split(),
    *(b"\n", b"\0", b"\xff", b"\xc3\xa9", b" ", b"\\000", b"a" * 64, b"a." * 130, b"=" + b"1" * 5000),
)

# --- JSON ---------------------------------------------------------------------------------------------

_A = {"address": "10.0.0.5", "port": 8080}
_ENDPOINT = {"host": "10.0.0.5", "port": 80}
_OBJECTS = (
    {
        **_A,
        "weight": 10,
        "status": "draining",
        "tags": ["a"],
        "zone": "z",
        "meta": {"a": 1},
        "ports": {"m": 9},
    },
    {"address": ["10.0.0.1", "fd00::1"], "port": None, "priority": 3, "protocol": "udp"},
    {**_A, "id": "x", "sslPort": 443, "serviceType": "DYNAMIC", "enabled": False, "payload": {"zone": "eu"}},
    {**_A, "uriSpec": None, "payload": {"metadata": {"weight": "5", "instance_status": "UP"}}},
    {
        "serviceEndpoint": _ENDPOINT,
        "status": "ALIVE",
        "shard": 3,
        "additionalEndpoints": {"admin": _ENDPOINT},
    },
    {"host": "db.example", "port": "80", "name": "i-1", "weight": "7", "labels": {"a": "b"}},
    {"type": "load_balancer", "address": "172.27.10.62", "load_balancer": {"ports": [80, 81]}},
    {"type": "service", "service": {"service": {"srvce": "_http", "proto": "_tcp", "port": 80, "ttl": 60}}},
    {"ttl": 5, "policy": "first", "answers": 3, "fail_open": 0.5, "warm": 1, "hold": 2.5, "srv_scale": 10},
    {"check": {"type": "http", "port": "http", "path": "/x", "interval": 2, "timeout": 1, "rise": 1}},
    {"check": {"type": "command", "command": "true 'a b'"}, "fail_open": True},
)
_TEXTS = ("a\n10.0.0.5:8080", "a\n[fd00::5]:80", "a\ndb.example:5432", "a\n")
_NAMES = (
    "dubbo%3A%2F%2F10.0.0.5%3A20880%2Fcom.example.Greeter%3Fweight%3D50%26disabled%3Dtrue\n",
    "base64_40_eyJob3N0IjoiMTAuMC4wLjUiLCJwb3J0Ijo4MH0=_0000000001\n",
)
PAYLOADS = (*(b"a\n" + json.dumps(o).encode() for o in _OBJECTS), *(t.encode() for t in (*_TEXTS, *_NAMES)))
JSON_WORDS = (
    *(json.dumps(key).encode() for one in _OBJECTS for key in one),
    *(
        f', "{key}": {n}'.encode()
        for key in (*service_settings.SETTINGS, "port", "weight")
        for n in NUMBERS[:7]
    ),
    *b'null true "" { } [ ] : , "10.0.0.5" "fd00::1" "\\ud800" "\\u0000" %25 \xff [fd00::5]:80'.split(),
    *(n.encode() for n in NUMBERS),
    b"[" * 40,
)

ORDERS = (
    b'{"drain": true, "until": 1e9, "why": "x", "who": "y", "under": {"weight": 3}}',
    b'{"weight": 5, "at": 1.5}',
)
ORDER_WORDS = (*JSON_WORDS, b'"drain"', b'"under"', b'"until"', b'{"under":' * 40)

_BALLOT = b'{"good": ["/a", "/b"], "bad": {"/c": "refused"}}'
BALLOTS = (_BALLOT, zlib.compress(_BALLOT))
BALLOT_WORDS = (*JSON_WORDS, b'"good"', b'"bad"', b"\x78\x9c")

# --- files --------------------------------------------------------------------------------------------

SETTINGS = (
    b"""registry = ["zk://a:2181,b/services?format=curator", "file:/etc/x.toml"]
zone = ["svc.local"]
listen = "[::1]:53"
http = ""
ttl = 5
lameduck = 1.5
forward-allow = ["10.0.0.0/8", "fd00::/8"]
allow_command_checks = true
[zookeeper]
auth = "digest:u:p"
session_timeout = 5
""",
    b'forward = ["resolv.conf", "10.0.0.1:53", "[fd00::1]:5300", "fd00::2"]',
    b"zk://a:1,[::1]:2/x",
    b"file:x",
    b"[::1]:53",
)
REGISTRIES = (
    b"""[web]
ttl = 5
check = { type = "tcp", port = "http" }
[[web.instances]]
id = "a"
address = "10.0.0.5"
port = 80
ports = { http = 80 }
[[web.instances]]
id = "A"
address = ["10.0.0.6", "fd00::1"]
weight = 3
""",
)
TOML_WORDS = (
    *b"[[web.instances]] [web] [zookeeper] = \" ''' 1979-05-27T07:32:00Z 1_0 true [] {} \xef\xbb\xbf".split(),
    *(f"\n{field.name} = ".encode() for field in fields(config.Settings)),
    *(f"\n{key} = {n}\n".encode() for key in ("ttl", "workers", "lameduck", "web.warm") for n in NUMBERS),
    *(f":{n}".encode() for n in NUMBERS),
    *b'"\\u0000" "\\U0010ffff" "\\ud800" id= port=0x weight= address= zk:// file: ?format='.split(),
    *(b"\r", b"[" * 40, b"{ a = ", b"a.b.c.d = 1\n", b"a." * 300),
)

ZONES = (
    b"""$TTL 60
@ SOA ns1 hostmaster 1 3600 600 604800 30
  NS ns1
ns1 A 192.0.2.53
*.any TXT "x"
www CNAME ns1
old DNAME web.svc.local.
team NS ns.team
ns.team A 192.0.2.54
_sip._tcp SRV 10 60 5060 ns1
$GENERATE 1-3 n$ A 192.0.2.$
mx MX 10 ns1
big TYPE65280 \\# 3 010203
h HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1
""",
)
ZONE_WORDS = (
    *(
        b"$TTL ",
        b"$ORIGIN ",
        b"$INCLUDE lab.example.zone\n",
        b"$GENERATE 0-5/2 a${0,3,x} A 10.0.0.$\n",
        b"\n",
    ),
    *b'( ) ; " \\000 \\. * @ . CNAME DNAME NS SOA NAPTR LOC SVCB CAA CH IN RRSIG NSEC OPT ANY APL'.split(),
    *b"web.svc.local. lab.example. 4294967296 2147483648 1w2d \xff \\300 \xe2\x84\x80".split(),
    *(b"\\# 4 0a000001", b"a" * 64, b"\0", b" "),
)

STATE_WORDS = (
    *(b"\0\0\0\0", b"\0\0\0\1", b"\xcf" + b"\xff" * 8, b"\xdd" + b"\xff" * 4, b"\xdf" + b"\xff" * 4),
    *(bytes((n,)) for n in (0x90, 0x93, 0x80, 0xC0, 0xC1, 0xCB, 0xFF)),
)

# --- what other systems write -------------------------------------------------------------------------

ZNODES = tuple(
    path.rpartition("/")[2].encode() + b"\n" + data
    for name in presets.names()
    for path, data in read_fixture(name).items()
)
ZNODE_WORDS = (
    *b"; = % , : _ | [ ] // serverUri= server.1= -n_ http:// SASL_SSL://[fd00::1]:1 0000000001".split(),
    *(b"\xff\0\0\0", b"PBUF", b"\xff" * 10, b"\x08", b"\x0a\xff\xff\xff\xff\x0f", b"\x12\0", b"\x0b", b"\n"),
    *JSON_WORDS,
)
