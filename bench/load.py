"""Closed-loop UDP load on one DNS server, light enough that one core of it outruns one of any server.

Each of some sockets sends a burst of queries as one segmented datagram (UDP_SEGMENT: the server still
receives them one by one), and the next burst when all are answered or a second has passed. Replies
are counted by recvmmsg; the first of each batch is read: its id must be of the burst, its question the
one that was asked. Linux only, loopback only.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import select
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import cycle, islice

BATCH = 64
UDP_SEGMENT = 103
SOL_UDP = 17
PATIENCE = 1.0

MIXES = ("plain", "edns", "case", "hostile")


class Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Msghdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p), ("namelen", ctypes.c_uint32),
        ("iov", ctypes.POINTER(Iovec)), ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t), ("flags", ctypes.c_int),
    )  # fmt: skip


class Mmsghdr(ctypes.Structure):
    _fields_ = (("header", Msghdr), ("length", ctypes.c_uint))


libc = ctypes.CDLL(None, use_errno=True)


def packet(name: str, rtype: int = 1, options: bytes | None = None) -> bytes:
    wire = b"".join(bytes((len(label),)) + label.encode() for label in name.split(".")) + b"\0"
    tail = b"" if options is None else b"\0" + struct.pack("!HHIH", 41, 1232, 0, len(options)) + options
    return struct.pack("!6H", 0, 0x0100, 1, 0, 0, bool(tail)) + wire + struct.pack("!HH", rtype, 1) + tail


def queries(names: Iterable[str], mix: str, count: int, seed: int = 7) -> Iterator[bytes]:
    """`hostile`: in turn a cookie that nobody has seen, letters at random case, a name that is not there."""
    chance = random.Random(seed)
    for k, name in enumerate(islice(cycle(names), count)):
        kind = (mix, "cookie", "case", "flood")[1 + k % 3 if mix == "hostile" else 0]
        if kind == "plain":
            yield packet(name)
        elif kind == "edns":
            yield packet(name, options=b"")
        elif kind == "cookie":
            yield packet(name, options=struct.pack("!HH", 10, 8) + chance.randbytes(8))
        elif kind == "case":
            yield packet("".join(chance.choice((c, c.upper())) for c in name))
        else:
            yield packet(f"x{chance.getrandbits(40):010x}.{name}")


class Burst:
    """Queries of one length, and the one datagram that carries them; ids are their places in it."""

    def __init__(self, queries: list[bytes]) -> None:
        self.queries = [struct.pack("!H", k) + q[2:] for k, q in enumerate(queries)]
        self.bytes = ctypes.create_string_buffer(b"".join(self.queries))
        size = len(queries[0])
        self.iov = Iovec(ctypes.addressof(self.bytes), size * len(queries))
        control = struct.pack("@Lii", 18, SOL_UDP, UDP_SEGMENT) + struct.pack("=H", size)
        self.control = ctypes.create_string_buffer(control.ljust(24, b"\0"), 24)
        self.header = Msghdr(None, 0, ctypes.pointer(self.iov), 1, ctypes.addressof(self.control), 24, 0)


def bursts(asked: Iterable[bytes], size: int) -> list[Burst]:
    """By length, because segments of one datagram are equally long; the order is shuffled again."""
    by_length: dict[int, list[bytes]] = {}
    for query in asked:
        by_length.setdefault(len(query), []).append(query)
    made = [Burst(q[k : k + size]) for q in by_length.values() for k in range(0, len(q), size)]
    random.Random(7).shuffle(made)
    return made


class Asker:
    """One socket and what is outstanding on it."""

    def __init__(self, at: tuple[str, int]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.connect(at)
        self.fd = self.socket.fileno()
        self.burst: Burst | None = None
        self.left = 0
        self.sent_at = 0.0


def load(at: tuple[str, int], todo: list[Burst], seconds: float, sockets: int) -> dict[str, float]:
    """Counts: `got`, `lost`, `bad` (not an answer to what was asked); `rcodes` of those that were
    read; `spare`: the share of its time in which this side had nothing to do. Near 0, it is the limit."""
    buffers = ctypes.create_string_buffer(BATCH * 4096)
    iovs = (Iovec * BATCH)(*(Iovec(ctypes.addressof(buffers) + k * 4096, 4096) for k in range(BATCH)))
    heads = (Mmsghdr * BATCH)(
        *(Mmsghdr(Msghdr(None, 0, ctypes.pointer(iovs[k]), 1, None, 0, 0), 0) for k in range(BATCH))
    )
    askers = [Asker(at) for _ in range(sockets)]
    poll = select.poll()
    for asker in askers:
        poll.register(asker.fd, select.POLLIN)
    more = cycle(todo)
    got = lost = bad = 0
    rcodes: Counter[int] = Counter()
    spare = 0.0
    start = now = time.monotonic()
    while now < start + seconds:
        idle = True
        for asker in askers:
            if asker.left == 0:
                asker.burst = next(more)
                if libc.sendmsg(asker.fd, ctypes.byref(asker.burst.header), 0) < 0:
                    continue
                asker.left, asker.sent_at = len(asker.burst.queries), now
                idle = False
                continue
            n = libc.recvmmsg(asker.fd, heads, BATCH, socket.MSG_DONTWAIT, None)
            if n > 0:
                idle = False
                got += n
                asker.left = max(0, asker.left - n)
                bad += not checked(buffers.raw[: heads[0].length], asker.burst, rcodes)
            elif now - asker.sent_at > PATIENCE:
                lost += asker.left
                asker.left = 0
        if idle:
            poll.poll(50)
            spare -= now - (now := time.monotonic())
        else:
            now = time.monotonic()
    return {
        "got": got,
        "lost": lost,
        "bad": bad,
        "qps": got / (now - start),
        "spare": spare / (now - start),
    } | {f"rcode{k}": n for k, n in rcodes.items()}


def checked(reply: bytes, burst: Burst | None, rcodes: Counter[int]) -> bool:
    if burst is None or len(reply) < 12 or not reply[2] & 0x80:
        return False
    place = int.from_bytes(reply[:2], "big")
    if place >= len(burst.queries):
        return False
    rcodes[reply[3] & 15] += 1
    query = burst.queries[place]
    end = query.index(b"\0", 12) + 5
    return reply[12:end] == query[12:end]


def main() -> None:
    """PORT MIX SECONDS SOCKETS BURST NAMES-FILE [CORE]: one line of JSON."""
    port, mix, seconds, sockets, size, names = sys.argv[1:7]
    if len(sys.argv) > 7:
        os.sched_setaffinity(0, {int(sys.argv[7])})
    with open(names) as file:  # noqa: PTH123
        known = file.read().split()
    count = len(known) if mix != "hostile" else 3 * max(len(known), 20_000)
    todo = bursts(queries(known, mix, count), int(size))
    print(json.dumps(load(("127.0.0.1", int(port)), todo, float(seconds), int(sockets))))


if __name__ == "__main__":
    main()
