"""Any number of services that are told of at once: handed on in turns, shown together as far as a turn may be
late for it, and nobody else's change waits for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

import pytest

from support.stepping import NOW, ROOTS, World, an_address, settings_of
from zkdns.model import Begin, Catalog, Children, Data, Event, Session, Stat, Whole
from zkdns.pipeline import gathering, pipeline
from zkdns.pipeline.hearing import MAX_SECONDS_AT_ONCE
from zkdns.pipeline.inputs import FileRead, Remembered
from zkdns.pipeline.publisher import Publisher
from zkdns.pipeline.start import Stage
from zkdns.registry import file
from zkdns.registry.merge import Merger
from zkdns.steps import Steps

AT_A_TIME, MAX_TOGETHER, PART, MAX_UNPUBLISHED = 16, 128, 2, 3
MANY = 6 * AT_A_TIME
OWNER = 0x55


@pytest.fixture(autouse=True)
def a_quarter_of_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is so for these numbers is so for four times as many."""
    for module, name, ours in (
        (pipeline, "AT_A_TIME", AT_A_TIME),
        (gathering, "MAX_TOGETHER", MAX_TOGETHER),
        (gathering, "PART", PART),
        (gathering, "MAX_UNPUBLISHED", MAX_UNPUBLISHED),
        (gathering, "NEARLY_ALL", PART // 2),
    ):
        assert getattr(module, name) == 4 * ours
        monkeypatch.setattr(module, name, ours)


class Watched:
    """How many services are handed on, turn by turn. Each look at the clock takes a second."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch, second: float = 1.0) -> None:
        self.world = world
        self.count = 0
        looks = count()
        ours = world.pipeline
        ours._tick = ours._publisher._tick = ours._hearing._tick = lambda: next(looks) * second
        real = Publisher.take

        def take(publisher: Publisher, *args: object) -> Steps[list[str]]:
            changed = yield from real(publisher, *args)  # type: ignore[arg-type]
            self.count += len(changed)
            return changed

        monkeypatch.setattr(Publisher, "take", take)

    def turns(self, budget: float) -> Iterator[int]:
        """What each turn hands on, until there is nothing left to do."""
        for _ in range(20_000):
            self.count = 0
            more = self.world.ready(budget).more
            yield self.count
            if not more:
                return
        raise AssertionError("there is always more")


def events_of(world: World, number: int, owner: int = 0) -> list[Event]:
    world.names = {f"s{n:04}" for n in range(number)}
    events: list[Event] = [Children("/services", tuple(sorted(world.names)), next(world.zxid))]
    for n, name in enumerate(sorted(world.names)):
        zxid = next(world.zxid)
        stat = Stat(zxid, zxid, NOW, bool(owner), owner=owner)
        events.append(Data(f"/services/{name}", b"", Stat(zxid, zxid, NOW, False)))
        events.append(Children(f"/services/{name}", ("a",), zxid))
        events.append(Data(f"/services/{name}/a", an_address(n).encode(), stat))
    return events


def a_settled_world() -> World:
    world = World()
    world.settle()
    return world


def test_however_many_are_told_of_at_once_few_are_handed_on_in_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = a_settled_world()
    watched = Watched(world, monkeypatch)
    world.hear("/services", *events_of(world, MANY))
    turns = list(watched.turns(budget=0.0))
    assert sum(turns) == MANY
    assert max(turns) == AT_A_TIME
    assert all(world.addresses(name) for name in world.names)
    assert world.pipeline.idle


def a_file_of(number: int, port: int, previous: Catalog | None = None) -> FileRead:
    rows = (f'[[s{n}.instances]]\nid = "a"\naddress = "10.0.{n >> 8}.{n & 255}"' for n in range(number))
    text = "".join(f"{row}\nport = {port}\n" for row in rows)
    return FileRead("r1", file.parse(text.encode(), port, "services.toml", previous))


def test_however_many_services_a_file_has_few_are_handed_on_in_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(settings_of("file:services.toml"), is_read=False)
    before = a_file_of(MANY, 80)
    world.pipeline.step(before, NOW)
    world.settle()
    watched = Watched(world, monkeypatch)
    for number, port in ((MANY, 81), (3, 81)):
        after = a_file_of(number, port, before.catalog)
        world.pipeline.step(after, NOW)
        turns = list(watched.turns(budget=0.0))
        assert sum(turns) == MANY - (3 if number == 3 else 0)
        assert max(turns) == AT_A_TIME
        assert world.pipeline.idle
        assert len(world.pipeline.services) == number
        before = after
    assert world.pipeline.builder.serial == 81


def test_what_was_remembered_is_answered_until_what_is_read_in_its_place_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nodes that outlive sessions, and those that are there without one."""
    number = 3 * MAX_TOGETHER
    registered = a_settled_world()
    registered.hear("/services", *events_of(registered, number))
    registered.rest()
    world = World(is_read=False)
    Watched(world, monkeypatch)
    world.pipeline.step(Remembered("r1", registered.pipeline.catalog, {}), NOW)
    world.now += 60
    while world.pipeline.stage is not Stage.READY:
        world.ready(budget=3.0)
    names = {*registered.names}
    for root in ROOTS:
        events = events_of(world, number - 1) if root == "/services" else ()
        world.hear(root, Begin(), *events, Whole(), Session(True))
    more = True
    while more:
        more = world.ready(budget=3.0).more
        assert len([name for name in names if world.addresses(name)]) >= number - 1
    assert {*world.pipeline.services} == world.names


def test_a_change_of_one_service_is_gathered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It moves the serial, too: what was made of nothing but that was gathered before it."""
    world = a_settled_world()
    world.publish("web", a=an_address(1))
    gathered: list[Catalog] = []
    real = Merger.merge

    def merge(merger: Merger, catalogs: Sequence[Catalog]) -> Steps[Catalog]:
        gathered.append((yield from real(merger, catalogs)))
        return gathered[-1]

    monkeypatch.setattr(Merger, "merge", merge)
    world.publish("web", a=an_address(2))
    assert world.addresses("web") == ["10.0.0.2"]
    assert len(gathered) == 1


def test_a_service_that_is_shown_before_its_instances_is_told_of_with_its_own_transaction() -> None:
    """The registry's newest may be that of an instance, whose data came later."""
    world = a_settled_world()
    made = Data("/services/web", b"", Stat(0x100000100, 0x100000100, NOW, False))
    instance = Data("/services/web/a", an_address(1).encode(), Stat(0x100000101, 0x100000101, NOW, True))
    world.hear("/services", Children("/services", ("web",), 0x100000100), made)
    world.hear("/services", Children("/services/web", ("a",), 0x100000102))
    world.rest()
    world.hear("/services", instance)
    world.rest()
    told = [(c.id, c.what, c.zxid) for ready in world.readies for c in ready.changes if c.service == "web"]
    assert told == [("", "registered", 0x100000100), ("a", "registered", 0x100000101)]


def test_those_that_are_made_already_are_handed_on_so_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an outage: what was read anew is made while it is read."""
    world = a_settled_world()
    watched = Watched(world, monkeypatch)
    world.hear("/services", Begin(), *events_of(world, MANY), Whole(), Session(True))
    turns = list(watched.turns(budget=0.0))
    assert sum(turns) == MANY
    assert max(turns) == AT_A_TIME
    assert all(world.addresses(name) for name in world.names)


def test_why_nodes_are_gone_is_told_of_all_that_their_session_held(monkeypatch: pytest.MonkeyPatch) -> None:
    world = a_settled_world()
    world.hear("/services", *events_of(world, MANY, OWNER))
    world.rest()
    watched = Watched(world, monkeypatch)
    gone = [Children(f"/services/{name}", (), next(world.zxid)) for name in sorted(world.names)]
    world.hear("/services", *gone)
    world.readies.clear()
    assert sum(watched.turns(budget=3.0)) == MANY
    told = [change for ready in world.readies for change in ready.changes if change.what == "gone"]
    assert [change.id for change in told] == ["a"] * MANY
    assert {change.why for change in told} == {f"its session ended: all {MANY} nodes of it went at once"}


def test_more_than_are_shown_together_are_published_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    world = a_settled_world()
    watched = Watched(world, monkeypatch)
    world.hear("/services", *events_of(world, 2 * MAX_TOGETHER))
    handed_on, published = 0, 0
    for turn in watched.turns(budget=20.0):
        handed_on += turn
        published = published or len(world.pipeline.services)
        if published:
            break
    assert PART <= handed_on < MAX_TOGETHER
    list(watched.turns(budget=20.0))
    assert len(world.pipeline.services) == 2 * MAX_TOGETHER


def test_another_change_does_not_wait_for_thousands(monkeypatch: pytest.MonkeyPatch) -> None:
    world = a_settled_world()
    world.register("web", a=an_address(1))
    world.settle()
    Watched(world, monkeypatch)
    number = 8 * MAX_TOGETHER
    events = events_of(world, number)
    first = events[0]
    assert isinstance(first, Children)
    world.hear("/services", Children("/services", (*first.names, "web"), first.zxid), *events[1:])
    while world.pipeline._hearing.has_work:
        world.ready(budget=3.0)
    world.hear("/services", world.data("/services/web/a", an_address(2)))
    while world.addresses("web") != ["10.0.0.2"]:
        assert world.ready(budget=3.0).more
    assert len(world.pipeline.services) < number / 2


def published_before_web(world: World) -> int:
    """Services that are published before a change of `web` is, from its telling on."""
    published: list[str] = []
    real = Publisher._publish

    def publish(publisher: Publisher, name: str, *moment: object) -> bool:
        published.append(name)
        return real(publisher, name, *moment)  # type: ignore[arg-type]

    world.hear("/services", world.data("/services/web/a", an_address(2)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Publisher, "_publish", publish)
        while world.addresses("web") != ["10.0.0.2"]:
            assert world.ready(budget=3.0).more
    return len(published)


@pytest.mark.parametrize("goes", [True, False], ids=["that go", "that come"])
@pytest.mark.parametrize("number", [2 * MAX_TOGETHER, 8 * MAX_TOGETHER])
def test_a_change_amid_services_waits_for_as_many_however_many_there_are(
    number: int, goes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands that one list has, or has no more, wait beside what is told of each."""
    world = a_settled_world()
    world.register("web", a=an_address(1))
    world.settle()
    events = events_of(world, number)
    everything = Children("/services", (*world.names, "web"), next(world.zxid))
    if goes:
        world.hear("/services", everything, *events[1:])
        world.rest()
        events = [Children("/services", ("web",), next(world.zxid))]
    else:
        events = [everything]
    Watched(world, monkeypatch)
    world.hear("/services", *events)
    while world.pipeline._hearing.has_work:
        world.ready(budget=3.0)
    for _ in range(20):
        world.ready(budget=3.0)
    assert published_before_web(world) <= 3 * PART


def test_registries_are_to_tell_no_more_while_what_they_told_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the mirror what waits is in fair order."""
    world = a_settled_world()
    Watched(world, monkeypatch)
    world.hear("/services", *events_of(world, 8 * MAX_UNPUBLISHED))
    while world.pipeline._hearing.has_work:
        world.ready(budget=3.0)
    behind = []
    for _ in range(5000):
        ready = world.ready(budget=3.0)
        behind.append(ready.is_behind)
        if not ready.more:
            break
    assert behind[0]
    assert not behind[-1]
    assert len(world.pipeline.services) == 8 * MAX_UNPUBLISHED


def test_thousands_that_one_list_has_keep_nobody_from_telling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else would be read until the last of them is published."""
    world = a_settled_world()
    world.hear("/services", *events_of(world, 2 * MAX_TOGETHER))
    world.rest()
    Watched(world, monkeypatch)
    world.hear("/services", Children("/services", (), next(world.zxid)))
    turns = 0
    while (ready := world.ready(budget=3.0)).more:
        turns += 1
        assert not ready.is_behind
    assert turns > 10
    assert not world.pipeline.services


def test_a_route_waits_for_what_it_leads_to_and_not_for_thousands_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = a_settled_world()
    world.register("web", a=an_address(1))
    world.register("www")
    world.hear("/services", world.data("/services/www", '{"to": [{"web": 1}]}'))
    world.settle()
    events = events_of(world, 4 * MAX_TOGETHER)
    Watched(world, monkeypatch)
    names = (*world.names, "web", "www")
    world.hear("/services", Children("/services", names, next(world.zxid)), *events[1:])
    while world.pipeline._hearing.has_work:
        world.ready(budget=3.0)
    world.hear("/services", world.data("/services/web/a", an_address(2)))

    def given() -> list[str]:
        route = world.pipeline.builder.services["www"].beyond.route
        return [a for i in route.name.group for a in i.addresses] if route is not None else []

    while given() != ["10.0.0.2"]:
        assert world.ready(budget=3.0).more
    assert len(world.pipeline.services) < 2 * MAX_TOGETHER


def test_who_changes_without_end_keeps_no_other_change_from_being_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = a_settled_world()
    world.register("web", a=an_address(1))
    world.register("big", a=an_address(2))
    world.settle()
    Watched(world, monkeypatch)
    world.hear("/services", world.data("/services/web/a", an_address(3)))
    for turn in range(20):
        world.hear("/services", world.data("/services/big/a", an_address(10 + turn)))
        world.ready(budget=0.0)
    assert world.addresses("web") == ["10.0.0.3"]
    assert world.addresses("big") != ["10.0.0.2"]


def test_what_is_told_while_some_is_handed_on_keeps_neither_from_going_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A batch is begun as it comes, and waits in the middle of it for what is left of the one before."""
    world = a_settled_world()
    watched = Watched(world, monkeypatch, MAX_SECONDS_AT_ONCE / 2.5)
    world.hear("/services", *events_of(world, MANY))
    within = 0
    for turn in range(600):
        if not world.ready(budget=0.0).more:
            break
        ours = world.pipeline
        if ours._gathering.is_within and not ours._hearing.has_work:
            told = (world.data(f"/services/s{n:04}/a", an_address(turn + n)) for n in range(3))
            world.hear("/services", *told)
            within += ours._hearing.is_within
    assert within > 0
    list(watched.turns(budget=0.0))
    assert world.pipeline.idle
    assert all(world.addresses(name) for name in world.names)


def test_a_start_is_not_over_within_a_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither while a registry tells, nor before all that it told is handed on."""
    world = World(is_read=False)
    Watched(world, monkeypatch)
    for root in ROOTS:
        events = events_of(world, MANY) if root == "/services" else ()
        world.hear(root, Begin(), *events, Whole(), Session(True))
    while world.pipeline.stage is not Stage.READY:
        world.ready(budget=3.0)
        if world.pipeline.stage is Stage.SETTLING:
            world.hear("/services", *events_of(world, MANY)[:50])
            break
    while world.pipeline.stage is not Stage.READY:
        world.ready(budget=3.0)
        assert not world.pipeline._hearing.is_within or world.pipeline.stage is not Stage.READY
    assert len(world.pipeline.services) == MANY
    assert all(world.addresses(name) for name in world.names)
