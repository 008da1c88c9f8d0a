"""Host names that lead to services of ours: followed as those change, and never in a circle."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from zkdns.config import Settings
from zkdns.forward import hosts
from zkdns.forward.forwarder import Forwarder
from zkdns.model import Catalog, Instance, Registration, Service
from zkdns.pipeline.hostnames import Hostnames

HOUR = 3600.0


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked again by itself while a test runs."""
    for name in ("LEAST", "MOST", "RETRY_LEAST", "RETRY_MOST"):
        monkeypatch.setattr(hosts, name, HOUR)


def service(name: str, **instances: str) -> Service:
    """Instances by id: an address, or a host name."""
    made = []
    for id, where in instances.items():
        host = where if where[-1].isalpha() else None
        registration = Registration(() if host else (where,), host)
        made.append(Instance(id, id, f"/{name}/{id}", registration, 0.0))
    return Service(name, name, f"/{name}", instances=tuple(made))


class World:
    def __init__(self, *services: Service) -> None:
        self.marked: list[str] = []
        self.hostnames = Hostnames(("svc.local", "two.test"), Forwarder(Settings()), self.mark)
        self.served: dict[str, Service] = {}
        self.hostnames.services = self.served
        self.registered = {s.name: s for s in services}
        self.hostnames.follow(Catalog(dict(self.registered)))

    def mark(self, names: Iterable[str]) -> None:
        self.marked += names

    def publish(self, new: Service) -> None:
        before = self.served.get(new.name)
        self.served[new.name] = self.registered[new.name] = new
        self.hostnames.follow(Catalog(dict(self.registered)))
        self.hostnames.changed(before, new)

    async def leads_to(self, host: str) -> tuple[str, ...]:
        await asyncio.wait_for(self.hostnames.settled(), 10)
        return self.hostnames.resolve("other", service("x", a=host).instances[0])


async def test_a_name_of_ours_is_followed_at_once_when_its_service_changes() -> None:
    world = World(service("web", a="db.svc.local", b="a.db.two.test"))
    assert await world.leads_to("db.svc.local") == ()
    world.publish(service("db", a="10.0.0.1", b="10.0.0.2"))
    assert await world.leads_to("db.svc.local") == ("10.0.0.1", "10.0.0.2")
    assert await world.leads_to("a.db.two.test") == ("10.0.0.1",)
    assert set(world.marked) == {"web"}
    world.publish(service("db", a="10.0.0.3"))
    assert await world.leads_to("db.svc.local") == ("10.0.0.3",)
    assert await world.leads_to("a.db.two.test") == ("10.0.0.3",)
    await world.hostnames.stop()


async def test_names_that_lead_to_each_other_keep_nothing_alive() -> None:
    world = World(service("a", x="b.svc.local"), service("b", x="a.svc.local"))
    for one in list(world.registered.values()):
        world.publish(one)
    assert await world.leads_to("a.svc.local") == ()
    assert await world.leads_to("b.svc.local") == ()
    await world.hostnames.stop()


async def test_a_name_that_nobody_registers_any_more_is_let_go() -> None:
    world = World(service("web", a="db.svc.local"))
    world.publish(service("db", a="10.0.0.1"))
    assert await world.leads_to("db.svc.local") == ("10.0.0.1",)
    world.publish(service("web", a="10.0.0.9"))
    assert await world.leads_to("db.svc.local") == ()
    world.publish(service("db", a="10.0.0.2"))
    assert await world.leads_to("db.svc.local") == ()
    await world.hostnames.stop()
