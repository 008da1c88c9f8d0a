"""What an error of ours costs within one service: the instance that it is about, and none beside it."""

from __future__ import annotations

import pytest

from support.stepping import World, an_address, break_at, settings_of
from zkdns.health import guard, judge
from zkdns.model import Begin, Children, Session, Whole
from zkdns.pipeline import judging
from zkdns.registry import distinct, format_reader, merge

HOSTILE = "10.66.6.6"


def is_hostile(*arguments: object) -> bool:
    return HOSTILE in repr(arguments)


def changed(world: World, id: str, address: str, registry: str = "r1") -> None:
    data = f'{{"address": "{address}", "port": 80}}'
    world.hear("/services", world.data(f"/services/web/{id}", data), registry=registry)
    world.rest()


def blamed(world: World) -> list[str]:
    return [p.path for p in world.pipeline.problems if p.ours]


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (format_reader.FormatReader, "assemble"), (distinct.Distinct, "make"), (format_reader, "renew"),
        (judging, "with_own_names"), (judge, "steps"),
    ],
)  # fmt: skip
def test_the_instance_that_we_fall_over_is_left_out_wherever_the_service_is_made_and_judged(
    owner: object, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    world.publish("web", a=an_address(1), b=an_address(2), c=an_address(3))
    break_at(monkeypatch, owner, name, is_hostile)
    changed(world, "b", HOSTILE)
    assert world.addresses("web") == ["10.0.0.1", "10.0.0.3"]
    changed(world, "a", "10.1.0.1")
    assert world.addresses("web") == ["10.1.0.1", "10.0.0.3"]
    assert blamed(world) == ["/services/web/b"]
    assert world.pipeline.wall.errors
    changed(world, "b", "10.1.0.2")
    assert world.addresses("web") == ["10.1.0.1", "10.1.0.2", "10.0.0.3"]
    assert not blamed(world)


def test_an_instance_of_one_registry_that_we_fall_over_costs_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(settings_of("zk://h/services", "zk://other/services"))
    world.hear("/services", Begin(), Whole(), Session(True), registry="r2")
    world.settle()
    world.register("web", a=an_address(1))
    world.hear("/services", Children("/services", ("web",), next(world.zxid)), registry="r2")
    world.hear("/services", Children("/services/web", ("b", "c"), next(world.zxid)), registry="r2")
    changed(world, "c", "10.0.0.3", "r2")
    changed(world, "b", "10.0.0.2", "r2")
    assert world.addresses("web") == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    break_at(monkeypatch, merge, "_join", is_hostile)
    changed(world, "b", HOSTILE, "r2")
    changed(world, "a", "10.1.0.1")
    assert world.addresses("web") == ["10.1.0.1", "10.0.0.3"]
    assert [path.endswith("/services/web/b") for path in blamed(world)] == [True]
    changed(world, "b", "10.1.0.2", "r2")
    assert world.addresses("web") == ["10.1.0.1", "10.1.0.2", "10.0.0.3"]
    assert not blamed(world)


def test_what_is_remembered_of_a_service_is_let_go_of_where_we_fall_over_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever is registered by then, it would be met at each change."""
    world = World()
    world.publish("web", a=an_address(1), b=f'{{"address": "{HOSTILE}"}}')
    break_at(
        monkeypatch, guard, "retain", lambda losses, before, *rest: before is not None and is_hostile(before)
    )
    changed(world, "b", "10.1.0.2")
    assert world.addresses("web") == ["10.0.0.1", "10.1.0.2"]
    assert blamed(world) == ["/services/web"]
    changed(world, "a", "10.1.0.1")
    assert world.addresses("web") == ["10.1.0.1", "10.1.0.2"]
    assert not blamed(world)


def test_where_the_loss_guard_falls_over_a_service_its_changes_are_answered_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.publish("web", a=an_address(1), b=an_address(2))
    world.publish("db", a=an_address(3))
    world.hear("/services", world.data("/services/web", '{"hold": 60}'))
    world.rest()
    with monkeypatch.context() as patch:
        break_at(patch, guard, "retain", lambda losses, before, service, *rest: service.name == "web")
        changed(world, "b", "10.1.0.2")
        assert world.addresses("web") == ["10.0.0.1", "10.1.0.2"]
        world.publish("web", b=an_address(9))
        assert world.addresses("web") == ["10.0.0.9"]
        assert blamed(world) == ["/services/web"]
    changed(world, "b", "10.1.0.4")
    assert world.addresses("web") == ["10.1.0.4"]
    assert not blamed(world)
