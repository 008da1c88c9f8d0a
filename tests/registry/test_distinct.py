"""Instances of one service whose ids are alike: by change as from nothing, and what a change costs."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.examples import examples
from support.folding import ALIKE, Folded
from zkdns.model import Instance, Problem, Registration, State
from zkdns.registry.distinct import Distinct, relabel
from zkdns.registry.labels import to_label
from zkdns.steps import finish

IDS = ["a", "A", "b.c", "b_c", "B-C", "b-c", to_label("A", 1), to_label("A", 1).upper(), "x"]


def an_instance(id: str, path: str = "", port: int = 1) -> Instance:
    registration = Registration(("10.0.0.1",), port)
    return Instance(id, to_label(id), path or f"/s/{id}", registration, 1.0)


@settings(max_examples=examples(100))
@given(
    st.lists(
        st.lists(
            st.builds(an_instance, st.sampled_from(IDS), st.sampled_from(["", "/s/other"]), st.integers(1, 2))
        ),
        max_size=6,
    )
)
def test_a_service_by_change_is_that_from_nothing(steps: list[list[Instance]]) -> None:
    kept, before = Distinct(), ()
    for instances in steps:
        instances.sort(key=lambda i: (i.id, i.path))
        problems: list[Problem] = []
        now = finish(kept.make("s", instances, before, problems))
        fresh: list[Problem] = []
        assert now == finish(Distinct().make("s", instances, (), fresh))
        assert problems == fresh
        assert len({i.label for i in now}) == len(now) == len({i.id for i in instances})
        assert all(i is old for i in now for old in before if i == old and i.label != to_label(i.id))
        before = now


COMPARED = [field.name for field in fields(Instance) if field.compare and field.name != "label"]
OTHER = {
    "registration": Registration(("10.0.0.2",)),
    "state": State.DOWN,
    "resolved": ("::1",),
    "answered": False,
}


@pytest.mark.parametrize("field", COMPARED)
def test_one_that_differs_in_anything_is_another(field: str) -> None:
    known = replace(an_instance("A"), label="a-1")
    value = getattr(known, field)
    other = (
        OTHER[field] if field in OTHER else value * 2 + 1 if isinstance(value, int | float) else value + "x"
    )
    changed = replace(an_instance("A"), **{field: other})
    assert relabel(changed, "a-1", known) == replace(changed, label="a-1")
    assert getattr(relabel(changed, "a-1", known), field) == other
    assert relabel(an_instance("A"), "a-1", known) is known


def test_a_change_among_thousands_that_are_alike_costs_its_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = ALIKE
    assert len(set(map(to_label, ids))) == 1
    by_id = {id: an_instance(id) for id in ids}
    kept = Distinct()
    before = finish(kept.make("s", list(by_id.values()), (), []))
    folded = Folded(monkeypatch)
    by_id[ids[7]] = an_instance(ids[7], port=9)
    del by_id[ids[1000]]
    problems: list[Problem] = []
    now = finish(kept.make("s", list(by_id.values()), before, problems))
    assert folded.count < 50
    assert len(problems) == len(now) - 1 == len(ids) - 2  # one is a label as it stands
    assert (
        sum(i is old for i, old in zip(now, [i for i in before if i.id != ids[1000]], strict=True))
        == len(now) - 1
    )


def test_what_is_forgotten_is_told_anew() -> None:
    kept = Distinct()
    first: list[Problem] = []
    finish(kept.make("s", [an_instance("A"), an_instance("a")], (), first))
    finish(kept.make("s", [an_instance("A")], (), []))
    again: list[Problem] = []
    finish(kept.make("s", [an_instance("A"), an_instance("a")], (), again))
    assert again == first != []
