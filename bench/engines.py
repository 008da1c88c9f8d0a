"""What an answer costs: our two engines, the floor, and whichever other servers are installed.

    python -m bench.engines [--mix plain edns hostile] [--rounds 5] [--seconds 2] [--only NAME ...]
    python -m bench.engines --ours native    the same engine without its client table, and with near answers
    python -m bench.engines --threads        two answering threads against one
    python -m bench.engines --publish        a publish, and memory, at 100,000 instances

All serve the same names, four addresses each, on one core; the load has another. They take turns,
round by round, and what is compared is CPU an answer as a ratio to the floor's of the same round:
on a machine that others use too, that holds where queries a second do not.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Set
from pathlib import Path

from bench import load
from bench.servers import ENGINES, NAMES, Engine, ours, write, zkdns
from tests.support.ports import free_port

SERVER_CORE, LOAD_CORE = 1, 0


class Running:
    """A server process and its children, pinned to the server's cores."""

    def __init__(self, engine: Engine, folder: Path, cores: Set[int]) -> None:
        self.engine = engine
        self.port = free_port()
        folder.mkdir(parents=True)
        self.log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            engine.command(folder, self.port),
            stdout=self.log,
            stderr=self.log,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        self.folder = folder

    def wait(self) -> bool:
        """Whether it answers, once it does or has had the time to."""
        names = write(self.folder / "names", NAMES[0])
        for _ in range(60):
            if self.process.poll() is not None:
                return False
            if ask(self.port, "plain", 0.2, 1, 1, names, LOAD_CORE)["got"]:
                return True
            time.sleep(0.2)
        return False

    def cpu(self) -> float:
        """Seconds on a core so far, of all its threads and children."""
        return sum(on_core(pid) for pid in family(self.process.pid))

    def end(self) -> None:
        for pid in reversed(family(self.process.pid)):
            try:
                os.kill(pid, 15)
            except ProcessLookupError:
                pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def family(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += family(int(child))
    return found


def on_core(pid: int) -> float:
    total = 0
    for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        total += int(task.read_text().split()[0])
    return total / 1e9


def ask(
    port: int, mix: str, seconds: float, sockets: int, burst: int, names: str, core: int
) -> dict[str, float]:
    command = [
        sys.executable,
        "-m",
        "bench.load",
        str(port),
        mix,
        str(seconds),
        str(sockets),
        str(burst),
        names,
    ]
    done = subprocess.run([*command, str(core)], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def start(
    engines: Iterable[Engine], folder: Path, cores: Set[int] = frozenset({SERVER_CORE})
) -> list[Running]:
    """Those that are installed and answer, running; of the others it is said why they don't."""
    running = []
    for engine in engines:
        if shutil.which(engine.needs) is None:
            print(f"{engine.name:13} not installed")
            continue
        server = Running(engine, folder / engine.name.replace(" ", "-"), cores)
        if server.wait():
            running.append(server)
        else:
            print(f"{engine.name:13} does not start: {(server.folder / 'log').read_text()[-300:]}")
            server.end()
    return running


def compare(args: argparse.Namespace, folder: Path) -> None:
    wanted = [e for e in ENGINES if not args.only or e.name in args.only or e.name == "floor"]
    if args.ours:
        wanted = ours(args.ours)
    running = start(wanted, folder)
    names = write(folder / "names", "\n".join(NAMES))
    run(args, running, names)


def run(args: argparse.Namespace, running: list[Running], names: str) -> None:
    """All mixes, and the servers' end."""
    try:
        for mix in args.mix:
            rounds(args, running, mix, names)
    finally:
        for server in running:
            server.end()


def rounds(args: argparse.Namespace, running: list[Running], mix: str, names: str) -> dict[str, list[float]]:
    """Microseconds an answer, round by round, of each server."""
    cost: dict[str, list[float]] = {s.engine.name: [] for s in running}
    last: dict[str, dict[str, float]] = {}
    for turn in range(args.rounds + 1):  # the first warms caches and is not counted
        for server in running:
            before = server.cpu()
            seen = ask(
                server.port, mix, args.seconds if turn else 0.5, args.sockets, args.burst, names, LOAD_CORE
            )
            used = server.cpu() - before
            if turn:
                cost[server.engine.name].append(used / seen["got"] * 1e6)
                last[server.engine.name] = seen
    print(
        f"\n{mix}: {args.rounds} rounds of {args.seconds:g} s, {args.sockets} sockets, bursts of {args.burst}"
    )
    first = next(iter(cost))
    print(f"{'':13} {'us an answer':>12} {f'of {first}':>12} {'spread':>13}")
    for name, costs in cost.items():
        ratios = sorted(own / base for own, base in zip(costs, cost[first], strict=True))
        seen = last[name]
        odd = {k: int(n) for k, n in seen.items() if k in ("lost", "bad") and n}
        spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
        middle = statistics.median(ratios)
        print(f"{name:13} {statistics.median(costs):12.2f} {middle:12.2f} {spread:>13}   {odd or ''}")
    sys.stdout.flush()
    return cost


def threads(args: argparse.Namespace, folder: Path) -> None:
    """Queries a second of one thread and of two. The load needs cores of its own to tell anything."""
    cores = os.sched_getaffinity(0)
    if len(cores) < 4:
        print(
            f"only {len(cores)} cores here: load and server share them, so two threads can't show their worth"
        )
    names = write(folder / "names", "\n".join(NAMES))
    for workers in (1, 2):
        engine = Engine("zkdns native", "true", zkdns("native", workers))
        server = Running(engine, folder / f"workers-{workers}", cores - {LOAD_CORE} or cores)
        if not server.wait():
            raise SystemExit((server.folder / "log").read_text())
        best = 0.0
        before, got = server.cpu(), 0.0
        for _ in range(args.rounds):
            seen = ask(server.port, "plain", args.seconds, args.sockets * 2, args.burst, names, LOAD_CORE)
            best, got = max(best, seen["qps"]), got + seen["got"]
        cost = (server.cpu() - before) / got * 1e6
        print(f"{workers} thread(s): {best:.0f} answers a second at best, {cost:.2f} us each")
        server.end()


def publish(services: int = 5000, instances: int = 20) -> None:
    """What one changed service costs when there are very many, and what they all take."""
    from zkdns.answers.builder import Builder
    from zkdns.model import Instance, Registration, Service
    from zkdns.serve.native import Native

    def service(n: int, version: int = 0) -> Service:
        held = []
        for k in range(instances):
            about = Registration((f"10.{n >> 8 & 255}.{n & 255}.{k + 1}",), port=8000 + version % 1000)
            held.append(Instance(f"i{k}", f"i{k}", f"/services/s{n}/i{k}", about, 0.0))
        return Service(f"s{n}", f"s{n}", f"/services/s{n}", instances=tuple(held))

    builder = Builder(["svc.local"])
    for n in range(services):
        builder.replace(f"s{n}", builder.compile(service(n)))
    engine = Native()
    before = resident()
    delta = builder.take()
    start = time.perf_counter()
    engine.apply(delta)
    took = time.perf_counter() - start
    engine.start([("127.0.0.1", 0)], 2)
    grown = (resident() - before) / 2**20
    print(
        f"{services * instances} instances, {len(delta.entries)} answers: "
        f"{took * 1e3:.0f} ms, {grown:.0f} MiB"
    )
    costs = []
    for k in range(2000):
        name = f"s{k * 7 % services}"
        builder.replace(name, builder.compile(service(k * 7 % services, k + 1)))
        delta = builder.take()
        start = time.perf_counter()
        engine.apply(delta)
        costs.append((time.perf_counter() - start) * 1e6)
    costs.sort()
    print(f"one changed service: {statistics.median(costs):.0f} us, 99 % within {costs[-20]:.0f} us")
    engine.close()


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mix", nargs="+", choices=load.MIXES, default=list(load.MIXES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--sockets", type=int, default=8)
    parser.add_argument("--burst", type=int, default=16)
    parser.add_argument("--only", nargs="+", default=[], choices=[e.name for e in ENGINES])
    parser.add_argument("--ours", default="", choices=("native", "python"))
    parser.add_argument("--threads", action="store_true")
    parser.add_argument("--publish", action="store_true")
    args = parser.parse_args()
    if args.publish:
        publish()
        return
    with tempfile.TemporaryDirectory(prefix="zkdns-bench-") as folder:
        (threads if args.threads else compare)(args, Path(folder))


if __name__ == "__main__":
    main()
