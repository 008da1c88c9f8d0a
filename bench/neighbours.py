"""What others get while one floods: own answers over UDP and TCP, a change, and a check that turns bad.

    python -m bench.neighbours [--seconds 2] [--engine python native] [--load "mute check targets" …]

Each load of bench.flood, and two of checks: a thousand targets that never answer, and a rack of a thousand
that fails at once. Everything as a ratio to the same in quiet, but checks: in seconds, beside what their
settings allow (an interval and a half, a timeout, and half a second for the change). Needs ZooKeeper.

Flood, server, ZooKeeper and who asks share the cores. What of a ratio is theirs alone is told `beside` it: by
how much somebody waits longer, in the same moments, whom nobody floods. Of answers that is a program which
sends each packet back (floor.c), of a change a client that watches the same node.
"""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from kazoo.client import KazooClient

from bench.crowd import latencies
from bench.flood import LOADS, OWN, options, prepare
from bench.resolvers import question
from bench.servers import floor
from support.crowd import framed
from support.ports import free_port
from support.server import Zkdns
from support.waiting import eventually
from support.zookeeper import ZooKeeperServer, finish

MANY = 1000
TURNS, CHANGES = 4, 9
INTERVAL, TIMEOUT = 1.0, 0.5
ALLOWED = INTERVAL * 1.5 + TIMEOUT + 0.5
"""Seconds in which a check that turns is answered: its moment is half to one and a half intervals away."""


@contextmanager
def listening(backlog: int = 4096) -> Iterator[int]:
    """Takes connections and never looks at them; its port. Those beyond the backlog hear nothing."""
    with socket.socket() as sock:
        sock.bind(("0.0.0.0", 0))
        sock.listen(backlog)
        yield sock.getsockname()[1]


def over_tcp(at: tuple[str, int], seconds: float) -> list[float]:
    """Milliseconds of one own question after another on one connection."""
    took = []
    with socket.create_connection(at, 10) as sock:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.perf_counter()
            sock.sendall(framed(OWN))
            left = 2 + int.from_bytes(sock.recv(2, socket.MSG_WAITALL), "big") - 2
            sock.recv(left, socket.MSG_WAITALL)
            took.append((time.perf_counter() - began) * 1000)
            time.sleep(0.002)
    return took


class Beside:
    """What is asked beside the server, and flooded by nobody: the floor, and a watch of a node."""

    def __init__(self, zookeeper: ZooKeeperServer, node: str, stack: ExitStack) -> None:
        self.port = free_port()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        program = subprocess.Popen(floor(folder, self.port))
        stack.callback(program.wait)
        stack.callback(program.kill)
        eventually(self._answers)
        self._zk = zookeeper.client()
        stack.callback(finish, self._zk)
        self._node, self._seen, self._came = node, b"", threading.Event()
        self._zk.DataWatch(node, self._see)

    def _answers(self) -> bool:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False

    def _see(self, data: bytes | None, *_: object) -> None:
        self._seen = data or b""
        self._came.set()

    def change(self, zk: KazooClient, n: int) -> float:
        """Milliseconds from writing the node until it is seen."""
        data = b"%d" % n
        self._came.clear()
        began = time.perf_counter()
        zk.set(self._node, data)
        while self._seen != data and self._came.wait(10):
            self._came.clear()
        return (time.perf_counter() - began) * 1000


class Bed:
    """One server, a ZooKeeper that it reads, and targets whose listeners come and go."""

    def __init__(self, engine: str, zookeeper: ZooKeeperServer, registry: Path, stack: ExitStack) -> None:
        self.zk: KazooClient = zookeeper.client()
        stack.callback(finish, self.zk)
        root = f"/bench{time.time_ns()}"
        self.root = root
        self.open = stack.enter_context(ExitStack())
        self.rack = stack.enter_context(ExitStack())
        self.zk.ensure_path(f"{root}-beside")
        self.beside = Beside(zookeeper, f"{root}-beside", stack)
        self.register("moves", 1, 80)
        self.register("probed", 1, self.open.enter_context(listening()), interval=INTERVAL, timeout=TIMEOUT)
        self.register("rack", MANY, self.rack.enter_context(listening()), interval=2, timeout=1)
        upstream = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        upstream.bind(("127.0.0.1", 0))
        self.server = stack.enter_context(
            Zkdns(
                "--engine", engine, "--forward", f"127.0.0.1:{upstream.getsockname()[1]}",
                registry=[f"file:{registry}", f"zk://{zookeeper.hosts}{root}"],
            )
        )  # fmt: skip

    def register(self, service: str, size: int, port: int, **check: float) -> None:
        self.zk.ensure_path(f"{self.root}/{service}")
        settings = {"check": {"type": "tcp", "rise": 1, "fall": 1, **check}} if check else {}
        self.zk.set(f"{self.root}/{service}", json.dumps(settings).encode())
        step = self.zk.transaction()
        for n in range(size):
            data = json.dumps({"address": f"127.1.{n >> 8}.{n & 255 or 1}", "port": port}).encode()
            step.create(f"{self.root}/{service}/i{n}", data)
        step.commit()

    def until(self, name: str, addresses: list[str], most: float = 30.0) -> float:
        """Seconds until this is the answer."""
        began = time.perf_counter()
        while time.perf_counter() - began < most:
            with suppress(Exception):
                if self.server.answers(name, timeout=1.0) == addresses:
                    break
            time.sleep(0.002)
        return time.perf_counter() - began

    def change(self, n: int) -> float:
        """Milliseconds from writing a node until it is answered."""
        address = f"10.8.{time.time_ns() >> 20 & 255}.{n + 1}"
        self.zk.set(f"{self.root}/moves/i0", json.dumps({"address": address, "port": 80}).encode())
        return self.until("moves.svc.local", [address]) * 1000

    def check(self) -> float:
        """Seconds from the end of a target until nobody is given for its service."""
        self.open.close()
        return self.until("probed.svc.local", [])

    def look(self, seconds: float) -> list[tuple[float, float]]:
        """UDP, TCP and changes, here and beside: medians. They take turns, so that both have the same
        weather."""
        here, beside = (self.server.host, self.server.port), ("127.0.0.1", self.beside.port)
        found: list[tuple[list[float], list[float]]] = [([], []) for _ in range(3)]
        for at, took in ((here, 0), (beside, 1)) * TURNS:
            found[0][took].extend(latencies(at[1], question(OWN), seconds / TURNS))
        for at, took in ((here, 0), (beside, 1)) * TURNS:
            found[1][took].extend(over_tcp(at, seconds / TURNS))
        for n in range(CHANGES):
            found[2][0].append(self.change(n))
            found[2][1].append(self.beside.change(self.zk, n))
        return [(statistics.median(own), statistics.median(others)) for own, others in found]


@contextmanager
def mute(bed: Bed) -> Iterator[None]:
    """A thousand targets behind a full backlog: no answer to their SYN."""
    with ExitStack() as stack:
        port = stack.enter_context(listening(0))
        for _ in range(3):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        bed.register("mute", MANY, port, interval=2, timeout=2)
        time.sleep(1)
        yield


@contextmanager
def fails(bed: Bed) -> Iterator[None]:
    """All of a thousand targets at once."""
    bed.rack.close()
    yield


CHECKS = {"mute check targets": mute, "a rack that fails at once": fails}


def measure(engine: str, zookeeper: ZooKeeperServer, registry: Path, what: str, seconds: float) -> str:
    with ExitStack() as stack:
        bed = Bed(engine, zookeeper, registry, stack)
        quiet = bed.look(seconds)
        if what in CHECKS:
            stack.enter_context(CHECKS[what](bed))
        else:
            stack.enter_context(LOADS[what][0](bed.server))  # type: ignore[arg-type]
        busy = bed.look(seconds)
        late = bed.check()
    columns = "".join(
        f"{before:8.2f}{after:8.2f}{after / before:7.1f}{then / once:8.1f}  "
        for (before, once), (after, then) in zip(quiet, busy, strict=True)
    )
    return f"{engine:7}{what:34}{columns}{late:8.2f}"


def main() -> None:
    parser = options(__doc__, 2)
    parser.add_argument("--load", nargs="+", choices=[*LOADS, *CHECKS], default=[*LOADS, *CHECKS])
    args = parser.parse_args()
    registry = prepare()
    print(f"{'':41}{'UDP, ms':^33}{'TCP, ms':^33}{'a change, ms':^33}a check, s (of {ALLOWED:g})")
    print(f"{'':41}" + f"{'quiet':>8}{'then':>8}{'ratio':>7}{'beside':>8}  " * 3)
    with ZooKeeperServer() as zookeeper:
        for engine in args.engine:
            for what in args.load:
                print(measure(engine, zookeeper, registry, what, args.seconds), flush=True)


if __name__ == "__main__":
    main()
