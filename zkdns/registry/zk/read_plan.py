"""What was read and told of one root, and what therefore has to be read next.

Rules: no I/O, no clock, no chance. Level-triggered: a watch event only says where to look again; what
is told comes from replies. A reply that says what was told before gives no event. It keeps no data, only
names and mzxids (a node made anew has another mzxid too), so 100,000 nodes cost some ten megabytes.
Depth: root, services, instances, and one level more where a child of a service has children of its own
(Dubbo's `providers`, SmartStack's `services`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from zkdns.model import Children, Data, Event, Stat, Unreadable
from zkdns.registry.zk.wire import CHANGED, CHILD, CREATED, DELETED, NO_AUTH, NO_NODE, Node

DEEPEST = 3
UNTOLD, UNREADABLE = -2, -1
NOT_SERVICES = frozenset({"zookeeper", "zkdns"})
"""Children of `/` that are no services, should someone take `/` itself for the root."""


class ReadRequest(NamedTuple):
    """One read that is due: the data of `path`, and with `listing` its children too."""

    path: str
    listing: bool


def depth_of(root: str, path: str) -> int:
    """0 for the root, 1 for a service, ...; -1 for what does not stand under the root."""
    if path == root:
        return 0
    base = "/" if root == "/" else root + "/"
    if not path.startswith(base):
        return -1
    return path.count("/", len(base)) + 1


def parent_of(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def child_of(path: str, name: str) -> str:
    return f"/{name}" if path == "/" else f"{path}/{name}"


def lineage(path: str) -> list[str]:
    """The path itself and all that it stands under, save `/`."""
    at = [i for i, letter in enumerate(path) if letter == "/" and i]
    return [path, *(path[:i] for i in at)]


def mark(root: str, kind: int, path: str, one_shot: bool) -> list[ReadRequest] | None:
    """What a watch event asks to be read again. None: the whole root, which came or went."""
    depth = depth_of(root, path)
    if depth < 0 or depth > DEEPEST or (root == "/" and path.split("/")[1] in NOT_SERVICES):
        return []
    if depth == 0:
        return None if kind in (CREATED, DELETED) else [ReadRequest(path, True)]
    # A one-shot watch tells the deletion and not that the node was made again right after.
    if kind == CREATED or (kind == DELETED and one_shot):
        return [ReadRequest(parent_of(path), True), ReadRequest(path, depth == 1)]
    if kind == DELETED:
        return [ReadRequest(parent_of(path), True)]
    if kind == CHANGED:
        return [ReadRequest(path, False)]
    return [ReadRequest(path, True)] if kind == CHILD and depth < DEEPEST else []


class ReadPlan:
    """`one_shot`: watches are set by the reads themselves, so a node that has no children yet but may
    get some has to be listed as well. `missing`: the root was not there at the last look."""

    __slots__ = ("_mzxid", "_names", "_pzxid", "missing", "one_shot", "root")

    def __init__(self, root: str, one_shot: bool = False) -> None:
        self.root = root
        self.one_shot = one_shot
        self.missing = False
        self._names: dict[str, dict[str, int]] = {}
        self._pzxid: dict[str, int] = {}
        self._mzxid = UNTOLD

    def __len__(self) -> int:
        return sum(map(len, self._names.values())) + (self.root in self._names)

    def everything(self) -> Iterator[ReadRequest]:
        """A read for each node that is known, services first with their own. May be taken slowly."""
        yield ReadRequest(self.root, True)
        waiting = [self.root]
        while waiting:
            path = waiting.pop()
            for name in list(self._names.get(path, ())):
                child = child_of(path, name)
                listed = child in self._names
                yield ReadRequest(child, listed)
                if listed:
                    waiting.append(child)

    def take(
        self, request: ReadRequest, data: Node | int, names: tuple[str, ...] | int | None
    ) -> tuple[list[Event], list[ReadRequest]]:
        """Reducer one reply: the events that it makes, and the reads that it asks for."""
        path = request.path
        depth = depth_of(self.root, path)
        if depth == 0:
            self.missing = NO_NODE in (data, names)
        if not isinstance(data, Node):
            return self._refuse(path, depth, data)
        if isinstance(names, int):
            return self._refuse(path, depth, names)
        events: list[Event] = []
        more: list[ReadRequest] = []
        if self._told(path) != data.mzxid:
            stat = Stat(data.czxid, data.mzxid, data.ctime, data.ephemeral)
            events.append(Data(path, data.data, stat))
            self._tell(path, data.mzxid)
        if names is not None:
            self._list(path, depth, names, data.pzxid, events, more)
        elif self._unlisted(path, depth, data):
            more.append(ReadRequest(path, True))
        return events, more

    def _unlisted(self, path: str, depth: int, data: Node) -> bool:
        if depth < DEEPEST - 1:
            return path not in self._names
        if depth == DEEPEST or self._pzxid.get(path) == data.pzxid:
            return False
        # One that had children once counts too: its pzxid is part of the serial, on every replica.
        return path in self._names or data.pzxid != data.czxid or (self.one_shot and not data.ephemeral)

    def _told(self, path: str) -> int:
        if path == self.root:
            return self._mzxid
        parent, _, name = path.rpartition("/")
        return self._names.get(parent or "/", {}).get(name, UNTOLD)

    def _tell(self, path: str, mzxid: int) -> None:
        if path == self.root:
            self._mzxid = mzxid
            return
        parent, _, name = path.rpartition("/")
        siblings = self._names.get(parent or "/")
        if siblings is not None:
            siblings[name] = mzxid

    def _doubt(self, path: str) -> None:
        """It is gone, and not said to be: what is listed there from now on is new, whatever its name."""
        self._tell(path, UNTOLD)
        for name in self._names.get(path, ()):
            self._doubt(child_of(path, name))

    def _forget(self, path: str) -> None:
        self._pzxid.pop(path, None)
        for name in self._names.pop(path, ()):
            self._forget(child_of(path, name))

    def _list(
        self,
        path: str,
        depth: int,
        names: tuple[str, ...],
        pzxid: int,
        events: list[Event],
        more: list[ReadRequest],
    ) -> None:
        if path == "/":
            names = tuple(name for name in names if name not in NOT_SERVICES)
        old = self._names.get(path)
        if old is None or old.keys() != set(names) or self._pzxid[path] != pzxid:
            events.append(Children(path, names, pzxid))
        self._names[path] = new = {name: UNTOLD if old is None else old.get(name, UNTOLD) for name in names}
        self._pzxid[path] = pzxid
        if old is not None:
            for name in old.keys() - new.keys():
                self._forget(child_of(path, name))
        if depth < DEEPEST:
            more += [ReadRequest(child_of(path, name), depth == 0) for name in names if new[name] == UNTOLD]

    def _refuse(self, path: str, depth: int, code: int) -> tuple[list[Event], list[ReadRequest]]:
        if code == NO_NODE and depth == 0:
            self._names.clear()
            self._pzxid.clear()
            self._mzxid = UNTOLD
            return [Children(path, (), 0)], []
        if code == NO_NODE:
            # Gone between its parent's listing and this read: what is listed now decides.
            parent, _, name = path.rpartition("/")
            if name not in self._names.get(parent or "/", ()):
                return [], []
            self._doubt(path)
            return [], [ReadRequest(parent or "/", True)]
        if self._told(path) == UNREADABLE:
            return [], []
        self._forget(path)
        self._tell(path, UNREADABLE)
        why = "its ACL does not let us read it" if code == NO_AUTH else f"ZooKeeper's error {code}"
        return [Unreadable(path, why)], []
