"""A foreign program that shares our address (SO_REUSEPORT) takes a part of our queries: it is told of."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.message
import dns.rrset
import pytest

from support.ports import free_port
from support.server import Zkdns
from support.waiting import eventually
from zkdns.config import Address
from zkdns.serve.listen.neighbour import find_stranger

Reply = Callable[[bytes], bytes]


def saying(version: str) -> Reply:
    def reply(wire: bytes) -> bytes:
        query = dns.message.from_wire(wire)
        name = query.question[0].name
        assert str(name) == "version.bind."
        made = dns.message.make_response(query)
        made.answer.append(dns.rrset.from_text(name, 0, "CH", "TXT", f'"{version}"'))
        return made.to_wire()

    return reply


def refusing(wire: bytes) -> bytes:
    made = dns.message.make_response(dns.message.from_wire(wire))
    made.set_rcode(5)
    return made.to_wire()


@contextmanager
def standing(reply: Reply | None, host: str = "127.0.0.1") -> Iterator[int]:
    """Another program on a port of its own that others may share."""
    port = free_port()
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
        sock.settimeout(30)

        def serve() -> None:
            try:
                while reply is not None:
                    wire, source = sock.recvfrom(4096)
                    sock.sendto(reply(wire), source)
            except OSError:
                pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield port


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (saying("dnsmasq-2.90"), "says that it is 'dnsmasq-2.90'"),
        (saying("unbound \\027[31m"), r"says that it is 'unbound \x1b[31m'"),
        (saying("zkdns 0.1.0"), ""),
        (refusing, "does not say what it is"),
        (lambda wire: b"", "does not say what it is"),
        (lambda wire: bytes(40), "does not say what it is"),
        (None, "does not say what it is"),
    ],
)
def test_who_shares_an_address_is_asked_what_it_is(reply: Reply | None, told: str) -> None:
    with standing(reply) as port:
        assert find_stranger(Address("127.0.0.1", port)) == told


def test_nobody_is_no_stranger_and_a_wildcard_is_asked_on_loopback() -> None:
    assert find_stranger(Address("127.0.0.1", free_port())) == ""
    assert find_stranger(Address("192.0.2.1", 53)) == "", "an address that is not ours is for who binds it"
    with standing(saying("named"), "::") as port:
        assert find_stranger(Address("::", port)) == "says that it is 'named'"


def test_a_server_that_starts_beside_a_stranger_says_so(tmp_path: Path) -> None:
    file = tmp_path / "registry.toml"
    file.write_text("[web]\n")
    with (
        standing(saying("dnsmasq-2.90")) as port,
        Zkdns("--listen", f"127.0.0.1:{port}", registry=f"file:{file}") as server,
    ):
        eventually(
            lambda: f"shares 127.0.0.1:{port} with us and says that it is 'dnsmasq-2.90'" in server.log
        )
