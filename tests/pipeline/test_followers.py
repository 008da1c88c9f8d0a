"""Thousands of host names that lead to one service or are one name: what changes there costs the others, and
that service itself, no more than it does without them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import count

import pytest

from support.stepping import World, an_address
from support.steps import longest, steps
from zkdns import steps as pauses
from zkdns.model import Children, Instance, Registration, Service
from zkdns.pipeline.followers import Followers
from zkdns.pipeline.hostnames import Hostnames
from zkdns.pipeline.inputs import HostResolved
from zkdns.registry.fields import MAX_ADDRESSES
from zkdns.steps import finish

SLICE = 8
FEW, MANY = 8 * SLICE, 32 * SLICE


@pytest.fixture(autouse=True)
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is so of these is so of thirty times as many."""
    monkeypatch.setattr(pauses, "SLICE", SLICE)


def led(number: int, host: str = "i{}.web.svc.local") -> World:
    """So many services of one instance each, which has a host name."""
    world = World()
    world.settle()
    names = [f"s{n:04}" for n in range(number)]
    world.publish("web", a=an_address(1))
    world.publish("other", a=an_address(2))
    world.names.update(names)
    world.hear("/services", Children("/services", tuple(sorted(world.names)), next(world.zxid)))
    for n, name in enumerate(names):
        world.hear("/services", Children(f"/services/{name}", ("a",), next(world.zxid)))
        data = json.dumps({"address": host.format(n), "port": 80})
        world.hear("/services", world.data(f"/services/{name}/a", data))
    world.rest()
    return world


def slowly(world: World) -> None:
    """From now on each turn does as little as it can."""
    looks = count()
    world.pipeline._tick = world.pipeline._publisher._tick = lambda: float(next(looks))


def change(world: World, service: str, n: int) -> None:
    world.hear("/services", world.data(f"/services/{service}/a", an_address(n)))


def turns_until(world: World, service: str, n: int) -> int:
    for turns in range(1, 200):
        world.ready(budget=0.0)
        if world.addresses(service) == [json.loads(an_address(n))["address"]]:
            return turns
    raise AssertionError("it is not in force")


@pytest.mark.parametrize("host", ["i{}.web.svc.local", "web.svc.local"])
def test_a_change_that_thousands_lead_to_costs_in_each_turn_what_it_does_with_few(host: str) -> None:
    def lines(number: int) -> int:
        world = led(number, host)
        slowly(world)
        change(world, "web", 5)
        most = longest(None for _ in iter(lambda: world.ready(budget=0.0).more, False))
        if "{" not in host:
            assert {*map(tuple, (world.addresses(f"s{n:04}") for n in range(number)))} == {("10.0.0.5",)}
        return most

    assert lines(MANY) < 1.25 * lines(FEW)


def test_a_name_outside_that_thousands_have_is_taken_at_the_cost_of_one() -> None:
    def lines(number: int) -> int:
        world = led(number, "db.example.org")
        happened = HostResolved("db.example.org", ("192.0.2.1",))
        cost = steps(lambda: world.pipeline.step(happened, world.now))
        world.rest()
        assert world.addresses("s0000") == world.addresses(f"s{number - 1:04}") == ["192.0.2.1"]
        return cost

    assert lines(MANY) == lines(FEW)


def test_what_changes_and_what_has_nothing_to_do_with_it_waits_for_none_that_follow() -> None:
    world = led(MANY, "web.svc.local")
    slowly(world)
    change(world, "web", 5)
    alone = turns_until(world, "web", 5)
    for n in range(10, 14):
        for service in ("other", "web"):
            for _ in range(20):
                world.ready(budget=0.0)
            change(world, service, n)
            assert turns_until(world, service, n) <= alone + 2
            assert world.pipeline._publisher.has_work, "they wait still"
    world.rest()
    assert world.addresses("s0000") == world.addresses(f"s{MANY - 1:04}") == ["10.0.0.13"]


def test_what_waits_to_follow_follows_once_however_often_that_changes() -> None:
    world = led(FEW, "web.svc.local")
    followers = world.pipeline._hostnames.followers
    followed = Counter[str | None]()
    take_next = followers.take_next

    def take() -> str | None:
        followed[name := take_next()] += 1
        return name

    followers.take_next = take  # type: ignore[method-assign]
    slowly(world)
    for n in range(5, 9):
        change(world, "web", n)
        turns_until(world, "web", n)
    world.rest()
    looks = followed.pop(None)
    assert FEW <= sum(followed.values()) <= FEW + looks, "one may have its turn at each look for others"
    assert {*map(tuple, (world.addresses(f"s{n:04}") for n in range(FEW)))} == {("10.0.0.8",)}


def test_who_changes_without_end_is_followed_by_the_last_as_well_and_owners_take_turns() -> None:
    names = [f"s{n:04}" for n in range(FEW)]
    followers = Followers(lambda key: [*names, "mine"], lambda name: name[0], lambda name, key: None)
    followed: list[str] = []
    for _ in range(8 * FEW):
        followers.put("web")
        if (name := followers.take_next()) is not None:
            followed.append(name)
    assert {*followed} == {*names, "mine"}
    assert followed.index("mine") <= FEW // SLICE + 1, "as soon as it is found"


def test_who_had_his_turn_before_it_changed_once_more_has_another() -> None:
    names = [f"s{n:04}" for n in range(FEW)]
    followers = Followers(lambda key: names, lambda name: "", lambda name, key: None)
    followers.put("web")
    early = {followers.take_next() for _ in range(6)} - {None}
    assert early
    followers.put("web")
    late = set()
    while followers.has_work:
        late.add(followers.take_next())
    assert late - {None} == {*names}


def test_while_not_all_that_follow_are_found_each_is_completed_as_all_stands_now() -> None:
    """Else one of several names would lead to what is, and another to what was."""
    web = Service("web", "web", "/web", instances=(an_instance("a", "10.0.0.1"),))
    served = {"web": web}
    hosts = {f"s{n:04}": naming(f"s{n:04}", "web.svc.local", f"h{n}.web.svc.local") for n in range(FEW)}
    hostnames = Hostnames(["svc.local"], served)
    finish(hostnames.follow(hosts))
    hostnames.changed(None, web)
    while hostnames.followers.has_work:
        if (name := hostnames.followers.take_next()) is not None:
            finish(hostnames.complete(hosts[name]))
    served["web"] = replace(web, instances=(an_instance("a", "10.0.0.2"),))
    hostnames.changed(web, served["web"])
    assert hostnames.followers.sought
    for service in hosts.values():
        first, second = finish(hostnames.complete(service)).instances
        assert (first.addresses, second.addresses) == (("10.0.0.2",), ())


def an_instance(id: str, where: str) -> Instance:
    host = where if where[-1].isalpha() else None
    return Instance(id, id, f"/{id}", Registration(() if host else (where,), host), 0.0)


def naming(name: str, *hosts: str) -> Service:
    instances = tuple(an_instance(f"i{n}", host) for n, host in enumerate(hosts))
    return Service(name, name, f"/{name}", instances=instances)


@pytest.mark.parametrize("host", ["web.svc.local", "i{}.web.svc.local"])
def test_names_that_lead_to_a_service_of_thousands_do_not_each_cost_all_of_it(host: str) -> None:
    """Nor has each all of its addresses: two thousand that led to two thousand took minutes."""
    many = tuple(an_instance(f"i{n}", f"10.{n >> 8}.{n & 255}.1") for n in range(10 * MAX_ADDRESSES))

    def lines(number: int, instances: tuple[Instance, ...]) -> int:
        web = Service("web", "web", "/web", instances=instances)
        hostnames = Hostnames(["svc.local"], {"web": web})
        hostnames.changed(None, web)
        guest = naming("guest", *(host.format(n) for n in range(number)))
        given: list[Service] = []
        cost = steps(lambda: given.append(finish(hostnames.complete(guest))))
        most = 1 if "{" in host else min(MAX_ADDRESSES, len(instances))
        assert {len(i.addresses) for i in given[0].instances} == {most}
        return cost

    few = many[:MAX_ADDRESSES]
    each = lines(64, few) - lines(32, few)
    assert lines(64, many) - lines(32, many) == each
