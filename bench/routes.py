"""What one change costs where many routes stand: what is compiled for it, and how long that takes.

    python -m bench.routes [ROUTES] [SERVICES]

Rules: no sockets, no threads; one Pipeline, told as an ensemble tells it. Each figure is the best of several
rounds. Compilations are counted, times are ratios to a change of a service that no route leads to.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from zkdns.answers.table import Table
from zkdns.config import Settings
from zkdns.model import Begin, Children, Data, Event, Session, Stat, Whole
from zkdns.pipeline.inputs import Heard
from zkdns.pipeline.pipeline import Pipeline
from zkdns.registry.url import parse_registry
from zkdns.roots import OVERRIDES

ROOT, TARGETS, INSTANCES, ROUNDS, SEED = "/services", 5, 3, 20, 2026


@dataclass
class Ensemble:
    """One Pipeline that hears of `services` and of `routes` over some of them, and what it made of it."""

    routes: int
    services: int
    now: float = 1_700_000_000.0
    zxid: int = 1
    laid: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        url = replace(parse_registry(f"zk://127.0.0.1:2181{ROOT}"), name="r1")
        self.pipeline = Pipeline(Settings(registry=(url,), forward=()), self.now)
        self.table = Table()
        draw = random.Random(SEED)
        plain = [f"s{n}" for n in range(self.services)]
        # A tenth of the services is targeted by all routes, so that each of them has about as many.
        wanted = plain[: max(TARGETS, self.services // 10)]
        self.targets = {f"r{n}": draw.sample(wanted, TARGETS) for n in range(self.routes)}
        self.users = {name: [r for r, of in self.targets.items() if name in of] for name in wanted}
        self.most_used = max(wanted, key=lambda name: len(self.users[name]))
        self.alone, self.other = plain[-1], plain[-2]
        self._tell(ROOT, Begin(), *self._everything(plain), Whole(), Session(True))
        for root in self.pipeline.registries["r1"].reducers:
            if root != ROOT:
                self._tell(root, Begin(), Whole(), Session(True))

    def _everything(self, plain: list[str]) -> Iterable[Event]:
        yield Children(ROOT, (*plain, *self.targets), self.zxid)
        for number, name in enumerate(plain):
            yield Children(f"{ROOT}/{name}", tuple(f"i{n}" for n in range(INSTANCES)), self.zxid)
            for n in range(INSTANCES):
                yield self.instance(name, n, f"10.{number >> 8}.{number & 255}.{n + 1}")
        for name, of in self.targets.items():
            tiers = [{target: share for share, target in enumerate(of[1:], 1)}, {of[0]: 1}]
            yield Data(f"{ROOT}/{name}", json.dumps({"to": tiers}).encode(), self._stat())

    def instance(self, name: str, n: int, address: str, weight: int = 1) -> Data:
        data = {"address": address, "port": 80, "weight": weight}
        return Data(f"{ROOT}/{name}/i{n}", json.dumps(data).encode(), self._stat())

    def _stat(self) -> Stat:
        return Stat(self.zxid, self.zxid, self.now, True, False, self.now)

    def _tell(self, root: str, *events: Event) -> None:
        self.pipeline.step(Heard("r1", root, events), self.now)

    def publish(self) -> int:
        """Bring it into the answers; how many services were compiled."""
        before = dict(self.pipeline.builder.services)
        while True:
            ready = self.pipeline.ready(self.now)
            self.table.apply(ready.delta)
            if not ready.more:
                break
        after = self.pipeline.builder.services
        return sum(before.get(name) is not answers for name, answers in after.items())

    # --- changes ------------------------------------------------------------------------------------

    def change(self, name: str) -> None:
        """One instance of it has another weight."""
        self.zxid += 1
        self._tell(ROOT, self.instance(name, 0, "10.200.0.1", self.zxid % 9 + 1))

    def lay(self, name: str) -> None:
        """Another route is laid over it."""
        self.zxid += 1
        to = [{self.most_used: self.zxid % 9 + 1, self.other: 1}]
        self.laid[name] = json.dumps({"to": to}).encode()
        self._tell(
            OVERRIDES, Children(OVERRIDES, tuple(self.laid), self.zxid),
            Data(f"{OVERRIDES}/{name}", self.laid[name], self._stat()),
        )  # fmt: skip


def best(what: Callable[[], None], ensemble: Ensemble) -> tuple[float, int]:
    """Seconds, and services compiled."""
    seconds, compiled = float("inf"), 0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        what()
        compiled = ensemble.publish()
        seconds = min(seconds, time.perf_counter() - began)
    return seconds, compiled


def main() -> None:
    routes, services = (int(word) for word in [*sys.argv[1:], "1000", "5000"][:2])
    took = {}
    for n in (0, routes):
        began = time.perf_counter()
        ensemble = Ensemble(n, services)
        compiled = ensemble.publish()
        took[n] = time.perf_counter() - began
        print(f"a start with {services} services and {n} routes: {took[n]:.2f} s, {compiled} compiled")
    used, alone, route = ensemble.most_used, ensemble.alone, next(iter(ensemble.targets))
    plain, compiled = best(lambda: ensemble.change(alone), ensemble)
    print(f"a change of a service that no route leads to: {compiled} compiled, {plain * 1e3:.2f} ms")
    found = {
        f"of one that {len(ensemble.users[used])} routes lead to": best(
            lambda: ensemble.change(used), ensemble
        )
    }
    found["of the route that is laid over one"] = best(lambda: ensemble.lay(route), ensemble)
    for name in ensemble.targets:
        ensemble.lay(name)
    ensemble.publish()
    found[f"the same where {routes} are laid"] = best(lambda: ensemble.lay(route), ensemble)
    for what, (seconds, compiled) in found.items():
        print(f"a change {what}: {compiled} compiled, {seconds / plain:.1f} times as long")


if __name__ == "__main__":
    main()
