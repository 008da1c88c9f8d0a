"""What was read and told of one root, and what therefore has to be read next.

Rules: no I/O, no clock, no chance. Level-triggered: a watch event only says where to look again; what
is told comes from replies. A reply that says what was told before gives no event. It keeps no data, only
names and mzxids (a node made anew has another mzxid too), so 100,000 nodes cost some ten megabytes.
The order of its events is law: whoever applies them one after another, the last word on each path, has
what stands there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, cast

from zkdns.model import Children, Data, Event, Listed, Unreadable
from zkdns.registry.scope import Scope, Spot
from zkdns.registry.zk.portion import MAX_PATH_CHARACTERS, TOO_LONG, is_too_long, stand_in
from zkdns.registry.zk.wire import (
    CHANGED,
    CHILD,
    CREATED,
    DELETED,
    GET_CHILDREN,
    GET_DATA,
    NO_AUTH,
    NO_NODE,
    Node,
    Op,
)

SHORT: Final = 500
"""Names of a list that is read within less than a millisecond. Where the root's is longer each node on it is
read by itself, which tells whether it is there: a list of 10,000 took ten milliseconds at each change, and
told of thousands at once."""

TOGETHER: Final = 16
"""Where more than so many came or went at once, each of these is read by itself as well."""

UNTOLD, UNREADABLE, STANDS_IN = -4, -2, -6
"""Smaller than what is kept of any data that was told: its mzxid twice, and 1 for children below. What
stands in for a node whose path is too long is not read."""

MISSING = -1
"""In the place of a pzxid: the root was told to be missing."""


class ReadRequest(NamedTuple):
    """One read that is due: the data of `path`, and with `listing` its children too."""

    path: str
    listing: bool


def parent_of(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def child_of(path: str, name: str) -> str:
    return f"/{name}" if path == "/" else f"{path}/{name}"


def lineage(path: str) -> list[str]:
    """The path itself and all that it stands under, save `/`."""
    at = [i for i, letter in enumerate(path) if letter == "/" and i]
    return [path, *(path[:i] for i in at)]


def mark(
    scope: Scope, kind: int, path: str, one_shot: bool, is_long: bool = False
) -> list[ReadRequest] | None:
    """What a watch event asks to be read again. None: the whole root, which came or went. `is_long`: whether
    the root's list is, so that each node on it is read by itself."""
    requests = _mark(scope, kind, path, one_shot, is_long)
    if not requests or not is_too_long(path):
        return requests
    return [request for request in requests if not is_too_long(request.path)]


def _mark(scope: Scope, kind: int, path: str, one_shot: bool, is_long: bool) -> list[ReadRequest] | None:
    names = scope.names(path)
    if names is None:
        return []
    here = scope.at(path)
    if kind not in (CREATED, DELETED, CHANGED, CHILD):
        kind = CREATED  # whatever it means, something happened there
    if not names:
        return None if kind in (CREATED, DELETED) else [ReadRequest(path, True)]
    if here is None:
        # It is no one's business; that its parent has another pzxid, or children at all, is.
        parent = scope.at(parent_of(path)) if kind in (CREATED, DELETED) else None
        return [ReadRequest(parent_of(path), parent.lists)] if parent is not None else []
    if is_long and len(names) == 1 and kind in (CREATED, DELETED) and not one_shot:
        # Made anew meanwhile, it is told of by another event.
        return [ReadRequest(scope.root, False), ReadRequest(path, here.lists and kind == CREATED)]
    # A one-shot watch tells the deletion and not that the node was made again right after.
    if kind == CREATED or (kind == DELETED and one_shot):
        return [ReadRequest(parent_of(path), True), ReadRequest(path, here.lists)]
    if kind == DELETED:
        return [ReadRequest(parent_of(path), True)]
    if kind == CHANGED:
        return [ReadRequest(path, False)] if here.data else []
    return [ReadRequest(path, True)] if kind == CHILD and here.lists else []


def reads(batch: Iterable[ReadRequest]) -> list[Op]:
    """What is read for these, in order."""
    ops: list[Op] = []
    for request in batch:
        # The data comes first: names that are newer than the pzxid beside them are put right by the
        # event that is on its way, older ones would stay.
        ops.append(Op(GET_DATA, request.path))
        if request.listing:
            ops.append(Op(GET_CHILDREN, request.path))
    return ops


def one_by_one(batch: Iterable[ReadRequest]) -> list[int]:
    """The order in which `reads` are asked for one by one, each leaving a watch: a node's names before its
    data. What changes in between is told by the watch that the names left; the other way round a child that
    comes in between would be told by none, and its list's pzxid would stay behind."""
    order: list[int] = []
    for request in batch:
        at = len(order)
        order += [at + 1, at] if request.listing else [at]
    return order


class ReadPlan:
    """`missing`: the root was not there at the last look. `masked`: a watch event said that the root's
    data changed, and it did not (`suspect` was called, and the same mzxid came)."""

    __slots__ = ("_length", "_names", "_pzxid", "_root", "_suspected", "masked", "missing", "scope")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.missing = False
        self.masked = False
        self._names: dict[str, dict[str, int]] = {}
        self._pzxid: dict[str, int] = {}
        self._length = 0
        """How many names the root's list had when it was read last."""
        self._root = {"": UNTOLD}
        self._suspected = UNTOLD

    def __len__(self) -> int:
        return sum(map(len, list(self._names.values()))) + (self.scope.root in self._names)

    def everything(self) -> Iterator[ReadRequest]:
        """A read for each node that is known, services first with their own. May be taken slowly."""
        yield ReadRequest(self.scope.root, True)
        waiting = [self.scope.root]
        while waiting:
            path = waiting.pop()
            for name, word in list(self._names.get(path, {}).items()):
                if word == STANDS_IN:
                    continue
                child = child_of(path, name)
                listed = child in self._names
                yield ReadRequest(child, listed)
                if listed:
                    waiting.append(child)

    def suspect(self) -> None:
        """The root's data is said to have changed since its last reply: if the next one has the same
        mzxid, events name the watch's path instead of the node's. Not where nothing is read below it: there
        both are one, and a reconfiguration writes `/zookeeper/config` twice in one transaction."""
        here = self.scope.at(self.scope.root)
        if here is not None and here.lists:
            self._suspected = self._root[""]

    def take(
        self,
        request: ReadRequest,
        data: Node | int,
        names: tuple[str, ...] | int | None,
        told_at: float = 0.0,
    ) -> tuple[list[Event], list[ReadRequest]]:
        """Take one reply: the events that it makes, and the reads that it asks for. `told_at`: when a watch
        event asked for it."""
        path = request.path
        here = self.scope.at(path)
        if here is None:
            return [], []
        at_root = path == self.scope.root
        siblings, name = self._place(path)
        events: list[Event] = []
        if name not in siblings:
            if NO_NODE in (data, names) or siblings is not self._names.get(self.scope.root):
                return [], []  # not listed yet, or no more; once it is, it is read (again)
            siblings[name] = UNTOLD
            czxid = data.czxid if isinstance(data, Node) else 0
            events.append(Listed(self.scope.root, (name,), zxid=czxid, told_at=told_at))
        if at_root:
            self.missing = NO_NODE in (data, names)
        if isinstance(data, int) or isinstance(names, int):
            refused, more = self._refuse(path, data if isinstance(data, int) else cast(int, names), told_at)
            return events + refused, more
        word = 2 * data.mzxid + (data.children > 0 and not here.lists)
        if at_root and self._suspected != UNTOLD:
            self.masked = self.masked or self._suspected == word
            self._suspected = UNTOLD
        if (here.data or at_root) and siblings[name] != word:
            events.append(Data(path, data.data, data.stat, told_at=told_at))
        siblings[name] = word
        if not here.lists:
            return events, []
        if names is None:
            if at_root and self._pzxid.get(path, data.pzxid) != data.pzxid:
                self._pzxid[path] = data.pzxid
                events.append(Listed(path, zxid=data.pzxid, told_at=told_at))
            return events, [] if path in self._names else [ReadRequest(path, True)]
        listing, more = self._take_children(here, path, data.pzxid, names, told_at)
        return events + listing, more

    def _take_children(
        self, here: Spot, path: str, pzxid: int, names: tuple[str, ...], told_at: float
    ) -> tuple[list[Event], list[ReadRequest]]:
        """What a list makes another, and the nodes on it that nothing was told of yet."""
        old = self._names.get(path)
        if path == self.scope.root:
            self._length = len(names)
            if old is not None and (self.is_long or len(old.keys() ^ names) > TOGETHER):
                return self._compare(here, path, pzxid, names, told_at)
        events: list[Event] = []
        more: list[ReadRequest] = []
        new: dict[str, int] = {}
        refused: list[Event] = []
        longest = MAX_PATH_CHARACTERS - len(path) - 1
        for name, below in self.scope.children(path, here, names):
            if len(name) > longest:
                name = stand_in(name)
                if old is None or old.get(name) != STANDS_IN:
                    refused.append(Unreadable(child_of(path, name), TOO_LONG, told_at=told_at))
                new[name] = STANDS_IN
                continue
            new[name] = UNTOLD if old is None else old.get(name, UNTOLD)
            if new[name] == UNTOLD:
                more.append(ReadRequest(child_of(path, name), below.lists))
        if old is None or old.keys() != new.keys() or self._pzxid[path] != pzxid:
            events.append(Children(path, tuple(new), pzxid, told_at=told_at))
        self._names[path] = new
        self._pzxid[path] = pzxid
        if old is not None:
            for name in old.keys() - new.keys():
                self._forget(child_of(path, name))
        return events + refused, more

    def _compare(
        self, here: Spot, path: str, pzxid: int, names: tuple[str, ...], told_at: float
    ) -> tuple[list[Event], list[ReadRequest]]:
        """Of a long list of the root those that are to be read by themselves: they are told to come or to be
        gone when that is done, some at a time and in turn with others."""
        siblings = self._names[path]
        more: list[ReadRequest] = []
        refused: list[str] = []
        now: set[str] = set()
        longest = MAX_PATH_CHARACTERS - len(path) - 1
        for name, below in self.scope.children(path, here, names):
            if len(name) > longest:
                name = stand_in(name)
                if name not in siblings:
                    siblings[name] = STANDS_IN
                    refused.append(name)
            elif siblings.get(name, UNTOLD) == UNTOLD:
                more.append(ReadRequest(child_of(path, name), below.lists))
            now.add(name)
        gone: list[str] = []
        for name in siblings.keys() - now:
            if siblings[name] == STANDS_IN:
                gone.append(name)
                del siblings[name]
            else:
                more.append(ReadRequest(child_of(path, name), False))
        events: list[Event] = []
        if refused or gone or self._pzxid[path] != pzxid:
            events.append(Listed(path, tuple(refused), tuple(gone), pzxid, told_at=told_at))
        events += [Unreadable(child_of(path, name), TOO_LONG, told_at=told_at) for name in refused]
        self._pzxid[path] = pzxid
        return events, more

    @property
    def is_long(self) -> bool:
        """Whether the root's list is: of such a one each node is read by itself."""
        return max(self._length, len(self._names.get(self.scope.root, ()))) > SHORT

    def is_apart(self, path: str) -> bool:
        """Whether a node is read by itself, and not told of by the root's list."""
        return self.is_long and parent_of(path) == self.scope.root != path

    def is_refused(self, path: str) -> bool:
        """Whether it could not be read the last time."""
        siblings, name = self._place(path)
        return siblings.get(name) == UNREADABLE

    def made_by(self, name: str) -> int:
        """The transaction that wrote a node right below the root last, as was told; the same for all of which
        nothing was."""
        siblings = self._names.get(self.scope.root)
        return max(siblings.get(name, UNTOLD), UNTOLD) // 2 if siblings is not None else UNTOLD

    def length(self, path: str) -> int | None:
        """How many names its list has, -1 where that was not read; None for a node that is not listed."""
        siblings, name = self._place(path)
        if name not in siblings:
            return None
        names = self._names.get(path)
        if names is None:
            return -1
        return max(self._length, len(names)) if path == self.scope.root else len(names)

    def _place(self, path: str) -> tuple[dict[str, int], str]:
        """The list that a node stands on, or would, with what was told of each; and its name there."""
        if path == self.scope.root:
            return self._root, ""
        parent, _, name = path.rpartition("/")
        return self._names.get(parent or "/", {}), name

    def _tell(self, path: str, word: int) -> None:
        siblings, name = self._place(path)
        if name in siblings:
            siblings[name] = word

    def _doubt(self, path: str) -> None:
        """It is gone, and not said to be: what is listed there from now on is new, whatever its name."""
        self._tell(path, UNTOLD)
        for name in self._names.get(path, ()):
            self._doubt(child_of(path, name))

    def _forget(self, path: str) -> None:
        self._pzxid.pop(path, None)
        for name in self._names.pop(path, ()):
            self._forget(child_of(path, name))

    def _refuse(self, path: str, code: int, told_at: float) -> tuple[list[Event], list[ReadRequest]]:
        root = self.scope.root
        if code == NO_NODE and path == root:
            before = self._pzxid.get(root)
            self._names.clear()
            self._pzxid.clear()
            self._root[""] = UNTOLD
            self._pzxid[root] = MISSING
            return ([Children(root, (), 0, told_at=told_at)] if before != MISSING else []), []
        if code == NO_NODE:
            siblings, name = self._place(path)
            if siblings is self._names.get(root):
                del siblings[name]
                self._forget(path)
                return [Listed(root, (), (name,), told_at=told_at)], []
            # Gone between its parent's listing and this read: what is listed now decides.
            self._doubt(path)
            return [], [ReadRequest(parent_of(path), True)]
        siblings, name = self._place(path)
        if siblings.get(name) == UNREADABLE:
            return [], []
        self._forget(path)
        self._tell(path, UNREADABLE)
        why = "its ACL does not let us read it" if code == NO_AUTH else f"ZooKeeper's error {code}"
        return [Unreadable(path, why, told_at=told_at)], []
