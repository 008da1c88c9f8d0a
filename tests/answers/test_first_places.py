"""First places of a large service are counted aside, and told exactly all the while."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.examples import examples
from support.stepping import World, an_address, break_at
from support.steps import steps
from support.values import a_service, an_instance
from zkdns.answers import first_places
from zkdns.answers.builder import Builder
from zkdns.answers.first_places import Counted, FirstAnswers
from zkdns.dns import names
from zkdns.dns.types import A
from zkdns.pipeline.inputs import Compilation

WEB_A = names.wire("web.svc.local") + A.to_bytes(2, "big")

stories = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3), max_size=4)),
        st.tuples(st.just("ask"), st.integers(1, 9)),
        st.tuples(st.sampled_from(["take", "count"])),
        st.tuples(st.just("take out")),
    ),
    max_size=20,
)


def tell(builder: Builder) -> Any:
    """All that anybody is told of it, while it goes on and as of one moment."""
    (walked,) = builder.walk_first_answers("web")
    return (
        builder.given("web").ever(), builder.given("web").recent(),
        builder.snapshot().recent_first_answers("web"), walked.ever(),
    )  # fmt: skip


@settings(max_examples=examples(100), deadline=None)
@given(stories)
def test_what_is_counted_aside_is_told_as_if_it_were_counted_at_once(story: list[Any]) -> None:
    at_once, later = Builder(("svc.local",)), Builder(("svc.local",), aside=True)
    taken: deque[FirstAnswers] = deque()
    for what, *about in story:
        if what == "take":
            taken += later.take_uncounted()
        elif what == "count" and taken:
            one = taken.popleft()
            later.take_counted(Counted(one.name, one.closed, one.add_up()))
        else:
            for builder in (at_once, later):
                if what == "put":
                    service = a_service(*(an_instance(id, weight=weight) for id, weight in about[0].items()))
                    builder.replace("web", builder.compile(service))
                elif what == "take out":
                    builder.replace("web", None)
                elif what == "ask" and "web" in builder.services and WEB_A in builder.services["web"].entries:
                    builder.services["web"].entries[WEB_A].counter.position += about[0]
        assert tell(later) == tell(at_once)


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_places, "MANY", 0)


def test_a_service_that_is_asked_for_is_replaced_at_a_cost_that_does_not_grow_with_it() -> None:
    def lines(number: int) -> int:
        builder = Builder(("svc.local",), aside=True)
        instances = [an_instance(f"i{n:04}", f"10.0.0.{n}") for n in range(number)]
        builder.replace("web", builder.compile(a_service(*instances)))
        last = builder.compile(a_service(*instances[1:], an_instance("i0000", "10.0.1.1", weight=2)))
        builder.services["web"].entries[WEB_A].counter.position += 1000
        return steps(lambda: builder.replace("web", last))

    assert lines(200) < lines(100) + 20


def asked_and_changed() -> tuple[World, Compilation]:
    """What a service gave is to be counted in a thread."""
    world = World(threads=True)
    world.settle()
    world.publish("web", a=an_address(1), b=an_address(2))
    world.pipeline.builder.services["web"].entries[WEB_A].counter.position += 10
    world.register("web", a=an_address(1), b=an_address(3))
    (counting,) = [one for _ in range(9) for one in world.ready().compile]
    return world, counting


def test_what_a_thread_has_counted_is_put_with_what_was_counted_before() -> None:
    world, counting = asked_and_changed()
    builder = world.pipeline.builder
    assert builder.given("web").ever() == {"a": 5, "b": 5}
    world.pipeline.step(counting.work(), world.now)
    assert builder.given("web").ever() == {"a": 5, "b": 5}
    assert not any(one.closed for one in builder.walk_first_answers())


def test_what_cannot_be_counted_is_left_out_and_is_a_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    world, counting = asked_and_changed()
    with monkeypatch.context() as patched:
        break_at(patched, first_places.FirstPlaces, "until", lambda *_: True)
        outcome = counting.work()
    world.pipeline.step(outcome, world.now)
    assert world.pipeline.builder.given("web").ever() == {}
    assert world.pipeline.wall.errors == 1
    world.pipeline.builder.services["web"].entries[WEB_A].counter.position += 10
    assert world.pipeline.builder.given("web").ever() == {"a": 5, "b": 5}
