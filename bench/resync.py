"""What a client notices while a whole registry is read again: how late answers are, how long they are stale.

    python -m bench.resync [--instances 1000 10000 100000] [--engine python]

ZooKeeper is killed and started again three times; sessions and their nodes survive. All the while one
client asks one name, a query a millisecond. late: from a query to its reply, while ZooKeeper is away and
while all is read again (99 % and the longest). fresh: from ZooKeeper's being there again to the first
answer without EDE 3, of which up to a second is the wait before the next attempt to connect. reads: of
one whole reading, against the number of nodes.
"""

from __future__ import annotations

import argparse
import logging
import socket
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import dns.message
from kazoo.client import KazooClient

from bench.registry import quantile
from bench.server import PER_SERVICE, fill
from support.server import Zkdns
from support.zookeeper import ZooKeeperServer

STALE = b"\0\x0f\0"
"""How an EDE option begins (RFC 8914); of an answer that has one here it tells that it is stale."""


class Client:
    """Asks one name without pause on a thread of its own: (when, seconds, whether the answer was stale)."""

    def __init__(self, port: int) -> None:
        self.seen: list[tuple[float, float, bool]] = []
        self._port = port
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        query = dns.message.make_query("s1.svc.local", "A", use_edns=0).to_wire()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
            asked.settimeout(5)
            asked.connect(("127.0.0.1", self._port))
            while not self._stopping.is_set():
                began = time.perf_counter()
                asked.send(query)
                reply = asked.recv(1232)
                self.seen.append((began, time.perf_counter() - began, STALE in reply[-40:]))
                time.sleep(0.001)

    def fresh_since(self, at: float) -> float | None:
        """When the first answer that is not stale was asked for, after `at` and after a stale one."""
        stale = [began for began, _, old in self.seen if old]
        return next((b for b, _, old in self.seen if not old and stale and b > max(at, stale[-1])), None)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()


def reads_of(server: Zkdns) -> float:
    return server.metrics()["zkdns_registry_reads_total"]


def measure(instances: int, engine: str, times: int) -> dict[str, Any]:
    late: list[float] = []
    fresh: list[float] = []
    reads: list[float] = []
    with ZooKeeperServer() as zookeeper:
        writer = KazooClient(
            zookeeper.hosts, timeout=60, connection_retry={"max_tries": -1, "delay": 0.1, "max_delay": 1}
        )
        writer.start()
        fill(writer, instances)
        server = Zkdns("--engine", engine, registry=f"zk://{zookeeper.hosts}/services")
        try:
            server.start(timeout=120)
            for _ in range(times):
                before = reads_of(server)
                client = Client(server.port)
                zookeeper.kill()
                time.sleep(0.5)
                zookeeper.start()
                back = time.perf_counter()
                while (at := client.fresh_since(back)) is None and time.perf_counter() < back + 60:
                    time.sleep(0.05)
                client.stop()
                late += [seconds for _, seconds, _ in client.seen]
                fresh.append((at or float("inf")) - back)
                reads.append(reads_of(server) - before)
        finally:
            server.close()
            writer.stop()
            writer.close()
    nodes = instances + instances // PER_SERVICE + 1
    return {
        "instances": instances,
        "engine": engine,
        "late_p50_ms": round(statistics.median(late) * 1000, 2),
        "late_p99_ms": round(quantile(late, 0.99) * 1000, 1),
        "late_most_ms": round(max(late) * 1000, 1),
        "fresh_s": round(statistics.median(fresh), 2),
        "reads_a_node": round(statistics.median(reads) / nodes, 2),
    }


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--instances", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--engine", default="python", choices=["python", "native"])
    parser.add_argument("--times", type=int, default=3)
    args = parser.parse_args()
    logging.disable()  # kazoo's lines about connections that we break
    for instances in args.instances:
        said = measure(instances, args.engine, args.times)
        print("  ".join(f"{k} {v}" for k, v in said.items()), flush=True)


if __name__ == "__main__":
    main()
