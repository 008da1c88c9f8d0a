"""No step of the judge or the guard grows with the instances of a service: counted in lines."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.retaining import retain
from support.steps import longest
from support.values import a_service, an_instance
from zkdns.health import guard, judge, targets
from zkdns.health.guard import NO_GRACE, NO_LOSSES, Grace, Losses
from zkdns.health.judge import ServiceView
from zkdns.health.targets import CheckPolicy
from zkdns.model import Check, Instance, Service
from zkdns.steps import SLICE

FEW, MANY = 4 * SLICE, 12 * SLICE
SLACK = 1.1
GRACE = Grace((("", 1e9),), 15.0)


def services_of(number: int, hold: float = 60.0) -> tuple[Service, Service]:
    """One with so many instances, and the same with every fourth of them."""
    every = [an_instance(f"i{n:05}", ephemeral=True) for n in range(number)]
    return a_service(*every, hold=hold), a_service(*every[::4], hold=hold)


def nobody(instance: Instance) -> bool:
    return False


def vanish(number: int) -> int:
    before, after = services_of(number)
    return longest(guard.retain(NO_LOSSES, before, after, 1.0, nobody, NO_GRACE))


def vanish_with_an_outage(number: int) -> int:
    before, after = services_of(number, hold=0.0)
    return longest(guard.retain(NO_LOSSES, before, after, 1.0, nobody, GRACE))


def are_kept(number: int) -> Losses:
    before, after = services_of(number)
    losses = retain(NO_LOSSES, before, after, 1.0)
    assert len(losses.kept) > number // 2
    return losses


def stay_away(number: int) -> int:
    _, after = services_of(number)
    return longest(guard.retain(are_kept(number), after, after, 2.0, nobody, GRACE))


def come_back(number: int) -> int:
    before, after = services_of(number)
    return longest(guard.retain(are_kept(number), after, before, 2.0, nobody, NO_GRACE))


def are_judged(number: int) -> int:
    before, after = services_of(number)
    view = ServiceView(kept=are_kept(number).kept)
    return longest(judge.steps(after, view, 2.0, before))


def are_all_given(number: int) -> int:
    every = [an_instance(f"i{n:05}", status="starting") for n in range(number)]
    return longest(judge.steps(a_service(*every, fail_open=1.0), ServiceView(), 2.0, None))


def warm_up(number: int) -> int:
    every = [an_instance(f"i{n:05}", since=1.0) for n in range(number)]
    return longest(judge.steps(a_service(*every, warm=60.0), ServiceView(), 2.0, None))


def are_checked_within_networks(number: int) -> int:
    service = a_service(*(an_instance(f"i{n:05}") for n in range(number)), check=Check("tcp"))
    policy = CheckPolicy.of(False, ["10.0.0.0/8"])
    return longest(targets.steps(service, service.instances, {"tcp"}, policy, {}))


@pytest.mark.parametrize(
    "act",
    [
        warm_up,
        are_checked_within_networks,
        vanish,
        vanish_with_an_outage,
        stay_away,
        come_back,
        are_judged,
        are_all_given,
    ],
)
def test_no_step_grows_with_the_instances_of_a_service(act: Callable[[int], int]) -> None:
    assert act(MANY) < SLACK * act(FEW)
