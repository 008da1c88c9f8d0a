"""Names that a service does not get since others have them: which are told, and which are no loss."""

from __future__ import annotations

from dataclasses import replace

from zkdns.model import Instance, Registration, Service, State
from zkdns.pipeline.lost_names import tell_lost, tell_nested

OUTER = "svc.local"


def instance(id: str, *tags: str) -> Instance:
    return Instance(id, id, f"/s/web/{id}", Registration(("10.0.0.1",), port=80, tags=tags), 0.0)


def service(*instances: Instance, name: str = "web") -> Service:
    return Service(name, name, f"/s/{name}", instances=instances)


def test_a_tag_that_is_an_instances_id_is_a_loss_unless_nobody_can_be_given_under_it() -> None:
    a, b = instance("a", "b"), instance("b")
    (problem,) = tell_lost(service(a, b))
    assert problem.what.startswith("b.web:")
    assert list(tell_lost(service(a, replace(b, state=State.UNREADABLE)))) == []


def nested(*inner: str, services: tuple[Service, ...]) -> list[str]:
    zones = [OUTER, *(f"{name}.{OUTER}" for name in inner)]
    return [problem.what for problem in tell_nested({s.name: s for s in services}, zones)]


def test_a_zone_takes_the_one_name_at_which_it_begins() -> None:
    web = service(instance("a"), instance("b"))
    assert nested("b.web", services=(web,)) == [f"b.web.{OUTER}: not its own, for b.web.{OUTER} has the name"]
    assert nested("x.b.web", services=(web,)) == [], "what stands above a zone is not the zone's"
    assert nested("c.web", services=(web,)) == []


def test_what_a_view_of_a_service_holds_is_not_looked_at_in_its_place() -> None:
    web = service(instance("a"), instance("b"))
    view = replace(service(instance("c")), name="web@dc2", view_of="web")
    assert len(nested("b.web", services=(web, view))) == 1
    assert nested("c.web", services=(web, view)) == []
