"""TCP from outside, on each engine: a thousand connections, clients that idle, drip and don't read."""

from __future__ import annotations

import resource
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from support.missing import ENGINES
from support.server import Zkdns
from support.waiting import eventually
from zkdns.dns import names

MOST, IDLE = 1000, 10.0

REGISTRY = """
[web]
[[web.instances]]
id = "a"
address = "10.0.0.1"
port = 80
[big]
answers = 4000
policy = "first"
""" + "".join(f'[[big.instances]]\nid = "i{n}"\naddress = "10.1.{n // 256}.{n % 256}"\n' for n in range(3000))


def query(name: str = "web.svc.local", id: int = 0x1234) -> bytes:
    message = id.to_bytes(2, "big") + b"\0\0\0\1\0\0\0\0\0\0" + names.wire(name) + b"\0\1\0\1"
    return len(message).to_bytes(2, "big") + message


def read(sock: socket.socket) -> bytes:
    """One reply without its length."""
    size = int.from_bytes(exactly(sock, 2), "big")
    return exactly(sock, size)


def exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        assert more, f"the connection ended {size - len(data)} bytes too early"
        data += more
    return data


def ask(sock: socket.socket, name: str = "web.svc.local", id: int = 0x1234) -> bytes:
    sock.sendall(query(name, id))
    reply = read(sock)
    assert reply[:2] == id.to_bytes(2, "big")
    return reply


def is_ended(sock: socket.socket) -> bool:
    """Whether the server ended it, either way; looks and does not wait."""
    readable, _, _ = select.select([sock], [], [], 0) if sock.fileno() < 1024 else poll(sock)
    if not readable:
        return False
    try:
        return sock.recv(1, socket.MSG_PEEK) == b""
    except ConnectionError:
        return True


def poll(sock: socket.socket) -> tuple[bool, None, None]:
    poller = select.poll()  # select knows no descriptor above 1023
    poller.register(sock, select.POLLIN)
    return bool(poller.poll(0)), None, None


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tcp") / "registry.toml"
    path.write_text(REGISTRY)
    return path


@contextmanager
def files_at_most(soft: int) -> Iterator[None]:
    """What a process that is started in here may open, until it asks for more itself."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture(scope="module", params=ENGINES)
def server(request: pytest.FixtureRequest, file: Path) -> Iterator[Zkdns]:
    # 1,024 files is the soft limit that a login shell and systemd give.
    with ExitStack() as stack:
        with files_at_most(1024):
            running = stack.enter_context(Zkdns("--engine", request.param, registry=f"file:{file}"))
        yield running


@pytest.fixture
def connections() -> Iterator[list[socket.socket]]:
    made: list[socket.socket] = []
    yield made
    for sock in made:
        sock.close()


def connect(server: Zkdns, made: list[socket.socket], *, receive: int = 0) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.append(sock)
    sock.settimeout(30)
    if receive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    sock.connect((server.host, server.port))
    return sock


def test_past_a_thousand_connections_the_idlest_goes_first(
    server: Zkdns, connections: list[socket.socket]
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4096, hard)), hard))
    first = [connect(server, connections) for _ in range(200)]
    for sock in first:
        ask(sock)
    used = first[::2]
    for sock in used:
        ask(sock)  # these are not the idlest any more
    later = [connect(server, connections) for _ in range(MOST - 100)]
    for sock in later:
        ask(sock)
    eventually(lambda: all(is_ended(sock) for sock in first[1::2]))
    alive = [sock for sock in used + later if not is_ended(sock)]
    assert len(alive) == MOST
    assert ask(alive[0])[3] & 15 == 0
    assert ask(alive[-1])[3] & 15 == 0


def test_an_idle_connection_ends_and_a_used_one_does_not(
    server: Zkdns, connections: list[socket.socket]
) -> None:
    used, silent, asked, dripping = [connect(server, connections) for _ in range(4)]
    dripping.sendall(b"\xff\xff")
    ask(asked)
    began = time.monotonic()
    ended: dict[str, float] = {}
    while len(ended) < 3:
        assert time.monotonic() - began < 60, f"only {sorted(ended)} ended"
        for name, sock in (("silent", silent), ("asked", asked), ("dripping", dripping)):
            if name not in ended and is_ended(sock):
                ended[name] = time.monotonic() - began
        if "dripping" not in ended:
            try:
                dripping.sendall(b"\0")  # never a whole query
            except ConnectionError:
                pass
        ask(used)
        time.sleep(0.25)
    assert min(ended.values()) > IDLE - 2, f"not before their time: {ended}"
    assert not is_ended(used)


def test_slow_and_rude_clients_cost_nobody_else(server: Zkdns, connections: list[socket.socket]) -> None:
    """Fifty that ask for 100 MB together and read nothing, and fifty that never end their query."""
    for id in range(50):
        rude = connect(server, connections, receive=4096)
        rude.setblocking(False)
        wanted = query("big.svc.local", id) * 40
        sent = 0
        while sent < len(wanted):
            try:
                sent += rude.send(wanted[sent:])
            except BlockingIOError:
                break
        connect(server, connections).sendall(query()[:5])
    other = connect(server, connections)
    for id in range(200):
        assert ask(other, id=id)[6:8] == b"\0\1"
        assert len(server.answers("web.svc.local")) == 1
    pages = Path(f"/proc/{server.pid}/statm").read_text().split()[1]
    assert int(pages) * resource.getpagesize() < 400 << 20


def test_pipelined_queries_over_many_connections(server: Zkdns, connections: list[socket.socket]) -> None:
    socks = [connect(server, connections) for _ in range(20)]
    for sock in socks:
        sock.sendall(b"".join(query(id=id) for id in range(100)) + query("big.svc.local", 100))
    for sock in socks:
        replies = {reply[:2]: reply for reply in (read(sock) for _ in range(101))}
        assert len(replies) == 101
        assert replies[b"\0\x64"][6:8] == (3000).to_bytes(2, "big")


def test_garbage_is_met_with_a_format_error_or_silence(
    server: Zkdns, connections: list[socket.socket]
) -> None:
    for garbage in (
        b"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"\0" * 999,
    ):
        sock = connect(server, connections)
        sock.sendall(garbage)
        sock.shutdown(socket.SHUT_WR)
        try:
            while sock.recv(4096):
                pass
        except ConnectionError:
            pass
    assert server.answers("web.svc.local", tcp=True) == ["10.0.0.1"]
    assert "Traceback" not in server.log
