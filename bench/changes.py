"""What a change costs, stage by stage, in a small registry and in a large one, on a real ZooKeeper.

    python -m bench.changes [--instances 1000 10000 100000] [--changes 300]

Services of twenty ephemeral instances; one instance's node is written again and again, once its service was
asked for. event: from the write to the watch event at our side; read: until what was read of it is in the
loop; parse: until the registry's tree has it; merge: the catalog of all registries; judge and compile: of the
one service; publish: the rest of the pipeline; engine: both tables. wall: from the write to the last of them.
Medians in microseconds, each with its ratio to the smallest registry's; beside them a plain kazoo client's
own watch and read of such a write, in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kazoo.client import KazooClient

from bench.server import PER_SERVICE, ZooKeeperServer, change_to_read, fill, payload
from zkdns.answers.table import Delta, Table, position_of
from zkdns.config import Settings
from zkdns.model import Data, Event
from zkdns.pipeline.driver import Driver
from zkdns.pipeline.inputs import Ready
from zkdns.pipeline.pipeline import Pipeline
from zkdns.pipeline.replica import Replica
from zkdns.registry.url import parse_registry
from zkdns.serve import native
from zkdns.server.lifecycle import DEFERS
from zkdns.steps import Steps

STAGES = ("event", "read", "parse", "merge", "judge", "compile", "publish", "engine", "wall")
PATH = f"/services/s1/i{PER_SERVICE}"


class Stages:
    """The left half and both tables in a process of its own; what each change took there, by stage."""

    def __init__(self, hosts: str) -> None:
        registry = replace(parse_registry(f"zk://{hosts}/services"), name="r1")
        settings = Settings(registry=(registry,))
        self.engine = None if native.WHY_NOT else native.Native()
        self.table = Table()
        self.pipeline = Pipeline(
            settings, time.time(), replica=Replica("bench"), tick=time.perf_counter, threads=True,
            position_of=self.engine.position_of if self.engine is not None else position_of, defers=DEFERS,
        )  # fmt: skip
        self.driver = Driver(
            self.pipeline, settings.zookeeper, _no_host, self._take_ready, publish=self._put_in_force
        )
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.heard = self.ended = 0.0
        publisher: Any = self.pipeline._publisher
        pipeline: Any = self.pipeline
        self._time(pipeline._gathering, "work", "merge")
        self._time_steps(publisher._judging, "judge", "judge")
        self._time(pipeline._compiler, "compile", "compile")
        self._time(pipeline, "publish", "ready")
        self._time(pipeline, "step", "parse")
        self.driver.heard = self._note

    def _time(self, owner: Any, name: str, stage: str) -> None:
        call: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*args, **named)
            finally:
                self.spent[stage] += time.perf_counter() - began

        setattr(owner, name, timed)

    def _time_steps(self, owner: Any, name: str, stage: str) -> None:
        call: Callable[..., Steps[Any]] = getattr(owner, name)

        def timed(*args: Any, **named: Any) -> Steps[Any]:
            steps = call(*args, **named)
            while True:
                began = time.perf_counter()
                try:
                    next(steps)
                except StopIteration as end:
                    return end.value
                finally:
                    self.spent[stage] += time.perf_counter() - began
                yield

        setattr(owner, name, timed)

    def _note(self, name: str, root: str, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Data) and event.path == PATH:
                self.spent.clear()
                self.heard, self.spent["noticed"] = time.perf_counter(), event.told_at

    def _put_in_force(self, delta: Delta) -> None:
        began = time.perf_counter()
        if self.engine is not None:
            self.engine.apply(delta)
        self.table.apply(delta)
        self.ended = time.perf_counter()
        self.spent["engine"] += self.ended - began

    def _take_ready(self, ready: Ready) -> None:
        if self.heard and not ready.more:
            spent = self.spent
            inside = spent["merge"] + spent["judge"] + spent["compile"]
            told = {
                "noticed": spent["noticed"], "ended": self.ended, "read": self.heard - spent["noticed"],
                "parse": spent["parse"], "merge": spent["merge"], "judge": spent["judge"],
                "compile": spent["compile"], "publish": spent["ready"] - inside, "engine": spent["engine"],
            }  # fmt: skip
            self.heard = 0.0
            print(json.dumps(told), flush=True)

    async def run(self) -> None:
        self.driver.start()
        while self.pipeline.is_loading:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        delta = self.driver.compile_now("s1")
        if self.engine is not None:
            self.engine.apply(delta)
        self.table.apply(delta)
        self.heard = 0.0
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)  # until whoever started us ends it
        await self.driver.stop()


async def _no_host(host: str) -> Any:
    raise OSError(f"{host}: no host names here")


def measure(instances: int, changes: int) -> dict[str, float]:
    """Medians in microseconds, by stage, and kazoo's own."""
    with ZooKeeperServer() as zookeeper:
        writer = KazooClient(zookeeper.hosts)
        writer.start()
        fill(writer, instances)
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.changes", "--stages", zookeeper.hosts],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdout is not None
        assert child.stdin is not None
        found: defaultdict[str, list[float]] = defaultdict(list)
        try:
            while (line := child.stdout.readline().strip()) != "ready":
                if not line:
                    raise RuntimeError("the pipeline ended")
            for k in range(changes):
                written = time.perf_counter()  # the same clock as the child's
                writer.set(PATH, payload(1_000_000 + k))
                told = json.loads(child.stdout.readline())
                told |= {"event": told["noticed"] - written, "wall": told["ended"] - written}
                for stage in STAGES:
                    found[stage].append(told[stage] * 1e6)
                time.sleep(0.005)
        finally:
            child.stdin.close()
            child.wait()
        reads = [1000 * taken for taken in change_to_read(zookeeper.hosts, writer, changes)]
        writer.stop()
        writer.close()
    return {stage: statistics.median(values) for stage, values in (*found.items(), ("kazoo", reads))}


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--instances", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--changes", type=int, default=300)
    parser.add_argument("--stages", metavar="HOSTS", help=argparse.SUPPRESS)
    args = parser.parse_args(words)
    if args.stages:

        async def run() -> None:
            await Stages(args.stages).run()

        asyncio.run(run())
        return
    print("instances  " + "  ".join(f"{stage:>13}" for stage in (*STAGES, "kazoo")))
    smallest: dict[str, float] = {}
    for instances in sorted(args.instances):
        found = measure(instances, args.changes)
        smallest = smallest or found
        cells = [f"{found[s]:6.0f} ({found[s] / (smallest[s] or 1):4.2f})" for s in (*STAGES, "kazoo")]
        print(f"{instances:>9}  " + "  ".join(f"{cell:>13}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
