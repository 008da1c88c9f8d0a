"""Own and cached names while clients flood with outside names that nobody asked for before.

    python -m bench.forward --flood [--rate 10000] [--rounds 5] [--seconds 2] [--shared] [--only NAME ...]

A server has one core, its upstream, the flood and who asks have the other (`--shared`: all have all). The
flood is so many names a second, each once, from eight clients, and the upstream takes 50 ms. One question
at a time is asked for, and how long it took is told by the kernel: from its send to the moment that the
reply is in the client's socket, so that a client who waits for a core of its own is no part of it.
"""

from __future__ import annotations

import argparse
import os
import socket
import struct
import time
from multiprocessing import Process
from pathlib import Path

from bench.engines import LOAD_CORE, SERVER_CORE, Running, start
from bench.resolvers import OUTSIDE, forwarders, question, unknown
from bench.servers import Engine

DELAY = 0.05
"""Seconds that the upstream takes."""
CLIENTS = 8
PAUSE = 0.002
"""Seconds from an answer to the next question."""
SETTLE = 0.5
"""Seconds of a flood before anything is measured."""

SO_TIMESTAMPNS = 35  # asm-generic/socket.h; the socket module doesn't name it
_TIMES = struct.Struct("qq")


class Flood(Process):
    """So many names a second until it is ended; what is answered is read and thrown away."""

    def __init__(self, port: int, rate: int, number: int) -> None:
        super().__init__(daemon=True)
        self.port, self.rate, self.number = port, rate, number

    def run(self) -> None:
        clients = []
        for n in range(CLIENTS):
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            client.bind((f"127.0.1.{n + 1}", 0))
            client.connect(("127.0.0.1", self.port))
            client.setblocking(False)
            clients.append(client)
        began, sent = time.monotonic(), 0
        while True:
            wanted = int((time.monotonic() - began) * self.rate)
            for n in range(sent, wanted):
                try:
                    clients[n % CLIENTS].send(unknown(self.number << 32 | n))
                except OSError:
                    pass
            sent = wanted
            for client in clients:
                try:
                    while client.recv(4096):
                        pass
                except OSError:
                    pass
            time.sleep(0.001)


def latencies(port: int, ask: bytes, seconds: float) -> list[float]:
    """Milliseconds of one question after another; of one that is lost, all that it was waited for."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        client.settimeout(1)
        client.connect(("127.0.0.1", port))
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.time_ns()
            client.send(ask)
            try:
                _, told, _, _ = client.recvmsg(4096, 64)
            except TimeoutError:
                found.append(1000.0)
                continue
            whole, part = _TIMES.unpack(told[0][2])
            found.append((whole * 10**9 + part - began) / 1e6)
            time.sleep(PAUSE)
    return found


def middle_and_last(found: list[float]) -> tuple[float, float]:
    """The median and the 99th percentile."""
    found = sorted(found)
    return found[len(found) // 2], found[int(len(found) * 0.99)]


def flooded(args: argparse.Namespace, folder: Path, upstream: int) -> None:
    """The servers take turns, quiet and flooded, so that all have the same weather."""
    cores = {LOAD_CORE, SERVER_CORE} if args.shared else {SERVER_CORE}
    chosen = [e for e in forwarders(upstream) if e.name != "floor" and (not args.only or e.name in args.only)]
    running = start(chosen, folder, cores)
    found: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
    number = 0
    try:
        for _ in range(args.rounds):
            for server in running:
                for what, name in names_of(server.engine):
                    quiet, busy = found.setdefault((server.engine.name, what), ([], []))
                    latencies(server.port, question(name), 0.1)
                    quiet += latencies(server.port, question(name), args.seconds)
                    flood = Flood(server.port, args.rate, number)
                    flood.start()
                    number += 1
                    time.sleep(SETTLE)
                    busy += latencies(server.port, question(name), args.seconds)
                    flood.kill()
                    flood.join()
                    drain(server)
    finally:
        for server in running:
            server.end()
    print(f"\na flood of {args.rate} outside names a second: {args.rounds} rounds of {args.seconds:g} s")
    print(f"{'':20} {'quiet':>15} {'with the flood':>16} {'of quiet':>15}")
    print(f"{'':20} {'median':>7} {'99 %':>7} {'median':>8} {'99 %':>7} {'median':>7} {'99 %':>7}")
    for (engine, what), (quiet, busy) in found.items():
        before, after = middle_and_last(quiet), middle_and_last(busy)
        ratios = [b / a for a, b in zip(before, after, strict=True)]
        print(
            f"{engine + ', ' + what:20} {before[0]:7.3f} {before[1]:7.3f} {after[0]:8.3f} {after[1]:7.3f}"
            f" {ratios[0]:7.2f} {ratios[1]:7.2f}",
            flush=True,
        )


def names_of(engine: Engine) -> list[tuple[str, str]]:
    own = [("own", "web.svc.local")] if engine.name.startswith("zkdns") else []
    return [*own, ("cached", OUTSIDE[0])]


def drain(server: Running) -> None:
    """Waits until what the flood left behind is worked off."""
    before = server.cpu()
    for _ in range(50):
        time.sleep(0.1)
        now = server.cpu()
        if now - before < 0.01:
            return
        before = now


def pin(shared: bool) -> None:
    """This process and those that it starts from here on."""
    if not shared:
        os.sched_setaffinity(0, {LOAD_CORE})
