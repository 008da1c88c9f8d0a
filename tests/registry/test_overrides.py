"""Overrides and the replicas' nodes: folded from any order of replies, and never broken by bad data."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from support.steps import longest
from zkdns.model import Begin, Children, Data, Event, Override, Stat, Unreadable, Whole
from zkdns.registry import override_nodes
from zkdns.registry import overrides as codec
from zkdns.registry.listing import STEP
from zkdns.registry.override_nodes import Overrides
from zkdns.registry.overrides import MAX_DEPTH, parse, path, spell
from zkdns.registry.znodes import Nodes

ROOT = "/zkdns/overrides"


def data(path: str, value: object, zxid: int) -> Data:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Data(path, raw, Stat(zxid, zxid, 0.0, False))


def fold(*events: Event) -> Overrides:
    overrides = Overrides()
    for event in events:
        overrides.apply(event)
    return overrides


STANDING: tuple[Event, ...] = (
    Children(ROOT, ("web",), 1),
    data(f"{ROOT}/web", b"", 1),
    Children(f"{ROOT}/web", ("a", "b"), 3),
    data(f"{ROOT}/web/a", {"drain": True, "who": "ann@box", "why": "disk", "until": 99, "at": 1.5}, 2),
    data(f"{ROOT}/web/b", {"weight": 5, "later": "unknown keys are left alone"}, 3),
)

ORDERS = {
    ("web", "a"): Override(drain=True, until=99, why="disk", who="ann@box", at=1.5),
    ("web", "b"): Override(weight=5),
}


def test_what_stands_there_is_what_is_ordered() -> None:
    assert fold(*STANDING).by_instance() == ORDERS


def test_a_deleted_override_orders_nothing_and_the_rest_stays() -> None:
    overrides = fold(*STANDING)
    overrides.apply(Children(f"{ROOT}/web", ("b",), 4))
    assert overrides.by_instance() == {("web", "b"): Override(weight=5)}


ROUTE = {"to": {"web-v2": 1}, "from": {"web": 1}, "over": 60}


def laid(zxid: int, written: float, made: float = 5.0) -> Data:
    """A route over `web`, whose node was made long before it was written last."""
    return Data(f"{ROOT}/web", json.dumps(ROUTE).encode(), Stat(1, zxid, made, False, False, written))


def test_a_route_moves_from_when_its_node_was_written_though_it_says_what_it_said_before() -> None:
    """Who lays the same route again begins it again."""
    overrides = fold(Children(ROOT, ("web",), 1), laid(7, 100.0))
    for zxid, written in ((7, 100.0), (9, 500.0)):
        overrides.apply(laid(zxid, written))
        route = overrides.by_instance()["web", ""].route
        assert route is not None
        assert (route.written, route.zxid) == (written, zxid)


def test_what_ended_a_route_is_the_transaction_that_removed_it_or_wrote_another_in_its_place() -> None:
    overrides = fold(Children(ROOT, ("web",), 1), laid(7, 100.0))
    overrides.by_instance()
    overrides.apply(Data(f"{ROOT}/web", b"", Stat(1, 8, 5.0, False, False, 200.0)))
    assert overrides.by_instance() == {}
    assert overrides.lifted_by("web") == 8
    overrides.apply(laid(9, 300.0))
    overrides.by_instance()
    overrides.apply(Children(ROOT, (), 12))
    assert overrides.by_instance() == {}
    assert overrides.lifted_by("web") == 12


def test_each_is_read_as_it_is_told_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand at once, when they are asked for, would take a turn of the loop."""
    reads: list[bytes] = []
    real = override_nodes._parse

    def read(root: str, names: Any, stands: Any) -> Any:
        reads.append(stands[0])
        return real(root, names, stands)

    monkeypatch.setattr(override_nodes, "_parse", read)
    overrides = Overrides()
    for count, event in enumerate(STANDING):
        overrides.apply(event)
        assert len(reads) <= count, "one for each that is told"
    seen = len(reads)
    assert overrides.by_instance() == ORDERS
    overrides.apply(Children(ROOT, ("web", "db"), 9))
    assert overrides.by_instance() == ORDERS
    assert len(reads) == seen


def test_what_can_not_be_read_as_it_is_told_is_told_of_when_all_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("planted")

    with monkeypatch.context() as patch:
        patch.setattr(override_nodes, "_parse", fail)
        overrides = fold(*STANDING)
        assert overrides.by_instance() == {}
        assert [problem.path for problem in overrides.problems()] == [f"{ROOT}/web/a", f"{ROOT}/web/b"]


def test_a_new_reading_counts_when_it_is_whole_whatever_its_zxids() -> None:
    overrides = fold(*STANDING)
    before = overrides.by_instance()
    for event in (Begin(), Children(ROOT, (), 1)):
        overrides.apply(event)
    assert overrides.by_instance() is before
    overrides.apply(Whole())
    assert overrides.by_instance() == {}


def test_a_reading_that_was_refused_leaves_the_overrides_in_force() -> None:
    overrides = fold(*STANDING, Begin(), Unreadable(ROOT, "NoAuth"), Whole())
    assert overrides.by_instance() == ORDERS


def test_without_a_change_the_orders_are_the_same_object() -> None:
    overrides = fold(*STANDING)
    before = overrides.by_instance()
    overrides.apply(STANDING[2])
    assert overrides.by_instance() is before


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (b"", "the override can't be read: Input data was truncated"),
        ({}, "the override orders nothing"),
        ({"weight": 65536}, "the override can't be read: Expected `int` <= 65535 - at `$.weight`"),
        ({"drain": "yes"}, "the override can't be read: Expected `bool`, got `str` - at `$.drain`"),
        (
            {"drain": True, "until": "soon"},
            'the override can\'t be read: until is "soon", not a time in seconds',
        ),
        ({"drain": True, "at": True}, "the override can't be read: at is true, not a time in seconds"),
    ],
)
def test_a_bad_override_is_a_problem_and_costs_itself_alone(value: object, what: str) -> None:
    overrides = fold(*STANDING, data(f"{ROOT}/web/a", value, 9))
    assert overrides.by_instance() == {("web", "b"): Override(weight=5)}
    (problem,) = overrides.problems()
    assert (problem.path, problem.what) == (f"{ROOT}/web/a", what)


@given(st.binary())
def test_any_bytes_are_an_override_or_a_value_error(raw: bytes) -> None:
    try:
        parse(raw)
    except ValueError:
        pass


def test_nesting_without_end_is_cut() -> None:
    found: Override | None = parse(b'{"drain":true,"under":' * 30 + b"{}" + b"}" * 30)
    depth = 0
    while found is not None:
        found, depth = found.under, depth + 1
    assert depth == MAX_DEPTH + 1, "the one on top, and those that it lies upon"
    with pytest.raises(ValueError, match="can't be read"):
        parse(b'{"drain":true,"under":' * 100_000)


orders = st.recursive(
    st.builds(Override, st.just(True), st.none() | st.integers(0, 65535), st.none() | st.floats(0, 1e10)),
    lambda under: st.builds(
        Override,
        st.booleans(),
        st.integers(0, 65535),
        st.none() | st.floats(0, 1e10),
        st.text(),
        st.text(),
        st.floats(0, 1e10),
        under,
    ),
    max_leaves=4,
)


@given(orders)
def test_what_is_spelled_reads_the_same(order: Override) -> None:
    assert parse(spell(order)) == order


@example(".", "..")
@example("..", "a.b")
@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_the_path_of_any_service_and_id_leads_back_to_them(service: str, id: str) -> None:
    names = path(service, id).removeprefix(ROOT + "/").split("/")
    assert len(names) == 2
    assert not {".", "..", ""} & set(names)
    assert path(service, id).isascii()
    assert path(service, id).isprintable()
    overrides = fold(
        Children(ROOT, (names[0],), 2),
        Children(f"{ROOT}/{names[0]}", (names[1],), 3),
        data(path(service, id), {"drain": True}, 3),
    )
    assert overrides.by_instance()[service, id] == Override(drain=True)


def test_a_name_that_was_not_encoded_counts_too() -> None:
    id = "dubbo%3A%2F%2F10.0.0.5"
    overrides = fold(
        Children(ROOT, ("web",), 2),
        Children(f"{ROOT}/web", (id,), 3),
        data(f"{ROOT}/web/{id}", {"drain": True}, 3),
    )
    assert overrides.by_instance()["web", id] == Override(drain=True)


@pytest.mark.parametrize("service", ["a b", "a%20b", "süß", "q?z", "com.example.Greeter:1.0", "."])
def test_a_route_makes_one_service_however_its_name_is_spelled(service: str) -> None:
    node = codec.node(service)
    overrides = fold(Children(ROOT, (node.rpartition("/")[2],), 2), data(node, ROUTE, 3))
    assert [*overrides.by_service()] == [service]


def test_the_nodes_of_replicas_are_their_data_by_name() -> None:
    nodes = Nodes("/zkdns/servers")
    nodes.apply(Children("/zkdns/servers", ("r1", "r2"), 2))
    nodes.apply(data("/zkdns/servers/r1", b"x", 1))
    assert nodes.nodes() == {("r1",): b"x"}
    nodes.apply(data("/zkdns/servers/r2", b"", 2))
    assert nodes.nodes() == {("r1",): b"x", ("r2",): b""}
    nodes.apply(Children("/zkdns/servers", ("r2",), 3))
    assert (nodes.nodes(), nodes.zxid) == ({("r2",): b""}, 3)


def test_tens_of_thousands_of_nodes_are_taken_in_steps_and_those_before_them_let_go_in_steps() -> None:
    root, ids = "/zkdns/servers", tuple(f"r{n:05}" for n in range(20 * STEP))
    nodes = Nodes(root)

    def read(told: bytes) -> int:
        events = Children(root, ids, 1), *(data(f"{root}/{id}", told, 1) for id in ids), Whole()
        nodes.apply(Begin())
        return max(longest(nodes.steps(event)) for event in events)

    for told in (b"x", b"y", b"y"):
        assert read(told) < 20 * STEP
        assert nodes.by_name() == dict.fromkeys(ids, told)
    assert longest(nodes.steps(Children(root, ids[:9], 2))) < 20 * STEP
    assert nodes.by_name().keys() == nodes.times().keys() == nodes.made_by().keys() == {*ids[:9]}


def test_what_stands_by_name_is_what_stands_and_a_copy() -> None:
    nodes = Nodes("/zkdns/servers")
    nodes.apply(Children("/zkdns/servers", ("r1", "r2"), 2))
    for id in ("r1", "r2"):
        nodes.apply(data(f"/zkdns/servers/{id}", b"x", 1))
    before, times = nodes.by_name(), nodes.times()
    nodes.apply(Unreadable("/zkdns/servers/r1", "no right"))
    assert (nodes.by_name(), [*nodes.times()]) == ({"r2": b"x"}, ["r2"])
    assert nodes.made_by() == {"r2": 1}
    assert len(before) == len(times) == 2
    assert not nodes.has_moved, "who has all of them is told nothing twice"


@given(st.lists(st.sampled_from(["take", *"abc"]), max_size=20))
def test_what_is_taken_in_parts_is_in_force_when_all_is_taken(story: list[str]) -> None:
    at_once, in_parts = Overrides(), Overrides()
    for zxid, what in enumerate(story, 1):
        if what == "take":
            in_parts.take(1)
            continue
        listed = tuple(sorted({*story[:zxid]} - {"take"}))
        order = {"weight": zxid} if zxid % 3 else {"weight": "bad"}
        for overrides in (at_once, in_parts):
            overrides.apply(Children(f"{ROOT}/web", listed, zxid))
            overrides.apply(data(f"{ROOT}/web/{what}", order, zxid))
        at_once.by_service()
    while in_parts.take(1):
        assert len(in_parts.by_service().get("web", {})) <= 3
    assert in_parts.by_instance() == at_once.by_instance()
    assert sorted(in_parts.problems()) == sorted(at_once.problems())


def test_the_problem_of_an_override_goes_when_it_is_written_well_or_deleted() -> None:
    for mended in (data(f"{ROOT}/web/b", {"weight": 5}, 5), Children(f"{ROOT}/web", ("a",), 5)):
        overrides = fold(*STANDING, data(f"{ROOT}/web/b", {"weight": -1}, 4))
        assert [problem.path for problem in overrides.problems()] == [f"{ROOT}/web/b"]
        overrides.apply(mended)
        assert overrides.problems() == ()


def test_of_what_is_taken_in_parts_no_more_is_in_force_than_was_taken() -> None:
    reducer = Overrides()
    names = tuple(f"i{n}" for n in range(9))
    reducer.apply(Children(ROOT, ("web",), 1))
    reducer.apply(Children(f"{ROOT}/web", names, 1))
    for n, name in enumerate(names):
        reducer.apply(data(f"{ROOT}/web/{name}", {"drain": True}, n))
    for taken in (4, 8):
        assert reducer.take(4)
        assert len(reducer.by_service()["web"]) <= taken
    assert not reducer.take(4)
    assert len(reducer.by_service()["web"]) == len(names)


def test_a_node_whose_name_is_spelled_in_two_ways_is_told_once_and_two_nodes_twice() -> None:
    one, other = Override(drain=True), Override(weight=5)
    assert codec.once({("a b", "x"): one, ("a%20b", "x"): one}) == {("a b", "x"): one}
    both = {("a b", "x"): one, ("a%20b", "x"): other}
    assert codec.once(both) == both


@pytest.mark.parametrize("many", [2, 3, 4])
def test_as_many_as_may_be_stand_and_who_is_beyond_comes_in_when_another_goes(
    many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(override_nodes, "MAX_OVERRIDES", 3)
    reducer = Overrides()
    names = tuple(f"i{n}" for n in range(many))
    reducer.apply(Children(ROOT, ("web",), 0))
    for came in range(many + 1):
        reducer.apply(Children(f"{ROOT}/web", names[:came], came))
        if came:
            reducer.apply(data(f"{ROOT}/web/{names[came - 1]}", {"drain": True}, came))
        assert [id for _, id in reducer.by_instance()] == [*names[: min(came, 3)]]
        assert len(reducer.problems()) == (came > 3)
    reducer.apply(Children(f"{ROOT}/web", names[1:], many + 1))
    assert [id for _, id in reducer.by_instance()] == [*names[1:]]
    assert not reducer.problems()


@pytest.mark.parametrize("step", [1, -1])
def test_so_many_overrides_are_read_and_the_rest_is_one_problem(
    step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(override_nodes, "MAX_OVERRIDES", 3)
    reducer = Overrides()
    names = tuple(f"i{n}" for n in range(9))
    reducer.apply(Children(ROOT, ("web",), 1))
    reducer.apply(Children(f"{ROOT}/web", names, 1))
    for n, name in enumerate(names[::step]):
        reducer.apply(Data(f"{ROOT}/web/{name}", b'{"drain": true}', Stat(n, n, 0.0, False)))
        assert len(reducer._heard) <= 3, "no more is read ahead than may count"
    assert list(reducer.by_instance()) == [("web", "i0"), ("web", "i1"), ("web", "i2")]
    (problem,) = reducer.problems()
    assert "web/i3" in problem.what


def test_a_reason_is_cut_where_it_is_too_long_to_be_told() -> None:
    told = parse(b'{"drain": true, "why": "' + b"x" * 90_000 + b'", "who": "' + b"y" * 90_000 + b'"}')
    assert (len(told.why), len(told.who)) == (
        codec.MAX_WHY_CHARACTERS,
        codec.MAX_WHO_CHARACTERS,
    )


def test_a_node_of_spaces_holds_those_of_its_instances_and_orders_nothing() -> None:
    overrides = fold(Children(ROOT, ("web",), 1), data(f"{ROOT}/web", b" \n", 1))
    assert (overrides.problems(), dict(overrides.by_service())) == ((), {})


def test_what_was_heard_is_not_kept_once_it_is_in_force() -> None:
    overrides = fold(*STANDING)
    overrides.by_service()
    overrides.apply(data(f"{ROOT}/web/a", {"drain": True}, 9))
    overrides.by_service()
    overrides.apply(data(f"{ROOT}/web/a", {"drain": True}, 9))
    overrides.apply(data(f"{ROOT}/web/b", {"weight": 2}, 10))
    overrides.by_service()
    assert overrides._heard == {}
    overrides.apply(Children(ROOT, (), 11))
    assert dict(overrides.by_service()) == {}
    assert overrides._givers == {}


def test_the_end_of_a_route_is_told_by_its_node_however_its_name_is_spelled() -> None:
    name = "a/b"
    assert codec.encode(name) != name
    spelled = codec.encode(name)
    overrides = fold(
        Children(ROOT, (spelled, "web"), 20), data(f"{ROOT}/{spelled}", b"", 7), data(f"{ROOT}/web", b"", 9)
    )
    assert [overrides.lifted_by(one) for one in (name, "web", "other")] == [7, 9, 20]


@pytest.mark.parametrize("names", [("a%b", "a%25b"), ("a%25b", "a%b")])
def test_of_two_nodes_that_mean_one_instance_the_last_by_name_counts_whichever_came_first(
    names: tuple[str, str],
) -> None:
    weights = {"a%b": 3, "a%25b": 5}
    overrides = fold(Children(ROOT, ("web",), 1), Children(f"{ROOT}/web", names, 2))
    for name in names:
        overrides.apply(data(f"{ROOT}/web/{name}", {"weight": weights[name]}, 3))
        overrides.by_service()
    assert overrides.by_instance()["web", "a%b"].weight == 3


def test_what_moved_before_it_was_read_anew_is_not_forgotten_and_what_is_the_same_did_not_move() -> None:
    nodes = Nodes("/zkdns/servers")
    told = Children("/zkdns/servers", ("r1",), 2), data("/zkdns/servers/r1", b"x", 1)
    for event in (*told, Begin(), *told, Whole()):
        nodes.apply(event)
    assert [*nodes.take_moved()] == [("r1",)]
    for event in (Begin(), *told, Whole()):
        nodes.apply(event)
    assert not nodes.has_moved
