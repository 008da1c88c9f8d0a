"""Own names while others flood: how much longer an answer takes than in quiet, on each engine.

    python -m bench.flood [--seconds 3] [--engine python native]

One own question after another over UDP, in quiet and under each load; medians and 99th percentiles as
ratios to quiet. A flood of datagrams is a closed loop with 256 under way: as many as the server answers.
"""

from __future__ import annotations

import argparse
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from bench.crowd import latencies, middle_and_last
from bench.resolvers import question
from support.crowd import Crowd, framed, send_what_fits
from support.flood import Flood
from support.process import allow_files, resident
from support.server import Zkdns
from zkdns.serve import native

INSTANCES = 3000
OWN = "web.svc.local"


@contextmanager
def flood(server: Zkdns, kind: str, each: int = 32, at_once: int = 8) -> Iterator[None]:
    with Flood(server.port, kind, sources=1 << 24, each=each, at_once=at_once, patience=0.1) as flowing:
        flowing.wait_until_sent()
        yield


@contextmanager
def idle(server: Zkdns) -> Iterator[None]:
    crowd = Crowd(server)
    for _ in range(1300):
        crowd.connect()
    yield
    crowd.close()


@contextmanager
def idle_pages(server: Zkdns) -> Iterator[None]:
    """Four hundred connections to the status page that never ask."""
    with ExitStack() as stack:
        for _ in range(400):
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            sock.settimeout(5)
            sock.connect((server.http_host, server.http_port))
            sock.sendall(b"GET /")
        yield


@contextmanager
def slow(server: Zkdns) -> Iterator[None]:
    """Four hundred that read nothing and four hundred that never end their query."""
    crowd = Crowd(server)
    for _ in range(400):
        send_what_fits(crowd.connect(receive=4096), framed("big.svc.local") * 100)
        crowd.connect().sendall(framed(OWN)[:5])
    yield
    crowd.close()


@contextmanager
def whole(server: Zkdns) -> Iterator[None]:
    """Three thousand instances over TCP, again and again, from one that reads as fast as it can."""
    enough = threading.Event()

    def read(sock: socket.socket) -> None:
        while not enough.is_set():
            sock.sendall(framed("big.svc.local") * 8)
            left = 8 * (len(framed("big.svc.local")) + 16 * INSTANCES)
            while left:
                left -= len(sock.recv(min(left, 1 << 18)))

    crowd = Crowd(server)
    reader = threading.Thread(target=read, args=(crowd.connect(),))
    reader.start()
    yield
    enough.set()
    reader.join()
    crowd.close()


@contextmanager
def empty(server: Zkdns) -> Iterator[None]:
    """Messages of no length over two connections, as fast as they are taken."""
    enough = threading.Event()

    def send(sock: socket.socket) -> None:
        zeroes = bytes(1 << 20)
        while not enough.is_set():
            try:
                sock.sendall(zeroes)
            except OSError:  # idle for ten seconds: what is empty is no query
                sock = crowd.connect()

    crowd = Crowd(server)
    senders = [threading.Thread(target=send, args=(crowd.connect(),)) for _ in range(2)]
    for sender in senders:
        sender.start()
    yield
    enough.set()
    for sender in senders:
        sender.join()
    crowd.close()


Load = Callable[[Zkdns], object]

LOADS: dict[str, tuple[Load, bool]] = {
    "names that are not there": (lambda server: flood(server, "inside"), False),
    "names that are not ours": (lambda server: flood(server, "outside"), False),
    "2,000 sources, a silent upstream": (lambda server: flood(server, "outside", 1, 2000), True),
    "names not ours, ten networks": (lambda server: flood(server, "outside", 32, 10), True),
    "browsing and reverse names": (lambda server: flood(server, "browsing"), False),
    "400 idle HTTP connections": (idle_pages, False),
    "3,000 instances, cut": (lambda server: flood(server, "big"), False),
    "3,000 instances over TCP": (whole, False),
    "empty messages over TCP": (empty, False),
    "1,300 idle connections": (idle, False),
    "800 slow connections": (slow, False),
}
"""What is done meanwhile, and whether there is an upstream."""


def measure(engine: str, registry: Path, what: str, seconds: float) -> str:
    load, forwards = LOADS[what]
    with ExitStack() as stack:
        flags = ["--engine", engine]
        if forwards:
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.bind(("127.0.0.1", 0))
            flags += ["--forward", f"127.0.0.1:{sock.getsockname()[1]}"]
        server = stack.enter_context(Zkdns(*flags, registry=f"file:{registry}"))
        quiet = middle_and_last(latencies(server.port, question(OWN), seconds))
        before = resident(server.pid)
        stack.enter_context(load(server))  # type: ignore[arg-type]
        busy = middle_and_last(latencies(server.port, question(OWN), seconds))
        grown = (resident(server.pid) - before) / 2**20
    ratios = [b / q for b, q in zip(busy, quiet, strict=True)]
    return (
        f"{engine:7}{what:34}{quiet[0]:8.2f}{busy[0]:8.2f}{ratios[0]:8.1f}"
        f"{quiet[1]:10.2f}{busy[1]:8.2f}{ratios[1]:8.1f}{grown:8.1f}"
    )


def options(about: str | None, seconds: float) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    engines = ["python"] if native.WHY_NOT else ["python", "native"]
    parser.add_argument("--seconds", type=float, default=seconds)
    parser.add_argument("--engine", nargs="+", choices=engines, default=engines)
    return parser


def prepare() -> Path:
    """Room for thousands of connections, and the registry file of all floods: an own name, and a large
    service."""
    allow_files(8192)
    registry = Path(tempfile.mkdtemp()) / "services.toml"
    row = '[[big.instances]]\nid = "i{}"\naddress = "10.1.{}.{}"\n'
    rows = (row.format(n, n >> 8, n & 255) for n in range(INSTANCES))
    big = '[big]\nanswers = 4000\npolicy = "first"\n' + "".join(rows)
    registry.write_text('[web]\n[[web.instances]]\nid = "a"\naddress = "192.0.2.1"\n' + big)
    return registry


def main() -> None:
    args = options(__doc__, 3).parse_args()
    registry = prepare()
    print(f"{'':41}{'median, ms':^24}{'':2}{'99 % within, ms':^24}{'':2}MiB")
    print(f"{'':41}{'quiet':>8}{'then':>8}{'ratio':>8}{'quiet':>10}{'then':>8}{'ratio':>8}{'more':>8}")
    for engine in args.engine:
        for what in LOADS:
            print(measure(engine, registry, what, args.seconds), flush=True)


if __name__ == "__main__":
    main()
