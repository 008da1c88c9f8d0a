"""Targets: which address and port is probed, and which checks are a problem instead."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zkdns.health.targets import WAYS, CheckPolicy, Target, targets_of
from zkdns.model import Check, Instance, Registration, Service, ServiceSettings

TYPES = {"tcp", "http", "command"}


def aimed(
    check: Check | None, *registrations: Registration, allow: bool = False, networks: tuple[str, ...] = ()
) -> tuple[list[str], str]:
    instances = tuple(Instance(f"i{n}", "", f"/s/i{n}", r, 0.0) for n, r in enumerate(registrations))
    service = Service("s", "s", "/s", ServiceSettings(check=check), instances)
    targets, problem = targets_of(service, instances, TYPES, CheckPolicy.of(allow, networks))
    return [t.unprobeable or f"{t.address} {t.port}" for t in targets], problem.what if problem else ""


ONE = Registration(("10.0.0.1", "fd00::1"), port=80, ports=(("http", 8080),))


@pytest.mark.parametrize(
    ("port", "told"), [(None, "10.0.0.1 80"), ("http", "10.0.0.1 8080"), (9, "10.0.0.1 9")]
)
def test_the_port_is_the_main_one_a_named_one_or_a_number(port: str | int | None, told: str) -> None:
    assert aimed(Check("tcp", port), ONE) == ([told], "")


def test_a_host_name_that_is_not_resolved_yet_is_probed_by_its_name() -> None:
    assert aimed(Check("tcp"), Registration((), "db.example", 5432)) == (["db.example 5432"], "")


def test_an_instance_without_the_port_that_others_have_fails() -> None:
    told, problem = aimed(Check("tcp", "http"), ONE, Registration(("10.0.0.2",), port=80))
    assert told == ["10.0.0.1 8080", "has no port named 'http'"]
    assert not problem


def test_a_target_tells_whose_it_is_and_that_of_a_view_is_the_services() -> None:
    instance = Instance("a", "", "/s/a", ONE, 5.0, registry="dc1", owner=7)
    view = Service("s@dc1", "s-dc1", "/s", view_of="s", registries=("dc1",))
    for service in (Service("s", "s", "/s"), view):
        service = replace(service, settings=ServiceSettings(check=Check("tcp")))
        (target,), _ = targets_of(service, [instance], TYPES, CheckPolicy())
        assert target.whose == target.place().whose == ("s", 7, "dc1")
        assert len(target.whose) == WAYS


def test_a_port_that_no_instance_has_is_a_problem_of_the_check() -> None:
    told, problem = aimed(Check("tcp", "htpt"), ONE)
    assert not told
    assert problem == "no instance can be checked (has no port named 'htpt'), so the service has no check"


def test_an_unknown_type_is_a_problem_of_the_check() -> None:
    told, problem = aimed(Check("smtp"), ONE)
    assert not told
    assert problem.startswith("check.type 'smtp' is unknown")


def test_command_checks_need_the_servers_own_word() -> None:
    told, problem = aimed(Check("command", command=("true",)), ONE)
    assert not told
    assert problem.startswith("command checks are not allowed")
    assert aimed(Check("command", command=("true",)), ONE, allow=True) == (["10.0.0.1 80"], "")


def test_a_service_without_a_check_has_no_targets() -> None:
    assert aimed(None, ONE) == ([], "")


def test_checks_go_to_the_networks_that_are_named_and_nowhere_else() -> None:
    near, far = ONE, Registration(("192.0.2.9",), port=80)
    told, problem = aimed(Check("tcp"), near, far, networks=("10.0.0.0/8", "fd00::/8"))
    assert told == ["10.0.0.1 80"]
    assert problem == "i1 at 192.0.2.9 can't be checked from here: check_targets leaves it out"
    named = Registration((), "db.example", 5432)
    told, problem = aimed(Check("http"), named, far, named, networks=("10.0.0.0/8",))
    assert told == []
    assert problem.startswith("i0 at db.example and 2 more")
    assert aimed(Check("tcp"), Registration(("fd00::7",), port=1), networks=("fd00::/8",))[1] == ""


def test_an_instance_of_a_view_is_the_place_that_the_services_own_is_where_it_is_the_same() -> None:
    own = Instance("a", "a", "/s/a", ONE, 7.0)
    settings = ServiceSettings(check=Check("tcp"))
    service = Service("s", "s", "/s", settings, (own,))
    there = replace(own, registration=replace(ONE, addresses=("10.0.0.9",)))

    def view(registry: str, instance: Instance) -> Service:
        shown = replace(instance, path=f"{registry}:{instance.path}")
        return Service(
            f"s@{registry}", "s", f"{registry}:/s", settings, (shown,), "", (registry,), view_of="s"
        )

    several = (service, view("dc1", own), view("dc2", there))
    places = [targets_of(one, one.instances, TYPES, CheckPolicy())[0][0] for one in several]
    assert [t.path for t in places] == ["/s/a", "dc1:/s/a", "dc2:/s/a"]
    assert [t.registered_at for t in places] == ["/s/a"] * 3
    assert places[0].place() == places[1].place() != places[2].place()


def test_all_of_a_service_and_its_views_count_against_one_share_wherever_they_stand() -> None:
    """Below `/{service}/{id}/info` each stands in a folder of its own."""
    held = tuple(Instance(id, id, f"/s/{id}/info", ONE, 7.0) for id in "ab")
    service = Service("s", "s", "/s", ServiceSettings(check=Check("tcp")), held)
    view = replace(service, name="s@dc1", registries=("dc1",), view_of="s")
    for one in (service, view):
        found, _ = targets_of(one, one.instances, TYPES, CheckPolicy())
        assert [t.service for t in found] == ["s", "s"]
        assert [t.place().service for t in found] == ["s", "s"]


def test_a_check_that_is_set_otherwise_is_another_target_of_the_same_instance() -> None:
    instances = (Instance("a", "", "/s/a", ONE, 0.0),)
    known: dict[str, Target] = {}
    for check in (Check("tcp"), Check("tcp", interval=3.0), Check("tcp", "http")):
        service = Service("s", "s", "/s", ServiceSettings(check=check), instances)
        (target,), _ = targets_of(service, instances, TYPES, CheckPolicy.of(False, ()), known)
        assert target.check == check
        known = {target.path: target}
    assert known["/s/a"].port == 8080
