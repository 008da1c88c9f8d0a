"""What near answers cost: to compile many services for many zones, and an answer of each engine.

    python -m bench.near [SERVICES] [ZONES]

Rules: no sockets; each figure is the best of several rounds, near and not near in turn.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

from zkdns.answers.builder import Builder
from zkdns.answers.table import Table
from zkdns.dns import names
from zkdns.dns.packet import HIGHEST_UDP
from zkdns.model import Instance, Nearness, Registration, Service, ServiceSettings
from zkdns.serve import native
from zkdns.serve.request import Request
from zkdns.serve.respond import next_position, respond
from zkdns.topology import parse_topology

INSTANCES, ROUNDS, ANSWERS = 6, 7, 50_000
MODES: tuple[Nearness, ...] = ("off", "prefer", "balanced")


def service(number: int, near: Nearness, zones: int) -> Service:
    """Its instances stand in three zones."""
    name = f"s{number}"
    held = []
    for n in range(INSTANCES):
        address = f"10.{number >> 8 & 255}.{number & 255}.{n + 1}"
        zone = f"z{(number + n % 3) % zones}"
        registration = Registration((address,), port=80, zone=zone)
        held.append(Instance(f"i{n}", f"i{n}", f"/services/{name}/i{n}", registration, 0.0))
    return Service(name, name, f"/services/{name}", ServiceSettings(near=near), tuple(held))


def build(near: Nearness, services: int, zones: int, engine: native.Native | None) -> tuple[Table, float]:
    """A table of all, and the seconds that it took."""
    builder, table = Builder(["svc.local"]), Table()
    entries = {f"127.{n >> 8}.{n & 255}.0/24": f"r{n % 4}/z{n}" for n in range(zones)}
    builder.set_topology(parse_topology("map", entries)[0])
    began = time.perf_counter()
    for number in range(services):
        one = service(number, near, zones)
        builder.replace(one.name, builder.compile(one))
    delta = builder.take()
    table.apply(delta)
    if engine is not None:
        engine.apply(delta)
    return table, time.perf_counter() - began


def cost(answer: Callable[[], object]) -> float:
    """Seconds of one answer."""
    began = time.perf_counter()
    for _ in range(ANSWERS):
        answer()
    return (time.perf_counter() - began) / ANSWERS


def main() -> None:
    services, zones = (int(word) for word in [*sys.argv[1:], "5000", "20"][:2])
    packet = b"\0\1\1\0\0\1\0\0\0\0\0\0" + names.wire("s1.svc.local") + b"\0\1\0\1"
    client = "127.0.1.7"
    ways: dict[str, dict[str, Callable[[], object]]] = {"python": {}, "native": {}}
    kept = []
    for mode in MODES:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        engine = None if native.WHY_NOT else native.Native()
        table, seconds = build(mode, services, zones, engine)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
        print(f"{mode:8} {services} services, {zones} zones: {seconds:5.1f} s, {grown} MiB, both engines")
        ways["python"][mode] = lambda table=table: respond(Request(packet, client), table, next_position)  # type: ignore[misc]
        if engine is not None:
            ways["native"][mode] = lambda e=engine: e.respond(packet, HIGHEST_UDP, client=client)  # type: ignore[misc]
        kept.append((table, engine))
    for engine_name, by_mode in ways.items():
        best = dict.fromkeys(by_mode, float("inf"))
        for _ in range(ROUNDS):
            for mode, answer in by_mode.items():
                best[mode] = min(best[mode], cost(answer))
        for mode, seconds in best.items():
            print(f"{engine_name:8} {mode:8} {seconds * 1e9:6.0f} ns an answer, {seconds / best['off']:.3f}")


if __name__ == "__main__":
    main()
