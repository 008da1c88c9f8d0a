"""Names that a service does not get since others have them: which are told, and which are no loss."""

from __future__ import annotations

from dataclasses import replace

from support.values import a_service, an_instance
from zkdns.model import Service, State
from zkdns.pipeline.lost_names import tell_lost, tell_nested

OUTER = "svc.local"


def test_a_tag_that_is_an_instances_id_is_a_loss_unless_nobody_can_be_given_under_it() -> None:
    a, b = an_instance("a", tags=("b",)), an_instance("b")
    (problem,) = tell_lost(a_service(a, b))
    assert problem.what.startswith("b.web:")
    assert list(tell_lost(a_service(a, replace(b, state=State.UNREADABLE)))) == []


def nested(*inner: str, services: tuple[Service, ...]) -> list[str]:
    zones = [OUTER, *(f"{name}.{OUTER}" for name in inner)]
    return [problem.what for problem in tell_nested({s.name: s for s in services}, zones)]


def test_a_zone_takes_the_one_name_at_which_it_begins() -> None:
    web = a_service(an_instance("a"), an_instance("b"))
    assert nested("b.web", services=(web,)) == [f"b.web.{OUTER}: not its own, for b.web.{OUTER} has the name"]
    assert nested("x.b.web", services=(web,)) == [], "what stands above a zone is not the zone's"
    assert nested("c.web", services=(web,)) == []


def test_what_a_view_of_a_service_holds_is_not_looked_at_in_its_place() -> None:
    web = a_service(an_instance("a"), an_instance("b"))
    view = replace(a_service(an_instance("c")), name="web@dc2", view_of="web")
    assert len(nested("b.web", services=(web, view))) == 1
    assert nested("c.web", services=(web, view)) == []
