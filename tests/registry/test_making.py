"""Services of thousands are made of their nodes in steps: none grows with their instances, what is told
meanwhile counts, and others go between."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.ensemble import Ensemble
from support.examples import examples
from support.steps import longest
from support.trees import open_root
from zkdns import steps
from zkdns.registry import presets, service_tree
from zkdns.registry.arrange import Found
from zkdns.registry.arrange import arrange as arranging
from zkdns.registry.formats import Node
from zkdns.registry.service_tree import ServiceTree
from zkdns.steps import SLICE

FEW, MANY = 4 * SLICE, 12 * SLICE
SLACK = 1.1
A = b'{"address": "10.0.0.1", "port": 80}'
B = b'{"address": "10.0.0.2", "port": 80}'


def tree_of(ensemble: Ensemble, format: str = "auto") -> ServiceTree:
    tree = open_root("/services", format)
    tell(tree, ensemble)
    return tree


def tell(tree: ServiceTree, ensemble: Ensemble) -> None:
    for event in ensemble.reading():
        tree.apply(event)


def write(tree: ServiceTree, ensemble: Ensemble, path: str, data: bytes) -> None:
    ensemble.set(path, data)
    event = ensemble.get(path)
    assert event is not None
    tree.apply(event)


def web_of(number: int, data: bytes = A, own: bytes = b"") -> Ensemble:
    ensemble = Ensemble()
    ensemble.create("web", own)
    for n in range(number):
        ensemble.create(f"web/i{n:05}", data)
    return ensemble


def make(number: int) -> int:
    tree = tree_of(web_of(number))
    return longest(tree.make("web", [root.now for root in tree.reducers.values()]))


def make_with_inherited_ports(number: int) -> int:
    own = b'{"type": "service", "service": {"srvce": "_http", "proto": "_tcp", "port": 80, "ttl": 60}}'
    tree = tree_of(web_of(number, b'{"type": "host", "host": {"address": "10.0.0.1"}}', own), "registrar")
    lines = longest(tree.make("web", [root.now for root in tree.reducers.values()]))
    assert {i.registration.port for i in tree.catalog().services["web"].instances} == {80}
    return lines


def arrange(number: int) -> int:
    preset = presets.named("kafka")
    (place, _) = preset.places
    finds = []
    for n in range(number):
        parts, error = place.parts(Node(str(n), b'{"endpoints": ["PLAINTEXT://h:1"]}'), {"id": str(n)})
        assert error is None
        finds.append(Found(f"/brokers/ids/{n}", str(n), place, parts))
    return longest(arranging(preset, "kafka", finds))


@pytest.mark.parametrize("act", [make, make_with_inherited_ports, arrange])
def test_no_step_grows_with_the_instances_of_a_service(act: Callable[[int], int]) -> None:
    assert act(MANY) < SLACK * act(FEW)


def test_others_are_made_between_the_steps_of_a_service_of_thousands() -> None:
    ensemble = web_of(MANY)
    ensemble.create("small")
    ensemble.create("small/a", A)
    tree = tree_of(ensemble)
    tree.catalog()
    write(tree, ensemble, "web/i00000", B)
    tree.work(lambda: True)
    assert tree.backlog == 1
    write(tree, ensemble, "small/a", B)
    for _ in range(3):
        tree.work(lambda: True)
    shown = tree.show().services
    assert shown["small"].instances[0].addresses == ("10.0.0.2",)
    assert shown["web"].instances[0].addresses == ("10.0.0.1",)
    assert tree.catalog().services["web"].instances[0].addresses == ("10.0.0.2",)


def test_what_is_told_of_a_service_while_it_is_made_counts_and_who_changes_all_the_time_is_made() -> None:
    ensemble = web_of(MANY)
    tree = tree_of(ensemble)
    before = tree.catalog().services["web"]
    shown = []
    for turn in range(200):
        write(tree, ensemble, "web/i00000", b'{"address": "10.0.1.%d", "port": 80}' % turn)
        tree.work(lambda: True)
        shown.append(tree.show().services["web"])
    assert len({id(service) for service in shown} - {id(before)}) > 2
    assert tree.catalog().services["web"].instances[0].addresses == ("10.0.1.199",)
    assert tree.backlog == 0


NAMES = st.sampled_from(["a", "b", "web", "x", "y"])
CHANGES = st.tuples(
    st.sampled_from(["put", "delete", "read anew", "cut short"]), NAMES, st.sampled_from([A, B])
)


@settings(max_examples=examples(60))
@given(st.lists(st.lists(CHANGES, max_size=4), max_size=12), st.data())
def test_whatever_is_told_while_services_are_made_in_steps_they_come_to_what_stands_there(
    turns: list[list[tuple[str, str, bytes]]], draw: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "SLICE", 1)
        patch.setattr(service_tree, "SOME", 1)
        ensemble = web_of(4)
        tree = tree_of(ensemble)
        for changes in turns:
            for what, id, data in changes:
                if what == "put":
                    ensemble.create(f"web/{id}")
                    ensemble.set(f"web/{id}", data)
                elif what == "delete":
                    ensemble.delete(f"web/{id}")
                reading = ensemble.reading() if what in ("read anew", "cut short") else ()
                for event in (*ensemble.replies(), *reading[: -1 if what == "cut short" else None]):
                    tree.apply(event)
            tree.work(lambda: draw.draw(st.booleans()))
            tree.show(draw.draw(st.integers(0, 2)))
        tell(tree, ensemble)
        assert dict(tree.catalog().services) == dict(tree_of(ensemble).catalog().services)
        assert tree.backlog == 0
