"""How far routes are followed: so deep, so many, so many ports, and not a step further."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from zkdns.answers.builder import Builder
from zkdns.answers.route_resolver import MAX_FOLLOWED, MAX_PORTS, Resolver
from zkdns.answers.routed import Beyond, InForce
from zkdns.answers.routes import MAX_DEPTH
from zkdns.model import Instance, Registration, Service
from zkdns.routes import Target


def service(name: str, *instances: Instance) -> Service:
    return Service(name, name, f"/s/{name}", instances=instances)


def instance(id: str, **fields: object) -> Instance:
    return Instance(id, id, f"/s/{id}", Registration(("10.0.0.1",), **fields), 0.0)  # type: ignore[arg-type]


def resolver(routes: dict[str, list[str]], *leaves: Service) -> Resolver:
    services = {leaf.name: leaf for leaf in leaves} | {name: service(name) for name in routes}
    in_force = {
        name: InForce((tuple((Target(to), Fraction(1)) for to in targets),))
        for name, targets in routes.items()
    }
    return Resolver(services, in_force, lambda text: text if text in services else None)


@pytest.mark.parametrize(("depth", "is_followed"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False)])
def test_a_chain_of_routes_is_followed_so_deep(depth: int, is_followed: bool) -> None:
    chain = {f"r{n}": [f"r{n + 1}"] for n in range(depth - 1)} | {f"r{depth - 1}": ["web"]}
    routed = resolver(chain, service("web", instance("a"))).follow("r0")
    assert bool(routed.name.group) is bool(routed.name.first) is is_followed
    assert len(routed.problems) == (not is_followed)


@pytest.mark.parametrize(("count", "is_followed"), [(MAX_FOLLOWED, True), (MAX_FOLLOWED + 1, False)])
def test_so_many_routes_are_followed_for_one_name_and_each_name_has_as_many(
    count: int, is_followed: bool
) -> None:
    wide = {f"r{n}": ["web"] for n in range(count)}
    one = resolver(wide | {"all": list(wide), "also": list(wide)}, service("web", instance("a")))
    for name in ("all", "also", "all"):
        routed = one.follow(name)
        assert len(routed.problems) == (not is_followed)
        assert routed.name.first


@pytest.mark.parametrize(("count", "problems"), [(MAX_PORTS, 0), (MAX_PORTS + 1, 1)])
def test_a_route_has_names_for_so_many_ports(count: int, problems: int) -> None:
    many = [instance(f"i{n}", port=80, ports=((f"p{n}", 1000 + n),)) for n in range(count)]
    routed = resolver({"all": ["web"]}, service("web", *many)).follow("all")
    assert len(routed.ports) == MAX_PORTS
    assert len(routed.problems) == problems


def test_what_was_followed_is_spelled_though_others_stand_below_the_name_meanwhile() -> None:
    web = service("web", instance("a"))
    view = Service("web@dc2", "web", "/s2/web", instances=(instance("z", port=80),), view_of="web")
    route = InForce(((((Target("web", registry="dc2")), Fraction(1)),),))
    routed = Resolver({"web": web, "web@dc2": view}, {"web": route}, lambda text: text).follow("web")
    for guests in (view.instances, ()):
        answers = Builder(("svc.local",)).compile(web, beyond=Beyond(guests, routed))
        ids = {tuple(entry.ids) for key, entry in answers.entries.items() if entry.ids}
        assert ids == {("z",)}


def test_what_a_service_has_and_a_registry_alone_holds_has_its_places_together() -> None:
    """Apart from each other they would need a cycle of 117,000, in which no share is exact; together they
    need one of 13."""
    held = [instance("a", weight=3), instance("b", weight=10)]
    web = service("web", *[replace(i, weight=i.registration.weight) for i in held])
    alone = [replace(i, weight=i.registration.weight) for i in held]
    view = Service("web@dc2", "web", "/s2/web", instances=tuple(alone), view_of="web")
    shares = (Target("web"), Fraction(101)), (Target("web", registry="dc2"), Fraction(8999))
    services = {"web": web, "web@dc2": view, "all": service("all")}
    routed = Resolver(services, {"all": InForce((shares,))}, lambda text: text).follow("all")
    assert {i.id: i.weight for tier in routed.name.first for i in tier} == {"a": 3, "b": 10}
    assert [{i.id: i.weight for i in level} for level in routed.name.levels] == [{"a": 3, "b": 10}]
