"""Times the ZooKeeper mirror beside a plain kazoo client, on the same server, in one run.

    python bench/registry.py [--nodes 1000 10000 100000] [--changes 200]

load: a whole first reading (the plain client: get_children and get, 100 requests under way, no watch).
whole again: from a broken connection to the next whole reading. change: from the return of a writer's
`set` to the new data in hand (the plain client: its own one-shot watch on that node, then its own read).
late: how late a 1 ms tick of an asyncio loop in the mirror's process is while it loads. Each reader is a
process of its own; nodes are ephemeral, 20 to a service, with 170 bytes of JSON. Memory: the mirror keeps
names and zxids, the plain client paths and data. `x` is plain / mirror.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kazoo.client import KazooClient

from zkdns import ensemble
from zkdns.model import Data, Event, Whole
from zkdns.registry.access import ZooKeeperSettings
from zkdns.registry.readers import open_tree
from zkdns.registry.url import parse_registry
from zkdns.registry.zk.connect import close, connect
from zkdns.registry.zk.mirror import Mirror

ROOT = "/services"
SETTINGS = ZooKeeperSettings(session_timeout=20.0)
WINDOW = 100


def payload(text: str) -> bytes:
    instance = {"address": "10.20.30.40", "port": 8080, "weight": 10, "tags": ["canary"], "meta": {"v": text}}
    return json.dumps(instance).encode().ljust(170)


def windowed(calls: Iterable[Any]) -> None:
    flying: deque[Any] = deque()
    for call in calls:
        flying.append(call)
        if len(flying) >= WINDOW:
            flying.popleft().get(timeout=60)
    for call in flying:
        call.get(timeout=60)


def paths(nodes: int) -> list[str]:
    return [f"{ROOT}/service-{i // 20:05}/instance-{i:06}-of-a-plausible-length" for i in range(nodes)]


def fill(client: KazooClient, nodes: int) -> None:
    client.ensure_path(ROOT)
    windowed(client.create_async(f"{ROOT}/service-{i:05}", b"") for i in range((nodes + 19) // 20))
    windowed(client.create_async(path, payload("0"), ephemeral=True) for path in paths(nodes))


def rss() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def quantile(values: list[float], q: float) -> float:
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


# --- the two readers, each in a process of its own ---------------------------------------------------


def read_mirrored(hosts: str, nodes: int, changes: int) -> dict[str, float]:
    whole = threading.Event()
    news: dict[str, threading.Event] = {}

    def emit(_scope: object, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Whole):
                whole.set()
            elif isinstance(event, Data) and event.path in news:
                news[event.path].set()

    before = rss()
    mirror = Mirror(hosts, open_tree(parse_registry(f"zk://127.0.0.1{ROOT}")).scopes, SETTINGS, emit)
    late: list[float] = []

    async def load() -> float:
        began = time.perf_counter()
        mirror.start()
        while not whole.is_set():
            tick = time.perf_counter()
            await asyncio.sleep(0.001)
            late.append(time.perf_counter() - tick - 0.001)
        return time.perf_counter() - began

    loaded = asyncio.run(load())
    cpu = time.process_time()
    memory = rss() - before
    again = []
    for _ in range(3):
        whole.clear()
        began = time.perf_counter()
        mirror._client._connection._socket.shutdown(socket.SHUT_RDWR)
        whole.wait(60)
        again.append(time.perf_counter() - began)
    writer = connect(hosts, SETTINGS)
    taken = []
    for path in random.Random(1).sample(paths(nodes), min(nodes, changes)):
        news[path] = threading.Event()
        writer.set(path, payload("1"))
        written = time.perf_counter()
        news[path].wait(10)
        taken.append(time.perf_counter() - written)
        news.pop(path, None)
        time.sleep(0.003)
    reads = mirror.status().reads
    mirror.stop()
    close(writer, 2.0)
    return {
        "load": loaded, "cpu": cpu, "memory": memory, "again": quantile(again, 0.5), "reads": reads / 4,
        "p50": quantile(taken, 0.5), "p99": quantile(taken, 0.99),
        "late99": quantile(late, 0.99), "latest": max(late),
    }  # fmt: skip


def read_plainly(hosts: str, nodes: int, changes: int) -> dict[str, float]:
    before = rss()
    client = connect(hosts, SETTINGS)
    began = time.perf_counter()
    services = [f"{ROOT}/{name}" for name in client.get_children(ROOT)]
    kept: dict[str, Any] = {}

    def get(path: str) -> Any:
        call = client.get_async(path)
        kept[path] = call
        return call

    windowed(get(service) for service in services)
    for at in range(0, len(services), WINDOW):
        lists = [(service, client.get_children_async(service)) for service in services[at : at + WINDOW]]
        windowed(get(f"{service}/{name}") for service, call in lists for name in call.get(timeout=60))
    kept = {path: call.get(block=False)[0] for path, call in kept.items()}
    loaded = time.perf_counter() - began
    cpu = time.process_time()
    memory = rss() - before
    writer = connect(hosts, SETTINGS)
    taken = []
    for path in random.Random(2).sample(paths(nodes), min(nodes, changes)):
        fired, known = threading.Event(), threading.Event()

        def follow(path: str = path, fired: threading.Event = fired, known: threading.Event = known) -> None:
            fired.wait(10)
            client.get(path)
            known.set()

        client.get(path, watch=lambda _event, fired=fired: fired.set())
        reader = threading.Thread(target=follow)
        reader.start()
        writer.set(path, payload("2"))
        written = time.perf_counter()
        known.wait(10)
        taken.append(time.perf_counter() - written)
        reader.join()
        time.sleep(0.003)
    close(writer, 2.0)
    close(client, 2.0)
    return {
        "load": loaded, "cpu": cpu, "memory": memory,
        "p50": quantile(taken, 0.5), "p99": quantile(taken, 0.99),
    }  # fmt: skip


READERS = {"mirror": read_mirrored, "plain": read_plainly}


def run(reader: str, hosts: str, nodes: int, changes: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--reader", reader, hosts, str(nodes), str(changes)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=600, check=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def main() -> None:
    if sys.argv[1:2] == ["--reader"]:
        reader, hosts, nodes, changes = sys.argv[2:]
        print(json.dumps(READERS[reader](hosts, int(nodes), int(changes))))
        return
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--nodes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    options.add_argument("--changes", type=int, default=200)
    chosen = options.parse_args()
    for nodes in chosen.nodes:
        with tempfile.TemporaryDirectory() as directory, socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
            free.close()
            server = ensemble.Server(Path(directory), port)
            server.start()
            hosts = f"127.0.0.1:{port}"
            client = connect(hosts, SETTINGS)
            try:
                fill(client, nodes)
                mirror, plain = (run(reader, hosts, nodes, chosen.changes) for reader in READERS)
            finally:
                close(client, 5.0)
                server.stop()
        ratios = {key: plain[key] / max(mirror[key], 1e-9) for key in plain}
        print(f"{nodes} nodes        mirror      plain       x")
        print(f"  load, s        {mirror['load']:8.2f}   {plain['load']:8.2f}   {ratios['load']:5.1f}")
        print(f"  cpu, s         {mirror['cpu']:8.2f}   {plain['cpu']:8.2f}   {ratios['cpu']:5.1f}")
        print(f"  memory, MiB    {mirror['memory']:8.1f}   {plain['memory']:8.1f}   {ratios['memory']:5.1f}")
        for key in ("p50", "p99"):
            print(
                f"  change {key}, ms {mirror[key] * 1e3:8.2f}   {plain[key] * 1e3:8.2f}   {ratios[key]:5.1f}"
            )
        print(f"  whole again, s {mirror['again']:8.2f}              ({mirror['reads']:.0f} reads)")
        print(
            f"  late, ms       p99 {mirror['late99'] * 1e3:.1f}, most {mirror['latest'] * 1e3:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
