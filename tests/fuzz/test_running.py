"""Garbage over real sockets at a running server: it lives, answers on, and has nothing to say of it."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fuzz import seeds
from fuzz.mutate import mutate
from support.missing import ENGINES
from support.native import ask
from support.server import Zkdns

SEED = 20261124

PATHS = (
    "/", "/?q=x&service=web&page=2", "/health", "/ready", "/metrics", "/static/page.css", "/api/v1/services",
    "/api/v1/services/web", "/api/v1/services/%2e%2e%2fx", "/api/v1/status", "/api/v1/problems",
    "/api/v1/explain?name=web.svc.local&type=A", "/api/v1/explain?name=a.web.svc.local&client=10.0.0.1&if=x",
)  # fmt: skip
REQUESTS = tuple(f"GET {path} HTTP/1.1\r\nHost: ::1\r\nConnection: close\r\n\r\n".encode() for path in PATHS)
WORDS = (
    *b"HTTP/1.0 HTTP/9.9 POST HEAD OPTIONS CONNECT * // /../ %00 %ff %ed%b3%bf %u0041 ? & = ;".split(),
    *b"name= if= page=-1 page=1e9 weight= drain= type=TYPE65536 type=ANY client=::ffff:1.2.3.4%25x".split(),
    *b"Host: Range:bytes=5-1 Expect:100-continue Content-Length:-1 Content-Length:99999999999".split(),
    *b"Transfer-Encoding:chunked Upgrade:websocket Accept-Encoding:gzip".split(),
    b"Content-Type:multipart/form-data;boundary=x",
    *(b"\r\n", b"\n", b"\r", b"\0", b"\xff", b"\xed\xb3\xbf", b"\r\n\r\n", b"fffffffff\r\n"),
    *(b"a" * 9000, b"name=" + b"a." * 130),
)
REGISTRY = '[[web.instances]]\nid = "a"\naddress = "10.0.0.5"\nport = 80\n'


@pytest.fixture(params=ENGINES)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Zkdns]:
    (tmp_path / "registry.toml").write_text(REGISTRY)
    flags = ("--engine", request.param, "--zones", str(Path(__file__).parents[2] / "zones"))
    with Zkdns(*flags, registry=f"file:{tmp_path / 'registry.toml'}") as running:
        before = len(running.log)
        yield running
        assert running.answers("a.web.svc.local") == ["10.0.0.5"]
        assert running.answers("a.web.svc.local", tcp=True) == ["10.0.0.5"]
        assert running.json("/health") == {"health": "ok"}
        failed = {name: n for name, n in running.metrics().items() if name.startswith("zkdns_errors") and n}
        assert not failed
        assert not running.log[before:], "strangers can fill the log"


def throw(port: int, *pieces: bytes, patience: float = 10.0, ends: bool = True) -> bytes:
    """Send it all, then read what comes until the server closes or said nothing for a while. `ends`: tell
    the server that there is no more, which aiohttp takes for a client that went."""
    said = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as one, suppress(ConnectionError):
        for piece in pieces:
            one.sendall(piece)
        if ends:
            one.shutdown(socket.SHUT_WR)
        one.settimeout(patience)
        with suppress(TimeoutError):
            while (more := one.recv(65536)) and len(said) < 1 << 20:
                said += more
    return said


def test_requests_that_are_none_get_an_answer_or_the_door(server: Zkdns) -> None:
    chance = random.Random(f"{SEED} http")
    for request in REQUESTS:
        assert throw(server.http_port, request, ends=False).startswith(b"HTTP/1.1 ")
    for turn in range(400):
        data = mutate(chance, REQUESTS, WORDS)
        said = throw(server.http_port, data, patience=0.02, ends=turn % 4 == 0)
        assert b" 500 " not in said[:20], f"turn {turn}: {data!r}"


def test_dns_over_tcp_takes_any_bytes(server: Zkdns) -> None:
    chance = random.Random(f"{SEED} tcp")
    for _ in range(300):
        packet = mutate(chance, seeds.QUERIES, seeds.PACKET_WORDS)[:65_535]
        framed = len(packet).to_bytes(2, "big") + packet
        cut = chance.randrange(len(framed) + 1)
        throw(server.port, chance.choice((framed, framed * 3, framed[:cut], packet, framed + framed[:cut])))
        throw(server.port, framed[:cut], framed[cut:])


def test_dns_over_udp_takes_any_bytes(server: Zkdns) -> None:
    chance = random.Random(f"{SEED} udp")
    whole = seeds.QUERIES[0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        for turn in range(3000):
            one.sendto(mutate(chance, seeds.QUERIES, seeds.PACKET_WORDS)[:60_000], ("127.0.0.1", server.port))
            if turn % 100 == 0:
                assert ask(("127.0.0.1", server.port), whole)[:2] == whole[:2]
