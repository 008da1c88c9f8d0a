"""An upstream that lies in every way that a message allows: the loop stays free, and others' answers right.

A question's first label says which lie comes back. Turns of the loop are measured (`support.turns`): one that
is long fails the test.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.message
import pytest

from support.missing import ENGINES
from support.ports import free_port
from support.server import Zkdns

OURS = b"\3web\3svc\5local\0"
EVIL = b"\xcb\0\x71\x42"
LONGEST = b"".join(b"\1%c" % (97 + n % 26) for n in range(120)) + b"\0"
FULL = 65_535

REGISTRY = """
[web]
[[web.instances]]
id = "a"
address = "10.9.9.9"
port = 80
"""


def head(query: bytes, counts: tuple[int, int, int], flags: int = 0x8180) -> bytes:
    return query[:2] + struct.pack("!HHHHH", flags, 1, *counts) + question(query)


def question(query: bytes) -> bytes:
    return query[12 : query.index(0, 12) + 5]


def record(owner: bytes, rtype: int, rdata: bytes, ttl: int = 60, length: int | None = None) -> bytes:
    return owner + struct.pack("!HHIH", rtype, 1, ttl, len(rdata) if length is None else length) + rdata


def full(query: bytes, make: Callable[[int], bytes], section: int = 0) -> bytes:
    """As many records as 64 KB and a count hold."""
    records: list[bytes] = []
    left = FULL - len(head(query, (0, 0, 0)))
    while len(made := make(len(records))) <= left and len(records) < 4096:
        records.append(made)
        left -= len(made)
    counts = [0, 0, 0]
    counts[section] = len(records)
    return head(query, (counts[0], counts[1], counts[2])) + b"".join(records)


def chain(query: bytes, links: int, back: bool = False) -> bytes:
    names = [b"\xc0\x0c", *(b"\4%04d\7example\0" % n for n in range(links))]
    ends = [*names[1:], names[0 if back else -1]]
    return head(query, (links, 0, 0)) + b"".join(
        record(o, 5, e) for o, e in zip(names, ends[:links], strict=False)
    )


A_GOOD_ONE = record(b"\xc0\x0c", 1, b"\xc0\0\2\1")


def in_long(query: bytes) -> bytes:
    """Where a name of 120 labels stands in a reply whose first record has it."""
    return struct.pack("!H", 0xC000 | 12 + len(question(query)))


def about_ours(n: int) -> bytes:
    rtype, rdata = ((1, EVIL), (2, OURS), (12, OURS), (33, b"\0" * 6 + OURS))[n % 4]
    return record(OURS, rtype, rdata)


LIES: dict[str, Callable[[bytes], bytes]] = {
    "addresses": lambda q: full(q, lambda n: record(b"\xc0\x0c", 1, struct.pack("!I", n))),
    "texts": lambda q: full(q, lambda n: record(b"\xc0\x0c", 16, b"\xff" + b"x" * 255)),
    "pointing": lambda q: full(
        q, lambda n: record(b"\2%02x" % (n & 255) + in_long(q) if n else LONGEST, 1, EVIL), 2
    ),
    "owners": lambda q: full(
        q, lambda n: record(b"\4%04x" % n + in_long(q) if n else LONGEST, 2, b"\xc0\x0c"), 1
    ),
    "aliased": lambda q: full(q, lambda n: record(b"\xc0\x0c", 5, b"\4%04x\0" % n)),
    "chain": lambda q: chain(q, 1000),
    "round": lambda q: chain(q, 1000, back=True),
    "dnames": lambda q: full(q, lambda n: record(LONGEST if not n else in_long(q), 39, b"\1x\0")),
    "ours": lambda q: full(q, about_ours, 1),
    "leads": lambda q: head(q, (2, 0, 1)) + record(b"\xc0\x0c", 5, OURS) + record(OURS, 1, EVIL) * 2,
    "ttl": lambda q: head(q, (1, 0, 0)) + record(b"\xc0\x0c", 1, b"\xc0\0\2\1", 0xFFFFFFFF),
    "soa": lambda q: head(q, (0, 2, 0), 0x8183) + record(OURS, 6, OURS + OURS + b"\xff" * 20) * 2,
    "opts": lambda q: head(q, (1, 0, 2)) + A_GOOD_ONE + record(b"\0", 41, b"") * 2,
    "errors": lambda q: head(q, (1, 0, 1)) + A_GOOD_ONE + record(b"\0", 41, b"\0\x0f\0\6\0\x0fabcd" * 6000),
    "lengths": lambda q: head(q, (2, 0, 0)) + A_GOOD_ONE + record(b"\xc0\x0c", 1, b"\1\2\3\4", length=5),
    "short": lambda q: head(q, (1, 0, 0)) + record(b"\xc0\x0c", 1, b"\1"),
    "counts": lambda q: head(q, (65535, 65535, 65535)) + A_GOOD_ONE,
    "nothing": lambda q: b"",
    "other": lambda q: head(q[:12] + b"\5other\7example\0\0\1\0\1", (1, 0, 0)) + A_GOOD_ONE,
    "ident": lambda q: bytes((q[0] ^ 1, q[1])) + (head(q, (1, 0, 0)) + record(b"\xc0\x0c", 1, EVIL))[2:],
    "many": lambda q: head(q, (1, 0, 0)) + A_GOOD_ONE,
    "late": lambda q: head(q, (0, 0, 0), 0x8380),
    "dribble": lambda q: head(q, (0, 0, 0), 0x8380),
    "elsewhere": lambda q: head(q, (0, 0, 0), 0x8380),
}  # fmt: skip
"""By TCP as by UDP, which is told to be cut where it is too long for a datagram."""

RIGHT = {"ttl", "errors", "many"}
"""What there is a right answer in."""


class Liar:
    """UDP and TCP on one port, each in a thread."""

    def __init__(self) -> None:
        self.port = free_port()
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", self.port))
        self._tcp = socket.create_server(("127.0.0.1", self.port), backlog=512)
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def close(self) -> None:
        for sock in (self._udp, self._tcp):
            sock.shutdown(socket.SHUT_RDWR) if sock is self._tcp else None
            sock.close()

    def _serve_udp(self) -> None:
        try:
            while True:
                query, client = self._udp.recvfrom(4096)
                kind = kind_of(query)
                if kind not in LIES:  # a probe, or somebody's honest question
                    self._udp.sendto(head(query, (1, 0, 0)) + A_GOOD_ONE, client)
                    continue
                lie = LIES[kind](query)
                for _ in range(2000 if kind in ("many", "ident") else 1):
                    self._udp.sendto(lie if len(lie) <= 60_000 else head(query, (0, 0, 0), 0x8380), client)
        except OSError:
            return

    def _serve_tcp(self) -> None:
        try:
            while True:
                stream, _ = self._tcp.accept()
                threading.Thread(target=self._converse, args=(stream,), daemon=True).start()
        except OSError:
            return

    def _converse(self, stream: socket.socket) -> None:
        with stream:
            try:
                query = stream.recv(4096)[2:]
                kind = kind_of(query)
                lie = LIES[kind](query)
                if kind == "late":
                    time.sleep(5)
                elif kind == "dribble":
                    for byte in struct.pack("!H", FULL) + bytes(100):
                        stream.send(bytes((byte,)))
                        time.sleep(0.05)
                elif kind == "elsewhere":
                    lie = LIES["other"](query)
                stream.sendall(struct.pack("!H", len(lie)) + lie)
            except (OSError, KeyError):
                return


def kind_of(query: bytes) -> str:
    return query[13 : 13 + query[12]].decode(errors="replace").lower()


@contextmanager
def serving(engine: str, folder: Path) -> Iterator[tuple[Zkdns, Liar]]:
    (folder / "services.toml").write_text(REGISTRY)
    liar = Liar()
    try:
        with Zkdns(
            "--engine",
            engine,
            "--forward",
            f"127.0.0.1:{liar.port}",
            registry=f"file:{folder / 'services.toml'}",
        ) as running:
            yield running, liar
    finally:
        liar.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_whatever_an_upstream_says_others_have_their_answers(engine: str, tmp_path: Path) -> None:
    with serving(engine, tmp_path) as (server, _):
        askers = [
            threading.Thread(target=ask_for, args=(server, kind, tcp))
            for kind in LIES
            for tcp in (False, True)
        ]
        for asker in askers:
            asker.start()
        while any(asker.is_alive() for asker in askers):
            assert server.answers("web.svc.local") == ["10.9.9.9"]
        for kind in RIGHT:
            assert A_GOOD_ONE[-4:] in ask_for(server, kind, True), kind
        home = dns.message.from_wire(ask_for(server, "leads", True))
        assert [rd.to_text() for rrset in home.answer for rd in rrset] == ["web.svc.local.", "10.9.9.9"]
        for kind in ("ident", "leads", "ours"):
            assert EVIL not in ask_for(server, kind, True), kind
        assert server.answers("honest.example.com") == ["192.0.2.1"]
        assert "Traceback" not in server.log
        assert server.metrics()["zkdns_faults_total"] == 0


def ask_for(server: Zkdns, kind: str, tcp: bool) -> bytes:
    """The reply, unread: to read some of them takes dnspython longer than all else here."""
    query = dns.message.make_query(
        f"{kind}.example.com", "TXT" if kind == "texts" else "A", use_edns=0
    ).to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as sock:
        sock.settimeout(15)
        sock.connect(("127.0.0.1", server.port))
        if not tcp:
            sock.send(query)
            return sock.recv(FULL)
        sock.sendall(struct.pack("!H", len(query)) + query)
        with sock.makefile("rb") as stream:
            return stream.read(int.from_bytes(stream.read(2), "big"))
