"""One to twenty servers on one ZooKeeper: what each reads, and when the last one has a change.

    python -m bench.replicas [--replicas 1 5 20] [--instances 1000] [--changes 20]

Reads are those of ZooKeeper nodes: at the start, and for one change. A change is told as seen when every
server answers with it. All servers share this machine's cores, so twenty of them are slower than one.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import dns.message
from kazoo.client import KazooClient

from bench.server import PER_SERVICE, fill, payload
from support.server import Zkdns
from support.zookeeper import ZooKeeperServer


def reads(servers: list[Zkdns]) -> int:
    return int(sum(server.metrics()["zkdns_registry_reads_total"] for server in servers))


def change(servers: list[Zkdns], writer: KazooClient, n: int) -> float:
    """Milliseconds from the write until the last server answers with it."""
    ask = dns.message.make_query(f"i{PER_SERVICE}.s1.svc.local", "A").to_wire()
    wanted = bytes((10, n >> 16 & 255, n >> 8 & 255, n & 255))
    began = time.perf_counter()
    writer.set(f"/services/s1/i{PER_SERVICE}", payload(n))
    for server in servers:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.connect(("127.0.0.1", server.port))
            while True:
                client.send(ask)
                if client.recv(512)[-4:] == wanted:
                    break
    return (time.perf_counter() - began) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--instances", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=20)
    args = parser.parse_args()
    for replicas in args.replicas:
        with ZooKeeperServer() as zookeeper, ExitStack() as stack:
            writer = KazooClient(zookeeper.hosts)
            writer.start()
            fill(writer, args.instances)
            registry = f"zk://{zookeeper.hosts}/services"
            servers = [
                stack.enter_context(Zkdns("--workers", "1", registry=registry)) for _ in range(replicas)
            ]
            time.sleep(7)  # their own nodes are written by then, and read by all
            start = reads(servers)
            seen = [change(servers, writer, 1_000_000 + k) for k in range(args.changes)]
            each = (reads(servers) - start) / args.changes / replicas
            middle = statistics.median(seen)
            print(f"replicas {replicas}  reads to start {start / replicas:.0f} each", end="  ")
            print(f"a change {each:.1f} each  seen by all, median {middle:.1f} ms", flush=True)
            writer.stop()
            writer.close()


if __name__ == "__main__":
    main()
