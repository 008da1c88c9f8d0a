"""This tree beside an older one of its own: the same load, the same machine, in turns.

    git worktree add /tmp/before 6613d33 && make -C /tmp/before venv
    python -m bench.before --tree /tmp/before [--rounds 5] [--seconds 2] [--instances 1000 100000]

The other tree needs its native engine built in it. What stands in the table: CPU an answer, medians, and what
is now of what was, the median of the rounds' own ratios; start, memory and changes on a real ZooKeeper.
"""

from __future__ import annotations

import argparse
import compileall
import os
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench import engines, forward, resolvers, server, servers, tcp
from bench.engines import LOAD_CORE, Running

HERE = Path(__file__).resolve().parent.parent
CONNECTIONS, BURST = 8, 16


def environment(tree: Path) -> dict[str, str]:
    """What has a tree's own code run, wherever it is started from."""
    return {"PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}


def of(tree: Path, command: Callable[[Path, int], list[str]]) -> Callable[[Path, int], list[str]]:
    words = ["env", *(f"{name}={value}" for name, value in environment(tree).items())]
    return lambda folder, port: [*words, *command(folder, port)]


def both(tree: Path, command: Callable[[Path, int], list[str]]) -> list[servers.Engine]:
    made = servers.Engine("before", "true", of(tree, command))
    return [made, replace(made, name="now", command=of(HERE, command))]


def row(what: str, cost: dict[str, list[float]]) -> str:
    ratio = statistics.median(now / then for then, now in zip(cost["before"], cost["now"], strict=True))
    then, now = (statistics.median(cost[name]) for name in ("before", "now"))
    return f"| {what} | {then:.2f} | {now:.2f} | {ratio:.2f} |"


def compare(args: argparse.Namespace, folder: Path) -> list[str]:
    """CPU an answer, of each engine and transport."""
    upstream = forward.Upstream(0)
    upstream.start()
    own, outside = (
        servers.write(folder / name, "\n".join(names))
        for name, names in (("own", servers.NAMES), ("outside", resolvers.OUTSIDE))
    )
    rows = []
    for engine in ("native", "python"):
        running = engines.start(both(args.tree, servers.zkdns(engine)), folder / engine)
        try:
            for mix in ("plain", "edns", "hostile"):
                cost = engines.rounds(args, running, mix, own)
                rows.append(row(f"{engine}: own names over UDP, {mix}, us an answer", cost))
            cost = tcp.rounds(args, running, own, CONNECTIONS, BURST)
            rows.append(row(f"{engine}: own names over TCP, us an answer", cost))
        finally:
            end(running)
        command = resolvers.zkdns(engine, upstream.port)
        running = engines.start(both(args.tree, command), folder / f"{engine}-outside")
        try:
            cost = engines.rounds(args, running, "plain", outside)
            rows.append(row(f"{engine}: outside names, cached, us an answer", cost))
        finally:
            end(running)
    return rows


def end(running: list[Running]) -> None:
    for each in running:
        each.end()


def whole(args: argparse.Namespace, instances: int) -> list[str]:
    """Start, memory and changes: the trees take turns, three times."""
    found: dict[str, list[dict[str, float]]] = {"before": [], "now": []}
    for _ in range(3):
        for name, tree in (("before", args.tree), ("now", HERE)):
            found[name].append(server.measure(instances, args.changes, environment(tree)))
    rows = []
    for key, what in (
        ("ready_s", "start to ready, s"),
        ("rss_mib", "memory, MiB"),
        ("change_p50_ms", "write to answer, median, ms"),
        ("change_ratio", "the same, as a ratio to kazoo's own watch and read"),
    ):
        cost = {name: [said[key] for said in each] for name, each in found.items()}
        rows.append(row(f"{instances:,} instances: {what}", cost))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tree", type=lambda text: Path(text).resolve(), required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--sockets", type=int, default=8)
    parser.add_argument("--burst", type=int, default=BURST)
    parser.add_argument("--instances", type=int, nargs="*", default=[1000, 100_000])
    parser.add_argument("--changes", type=int, default=200)
    args = parser.parse_args()
    if not list((args.tree / "zkdns").glob("_native*.so")):
        parser.error(f"{args.tree} has no native engine: make -C {args.tree} venv")
    for tree in (args.tree, HERE):  # as pip leaves it: else one of them is compiled at each start
        compileall.compile_dir(tree / "zkdns", quiet=1)
    cores = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory(prefix="zkdns-bench-") as folder:
        os.sched_setaffinity(0, {LOAD_CORE})  # the upstream inherits it
        rows = compare(args, Path(folder))
    os.sched_setaffinity(0, cores)
    for instances in args.instances:
        rows += whole(args, instances)
    print("\n| | before | now | of before |\n| --- | --- | --- | --- |", *rows, sep="\n")


if __name__ == "__main__":
    main()
