"""What an answer costs: our two engines, the floor, and whichever other servers are installed.

    python -m bench.engines [--mix plain edns hostile] [--rounds 5] [--seconds 2] [--only NAME ...]
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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import load
from tests.support.ports import free_port

HERE = Path(__file__).parent
SERVICES, INSTANCES = 1000, 4
SERVER_CORE, LOAD_CORE = 1, 0
ANSWER = INSTANCES * 16
"""Bytes that an answer is longer than its query."""

NAMES = [f"s{n}.svc.local" for n in range(SERVICES)]
NOBODY = "nobody"


def addresses(n: int) -> list[str]:
    return [f"10.{n >> 8 & 255}.{n & 255}.{k + 1}" for k in range(INSTANCES)]


@dataclass(frozen=True)
class Engine:
    """How a server is started on a port with the bench's names; `needs` is its program."""

    name: str
    needs: str
    command: Callable[[Path, int], list[str]]


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def master_file(folder: Path) -> str:
    rows = [
        "$ORIGIN svc.local.",
        "$TTL 5",
        "@ SOA ns hostmaster 1 60 10 86400 2",
        "@ NS ns",
        "ns A 127.0.0.1",
    ]
    rows += [f"s{n} A {a}" for n in range(SERVICES) for a in addresses(n)]
    return write(folder / "svc.local", "\n".join(rows) + "\n")


def floor(folder: Path, port: int) -> list[str]:
    program = folder / "floor"
    subprocess.run(["cc", "-O2", "-o", str(program), str(HERE / "floor.c")], check=True)
    return [str(program), str(port), str(ANSWER)]


def zkdns(engine: str, workers: int = 1) -> Callable[[Path, int], list[str]]:
    def command(folder: Path, port: int) -> list[str]:
        rows = []
        for n in range(SERVICES):
            for k, a in enumerate(addresses(n)):
                rows.append(f'[[s{n}.instances]]\nid = "i{k}"\naddress = "{a}"\nport = 80\n')
        registry = write(folder / "registry.toml", "\n".join(rows))
        return [
            sys.executable, "-m", "zkdns", "serve", "--registry", f"file:{registry}", "--http", "",
            "--listen", f"127.0.0.1:{port}", "--engine", engine, "--workers", str(workers),
        ]  # fmt: skip

    return command


def nsd(folder: Path, port: int) -> list[str]:
    config = f"""server:
  server-count: 1
  ip-address: 127.0.0.1@{port}
  username: ""
  zonesdir: "{folder}"
  zonelistfile: "{folder}/zone.list"
  database: ""
  xfrdfile: "{folder}/xfrd.state"
  pidfile: "{folder}/nsd.pid"
  hide-version: yes
remote-control:
  control-enable: no
zone:
  name: svc.local
  zonefile: "{master_file(folder)}"
"""
    return ["nsd", "-d", "-c", write(folder / "nsd.conf", config)]


def knot(folder: Path, port: int) -> list[str]:
    config = f"""server:
  rundir: "{folder}"
  listen: 127.0.0.1@{port}
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
database:
  storage: "{folder}"
zone:
  - domain: svc.local
    file: "{master_file(folder)}"
"""
    return ["knotd", "-c", write(folder / "knot.conf", config)]


def unbound(folder: Path, port: int) -> list[str]:
    rows = [f'  local-data: "s{n}.svc.local. 5 A {a}"' for n in range(SERVICES) for a in addresses(n)]
    config = f"""server:
  interface: 127.0.0.1
  port: {port}
  num-threads: 1
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  module-config: "iterator"
  local-zone: "svc.local." static
""" + "\n".join(rows)
    return ["unbound", "-d", "-c", write(folder / "unbound.conf", config)]


def gdnsd(folder: Path, port: int) -> list[str]:
    config = f"""options => {{
  listen => "127.0.0.1:{port}"
  run_dir => "{folder}/run"
  state_dir => "{folder}/state"
  udp_threads => 1
  tcp_threads => 1
}}
"""
    write(folder / "config", config)
    shutil.copy(master_file(folder), write(folder / "zones" / "svc.local", ""))
    for name in ("run", "state"):
        (folder / name).mkdir(exist_ok=True)
    return ["gdnsd", "-c", str(folder), "start"]


def named(folder: Path, port: int) -> list[str]:
    config = f"""options {{
  directory "{folder}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
  recursion no; pid-file none; session-keyfile none;
}};
controls {{ }};
zone "svc.local" {{ type primary; file "{master_file(folder)}"; }};
"""
    return ["named", "-f", "-n", "1", "-c", write(folder / "named.conf", config)]


def dnsmasq(folder: Path, port: int) -> list[str]:
    hosts = "\n".join(f"{a} s{n}.svc.local" for n in range(SERVICES) for a in addresses(n))
    return [
        "dnsmasq", "-k", "--conf-file=/dev/null", f"--port={port}", "--listen-address=127.0.0.1", "-z",
        "--no-resolv", "--no-hosts", f"--addn-hosts={write(folder / 'hosts', hosts)}",
        "--local=/svc.local/", "--user=", "--pid-file=",
    ]  # fmt: skip


ENGINES = [
    Engine("floor", "cc", floor),
    Engine("zkdns native", "true", zkdns("native")),
    Engine("gdnsd", "gdnsd", gdnsd),
    Engine("knot", "knotd", knot),
    Engine("nsd", "nsd", nsd),
    Engine("unbound", "unbound", unbound),
    Engine("named", "named", named),
    Engine("dnsmasq", "dnsmasq", dnsmasq),
    Engine("zkdns python", "true", zkdns("python")),
]


class Running:
    """A server process and its children, pinned to the server's cores."""

    def __init__(self, engine: Engine, folder: Path, cores: set[int]) -> None:
        self.engine = engine
        self.port = free_port()
        folder.mkdir()
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


def compare(args: argparse.Namespace, folder: Path) -> None:
    wanted = [e for e in ENGINES if not args.only or e.name in args.only or e.name == "floor"]
    running = []
    for engine in wanted:
        if shutil.which(engine.needs) is None:
            print(f"{engine.name:13} not installed")
            continue
        server = Running(engine, folder / engine.name.replace(" ", "-"), {SERVER_CORE})
        if server.wait():
            running.append(server)
        else:
            print(f"{engine.name:13} does not start: {(server.folder / 'log').read_text()[-300:]}")
            server.end()
    names = write(folder / "names", "\n".join(NAMES))
    try:
        for mix in args.mix:
            rounds(args, running, mix, names)
    finally:
        for server in running:
            server.end()


def rounds(args: argparse.Namespace, running: list[Running], mix: str, names: str) -> None:
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
    print(f"{'':13} {'us an answer':>12} {'of the floor':>12} {'spread':>13}")
    for name, costs in cost.items():
        ratios = sorted(own / base for own, base in zip(costs, cost["floor"], strict=True))
        seen = last[name]
        odd = {k: int(n) for k, n in seen.items() if k in ("lost", "bad") and n}
        spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
        middle = statistics.median(ratios)
        print(f"{name:13} {statistics.median(costs):12.2f} {middle:12.2f} {spread:>13}   {odd or ''}")
    sys.stdout.flush()


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
    from zkdns.answers.answers import Answers
    from zkdns.model import Instance, Registration, Service
    from zkdns.serve.native import Native

    def service(n: int, version: int = 0) -> Service:
        held = []
        for k in range(instances):
            about = Registration((f"10.{n >> 8 & 255}.{n & 255}.{k + 1}",), port=8000 + version % 1000)
            held.append(Instance(f"i{k}", f"i{k}", f"/services/s{n}/i{k}", about, 0.0))
        return Service(f"s{n}", f"s{n}", f"/services/s{n}", instances=tuple(held))

    answers = Answers(["svc.local"])
    for n in range(services):
        answers.replace(f"s{n}", answers.compile(service(n)))
    engine = Native()
    before = resident()
    start = time.perf_counter()
    engine.publish(answers.take_changes(), answers.zones, b"")
    took = time.perf_counter() - start
    engine.start([("127.0.0.1", 0)], 2)
    grown = (resident() - before) / 2**20
    print(
        f"{services * instances} instances, {len(answers.table)} answers: "
        f"{took * 1e3:.0f} ms, {grown:.0f} MiB"
    )
    costs = []
    for k in range(2000):
        name = f"s{k * 7 % services}"
        answers.replace(name, answers.compile(service(k * 7 % services, k + 1)))
        changes = answers.take_changes()
        start = time.perf_counter()
        engine.publish(changes, answers.zones, b"")
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
