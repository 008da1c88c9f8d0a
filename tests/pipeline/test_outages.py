"""Outages as the answers' changes tell them: which services have nobody, since when, by what."""

from __future__ import annotations

from dataclasses import replace

from support.steps import steps
from zkdns.model import Change, Instance, Registration, Service, ServiceSettings, State
from zkdns.pipeline.changes import Moment, between
from zkdns.pipeline.outages import Outages


def service(*states: State) -> Service:
    instances = tuple(
        Instance(id, id, f"/r/web/{id}", Registration(("10.0.0.1",)), 0.0, state=state)
        for id, state in zip("abcdef", states, strict=False)
    )
    return Service("web", "web", "/r/web", instances=instances)


class World:
    """Services that change, with what is told of it."""

    def __init__(self) -> None:
        self.services: dict[str, Service] = {}
        self.outages = Outages(self.services)
        self.changes: list[Change] = []

    def put(self, at: float, now: Service | None) -> None:
        before = self.services.pop("web", None)
        if now is not None:
            self.services["web"] = now
        self.changes = between(before, now, Moment(at, 1))
        self.outages.take(self.changes)


def test_an_outage_is_by_the_instance_that_went_whatever_else_came_with_it() -> None:
    world = World()
    world.put(1.0, service(State.HEALTHY))
    world.put(2.0, replace(service(), settings=ServiceSettings(ttl=9)))
    assert [c.what for c in world.changes] == ["gone", "settings"]
    outage = world.outages.standing()["web"]
    assert outage.change is world.changes[0]


def test_a_folder_that_never_had_an_instance_is_told_as_such() -> None:
    world = World()
    world.put(1.0, service())
    outage = world.outages.standing()["web"]
    assert (outage.at, outage.change, outage.had) == (1.0, None, False)


def test_a_service_that_lost_its_last_instance_is_out_since_then_and_by_that() -> None:
    world = World()
    world.put(1.0, service(State.HEALTHY, State.HEALTHY))
    world.put(2.0, service(State.HEALTHY))
    assert not world.outages.standing()
    world.put(3.0, service())
    outage = world.outages.standing()["web"]
    assert outage.at == 3.0
    assert outage.had
    assert outage.change is not None
    assert (outage.change.id, outage.change.what) == ("a", "gone")


def test_what_follows_on_an_outage_moves_neither_its_time_nor_its_cause() -> None:
    world = World()
    world.put(1.0, service(State.HEALTHY))
    world.put(2.0, service(State.FAILING))
    world.put(3.0, service(State.DOWN))
    world.put(4.0, service())
    outage = world.outages.standing()["web"]
    assert outage.at == 2.0
    assert outage.change is not None
    assert outage.change.now == "failing"


def test_one_healthy_instance_ends_it_and_so_does_the_end_of_its_folder() -> None:
    for end in (service(State.HEALTHY), service(State.WARMING, State.DOWN), None):
        world = World()
        world.put(1.0, service(State.HEALTHY))
        world.put(2.0, service())
        world.put(3.0, end)
        assert not world.outages.standing()


def test_a_folder_made_anew_has_had_nothing() -> None:
    world = World()
    world.put(1.0, service(State.HEALTHY))
    world.put(2.0, None)
    world.put(3.0, service())
    assert not world.outages.standing()["web"].had


def test_instances_that_were_never_healthy_are_an_outage_all_the_same() -> None:
    world = World()
    world.put(1.0, service())
    world.put(2.0, service(State.UNREADABLE))
    outage = world.outages.standing()["web"]
    assert outage.had
    assert outage.change is not None
    assert outage.change.id == "a"


def test_what_was_given_out_is_not_written_again() -> None:
    world = World()
    world.put(1.0, service(State.DOWN))
    before = world.outages.standing()
    world.put(2.0, service(State.HEALTHY))
    assert "web" in before
    assert not world.outages.standing()


def test_what_thousands_of_one_service_tell_is_looked_at_as_one() -> None:
    def lines(number: int) -> int:
        instance = service(State.HEALTHY).instances[0]
        every = tuple(replace(instance, id=f"i{n}") for n in range(number))
        web = replace(service(), instances=every)
        world = World()
        world.services["web"] = web
        changes = between(None, web, Moment(1.0, 1))
        return steps(lambda: world.outages.take(changes))

    assert lines(4000) == lines(40)


def test_what_is_told_of_the_folder_behind_others_does_not_hide_the_instance_that_went() -> None:
    world = World()
    world.put(1.0, service(State.HEALTHY))
    world.services["web"] = service()
    gone = Change(2.0, 5, "web", "a", "gone", "healthy", "")
    other = Change(2.0, 6, "db", "x", "gone", "healthy", "")
    folder = Change(2.0, 7, "web", "", "settings", "ttl 1", "ttl 2")
    world.outages.take([gone, other, folder])
    assert world.outages.standing()["web"].change == gone
