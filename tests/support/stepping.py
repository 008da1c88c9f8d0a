"""One pipeline driven by hand, with a clock of the test's own, and what it takes to break it at a place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import count
from typing import TypeVar

import pytest

from zkdns.config import Settings
from zkdns.model import Begin, Children, Data, Event, Service, Session, Stat, Verdict, Whole
from zkdns.pipeline.inputs import Heard, Probed, Ready
from zkdns.pipeline.pipeline import Pipeline
from zkdns.pipeline.replica import Replica
from zkdns.pipeline.start import Stage
from zkdns.registry.url import parse_registry
from zkdns.steps import Steps

T = TypeVar("T")

NOW = 1_700_000_000.0
CHECK = '{"check": {"type": "tcp", "timeout": 2}}'


def settings_of(*registries: str, **others: object) -> Settings:
    urls = [
        replace(parse_registry(url), name=f"r{n}")
        for n, url in enumerate(registries or ("zk://h/services",), 1)
    ]
    return Settings(registry=tuple(urls), **others)  # type: ignore[arg-type]


OWN = [root for root in Pipeline(settings_of(), NOW).registries["r1"].reducers if root != "/services"]
"""What is read under /zkdns."""
ROOTS = ("/services", *OWN)


def in_steps(value: T) -> Steps[T]:
    """What gives it without a pause."""
    yield from ()
    return value


class World:
    """One pipeline, its clock, and all that it said was due."""

    def __init__(self, settings: Settings | None = None, is_read: bool = True, **options: object) -> None:
        self.now = NOW
        self.zxid = count(0x100000001)
        self.pipeline = Pipeline(
            settings or settings_of(),
            NOW,
            **{"replica": Replica("z1", "10.0.0.1:53"), **options},  # type: ignore[arg-type]
        )
        self.names: set[str] = set()
        self.readies: list[Ready] = []
        self.probes: dict[str, object] = {}
        if is_read:
            for root in ROOTS:
                self.hear(root, Begin(), Whole(), Session(True))
            self.ready()

    def hear(self, root: str, *events: Event, registry: str = "r1") -> None:
        self.pipeline.step(Heard(registry, root, events), self.now)

    def register(self, service: str, **instances: str) -> None:
        """The service has these instances now, by id; their data."""
        for event in self.told(service, **instances):
            self.hear("/services", event)

    def publish(self, service: str, **instances: str) -> None:
        """It has these instances now, and all that follows from that is done."""
        self.register(service, **instances)
        self.rest()

    def told(self, service: str, **instances: str) -> Iterable[Event]:
        self.names.add(service)
        yield Children("/services", tuple(sorted(self.names)), next(self.zxid))
        yield Children(f"/services/{service}", tuple(instances), next(self.zxid))
        for id, data in instances.items():
            yield self.data(f"/services/{service}/{id}", data)

    def data(self, path: str, data: str) -> Data:
        zxid = next(self.zxid)
        return Data(path, data.encode(), Stat(zxid, zxid, NOW, True, mtime=self.now))

    def ready(self, budget: float = float("inf")) -> Ready:
        ready = self.pipeline.ready(self.now, budget)
        self.readies.append(ready)
        self.probes.update({p: t for p, t in ready.probe.items() if t is not None})
        return ready

    def rest(self, budget: float = float("inf")) -> None:
        """Until there is nothing left to do now."""
        for _ in range(1000):
            if not self.ready(budget).more:
                return
        raise AssertionError("there is always more")

    def settle(self) -> None:
        """Until the start is over."""
        self.rest()
        self.rest()
        assert self.pipeline.stage is Stage.READY

    def probe(self, id: str, good: bool, service: str = "web") -> None:
        path = f"/services/{service}/{id}"
        self.pipeline.step(Probed(self.probes[path], Verdict(path, good, "refused")), self.now)  # type: ignore[arg-type]

    def addresses(self, service: str) -> list[str]:
        """Those of its instances, as its names give them."""
        answers = self.pipeline.builder.services.get(service)
        held = answers.service.instances if answers is not None else ()
        return [address for i in held if i.answered for address in i.addresses]

    def states(self, service: str = "web") -> dict[str, str]:
        return {i.id: str(i.state) for i in self.pipeline.services[service].instances}


def an_address(n: int, **about: object) -> str:
    return json.dumps({"address": f"10.0.{n // 250}.{n % 250}", "port": 80, **about})


def break_at(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, is_it: Callable[..., bool]) -> None:
    real = getattr(owner, name)

    def breaking(*args: object, **named: object) -> object:
        if is_it(*args):
            raise RuntimeError("planted")
        return real(*args, **named)

    monkeypatch.setattr(owner, name, breaking)


def has(service: Service, address: str) -> bool:
    return any(address in i.addresses for i in service.instances)
