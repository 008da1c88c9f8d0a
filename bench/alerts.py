"""A fresh ensemble, two servers and a real Prometheus with our rules: none may ring, and then the right one.

    python -m bench.alerts [--seconds 600] [--empty 240]

Nothing is there at first: no root, nothing below /zkdns. Services are made, instances come and go as they do
when teams deploy, and clients ask. An alert that is pending or firing in that time is a false one. Then one
service loses all its instances, as it does when their sessions end, and ZkdnsServiceEmpty alone must ring for
it within `--empty` seconds (0: this is left out). Exit 1 with what was wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from kazoo.client import KazooClient

from support.prometheus import Prometheus, scraping
from support.server import Zkdns
from support.zookeeper import ZooKeeperServer
from zkdns.serve import native

SERVICES = ("web", "api", "db", "cache")
EACH = 3
PAUSE = 0.5
"""Seconds between two rounds of questions."""

DEPLOY_EVERY = 40
"""Rounds between two instances that are exchanged."""


def put(client: KazooClient, service: str, n: int) -> None:
    data = json.dumps({"address": f"10.0.{n >> 8 & 255}.{n & 255}", "port": 8080}).encode()
    client.create(f"/services/{service}/i{n}", data, ephemeral=True, makepath=True)


def ringing(prometheus: Prometheus) -> dict[str, str]:
    """Alerts that are not silent, with their states."""
    return {r["name"]: r["state"] for r in prometheus.rules() if r["state"] != "inactive"}


def live(client: KazooClient, servers: list[Zkdns], prometheus: Prometheus, seconds: float) -> set[str]:
    """The alerts that rang while all was well."""
    rang: set[str] = set()
    newest = {service: list(range(EACH)) for service in SERVICES}
    end, round_, fresh = time.monotonic() + seconds, 0, EACH
    while time.monotonic() < end:
        round_ += 1
        for server in servers:
            server.ask(f"{random.choice(SERVICES)}.svc.local", random.choice(("A", "SRV", "AAAA")))
            server.ask("nope.svc.local")
        if round_ % DEPLOY_EVERY == 0:  # the new one first, as a rolling deploy does
            service = random.choice(SERVICES)
            put(client, service, fresh)
            newest[service].append(fresh)
            client.delete(f"/services/{service}/i{newest[service].pop(0)}")
            fresh += 1
        if round_ % 20 == 0 and (found := ringing(prometheus)):
            for name in found.keys() - rang:
                print(
                    f"RINGS {name} ({found[name]}) after {seconds - (end - time.monotonic()):.0f} s",
                    flush=True,
                )
            rang |= found.keys()
        time.sleep(PAUSE)
    return rang


def empty(client: KazooClient, prometheus: Prometheus, seconds: float) -> bool:
    """Whether the alert of an empty service rings, and no other."""
    for id in client.get_children("/services/db"):
        client.delete(f"/services/db/{id}")
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        found = ringing(prometheus)
        if others := found.keys() - {"ZkdnsServiceEmpty"}:
            print(f"RINGS {', '.join(sorted(others))}, and should not")
            return False
        if found.get("ZkdnsServiceEmpty") == "firing":
            print(f"ZkdnsServiceEmpty rings {time.monotonic() - began:.0f} s after db lost its last instance")
            return True
        time.sleep(5)
    print("BROKEN ZkdnsServiceEmpty does not ring")
    return False


@contextmanager
def world() -> Iterator[tuple[KazooClient, list[Zkdns], Prometheus]]:
    with ExitStack() as stack:
        zookeeper = stack.enter_context(ZooKeeperServer())
        engines = ["python"] if native.WHY_NOT else ["native", "python"]
        registry = f"zk://{zookeeper.hosts}/services"
        servers = [stack.enter_context(Zkdns("--engine", engine, registry=registry)) for engine in engines]
        client = zookeeper.client()
        stack.callback(client.close)
        stack.callback(client.stop)
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        prometheus = stack.enter_context(scraping(servers, directory))
        for service in SERVICES:
            for n in range(EACH):
                put(client, service, n)
        yield client, servers, prometheus


def main() -> int:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m bench.alerts", description=__doc__, formatter_class=raw)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--empty", type=float, default=240)
    args = parser.parse_args()
    with world() as (client, servers, prometheus):
        rang = live(client, servers, prometheus, args.seconds)
        audits = sum(s.metrics()["zkdns_registry_audit_repairs_total"] for s in servers)
        print(f"{args.seconds:.0f} s: {len(rang)} false alerts, {audits:.0f} repairs by audits", flush=True)
        rings = empty(client, prometheus, args.empty) if args.empty else True
    return 1 if rang or not rings else 0


if __name__ == "__main__":
    raise SystemExit(main())
