"""What one registry alone holds of a service: the same however it came about, and made of what changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdns.answers.routed import view_key
from zkdns.model import Catalog, Instance, Override, Registration, Service
from zkdns.persistent import PersistentMap
from zkdns.pipeline import views
from zkdns.pipeline.views import Views
from zkdns.registry.labels import is_label, to_label
from zkdns.registry.merge import Merger
from zkdns.routes import Target
from zkdns.steps import finish

IDS = ("a", "a-dc2", "A", "b", "b b", "c")
NOTHING: PersistentMap[Any] = PersistentMap()


def an_instance(id: str, registry: str, port: int) -> Instance:
    path = f"/{registry}/web/{id}"
    return Instance(id, to_label(id), path, Registration(("10.0.0.1",), port=port), 1.0, registry=registry)


def a_service(registry: str, ports: dict[str, int], before: Service | None) -> Service:
    """Who did not change is the same object, as readers leave it."""
    known = {i.id: i for i in before.instances} if before is not None else {}
    made = [an_instance(id, registry, port) for id, port in sorted(ports.items())]
    instances = tuple(known[i.id] if known.get(i.id) == i else i for i in made)
    return Service("web", "web", f"/{registry}/web", instances=instances, registries=(registry,))


class Both:
    """Two registries, the second of which has a view of each service."""

    def __init__(self) -> None:
        self.merger, self.views = Merger(), Views(("dc2",))

    def take(self, *services: Service) -> Service:
        held = [PersistentMap({"web": one}) for one in services]
        merged = finish(self.merger.merge([Catalog(each) for each in held]))
        every = finish(
            self.views.take(merged.services, dict(zip(("dc1", "dc2"), held, strict=True)), NOTHING)
        )
        return every["web@dc2"]


HELD = st.dictionaries(st.sampled_from(IDS), st.integers(1, 2), max_size=4)


@given(st.lists(st.tuples(HELD, HELD), min_size=2, max_size=6))
def test_a_view_is_the_same_as_one_that_is_made_of_nothing_before(
    moments: list[tuple[dict[str, int], dict[str, int]]],
) -> None:
    both, services = Both(), [a_service("dc1", {}, None), a_service("dc2", {}, None)]
    for held in moments:
        services = [a_service(s.registries[0], ports, s) for s, ports in zip(services, held, strict=True)]
        view = both.take(*services)
        assert view == Both().take(*services)
        labels = {i.label for i in view.instances}
        assert len(labels) == len(view.instances)
        assert all(map(is_label, labels))


def test_of_thousands_those_alone_that_changed_are_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """They were all made and compared at each change: of twenty thousand a turn of 130 ms."""
    both, ports = Both(), {f"i{n:03}": 80 for n in range(300)}
    first, second = a_service("dc1", ports, None), a_service("dc2", ports, None)
    before = both.take(first, second)
    made: list[Any] = []

    def note(one: Any, **said: Any) -> Any:
        made.append(one)
        return replace(one, **said)

    monkeypatch.setattr(views, "replace", note)
    monkeypatch.setattr(views, "to_label", lambda text: pytest.fail(f"{text} is a label"))
    after = both.take(first, a_service("dc2", ports | {"i007": 81}, second))
    assert [one.id for one in made if isinstance(one, Instance)] == ["i007"]
    assert sum(now is was for now, was in zip(after.instances, before.instances, strict=True)) == 299
    assert after.instances[7].registration.port == 81


def test_a_service_is_found_by_its_name_and_by_its_label_for_as_long_as_it_is_there() -> None:
    every = Views(())

    def take(*names: str) -> None:
        held = {name: Service(name, to_label(name), f"/dc1/{name}") for name in names}
        finish(every.take(PersistentMap(held), {}, NOTHING))

    label = to_label("Web API")
    take("Web API", "shop")
    assert [every.find(text) for text in ("Web API", label, "shop", "nope")] == [
        "Web API",
        "Web API",
        "shop",
        None,
    ]
    take("shop")
    assert [every.find(text) for text in ("Web API", label, "shop")] == [None, None, "shop"]
    assert not every._by_label.keys() - {"shop"}, "of what is gone nothing is kept"


def test_a_route_may_name_a_service_of_one_registry_by_its_label() -> None:
    every = Views(())
    service = Service("Web API", to_label("Web API"), "/dc2/Web API", registries=("dc2",))
    held = PersistentMap({service.name: service})

    def take(*targets: Target) -> set[str]:
        laid = PersistentMap({"alias": targets} if targets else {})
        return {*finish(every.take(held, {"dc2": held}, laid))} - {service.name}

    for text in (service.name, service.label):
        assert take(Target(text, registry="dc2")) == {view_key(service.name, "dc2")}
        assert take(Target("other", registry="dc2"), Target(text)) == set()
    assert take() == set()


def test_what_is_ordered_for_an_instance_holds_in_its_views_and_ends_there_with_it() -> None:
    both = Both()
    both.take(a_service("dc1", {"a": 1}, None), a_service("dc2", {"b": 1}, None))
    order = {"b": Override(drain=True)}
    for orders in (order, {}, order):
        spread = both.views.spread(PersistentMap({"web": orders} if orders else {}))
        assert spread.get("web@dc2", {}) == orders
    both.take(a_service("dc1", {"a": 1}, None), a_service("dc2", {"c": 1}, None))
    assert both.views.spread(PersistentMap({"web": order})).get("web@dc2", {}) == {}
