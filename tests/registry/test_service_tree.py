"""ServiceTree: replies in, Catalog out; the laws that make it safe to trust."""

from __future__ import annotations

import gc
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.ensemble import Ensemble, Node
from support.examples import examples
from support.trees import open_root
from zkdns.model import (
    DEFAULTS,
    Begin,
    Catalog,
    Children,
    Data,
    Event,
    Stat,
    State,
    Unreadable,
    Whole,
    serial_of,
)
from zkdns.registry.service_tree import ServiceTree
from zkdns.registry.zk.read_plan import ReadPlan, ReadRequest, mark
from zkdns.registry.zk.wire import CHANGED, CREATED, DELETED, NO_NODE
from zkdns.registry.zk.wire import Node as Read
from zkdns.registry.znodes import Nodes

A = b'{"address": "10.0.0.1", "port": 80}'
B = b'{"address": "10.0.0.2", "port": 80}'
HOST = b'{"address": "db.example", "tags": ["x"]}'
BAD = (b"", b"{", b'{"address": "10.0.0.1", "port": "80"}')
PAYLOADS = (A, B, HOST, *BAD)
SETTINGS = (b"", b'{"ttl": 9}', b'{"ttl": "x"}', b"junk")


def folded(events: Iterable[Event], tree: ServiceTree | None = None) -> Catalog:
    tree = tree or open_root("/services", "auto")
    for event in events:
        tree.apply(event)
    return tree.catalog()


def web_of(instances: dict[str, bytes]) -> Ensemble:
    """One that holds `web` alone, with these instances' data by their ids."""
    ensemble = Ensemble()
    ensemble.create("web")
    for id, data in instances.items():
        ensemble.create(f"web/{id}", data)
    return ensemble


def one(catalog: Catalog, service: str = "web") -> dict[str, tuple[str, ...]]:
    """Those that can be read."""
    return {i.id: i.addresses for i in catalog.services[service].instances if i.state is not State.UNREADABLE}


def at(zxid: int, created: int | None = None) -> Stat:
    return Stat(created or zxid, zxid, float(created or zxid), True)


def test_readings_that_are_over_leave_nothing_for_a_collector_that_looks_seldom() -> None:
    """A tree of a hundred thousand nodes lay about after each time that the connection was lost."""
    tree, nodes = open_root("/services"), Nodes("/services", 1, 2)
    listed = Children("/services", tuple(f"s{n}" for n in range(600)), 3)
    services = [Children(f"/services/s{n}", ("a",), 4) for n in range(600)]
    instances = [Data(f"/services/s{n}/a", A, at(5)) for n in range(600)]
    refused = [Begin(), Unreadable("/services", "no rights"), Whole()]
    whole: list[Event] = [Begin(), listed, *services, *instances, Whole()]
    gc.collect()
    gc.disable()
    try:
        for events in (whole, whole, whole[:-1], whole, refused, whole):
            for event in events:
                tree.apply(event)
                nodes.apply(event)
            assert len(tree.catalog().services) == 600
            assert len(nodes.nodes()) in (600, 0)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_what_a_reading_found_that_was_cut_short_is_not_there_when_the_next_finds_it_gone() -> None:
    tree = open_root("/services")
    web = [Children("/services/web", ("a",), 3), Data("/services/web/a", A, at(3))]
    folded([Begin(), Children("/services", ("web",), 2), *web, Whole()], tree)
    moved = Data("/services/web/a", B, at(9, 3))
    own = Data("/services/web", b"", at(2))
    folded([Begin(), Children("/services", ("web",), 2), own, web[0], moved], tree)
    catalog = folded([Begin(), Children("/services", (), 12), Whole()], tree)
    assert catalog.services == {}
    catalog = folded([Begin(), Children("/services", ("web",), 14), *web, Whole()], tree)
    assert one(catalog) == {"a": ("10.0.0.1",)}, "and what stands there is what the next one read"


# --- laws ---------------------------------------------------------------------------------------

names = st.sampled_from(["web", "db"])
ids = st.sampled_from(["a", "b", "C", "c"])
folders = st.sampled_from(["services/x", "providers/a", "services"])
steps = st.one_of(
    st.tuples(st.just("create"), names, st.none(), st.sampled_from(SETTINGS)),
    st.tuples(st.just("create"), names, ids | folders, st.sampled_from(PAYLOADS)),
    st.tuples(st.just("set"), names, ids, st.sampled_from(PAYLOADS)),
    st.tuples(st.just("set"), names, st.none(), st.sampled_from(SETTINGS)),
    st.tuples(st.just("delete"), names, ids | folders | st.none(), st.just(b"")),
)


class Followed:
    """An ensemble that a session follows as the mirror does: watch events mark paths, and any number of
    marked paths is read between two writes."""

    def __init__(self) -> None:
        self.ensemble = Ensemble()
        self.events: list[Event] = [Begin()]
        self._tree = open_root("/services")
        (self._scope,) = self._tree.scopes
        self._plan = ReadPlan(self._scope)
        self._dirty = [ReadRequest("/services", True)]

    def write(self, verb: str, path: str, data: bytes) -> None:
        before = self._all()
        if verb == "create":
            for at, letter in enumerate(path):
                if letter == "/":
                    self.ensemble.create(path[:at])
            self.ensemble.create(path, data)
        elif verb == "set":
            self.ensemble.set(path, data)
        else:
            self.ensemble.delete(path)
        after = self._all()
        kinds = [(DELETED, p) for p in before.keys() - after.keys()]
        kinds += [(CREATED, p) for p in after.keys() - before.keys()]
        kinds += [(CHANGED, p) for p in after.keys() & before.keys() if before[p] != after[p]]
        for kind, changed in kinds:
            self._dirty += mark(self._scope, kind, self.ensemble.absolute(changed), False) or []

    def read(self, many: int) -> None:
        for request in self._dirty[:many]:
            self._dirty.remove(request)
            path = request.path.removeprefix("/services").lstrip("/")
            node = self.ensemble.find(path)
            events, more = self._plan.take(request, *self._reply(node, request.listing))
            self._dirty += [again for again in more if again not in self._dirty]
            self.events += events

    def settle(self) -> list[Event]:
        while self._dirty:
            self.read(len(self._dirty))
        return self.events

    @staticmethod
    def _reply(node: Node | None, listing: bool) -> tuple[Read | int, tuple[str, ...] | int | None]:
        if node is None:
            return NO_NODE, NO_NODE if listing else None
        found = Read(node.data, node.czxid, node.mzxid, node.pzxid, float(node.czxid), 1, len(node.kids))
        return found, tuple(node.kids) if listing else None

    def _all(self) -> dict[str, int]:
        found: dict[str, int] = {}

        def walk(path: str, node: Node) -> None:
            for name, kid in node.kids.items():
                below = f"{path}/{name}" if path else name
                found[below] = kid.mzxid
                walk(below, kid)

        walk("", self.ensemble.root)
        return found


@st.composite
def histories(draw: st.DrawFn) -> tuple[Ensemble, list[Event]]:
    """An ensemble after some writes, and what a mirror told that read now and then in between."""
    followed = Followed()
    for verb, service, id, data in draw(st.lists(steps, max_size=25)):
        followed.write(verb, service if id is None else f"{service}/{id}", data)
        followed.read(draw(st.integers(0, 4)))
    return followed.ensemble, followed.settle()


@settings(max_examples=examples(300))
@given(histories(), st.data())
def test_who_followed_from_the_start_and_who_came_last_say_the_same(history, data) -> None:
    """The mirror's order alone is enough, wherever a reader looks in between."""
    ensemble, told = history
    tree = open_root("/services", "auto")
    for event in told:
        tree.apply(event)
        if data.draw(st.booleans()):
            tree.catalog()
    followed = folded([Whole()], tree)
    fresh = folded(ensemble.reading())
    assert followed == fresh


@given(histories())
def test_a_resync_of_an_unchanged_registry_gives_the_very_same_objects(history) -> None:
    ensemble, _ = history
    tree = open_root("/services", "auto")
    before = folded(ensemble.reading(), tree)
    after = folded(ensemble.replies(), tree)
    assert after is before
    again = folded(ensemble.reading(), tree)
    assert again is before


@given(histories(), histories())
def test_a_reading_replaces_all_that_the_one_before_it_said(first, second) -> None:
    """An older backup stands there: its zxids are smaller, and it is served all the same."""
    tree = open_root("/services", "auto")
    folded(first[0].reading(), tree)
    assert folded(second[0].reading(), tree) == folded(second[0].reading())


@given(histories(), histories())
def test_a_reading_counts_only_once_it_is_whole(first, second) -> None:
    tree = open_root("/services", "auto")
    before = folded(first[0].reading(), tree)
    assert folded(second[0].reading()[:-1], tree) is before
    assert folded([Whole()], tree).services == folded(second[0].reading()).services


@given(histories())
def test_an_instance_is_served_only_while_it_is_listed_and_as_it_last_said(history) -> None:
    ensemble, told = history
    catalog = folded([*told, Whole()])
    assert set(catalog.services) == set(ensemble.root.kids)
    for name, service in catalog.services.items():
        for instance in service.instances:
            path = instance.path.removeprefix("/services/")
            assert path.startswith(f"{name}/")
            node = ensemble.find(path)
            assert node is not None
            assert instance.since == float(node.czxid)
        labels = [i.label for i in service.instances]
        assert len(set(labels)) == len(labels)
        assert [i.id for i in service.instances] == sorted(i.id for i in service.instances)


# --- cases --------------------------------------------------------------------------------------


def test_data_that_no_list_names_is_no_instance() -> None:
    """A late read does not resurrect an instance (kazoo issue 645): what is not listed is not alive."""
    events = [
        Children("/services", ("web",), 2),
        Children("/services/web", ("a", "b"), 4),
        Data("/services/web/a", A, at(3)),
        Data("/services/web/b", B, at(4)),
        Children("/services/web", ("b",), 5),
        Data("/services/web/a", A, at(3)),
    ]
    assert one(folded(events)) == {"b": ("10.0.0.2",)}
    assert one(folded([*events, Children("/services/web", ("a", "b"), 6)])) == {"b": ("10.0.0.2",)}


def test_with_a_service_goes_all_that_stood_below() -> None:
    events = [
        Children("/services", ("web",), 2),
        Data("/services/web", b'{"ttl": 9}', at(2)),
        Children("/services/web", ("a",), 3),
        Data("/services/web/a", A, at(3)),
        Children("/services", (), 5),
        Children("/services", ("web",), 6),
    ]
    service = folded(events).services["web"]
    assert service.instances == ()
    assert service.settings == DEFAULTS


def test_what_is_gone_is_forgotten() -> None:
    ensemble = Ensemble()
    tree = open_root("/services")
    for number in range(50):
        ensemble.create("web")
        ensemble.create("web/a", A)
        ensemble.create(f"web/{number}", A)
        folded(ensemble.replies(), tree)
        ensemble.delete(f"web/{number}")
        folded(ensemble.replies(), tree)
        ensemble.delete("web")
        folded(ensemble.replies(), tree)
    assert tree.reducers["/services"].now.services == {}


def test_a_listed_service_without_instances_is_a_service() -> None:
    catalog = folded([Children("/services", ("web",), 2)])
    assert catalog.services["web"].instances == ()
    assert catalog.services["web"].settings == DEFAULTS
    assert catalog.services["web"].path == "/services/web"


def test_a_change_leaves_all_other_services_the_same_objects() -> None:
    ensemble = Ensemble()
    for service in "web", "db":
        ensemble.create(service)
        ensemble.create(f"{service}/a", A)
        ensemble.create(f"{service}/b", B)
    tree = open_root("/services")
    before = folded(ensemble.reading(), tree)
    ensemble.set("web/a", B)
    after = folded([ensemble.get("web/a")], tree)
    assert after.services["db"] is before.services["db"]
    assert after.services["web"].instances[1] is before.services["web"].instances[1]
    assert one(after) == {"a": ("10.0.0.2",), "b": ("10.0.0.2",)}
    assert one(before) == {"a": ("10.0.0.1",), "b": ("10.0.0.2",)}


def test_a_touch_that_says_the_same_moves_the_serial_alone() -> None:
    ensemble = Ensemble(zxid=7 << 32)
    ensemble.create("web")
    ensemble.create("web/a", A)
    tree = open_root("/services")
    before = folded(ensemble.reading(), tree)
    ensemble.set("web/a", A + b" ")
    after = folded([ensemble.get("web/a")], tree)
    assert after.services is before.services
    assert after.serial == serial_of(ensemble.zxid) != before.serial
    assert tree.zxid == ensemble.zxid


def test_the_same_zxids_with_other_data_are_read_anew() -> None:
    """Two histories that went apart: a restored ensemble counts the same zxids again."""
    tree = open_root("/services")
    for payload in A, B:
        ensemble = Ensemble()
        ensemble.create("web")
        ensemble.create("web/a", payload)
        catalog = folded(ensemble.reading(), tree)
    assert one(catalog) == {"a": ("10.0.0.2",)}
    reading = [Children("/services", ("web",), 2), Children("/services/web", ("a",), 3)]
    for ctime in 5.0, 6.0:
        stat = Stat(3, 3, ctime, True)
        catalog = folded([Begin(), *reading, Data("/services/web/a", A, stat), Whole()], tree)
        assert catalog.services["web"].instances[0].since == ctime


def test_each_bad_payload_costs_only_itself_and_is_named() -> None:
    ensemble = Ensemble()
    ensemble.create("web", b"not json")
    ensemble.create("web/good", A)
    for at_, payload in enumerate(BAD):
        ensemble.create(f"web/bad{at_}", payload)
    catalog = folded(ensemble.reading())
    assert one(catalog) == {"good": ("10.0.0.1",)}
    assert [p.path for p in catalog.problems] == [
        "/services/web", "/services/web/bad0", "/services/web/bad1", "/services/web/bad2",
    ]  # fmt: skip
    assert all(p.what and p.cure for p in catalog.problems)
    ensemble.set("web/bad0", B)
    tree = open_root("/services")
    folded(ensemble.reading(), tree)
    assert one(tree.catalog()) == {"good": ("10.0.0.1",), "bad0": ("10.0.0.2",)}


def test_a_problem_goes_with_its_node() -> None:
    ensemble = Ensemble()
    ensemble.create("web")
    ensemble.create("web/bad", b"{")
    tree = open_root("/services")
    assert len(folded(ensemble.reading(), tree).problems) == 1
    ensemble.delete("web/bad")
    assert folded([ensemble.list("web")], tree).problems == ()
    ensemble.create("web/bad", b"{")
    assert len(folded([ensemble.list("web"), ensemble.get("web/bad")], tree).problems) == 1
    ensemble.delete("web")
    assert folded([ensemble.list("")], tree).problems == ()


def test_settings_stand_in_the_services_own_data() -> None:
    events = [
        Children("/services", ("web",), 2),
        Data("/services/web", b'{"ttl": 30, "policy": "x"}', at(2)),
    ]
    catalog = folded(events)
    assert catalog.services["web"].settings.ttl == 30
    assert catalog.services["web"].settings.policy == "weighted"
    assert [p.path for p in catalog.problems] == ["/services/web"]
    assert folded([*events, Data("/services/web", b"", at(9, 2))]).services["web"].settings == DEFAULTS


def test_an_id_that_folds_to_another_gets_a_hash_and_a_problem() -> None:
    ensemble = web_of({"Host_1": A, "host-1": B})
    tree = open_root("/services")
    catalog = folded(ensemble.reading(), tree)
    labels = {i.id: i.label for i in catalog.services["web"].instances}
    assert labels["host-1"] == "host-1"
    assert labels["Host_1"].startswith("host-1-")
    assert [p.path for p in catalog.problems] == ["/services/web/Host_1"]
    ensemble.create("web/z", A)
    after = folded([ensemble.list("web"), ensemble.get("web/z")], tree)
    assert after.services["web"].instances[0] is catalog.services["web"].instances[0]
    ensemble.delete("web/host-1")
    last = folded([ensemble.list("web")], tree)
    assert [i.label for i in last.services["web"].instances] == ["host-1", "z"]
    assert last.problems == ()


def test_instances_may_stand_one_level_deeper_where_the_format_says_so() -> None:
    ensemble = web_of({"services": b""})
    ensemble.create("web/services/x", A)
    ensemble.create("web/other")
    ensemble.create("web/other/y", B)
    catalog = folded(ensemble.reading())
    assert one(catalog) == {"x": ("10.0.0.1",)}
    assert [i.path for i in catalog.services["web"].instances] == ["/services/web/services/x"]
    assert [p.path for p in catalog.problems] == ["/services/web/other"]


def test_what_may_not_be_read_is_a_problem_and_left_out() -> None:
    ensemble = web_of({"a": A, "b": B})
    tree = open_root("/services")
    folded(ensemble.reading(), tree)
    catalog = folded([Unreadable("/services/web/a", "an ACL")], tree)
    assert one(catalog) == {"b": ("10.0.0.2",)}
    assert [p.path for p in catalog.problems] == ["/services/web/a"]
    assert "an ACL" in catalog.problems[0].what
    catalog = folded([ensemble.get("web/a")], tree)
    assert one(catalog) == {"a": ("10.0.0.1",), "b": ("10.0.0.2",)}
    assert catalog.problems == ()
    catalog = folded([Unreadable("/services/web", "an ACL")], tree)
    assert one(catalog) == {}
    assert [p.path for p in catalog.problems] == ["/services/web"]
    assert one(folded(ensemble.replies(), tree)) == {"a": ("10.0.0.1",), "b": ("10.0.0.2",)}


def test_a_root_that_may_not_be_read_does_not_empty_the_catalog() -> None:
    ensemble = web_of({"a": A})
    tree = open_root("/services")
    before = folded(ensemble.reading(), tree)
    refused = folded([Begin(), Unreadable("/services", "an ACL"), Whole()], tree)
    assert refused.services == before.services
    assert [p.path for p in refused.problems] == ["/services"]
    assert folded(ensemble.replies(), tree) == before


def test_a_root_that_may_not_be_read_at_first_is_not_taken_for_an_empty_one() -> None:
    tree = open_root("/services")
    assert not folded([Begin(), Unreadable("/services", "an ACL"), Whole()], tree).complete
    assert folded(Ensemble().replies(), tree).complete


def test_a_missing_root_is_an_empty_catalog() -> None:
    ensemble = Ensemble()
    ensemble.create("web")
    tree = open_root("/services")
    folded(ensemble.reading(), tree)
    catalog = folded([Begin(), Children("/services", (), 0), Whole()], tree)
    assert catalog.services == {}
    assert catalog.complete


def test_the_slash_as_root_leaves_zookeepers_own_nodes_alone() -> None:
    tree = open_root("/")
    plan = ReadPlan(*tree.scopes)
    names = ("web", "zookeeper", "zkdns")
    root, _ = plan.take(ReadRequest("/", True), Read(b"", 0, 0, 9, 0.0, 0, 3), names)
    events = [*root, Children("/web", ("a",), 8), Data("/web/a", A, at(8))]
    catalog = folded(events, tree)
    assert set(catalog.services) == {"web"}
    assert one(catalog) == {"a": ("10.0.0.1",)}
    assert catalog.services["web"].instances[0].path == "/web/a"


@pytest.mark.parametrize("path", ["/other/web", "/service", "/servicesx/web", "/services/web/a/b/c"])
def test_what_stands_elsewhere_is_not_ours(path: str) -> None:
    before = folded([Children("/services", ("web",), 2)])
    assert folded([Children("/services", ("web",), 2), Data(path, A, at(99))]) == before


@settings(max_examples=examples(50))
@given(st.text(max_size=8), st.binary(max_size=20))
def test_no_name_and_no_data_makes_the_fold_raise(name: str, data: bytes) -> None:
    name = name.replace("/", "")
    events = [
        Children("/services", (name,), 2),
        Data(f"/services/{name}", data, at(2)),
        Children(f"/services/{name}", (name,), 3),
        Data(f"/services/{name}/{name}", data, at(3)),
    ]
    folded(events)


NAMES = st.sampled_from(["a", "b", "web", "db", "x", "y"])


@settings(max_examples=examples(60))
@given(st.lists(st.tuples(st.booleans(), NAMES, NAMES, st.sampled_from(PAYLOADS)), max_size=40), st.data())
def test_what_is_shown_by_and_by_comes_to_the_same(
    changes: list[tuple[bool, str, str, bytes]], draw: st.DataObject
) -> None:
    ensemble = Ensemble()
    at_once, by_and_by = (open_root("/services", "auto") for _ in range(2))
    for tree in (at_once, by_and_by):
        for event in ensemble.reading():
            tree.apply(event)
    for is_there, service, id, data in changes:
        if is_there:
            ensemble.create(service)
            ensemble.create(f"{service}/{id}")
            ensemble.set(f"{service}/{id}", data)
        else:
            ensemble.delete(f"{service}/{id}")
        for event in ensemble.replies():
            for tree in (at_once, by_and_by):
                tree.apply(event)
        before = by_and_by.show(0)
        by_and_by.work(lambda: draw.draw(st.booleans()))
        after = by_and_by.show(draw.draw(st.integers(0, 2)))
        assert len(after.services.keys() ^ before.services.keys()) <= 2
    while by_and_by.backlog:
        by_and_by.work()
        by_and_by.show(1)
    one, other = at_once.catalog(), by_and_by.show(0)
    assert dict(one.services) == dict(other.services)
    assert list(one.problems) == list(other.problems)
    assert other is by_and_by.catalog(), "nothing is left"
