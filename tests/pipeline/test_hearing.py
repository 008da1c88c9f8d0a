"""What registries tell at once, and is much: it is taken in turns, in order, and counts once it is whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.examples import examples
from support.stepping import NOW, ROOTS, World, an_address
from zkdns.model import Begin, Children, Data, Event, Session, Stat, Whole
from zkdns.pipeline.hearing import MAX_UNTAKEN, Hearing
from zkdns.pipeline.inputs import ClockSet, Heard
from zkdns.pipeline.registry import Registry
from zkdns.pipeline.sessions import SESSION_END_SECONDS
from zkdns.pipeline.start import Stage
from zkdns.wall import Wall

MANY = 60


class Taken:
    """How many events registries take, turn by turn. Each look at the clock takes a second."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        looks = count()
        pipeline = world.pipeline
        pipeline._tick = pipeline._publisher._tick = pipeline._hearing._tick = lambda: float(next(looks))
        real = Registry.steps

        def steps(registry: Registry, *args: object) -> Iterator[None]:
            self.count += 1
            return real(registry, *args)  # type: ignore[arg-type]

        monkeypatch.setattr(Registry, "steps", steps)

    def now(self) -> int:
        taken, self.count = self.count, 0
        return taken


def a_batch(world: World, number: int = MANY, first: int = 0) -> list[Event]:
    held = {f"i{n:03}": an_address(n) for n in range(first, first + number)}
    return list(world.told("web", **held))


def test_what_is_told_at_once_takes_turns_and_is_shown_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.settle()
    serial = world.pipeline.builder.serial
    taken = Taken(world, monkeypatch)
    batch = a_batch(world)
    world.hear("/services", *batch)
    most = [taken.now()]
    while not world.pipeline.services:
        assert not world.pipeline.idle
        assert world.pipeline.builder.serial == serial, "the serial goes with the answers"
        assert world.ready(budget=5.0).more or world.pipeline.services
        most.append(taken.now())
    assert max(most) <= 6
    assert sum(most) == len(batch)
    assert len(world.pipeline.services["web"].instances) == MANY
    world.rest(budget=5.0)
    assert world.pipeline.idle
    assert world.pipeline.builder.serial > serial


def test_what_comes_meanwhile_waits_for_what_came_before(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.settle()
    Taken(world, monkeypatch)
    world.hear("/services", *a_batch(world))
    world.hear("/services", world.data("/services/web/i000", an_address(999)))
    world.hear("/services", Children("/services", (), next(world.zxid)))
    told = []
    for _ in range(200):
        told += world.ready(budget=0.0).changes
        if world.pipeline.idle:
            break
    assert [(c.id, c.what) for c in told if c.id == "i000"] == [
        ("i000", "registered"), ("i000", "registered"), ("i000", "gone"),
    ]  # fmt: skip
    assert not world.pipeline.services


def test_a_reading_is_whole_when_all_of_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(is_read=False)
    Taken(world, monkeypatch)
    for root in ROOTS:
        events = a_batch(world) if root == "/services" else ()
        world.hear(root, Begin(), *events, Whole(), Session(True))
    while world.pipeline.stage is Stage.LOADING:
        assert not world.pipeline.registries["r1"].is_whole or world.pipeline._hearing.has_work
        world.ready(budget=3.0)
    world.rest(budget=3.0)
    world.rest(budget=3.0)
    assert world.pipeline.stage is Stage.READY
    assert len(world.addresses("web")) == MANY


def test_who_tells_without_end_has_it_shown_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.settle()
    Taken(world, monkeypatch)
    batches = 0
    for turn in range(400):
        world.hear("/services", *a_batch(world, 4, first=turn))
        world.ready(budget=2.0)
        batches += bool(world.pipeline.services)
        if batches:
            break
    assert batches, "though there is always more"


def test_registries_are_to_tell_no_more_while_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits here is in the order in which it was told, so that a change would wait for all of it."""
    world = World()
    world.settle()
    Taken(world, monkeypatch)
    for _ in range(MAX_UNTAKEN + 3):
        world.hear("/services", *a_batch(world))
    behind = [world.ready(budget=10.0).is_behind for _ in range(200)]
    assert behind[0]
    assert not behind[-1]
    assert behind == sorted(behind, reverse=True)
    assert behind.index(False) < len(behind) // 2, "and not as long as there is anything to do"


def test_without_a_clock_all_is_taken_at_once() -> None:
    """So do transcripts, the simulator and commands that look right after a step."""
    world = World()
    world.settle()
    world.hear("/services", *a_batch(world))
    assert not world.pipeline._hearing.has_work
    tree = world.pipeline.registries["r1"].tree
    assert tree is not None
    assert len(tree.catalog().services["web"].instances) == MANY


def test_an_outage_is_told_after_what_was_told_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.settle()
    Taken(world, monkeypatch)
    world.hear("/services", *a_batch(world))
    world.hear("/services", Session(False))
    while world.pipeline._hearing.has_work:
        assert world.pipeline.registries["r1"].stale_since is None
        world.ready(budget=3.0)
    assert world.pipeline.registries["r1"].stale_since == NOW


@pytest.mark.parametrize("by", [3 * 3600.0, -3 * 3600.0])
def test_an_outage_that_waits_while_somebody_sets_the_clock_is_as_old_as_it_is(
    monkeypatch: pytest.MonkeyPatch, by: float
) -> None:
    world = World()
    world.settle()
    Taken(world, monkeypatch)
    world.hear("/services", *a_batch(world))
    world.hear("/services", Session(False))
    world.now += by
    world.pipeline.step(ClockSet(by), world.now)
    while world.pipeline._hearing.has_work:
        world.ready(budget=3.0)
    assert world.pipeline.registries["r1"].stale_since == world.now


@settings(max_examples=examples(40), deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), max_size=6), max_size=6),
    st.data(),
)
def test_however_it_is_cut_the_same_comes_of_it(
    told: list[list[tuple[str, int]]], draw: st.DataObject
) -> None:
    one, other = World(), World()
    looks = count()
    other.pipeline._hearing._tick = other.pipeline._tick = lambda: float(next(looks))
    for world in (one, other):
        world.settle()
    for batch in told:
        events = [event for id, n in batch for event in instances(one, id, n)]
        for world in (one, other):
            world.pipeline.step(Heard("r1", "/services", tuple(events)), NOW)
        one.ready()
        for _ in range(draw.draw(st.integers(0, 4))):
            other.ready(draw.draw(st.sampled_from([0.0, 1.0, 3.0])))
    one.rest()
    other.rest(1.0)
    assert other.pipeline.idle
    assert other.pipeline.services == one.pipeline.services
    assert other.pipeline.builder.serial == one.pipeline.builder.serial


def instances(world: World, id: str, n: int) -> list[Event]:
    data = json.dumps({"address": f"10.0.0.{n}"}).encode()
    listed: list[Event] = [
        Children("/services", ("web",), next(world.zxid)),
        Children("/services/web", ("a", id), next(world.zxid)),
    ]
    return [*listed, *([world.data(f"/services/web/{id}", data.decode())] if n else [])]


@pytest.mark.parametrize("more_went", [True, False])
def test_the_first_node_of_a_session_that_is_read_alone_is_not_said_to_be_deleted(more_went: bool) -> None:
    world = World()
    for service in ("web", "db"):
        world.register(service)
        world.hear("/services", Children(f"/services/{service}", ("a",), next(world.zxid)))
        stat = Stat(1, 1, NOW, True, owner=7)
        world.hear("/services", Data(f"/services/{service}/a", an_address(1).encode(), stat))
    world.rest()
    gone = Children("/services/web", (), next(world.zxid))
    world.pipeline.step(Heard("r1", "/services", (gone,), more_went), world.now)
    (first,) = [change.why for change in world.ready().changes if change.what == "gone" and change.id]
    assert ("its session is ending" in first) is more_went
    world.now += 0.1
    world.hear("/services", Children("/services/db", (), next(world.zxid)))
    (last,) = [change.why for change in world.ready().changes if change.what == "gone" and change.id]
    assert last == "its session ended: all 2 nodes of it went at once"
    world.register("cache")
    world.now += 2.0
    assert not world.pipeline._hearing.awaits_losses(world.now), "what never came keeps no words open"


class Breaking:
    """A registry that falls over what nodes say, until that is mended."""

    name = "r1"

    def __init__(self) -> None:
        self.is_mended = False
        self.taken: list[Event] = []

    def steps(self, root: str, event: Event, now: float, grace: float) -> Iterator[None]:
        for _ in range(2):
            yield
        if isinstance(event, Data) and not self.is_mended:
            raise RuntimeError
        self.taken.append(event)


OF_A = Data("/services/web/a", b"{}", Stat(1, 1, 0.0, False))


@pytest.mark.parametrize(
    ("event", "is_kept"),
    [
        (Begin(), False),
        (Children("/services/web", ("b",), 2), False),
        (Children("/services", ("shop",), 2), False),
        (Children("/services/web", ("a", "b"), 2), True),
        (Children("/services/shop", (), 2), True),
    ],
)
def test_what_we_fell_over_is_let_go_of_once_it_is_gone_or_read_anew(event: Event, is_kept: bool) -> None:
    wall, registry = Wall(), Breaking()
    hearing = Hearing({"r1": registry}, wall, lambda: 0.0, lambda heard, now: None)  # type: ignore[dict-item]

    def hear(*events: Event) -> None:
        hearing.take(Heard("r1", "/services", events), 0.0)

    hear(OF_A)
    assert [path for path, _ in wall.problems] == ["/services/web/a"]
    hear(event)
    assert bool(wall.problems) is is_kept
    registry.is_mended = True
    below = Data("/services/web/a/info", b"", Stat(1, 1, 0.0, False))
    hear(below)
    assert registry.taken == [event, *([OF_A] if is_kept else []), below], "it is tried before what is below"
    assert not wall.problems


def test_for_a_moment_after_more_went_than_was_read_losses_are_awaited_whatever_the_clock_is_set_to() -> None:
    hearing = Hearing({"r1": Breaking()}, Wall(), lambda: 0.0, lambda heard, now: None)  # type: ignore[dict-item]
    hearing.take(Heard("r1", "/services", (), more_went=True), 10.0)
    assert hearing.awaits_losses(10.5)
    hearing.shift(100.0)
    assert hearing.awaits_losses(110.0 + SESSION_END_SECONDS)
    assert not hearing.awaits_losses(110.1 + SESSION_END_SECONDS)
