"""Small tables for the native engine, and clients that ask it over real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping

from zkdns.answers.rotation import Rotation
from zkdns.answers.table import Delta, Entry, Name, Tier, Zone
from zkdns.dns import names

APEX = names.wire("svc.local")
WEB = names.label("web") + APEX
A = b"\0\1"


def address(n: int, value: int = 0) -> bytes:
    return b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4" + bytes((10, value >> 8 & 255, value & 255, n))


def turns(count: int) -> Rotation:
    """Each in turn first, the others after it."""
    return Rotation.of(
        tuple(tuple((i + k) % count for k in range(count)) for i in range(count)), list(range(count))
    )


def entry(count: int, value: int = 0, rotation: Rotation | None = None) -> Entry:
    pieces = tuple(address(n, value) for n in range(count))
    return Entry((Tier(rotation or turns(count), pieces, (), (0,) * count),), 8)


def small(one: Entry, known: Mapping[bytes, Name]) -> Delta:
    """A table from nothing: one zone, and an entry for WEB."""
    zone = Zone(0, APEX, b"\0\6\0\1\0\0\0\2\0\4soa.")
    return Delta({WEB + A: one}, known, {0: zone})


def client(at: tuple[str, int]) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in at[0] else socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(20)
    made.connect(at)
    return made


def ask(at: tuple[str, int], packet: bytes) -> bytes:
    with client(at) as one:
        one.send(packet)
        return one.recv(4096)


def first(reply: bytes) -> int:
    """The last byte of the first address in an answer for WEB."""
    return reply[12 + len(WEB) + 4 + 15]


class Asking(threading.Thread):
    """Asks from a new port each time until it is told to stop, and keeps what came."""

    def __init__(self, at: tuple[str, int], packet: bytes) -> None:
        super().__init__()
        self.at, self.packet = at, packet
        self.replies: list[bytes] = []
        self.lost = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.is_set():
            with client(self.at) as one:
                one.settimeout(5)
                one.send(self.packet)
                try:
                    self.replies.append(one.recv(4096))
                except TimeoutError:
                    self.lost += 1

    def finish(self) -> None:
        self.done.set()
        self.join()
