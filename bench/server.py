"""The server as a whole on a real ZooKeeper: start, memory, change to answer, restart by overlap.

    python -m bench.server [--instances 1000 10000 100000] [--changes 200]

Change to answer: from a client's write to the first answer that shows it, asked without pause; beside
it, what a plain kazoo client needs for its own watch and read of the same write. Restart: a second
server joins the address under load, the first one ends; queries without a reply are counted.
"""

from __future__ import annotations

import argparse
import compileall
import json
import socket
import statistics
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import dns.message
import dns.query
from kazoo.client import KazooClient

from bench.registry import quantile
from support.server import Zkdns
from support.zookeeper import ZooKeeperServer

PER_SERVICE = 20
AT_ONCE = 500


def fill(client: KazooClient, instances: int) -> None:
    """Services of twenty ephemeral instances each."""
    client.ensure_path("/services")
    for s in range(instances // PER_SERVICE):
        transaction = client.transaction()
        transaction.create(f"/services/s{s}", b"")
        for k in range(PER_SERVICE):
            n = s * PER_SERVICE + k
            transaction.create(f"/services/s{s}/i{n}", payload(n), ephemeral=True)
        transaction.commit()


def payload(n: int, port: int = 8080) -> bytes:
    said = {
        "address": f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}",
        "port": port,
        "weight": 1 + n % 3,
        "zone": "eu-1a",
        "ports": {"http": 8080, "metrics": 9100},
        "meta": {"version": "1.4"},
    }
    return json.dumps(said).encode()


def used(pid: int) -> tuple[float, float]:
    """CPU seconds and MiB resident."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    status = Path(f"/proc/{pid}/status").read_text()
    return (int(fields[11]) + int(fields[12])) / 100, int(status.split("VmRSS:")[1].split()[0]) / 1024


def change_to_answer(server: Zkdns, writer: KazooClient, changes: int) -> list[float]:
    """Milliseconds from a write to the answer that shows it: the instance's own address, asked without
    pause and compared as bytes, so that the client costs next to nothing."""
    found = []
    ask = dns.message.make_query(f"i{PER_SERVICE}.s1.svc.local", "A").to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(2)
        client.connect(("127.0.0.1", server.port))
        for k in range(changes):
            n = 1_000_000 + k
            wanted = bytes((10, n >> 16 & 255, n >> 8 & 255, n & 255))
            began = time.perf_counter()
            writer.set(f"/services/s1/i{PER_SERVICE}", payload(n))
            while True:
                client.send(ask)
                if client.recv(512)[-4:] == wanted:
                    break
            found.append((time.perf_counter() - began) * 1000)
            time.sleep(0.005)
    return found


def change_to_read(hosts: str, writer: KazooClient, changes: int) -> list[float]:
    """Milliseconds from a write to a plain kazoo client having read it after its own watch."""
    reader = KazooClient(hosts)
    reader.start()
    path, seen, arrived = f"/services/s1/i{PER_SERVICE}", [b""], threading.Event()

    def look(event: object = None) -> None:
        seen[0] = reader.get(path, watch=lambda event: threading.Thread(target=look).start())[0]
        arrived.set()

    look()
    found = []
    for k in range(changes):
        data = payload(PER_SERVICE, 30_000 + k)
        began = time.perf_counter()
        writer.set(path, data)
        while seen[0] != data:
            arrived.wait(1)
            arrived.clear()
        found.append((time.perf_counter() - began) * 1000)
        time.sleep(0.005)
    reader.stop()
    reader.close()
    return found


def restart(registry: str) -> dict[str, int]:
    """A second server takes over the address of a first one while clients ask."""
    first = Zkdns(registry=registry)
    first.start()
    second = Zkdns("--listen", f"127.0.0.1:{first.port}", registry=registry)
    second.port = first.port
    stopping = threading.Event()
    counts = {"asked": 0, "lost": 0}

    def load() -> None:
        ask = dns.message.make_query("s1.svc.local", "A")
        while not stopping.is_set():
            counts["asked"] += 1
            try:
                dns.query.udp(ask, "127.0.0.1", port=first.port, timeout=2)
            except Exception:
                counts["lost"] += 1

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(1)
        second.start()
        time.sleep(1)
        first.terminate()
        time.sleep(1)
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
        first.close()
        second.close()
    return counts


def measure(instances: int, changes: int, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """`env` of the server: PYTHONPATH, where another tree is measured."""
    with ZooKeeperServer() as zookeeper:
        writer = KazooClient(zookeeper.hosts)
        writer.start()
        fill(writer, instances)
        registry = f"zk://{zookeeper.hosts}/services"
        server = Zkdns(registry=registry, env=env)
        try:
            began = time.perf_counter()
            server.start(timeout=120)
            ready = time.perf_counter() - began
            cpu, rss = used(server.pid)
            answers = change_to_answer(server, writer, changes)
            reads = change_to_read(zookeeper.hosts, writer, changes)
            said = {
                "instances": instances,
                "ready_s": round(ready, 2),
                "ready_cpu_s": round(cpu, 2),
                "rss_mib": round(rss),
                "change_p50_ms": round(statistics.median(answers), 2),
                "change_p99_ms": round(quantile(answers, 0.99), 2),
                "kazoo_p50_ms": round(statistics.median(reads), 2),
                "change_ratio": round(statistics.median(answers) / statistics.median(reads), 2),
            }
        finally:
            server.close()
        if instances == min(1000, instances) and env is None:
            said["restart"] = restart(registry)
        writer.stop()
        writer.close()
    return said


def main(words: list[str] | None = None) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--instances", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--changes", type=int, default=200)
    args = parser.parse_args(words)
    compileall.compile_dir(Path(__file__).resolve().parent.parent / "zkdns", quiet=1)  # as pip leaves it
    found = []
    for instances in args.instances:
        said = measure(instances, args.changes)
        found.append(said)
        print("  ".join(f"{k} {v}" for k, v in said.items()), flush=True)
    return found


if __name__ == "__main__":
    main()
