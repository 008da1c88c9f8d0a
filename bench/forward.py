"""Forwarding beside our own names, on the Python engine: what a cached answer costs, and who waits.

    python -m bench.forward [--names 10000] [--seconds 3]

First, CPU a cached forwarded answer as a ratio to an own one, in turn. Then own names are asked while as
many different outside names as told go to an upstream that takes its time: own latency, quiet and then.
"""

from __future__ import annotations

import argparse
import heapq
import socket
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import dns.message

from bench.server import used
from support.server import Zkdns

DELAY = 0.3
"""Seconds that the slow upstream takes."""

BURST = 32


class Upstream(threading.Thread):
    """Answers every A question with one address, `delay` seconds later."""

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
                head = query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0"
                record = b"\xc0\x0c\0\1\0\1\0\0\x0e\x10\0\4\xc0\0\2\1"
                answer = head + query[12:end] + record
                heapq.heappush(due, (time.monotonic() + self.delay, turn, answer, client))
            while due and due[0][0] <= time.monotonic():
                _, _, answer, client = heapq.heappop(due)
                self.socket.sendto(answer, client)  # type: ignore[arg-type]


def question(name: str) -> bytes:
    return dns.message.make_query(name, "A", use_edns=0).to_wire()


def load(server: Zkdns, ask: bytes, seconds: float) -> float:
    """Microseconds of the server's CPU an answer, in bursts from one socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(2)
        client.connect(("127.0.0.1", server.port))
        before, answers, until = used(server.pid)[0], 0, time.monotonic() + seconds
        while time.monotonic() < until:
            for _ in range(BURST):
                client.send(ask)
            for _ in range(BURST):
                client.recv(4096)
            answers += BURST
        return (used(server.pid)[0] - before) / answers * 1e6


def latencies(server: Zkdns, ask: bytes, seconds: float) -> list[float]:
    """Milliseconds of one own question after another."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(("127.0.0.1", server.port))
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.perf_counter()
            client.send(ask)
            client.recv(4096)
            found.append((time.perf_counter() - began) * 1000)
            time.sleep(0.002)
    return sorted(found)


def middle_and_last(found: list[float]) -> tuple[float, float]:
    """The median and the 99th percentile of what `latencies` found."""
    return found[len(found) // 2], found[int(len(found) * 0.99)]


def flood(server: Zkdns, names: int) -> None:
    """That many different names, each once, as fast as the limits of one client let them through."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", server.port))
        client.setblocking(False)
        for k in range(names):
            try:
                client.send(question(f"n{k}.example.org"))
                client.recv(4096)
            except BlockingIOError:
                pass
            if k % 50 == 49:
                time.sleep(0.01)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--names", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=3)
    args = parser.parse_args()
    registry = Path(tempfile.mkdtemp()) / "services.toml"
    registry.write_text('[web]\n[[web.instances]]\nid = "a"\naddress = "192.0.2.1"\n')
    upstream = Upstream(DELAY)
    upstream.start()
    flags = ("--engine", "python", "--forward", f"127.0.0.1:{upstream.port}")
    with Zkdns(*flags, registry=f"file:{registry}") as server:
        own, cached = question("web.svc.local"), question("www.example.org")
        server.ask("www.example.org", "A")
        ratios = []
        for _ in range(5):
            one, other = load(server, own, args.seconds / 3), load(server, cached, args.seconds / 3)
            ratios.append(other / one)
        print(f"a cached forwarded answer: {statistics.median(ratios):.2f} of an own one's CPU")
        quiet = latencies(server, own, args.seconds)
        flooding = threading.Thread(target=flood, args=(server, args.names))
        flooding.start()
        busy = latencies(server, own, args.seconds)
        flooding.join()
        for word, found in (("quiet", quiet), ("with the flood", busy)):
            middle, last = middle_and_last(found)
            print(f"own answers, {word}: median {middle:.2f} ms, 99 % within {last:.2f} ms")


if __name__ == "__main__":
    main()
