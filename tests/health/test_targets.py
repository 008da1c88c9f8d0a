"""Targets: which address and port is probed, and which checks are a problem instead."""

from __future__ import annotations

import pytest

from zkdns.health.targets import CheckPolicy, targets_of
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
