"""What is read next, against a pretended ZooKeeper in which changes and reads fall in any order."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from support.mirrored import Reading, three_deep
from zkdns.model import Children, Data, Listed, Unreadable
from zkdns.registry.zk.read_plan import ReadPlan, ReadRequest, lineage, mark
from zkdns.registry.zk.wire import CHANGED, CHILD, CREATED, DELETED, NO_AUTH, NO_NODE, Node

ROOT = "/services"
SCOPE = three_deep(ROOT)


class Pretended:
    """A tree of znodes, and the watch events that a session gets of it, in ZooKeeper's order."""

    def __init__(self, one_shot: bool) -> None:
        self.zxid = 10
        self.nodes: dict[str, list[int]] = {"/": [0, 0, 0]}
        self.events: list[tuple[int, str]] = []
        self.one_shot = one_shot
        self.data_watches: set[str] = set()
        self.child_watches: set[str] = set()

    def names(self, path: str) -> list[str]:
        base = path.rstrip("/") + "/"
        return [
            p[len(base) :]
            for p in self.nodes
            if p.startswith(base) and "/" not in p[len(base) :] and p != path
        ]

    def tell(self, kind: int, path: str) -> None:
        if not self.one_shot:
            self.events.append((kind, path))
            return
        parent = path.rpartition("/")[0] or "/"
        hit = path in self.data_watches
        self.data_watches.discard(path)
        if kind == DELETED and path in self.child_watches:
            self.child_watches.discard(path)
            hit = True
        if hit:
            self.events.append((kind, path))
        if kind in (CREATED, DELETED) and parent in self.child_watches:
            self.child_watches.discard(parent)
            self.events.append((CHILD, parent))

    def create(self, path: str) -> None:
        parent = path.rpartition("/")[0] or "/"
        if path in self.nodes:
            return
        if parent not in self.nodes:
            self.create(parent)
        self.zxid += 1
        self.nodes[path] = [self.zxid, self.zxid, self.zxid]
        self.nodes[parent][2] = self.zxid
        self.tell(CREATED, path)

    def delete(self, path: str) -> None:
        if path not in self.nodes:
            return
        for name in self.names(path):
            self.delete(f"{path}/{name}")
        self.zxid += 1
        del self.nodes[path]
        self.nodes[path.rpartition("/")[0] or "/"][2] = self.zxid
        self.tell(DELETED, path)

    def remake(self, path: str) -> None:
        self.delete(path)
        self.create(path)

    def set(self, path: str) -> None:
        if path in self.nodes:
            self.zxid += 1
            self.nodes[path][1] = self.zxid
            self.tell(CHANGED, path)

    def read(self, want: ReadRequest) -> tuple[Node | int, tuple[str, ...] | int | None]:
        if want.path not in self.nodes:
            return NO_NODE, NO_NODE if want.listing else None
        if self.one_shot:
            self.data_watches.add(want.path)
            if want.listing:
                self.child_watches.add(want.path)
        czxid, mzxid, pzxid = self.nodes[want.path]
        names = self.names(want.path)
        node = Node(b"%d" % mzxid, czxid, mzxid, pzxid, 0.0, 0, len(names))
        return node, tuple(names) if want.listing else None


PATHS = [f"{ROOT}/{s}" for s in "ab"] + [f"{ROOT}/{s}/{i}" for s in "ab" for i in "xy"]
PATHS += [f"{path}/deep" for path in PATHS if path.count("/") == 3] + [f"{ROOT}/a/x/deep/deeper"]


@pytest.mark.parametrize("one_shot", [False, True], ids=["persistent", "one-shot"])
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["create", "delete", "remake", "set"]), st.sampled_from(PATHS)),
            st.tuples(st.sampled_from(["read", "gather"]), st.integers(1, 4)),
        ),
        max_size=30,
    )
)
@example(
    # An instance that had a child is read as gone, and comes again without one.
    steps=[("delete", f"{ROOT}/a"), ("gather", 1), ("read", 1), ("create", f"{ROOT}/a/x")]
)
@example(
    # A service goes, is read as gone, and comes again with a child of the same name.
    steps=[
        ("delete", f"{ROOT}/a"), ("gather", 1), ("read", 2), ("read", 3),
        ("create", f"{ROOT}/a/x/deep"), ("remake", f"{ROOT}/a/x/deep"), ("read", 3),
    ],
)  # fmt: skip
def test_once_nothing_is_dirty_all_is_told_as_it_stands(
    one_shot: bool, steps: list[tuple[str, object]]
) -> None:
    there = Pretended(one_shot)
    for path in PATHS[:-2]:
        there.create(path)
    there.events.clear()
    seen, told, dirty = ReadPlan(SCOPE), Reading(), [ReadRequest(ROOT, True)]

    def gather() -> None:
        for kind, path in there.events:
            dirty.extend(mark(SCOPE, kind, path, one_shot) or [])
        there.events.clear()

    def read(most: int) -> None:
        for want in list(islice(dirty, most)):
            dirty.remove(want)
            events, more = seen.take(want, *there.read(want))
            dirty.extend(again for again in more if again not in dirty)
            for event in events:
                told.fold(event)

    def finish() -> None:
        gather()
        while dirty:
            read(1)
            gather()

    finish()
    for what, argument in steps:
        if what == "read":
            read(int(str(argument)))
        elif what == "gather":
            gather()
        else:
            getattr(there, what)(argument)
    finish()
    real = {path: b"%d" % zxids[1] for path, zxids in there.nodes.items() if SCOPE.at(path) is not None}
    assert told.data == real
    assert {want.path for want in seen.everything()} == real.keys()
    assert len(seen) == len(real)


def told_of(reply: Node | int) -> tuple[ReadPlan, list[object]]:
    seen = ReadPlan(SCOPE)
    root = Node(b"", 1, 1, 2, 0.0, 0, 1)
    seen.take(ReadRequest(ROOT, True), root, ("web",))
    events, _ = seen.take(
        ReadRequest(f"{ROOT}/web", True), reply, ("a",) if isinstance(reply, Node) else reply
    )
    return seen, list(events)


def test_what_may_not_be_read_is_told_once_and_told_again_when_it_may() -> None:
    seen, events = told_of(NO_AUTH)
    assert [type(event) for event in events] == [Unreadable]
    want = ReadRequest(f"{ROOT}/web", False)
    assert seen.take(want, NO_AUTH, None) == ([], [])
    events, more = seen.take(want, Node(b"x", 2, 2, 3, 0.0, 0, 1), None)
    assert [type(event) for event in events] == [Data]
    assert more == [ReadRequest(f"{ROOT}/web", True)]


def test_a_child_gone_before_it_was_read_has_its_parent_read_again() -> None:
    seen, _ = told_of(Node(b"", 2, 2, 3, 0.0, 0, 1))
    assert seen.take(ReadRequest(f"{ROOT}/web/a", False), NO_NODE, None) == (
        [],
        [ReadRequest(f"{ROOT}/web", True)],
    )
    events, _ = seen.take(ReadRequest(f"{ROOT}/web", True), Node(b"", 2, 2, 4, 0.0, 0, 0), ())
    assert events == [Children(f"{ROOT}/web", (), 4)]
    assert seen.take(ReadRequest(f"{ROOT}/web/a", False), NO_NODE, None) == ([], [])


def test_what_was_found_gone_is_read_again_whatever_names_are_listed_then() -> None:
    """A service that goes and comes again has new instances, though they be named alike."""
    plan, _ = told_of(Node(b"", 2, 2, 3, 0.0, 0, 1))
    plan.take(ReadRequest(f"{ROOT}/web/a", True), Node(b"x", 3, 3, 3, 0.0, 0, 0), ())
    web = ReadRequest(f"{ROOT}/web", True)
    assert plan.take(web, NO_NODE, NO_NODE) == ([Listed(ROOT, gone=("web",))], [])
    _, more = plan.take(ReadRequest(ROOT, True), Node(b"", 1, 1, 9, 0.0, 0, 1), ("web",))
    assert more == [web]
    _, more = plan.take(web, Node(b"", 8, 8, 9, 0.0, 0, 1), ("a",))
    assert more == [ReadRequest(f"{ROOT}/web/a", True)]


def test_the_whole_tree_as_a_root_leaves_zookeeper_and_ourselves_out() -> None:
    seen = ReadPlan(three_deep("/"))
    events, more = seen.take(
        ReadRequest("/", True), Node(b"", 0, 0, 9, 0.0, 0, 3), ("zookeeper", "web", "zkdns")
    )
    assert events[1] == Children("/", ("web",), 9)
    assert more == [ReadRequest("/web", True)]
    assert mark(three_deep("/"), CREATED, "/zkdns/servers/a", False) == []
    assert mark(three_deep("/"), CHANGED, "/web", False) == [ReadRequest("/web", False)]


def test_an_event_elsewhere_or_too_deep_asks_for_nothing() -> None:
    for path in ("/other", "/services2", "/", f"{ROOT}/a/b/c/d/e"):
        assert mark(SCOPE, CREATED, path, False) == []
    assert mark(SCOPE, CHANGED, f"{ROOT}/a/b/c/d", False) == []
    assert mark(SCOPE, DELETED, ROOT, False) is None
    # Stray child events come of other watches in the session; with one-shot ones they are the news.
    assert mark(SCOPE, CHILD, f"{ROOT}/a/b/c", True) == []


def test_the_first_child_of_a_node_that_should_have_none_is_told() -> None:
    plan, _ = told_of(Node(b"", 2, 2, 3, 0.0, 0, 1))
    leaf = f"{ROOT}/web/a/b"
    plan.take(ReadRequest(f"{ROOT}/web/a", True), Node(b"", 3, 3, 4, 0.0, 0, 1), ("b",))
    plan.take(ReadRequest(leaf, False), Node(b"", 4, 4, 4, 0.0, 0, 0), None)
    assert mark(SCOPE, CREATED, f"{leaf}/below", False) == [ReadRequest(leaf, False)]
    events, _ = plan.take(ReadRequest(leaf, False), Node(b"", 4, 4, 5, 0.0, 0, 1), None)
    assert [event.stat.has_children for event in events if isinstance(event, Data)] == [True]
    assert plan.take(ReadRequest(leaf, False), Node(b"", 4, 4, 6, 0.0, 0, 2), None) == ([], [])


def test_a_root_that_is_not_there_is_told_once_and_again_when_it_goes() -> None:
    plan = ReadPlan(SCOPE)
    gone = [Children(ROOT, (), 0)]
    ask = ReadRequest(ROOT, True)
    assert plan.take(ask, NO_NODE, NO_NODE) == (gone, [])
    assert plan.take(ask, NO_NODE, NO_NODE) == ([], [])
    plan.take(ask, Node(b"", 5, 5, 5, 0.0, 0, 0), ())
    assert plan.take(ask, NO_NODE, NO_NODE) == (gone, [])


def test_an_event_of_an_unknown_kind_has_its_node_looked_at() -> None:
    """A lying member, or a newer one: what is not understood is no reason to miss a change."""
    for kind in (5, 0x7FFFFFFF, -2):
        assert mark(SCOPE, kind, f"{ROOT}/web/a", False) == mark(SCOPE, CREATED, f"{ROOT}/web/a", False)
        assert mark(SCOPE, kind, ROOT, False) is None
        assert mark(SCOPE, kind, "", False) == []


def test_containers_and_ttl_nodes_are_not_ephemeral() -> None:
    def owned(owner: int) -> bool:
        return Node(b"", 1, 1, 1, 0.0, owner, 0).ephemeral

    assert owned(0x100000000000001)
    assert owned(-(0x7F << 56))  # a session of server 129
    assert not owned(0)
    assert not owned(-(1 << 63))
    assert not owned(-(1 << 56) + 60_000)


def test_lineage_is_the_path_and_its_ancestors() -> None:
    assert set(lineage("/a/b/c")) == {"/a", "/a/b", "/a/b/c"}
