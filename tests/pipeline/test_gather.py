"""What registries hold together, and what is laid over it: names that come and go with an override."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from support.stepping import in_steps
from zkdns.model import Catalog, Instance, Override, Registration, Service
from zkdns.pipeline.gather import Gatherer
from zkdns.routes import Route, parse_tiers
from zkdns.steps import finish
from zkdns.wall import Wall


def service(name: str, *ids: str) -> Service:
    own = tuple(Instance(id, id, f"/s/{name}/{id}", Registration(("10.0.0.1",)), 0.0) for id in ids)
    return Service(name, name, f"/s/{name}", instances=own)


def registry(name: str, *services: Service) -> Any:
    held = {one.name: one for one in services}
    return SimpleNamespace(name=name, mark_services=in_steps, shown=Catalog(held, complete=True))


def route(to: object, under: Override | None = None, until: float | None = None) -> Override:
    return Override(route=Route(parse_tiers(to, "to")), under=under, until=until)


HELD = [registry("dc1", service("web", "a")), registry("dc2", service("web", "b"))]


def test_a_name_that_an_override_makes_goes_with_it() -> None:
    gatherer = Gatherer((), Wall())
    for laid, names in (
        ({"alias": route({"web": 1}), "other": route({"web": 1})}, {"alias", "other", "web"}),
        ({"alias": route({"web": 1})}, {"alias", "web"}),
        ({}, {"web"}),
    ):
        finish(gatherer.take(HELD, laid))
        assert set(gatherer.services) == set(gatherer.catalog.services) == names


def test_what_an_override_will_uncover_has_its_views_before_it_does() -> None:
    """Else it would lead nowhere in the moment in which the one above it ends."""
    gatherer = Gatherer((), Wall())
    below = route({"web@dc2": 1})
    finish(gatherer.take(HELD, {"web": route({"web": 1}, below, until=100.0)}))
    assert [i.id for i in gatherer.services["web@dc2"].instances] == ["b"]
    finish(gatherer.take(HELD, {"web": route({"web": 1})}))
    assert "web@dc2" not in gatherer.services


def test_what_a_registry_that_stands_behind_holds_makes_names_and_gives_no_instance() -> None:
    gatherer = Gatherer(("dc2",), Wall())
    for behind in (("web", "only"), ("only",), ()):
        held = [HELD[0], registry("dc2", *(service(name, "b") for name in behind))]
        finish(gatherer.take(held, {}))
        given = {name: [i.id for i in one.instances] for name, one in gatherer.services.items()}
        views = {f"{name}@dc2": ["b"] for name in behind}
        assert given == {**{name: [] for name in behind}, "web": ["a"], **views}
