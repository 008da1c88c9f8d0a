"""What an answer over TCP costs: our two engines beside whichever other servers are installed.

    python -m bench.tcp [--connections 8 800] [--burst 16 1] [--rounds 5] [--seconds 2] [--only NAME ...]

All serve the same names, four addresses each, on one core; the load has another: so many connections, on each
a burst of queries in one segment, and the next burst when all of it is answered. They take turns, round by
round; what is compared is CPU an answer as a ratio to gdnsd's of the same round, or to the first that runs.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path

from bench.engines import LOAD_CORE, Running, start
from bench.load import queries
from bench.servers import ENGINES, NAMES, write

READ = 256 << 10


class Asker:
    """One connection: the ids of its burst that have no reply yet."""

    def __init__(self, at: tuple[str, int]) -> None:
        self.socket = socket.create_connection(at, 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.left = 0
        self.part = b""

    def ask(self, burst: bytes, count: int) -> None:
        self.left = count
        sent = self.socket.send(burst)
        if sent < len(burst):
            raise RuntimeError("the burst is larger than a socket's buffer")

    def read(self) -> tuple[int, int]:
        """How many replies came, and how many of them were none, or did not say NOERROR."""
        data = self.part + self.socket.recv(READ)
        if len(data) == len(self.part):
            raise RuntimeError("the server ended a connection")
        at = got = bad = 0
        while at + 2 <= len(data):
            end = at + 2 + (data[at] << 8 | data[at + 1])
            if end > len(data):
                break
            bad += data[at + 4] & 0x80 == 0 or data[at + 5] & 15 != 0
            at = end
            got += 1
        self.part = data[at:]
        self.left -= got
        return got, bad


def load(
    at: tuple[str, int], names: list[str], seconds: float, connections: int, size: int
) -> dict[str, float]:
    asked = list(queries(names, "plain", len(names)))
    framed = [len(q).to_bytes(2, "big") + k.to_bytes(2, "big") + q[2:] for k, q in enumerate(asked)]
    bursts = cycle(b"".join(framed[k : k + size]) for k in range(0, len(framed) - size + 1, size))
    poll = select.epoll()
    askers = {}
    for _ in range(connections):
        asker = Asker(at)
        askers[asker.socket.fileno()] = asker
        poll.register(asker.socket.fileno(), select.EPOLLIN)
    for asker in askers.values():
        asker.ask(next(bursts), size)
    got = bad = 0
    start = time.monotonic()
    while (now := time.monotonic()) < start + seconds:
        for fd, _ in poll.poll(1, 1024):
            asker = askers[fd]
            came, wrong = asker.read()
            got, bad = got + came, bad + wrong
            if asker.left == 0:
                asker.ask(next(bursts), size)
    for asker in askers.values():
        asker.socket.close()
    return {"got": got, "bad": bad, "qps": got / (now - start)}


def ask(port: int, seconds: float, connections: int, size: int, names: str) -> dict[str, float]:
    words = ["--load", str(port), str(seconds), str(connections), str(size), names]
    done = subprocess.run([sys.executable, "-m", "bench.tcp", *words], capture_output=True, text=True)
    if done.returncode:
        return {"failed": 1}
    found: dict[str, float] = json.loads(done.stdout)
    return found


def compare(args: argparse.Namespace, folder: Path) -> None:
    wanted = [e for e in ENGINES if e.name != "floor" and (not args.only or e.name in args.only)]
    running = start(wanted, folder)
    names = write(folder / "names", "\n".join(NAMES))
    try:
        for connections in args.connections:
            for size in args.burst:
                rounds(args, running, names, connections, size)
    finally:
        for server in running:
            server.end()


def rounds(
    args: argparse.Namespace, running: list[Running], names: str, connections: int, size: int
) -> dict[str, list[float]]:
    """Microseconds an answer, round by round, of each server."""
    cost: dict[str, list[float]] = {}
    rates: dict[str, float] = {}
    failed = set()
    for turn in range(args.rounds + 1):  # the first warms caches and is not counted
        for server in running:
            before = server.cpu()
            seen = ask(server.port, args.seconds if turn else 0.5, connections, size, names)
            if not seen.get("got") or seen["bad"]:
                failed.add(server.engine.name)
            elif turn:
                cost.setdefault(server.engine.name, []).append((server.cpu() - before) / seen["got"] * 1e6)
                rates[server.engine.name] = max(rates.get(server.engine.name, 0), seen["qps"])
    base = cost.get("gdnsd") or next(iter(cost.values()), [])
    print(f"\n{connections} connections, bursts of {size}: {args.rounds} rounds of {args.seconds:g} s")
    print(f"{'':13} {'us an answer':>12} {'of gdnsd':>9} {'spread':>13} {'answers/s':>10}")
    for name, costs in cost.items():
        if name in failed or len(costs) != len(base):
            continue
        ratios = sorted(own / other for own, other in zip(costs, base, strict=True))
        spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
        middle = statistics.median(ratios)
        print(f"{name:13} {statistics.median(costs):12.2f} {middle:9.2f} {spread:>13} {rates[name]:10.0f}")
    for name in sorted(failed):
        print(f"{name:13} failed: it ended a connection, or answered wrongly")
    sys.stdout.flush()
    return cost


def main() -> None:
    if sys.argv[1:2] == ["--load"]:
        port, seconds, connections, size, names = sys.argv[2:]
        os.sched_setaffinity(0, {LOAD_CORE})
        known = Path(names).read_text().split()
        at = ("127.0.0.1", int(port))
        print(json.dumps(load(at, known, float(seconds), int(connections), int(size))))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, nargs="+", default=[8, 800])
    parser.add_argument("--burst", type=int, nargs="+", default=[16, 1])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--only", nargs="+", default=[], choices=[e.name for e in ENGINES])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="zkdns-bench-") as folder:
        compare(args, Path(folder))


if __name__ == "__main__":
    main()
