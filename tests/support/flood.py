"""A flood over UDP from a process of its own, so that it takes nothing from who measures.

    with Flood(server.port, "inside", sources=500, each=32, at_once=8) as flood: ...
    flood.told()["sent"]

Rules: Linux only, where all of 127.0.0.0/8 is this machine's: each source is an address and a port of
its own. `at_once` sources send `each` queries, then read until all is answered or nothing came for
`patience` seconds, and are gone. What the kernel was given is counted in `sent`.
"""

from __future__ import annotations

import json
import random
import select
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any

HEAD = b"\1\0\0\1\0\0\0\0\0\0"
EDNS = b"\1\0\0\1\0\0\0\0\0\1"
OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
A = b"\0\1\0\1"
PTR = b"\0\x0c\0\1"


def wire(name: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode() for label in name.split(".")) + b"\0"


def _inside(chance: random.Random) -> bytes:
    below = chance.choice(("svc.local", "web.svc.local", "_tcp.web.svc.local", "a.b.web.svc.local"))
    return HEAD + wire(f"x{chance.getrandbits(48):012x}.{below}") + A


def _outside(chance: random.Random) -> bytes:
    return HEAD + wire(f"x{chance.getrandbits(48):012x}.example.org") + A


def _big(chance: random.Random) -> bytes:
    name = wire("big.svc.local") + A
    return HEAD + name if chance.randrange(2) else EDNS + name + OPT


def _browsing(chance: random.Random) -> bytes:
    kind = chance.randrange(4)
    if kind == 3:
        return HEAD + wire(f"x{chance.getrandbits(48):012x}._big._tcp.svc.local") + b"\0\x21\0\1"
    names = ("_services._dns-sd._udp.svc.local", "_big._tcp.svc.local", "1.2.0.192.in-addr.arpa")
    return HEAD + wire(names[kind]) + PTR


KINDS = {"inside": _inside, "outside": _outside, "big": _big, "browsing": _browsing}


class Flood:
    """One flood; starts at once. `told`: what came of it, when it is over."""

    def __init__(
        self,
        port: int,
        kind: str,
        *,
        sources: int,
        each: int = 1,
        at_once: int = 1,
        patience: float = 0.5,
        seed: int = 7,
    ) -> None:
        words = map(str, (port, kind, sources, each, at_once, patience, seed))
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), *words], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        self._told: dict[str, Any] = {}

    def wait_until_sent(self) -> None:
        """Until the first `at_once` sources have sent all that they ask."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"sent\n"

    @property
    def flows(self) -> bool:
        return self._process.poll() is None

    def told(self) -> dict[str, Any]:
        """`sent`, `answered`, `wrong` (not an answer to what was asked), `rcodes`, `cut` (TC was set)."""
        if not self._told:
            said, _ = self._process.communicate(timeout=100)
            self._told = json.loads(said.removeprefix(b"sent\n"))
        return self._told

    def __enter__(self) -> Flood:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.flows:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class _Source:
    """One address and port, and the questions that it still has."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        middle = f"{chance.randrange(256)}.{chance.randrange(256)}"
        self.socket.bind((f"127.{middle}.{chance.randrange(1, 255)}", 0))
        self.socket.connect(("127.0.0.1", port))
        self.open: dict[bytes, bytes] = {}

    def send(self, queries: list[bytes]) -> int:
        sent = 0
        for k, query in enumerate(queries):
            id = (k & 0xFFFF).to_bytes(2, "big")
            try:
                self.socket.send(id + query)
            except OSError:
                continue
            sent += 1
            self.open[id] = query
        return sent


def flow(
    port: int, kind: str, sources: int, each: int, at_once: int, patience: float, seed: int
) -> dict[str, Any]:
    chance = random.Random(seed)
    make = KINDS[kind]
    told: dict[str, Any] = {"sent": 0, "answered": 0, "wrong": 0, "cut": 0}
    rcodes: Counter[int] = Counter()
    for start in range(0, sources, at_once):
        # All is made before the first is sent: the burst is as quick as it can be.
        queries = [[make(chance) for _ in range(each)] for _ in range(min(at_once, sources - start))]
        held = [_Source(port, chance) for _ in queries]
        for source, asked in zip(held, queries, strict=True):
            told["sent"] += source.send(asked)
        if not start:
            print("sent", flush=True)
        poller = select.poll()
        by_number = {source.socket.fileno(): source for source in held}
        for number in by_number:
            poller.register(number, select.POLLIN)
        while by_number and (ready := poller.poll(patience * 1000)):
            for number, _ in ready:
                source = by_number[number]
                try:
                    reply = source.socket.recv(65_535)
                except OSError:
                    continue
                query = source.open.pop(reply[:2], None)
                end = query.index(b"\0", 10) + 5 if query else 0
                if query is None or not reply[2] & 0x80 or reply[12 : end + 2] != query[10:end]:
                    told["wrong"] += 1
                else:
                    told["answered"] += 1
                    told["cut"] += bool(reply[2] & 2)
                    rcodes[reply[3] & 15] += 1
                if not source.open:
                    poller.unregister(number)
                    del by_number[number]
        for source in held:
            source.socket.close()
    return told | {"rcodes": {str(code): n for code, n in rcodes.items()}}


if __name__ == "__main__":
    port, kind, sources, each, at_once, patience, seed = sys.argv[1:]
    told = flow(int(port), kind, int(sources), int(each), int(at_once), float(patience), int(seed))
    print(json.dumps(told))
