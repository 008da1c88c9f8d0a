"""A restart by overlap, over TCP: a second server joins the address, the first ends, and no query is lost."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from support.missing import ENGINES
from support.server import Zkdns
from support.waiting import eventually
from zkdns.dns import names

QUERY = b"\x12\x34\0\0\0\1\0\0\0\0\0\0" + names.wire("web.svc.local") + b"\0\1\0\1"
FRAMED = len(QUERY).to_bytes(2, "big") + QUERY


class Client(threading.Thread):
    """Opens a connection, asks so many queries in turn, ends it in order, and begins again."""

    def __init__(self, port: int, queries: int) -> None:
        super().__init__()
        self.port, self.queries = port, queries
        self.asked = 0
        self.lost: list[str] = []
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.is_set():
            try:
                self.talk()
            except OSError as error:
                self.lost.append(repr(error))

    def talk(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port), 30) as sock:
            for _ in range(self.queries):
                self.asked += 1
                sock.sendall(FRAMED)
                size = self.exactly(sock, 2)
                self.exactly(sock, int.from_bytes(size, "big"))

    @staticmethod
    def exactly(sock: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = sock.recv(size - len(data))
            if not more:
                raise ConnectionError("the connection ended before the reply")
            data += more
        return data


@pytest.fixture
def registry(tmp_path: Path) -> str:
    path = tmp_path / "registry.toml"
    path.write_text('[web]\n[[web.instances]]\nid = "a"\naddress = "10.0.0.1"\nport = 80\n')
    return f"file:{path}"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_restart_by_overlap_loses_no_query_over_tcp(engine: str, registry: str) -> None:
    flags = ("--engine", engine)
    server = Zkdns(*flags, registry=registry)
    server.start()
    clients = [Client(server.port, 1) for _ in range(4)]

    def asked() -> int:
        return sum(client.asked for client in clients)

    for client in clients:
        client.start()
    running = [server]
    try:
        for _ in range(4):
            other = Zkdns(*flags, "--listen", f"127.0.0.1:{server.port}", registry=registry)
            running.append(other)
            other.port = server.port
            other.start()
            before = asked()
            eventually(lambda: asked() > before + 300)  # noqa: B023
            assert running[0].terminate() == 0
            running.pop(0).close()
    finally:
        for client in clients:
            client.done.set()
        for client in clients:
            client.join()
        for one in running:
            one.close()
    assert asked() > 1000
    assert [client.lost for client in clients] == [[]] * len(clients)
