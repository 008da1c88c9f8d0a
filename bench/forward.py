"""Forwarding: what a cached answer and a miss cost beside other forwarders, and who waits in a flood.

    python -m bench.forward [--mix plain edns case] [--rounds 5] [--seconds 2] [--only NAME ...]
    python -m bench.forward --misses [--seconds 2]
    python -m bench.forward --flood [--rate 10000] [--shared]

All forward to one upstream on loopback that has an answer of four addresses for every name, on one core;
the load has another. Cached answers are compared as `bench.engines` compares: CPU an answer as a ratio to
the floor's of the same round. Misses: names that nobody has asked for, 32 under way, and one by one;
ratios to unbound's. The flood: `bench.crowd`.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import Process
from pathlib import Path

from bench.crowd import DELAY, flooded, pin
from bench.engines import run, start
from bench.resolvers import OUTSIDE, forwarders, unknown
from bench.servers import Engine, write

AT_ONCE = 32

RECORDS = b"".join(b"\xc0\x0c\0\1\0\1\0\0\x0e\x10\0\4\xc0\0\2" + bytes((n,)) for n in (1, 2, 3, 4))


class Upstream(Process):
    """Answers every question with four addresses, `delay` seconds later. A process of its own, as the flood
    is: threads of the one that takes the time would be in its way."""

    def __init__(self, delay: float) -> None:
        super().__init__(daemon=True)
        self.delay = delay
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def run(self) -> None:
        due: list[tuple[float, int, bytes, object]] = []
        for turn in range(1 << 60):
            wait = max(due[0][0] - time.monotonic(), 0.0001) if due else 0.05
            self.socket.settimeout(wait)
            try:
                query, client = self.socket.recvfrom(4096)
            except TimeoutError:
                pass
            else:
                end = query.index(b"\0", 12) + 5
                answer = query[:2] + b"\x81\x80\0\1\0\4\0\0\0\0" + query[12:end] + RECORDS
                if not self.delay:
                    self.socket.sendto(answer, client)
                    continue
                heapq.heappush(due, (time.monotonic() + self.delay, turn, answer, client))
            while due and due[0][0] <= time.monotonic():
                _, _, answer, client = heapq.heappop(due)
                self.socket.sendto(answer, client)  # type: ignore[arg-type]


def cached(args: argparse.Namespace, folder: Path, upstream: int) -> None:
    running = start(chosen(args, upstream), folder)
    names = write(folder / "names", "\n".join(OUTSIDE))
    run(args, running, names)


def chosen(args: argparse.Namespace, upstream: int) -> list[Engine]:
    every = forwarders(upstream)
    return [e for e in every if not args.only or e.name in (*args.only, "floor")]


def misses(args: argparse.Namespace, folder: Path, upstream: int) -> None:
    """Medians over the rounds; the servers take turns, so that all have the same weather."""
    running = start([e for e in chosen(args, upstream) if e.name != "floor"], folder)
    number = itertools.count()
    found: dict[str, list[tuple[float, float]]] = {server.engine.name: [] for server in running}
    try:
        for _ in range(args.rounds):
            for server in running:
                before = server.cpu()
                got = ask_unknown(server.port, number, args.seconds, AT_ONCE)
                cost = (server.cpu() - before) / max(len(got), 1) * 1e6
                alone = statistics.median(ask_unknown(server.port, number, args.seconds / 2, 1))
                found[server.engine.name].append((cost, alone * 1e6))
    finally:
        for server in running:
            server.end()
    direct = statistics.median(ask_unknown(upstream, number, args.seconds / 2, 1)) * 1e6
    print(f"\na miss: {args.rounds} rounds; the upstream alone answers in {direct:.0f} us")
    print(f"{'':13} {'CPU us':>8} {'of unbound':>11} {'adds us':>8} {'of unbound':>11}")
    middles = {
        name: (statistics.median(c for c, _ in each), statistics.median(a for _, a in each) - direct)
        for name, each in found.items()
    }
    base = middles.get("unbound", (float("nan"), float("nan")))
    for name, (cost, added) in middles.items():
        print(f"{name:13} {cost:8.1f} {cost / base[0]:11.2f} {added:8.0f} {added / base[1]:11.2f}")


def ask_unknown(port: int, number: Iterator[int], seconds: float, at_once: int) -> list[float]:
    """Seconds that each answer took, `at_once` questions under way. One that is lost is asked no more."""
    took = []
    sent: dict[bytes, float] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        client.settimeout(1)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            while len(sent) < at_once:
                n = next(number)
                packet = unknown(n)
                sent[packet[:2]] = time.perf_counter()
                client.send(packet)
            try:
                reply = client.recv(4096)
            except TimeoutError:
                sent.clear()
                continue
            began = sent.pop(reply[:2], None)
            if began is not None and reply[3] & 15 == 0:
                took.append(time.perf_counter() - began)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--mix", nargs="+", choices=("plain", "edns", "case"), default=["plain", "edns", "case"]
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--sockets", type=int, default=8)
    parser.add_argument("--burst", type=int, default=16)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--shared", action="store_true")
    parser.add_argument("--misses", action="store_true")
    parser.add_argument("--flood", action="store_true")
    args = parser.parse_args()
    pin(args.shared)
    upstream = Upstream(DELAY if args.flood else 0)
    upstream.start()
    with tempfile.TemporaryDirectory() as folder:
        part = misses if args.misses else flooded if args.flood else cached
        part(args, Path(folder), upstream.port)


if __name__ == "__main__":
    main()
