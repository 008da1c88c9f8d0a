"""Folds a registry's replies by zxid: which znodes stand there now, and what each one's data meant.

Rules: pure. Replies may come late, twice and in any order; the same set of replies folds to the same
znodes (kazoo issue 645 is what happens otherwise: a late read resurrects a deleted node).

Why it holds. A child list at zxid P tells of every creation and deletion up to P. So:
- of two lists the later one counts, of two data replies the one with the larger mzxid;
- a node that a list at P lacks, yet whose czxid is at most P, was deleted for good: its data is
  dropped, whether it comes before that list or after. A node of the same name that is created
  later has a czxid above P. `floor` is the largest such P of a node; its parents' floors hold too;
- data of a node that no list names yet, with a czxid above P, waits for the list that will.

A list and the data below it need not agree at every moment; a node is there when it is listed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from zkdns.model import Children, Data, Stat, Unreadable

NONE = -1
"""Smaller than any zxid: nothing of the kind was seen."""


class Znode:
    """What is known of one path. `zxid` is that of its child list; `value` is what its data meant,
    None before any came; `waiting` is how many of the listed kids have no data yet."""

    __slots__ = (
        "czxid", "digest", "floor", "kids", "listed", "mzxid", "name",
        "unreadable", "value", "waiting", "zxid",
    )  # fmt: skip

    def __init__(self, name: str, listed: bool = False, floor: int = NONE) -> None:
        self.name = name
        self.listed = listed
        self.floor = floor
        self.zxid = NONE
        self.kids: dict[str, Znode] | None = None
        self.czxid = NONE
        self.mzxid = NONE
        self.digest = 0
        self.waiting = 0
        self.value: Any = None
        self.unreadable: str | None = None

    def listed_kids(self) -> Iterator[tuple[str, Znode]]:
        if self.kids:
            for name, kid in self.kids.items():
                if kid.listed:
                    yield name, kid

    def prune(self, floor: int) -> bool:
        """Drop all that is dead by `floor`; whether anything is left that waits for a list."""
        if self.czxid <= floor:
            self.czxid = self.mzxid = NONE
            self.value = None
        if self.zxid <= floor:
            self.zxid = NONE
            for kid in (self.kids or {}).values():
                kid.listed = False
        if self.kids:
            alive = [(name, kid) for name, kid in self.kids.items() if kid.prune(floor) or kid.listed]
            self.kids = dict(alive) or None
        self.unreadable = None
        return self.czxid != NONE or self.zxid != NONE or bool(self.kids)


Read = Callable[[tuple[str, ...], Znode, Data], Any]
"""Gives the value of a znode's data; the names are those below the root."""


class Replies:
    """The znodes below one root, as one reading tells them. `depth`: how far below it they count.

    `apply` gives the first name below the root of what changed, "" for the root's own list, and
    None where nothing did. `zxid` is the largest that was seen. `filled` tells whether the latest
    event brought the last data that a list was waiting for.
    """

    __slots__ = ("_depth", "_prefix", "_read", "filled", "root", "zxid")

    def __init__(self, root: str, depth: int, read: Read) -> None:
        self._prefix = root.rstrip("/") + "/"
        self._depth = depth
        self._read = read
        self.root = Znode("", listed=True)
        self.zxid = 0
        self.filled = False

    def apply(self, event: Children | Data | Unreadable, names: tuple[str, ...] | None = None) -> str | None:
        """Reducer one reply. `names`: those of its path, where they are known already."""
        self.filled = False
        if names is None:
            names = self.names(event.path)
        if names is None or len(names) > self._depth:
            return None
        if isinstance(event, Data):
            self.zxid = max(self.zxid, event.stat.mzxid)
            changed = self._take_data(names, event)
        elif isinstance(event, Children):
            if len(names) == self._depth:
                return None
            self.zxid = max(self.zxid, event.zxid)
            changed = self._take_list(names, event)
        else:
            changed = self._take_refusal(names, event)
        if not changed:
            return None
        return names[0] if names else ""

    def names(self, path: str) -> tuple[str, ...] | None:
        """The names from the root down to `path`; None for a path that is not below it."""
        if path.startswith(self._prefix):
            return tuple(path[len(self._prefix) :].split("/")) if len(path) > len(self._prefix) else ()
        return () if path == self._prefix[:-1] else None

    def find(self, names: tuple[str, ...]) -> Znode | None:
        node: Znode | None = self.root
        for name in names:
            node = node.kids.get(name) if node is not None and node.kids else None
        return node

    def _walk(self, names: tuple[str, ...], zxid: int) -> Znode | None:
        """The node, made where it is missing; None if what was created at `zxid` is dead by now."""
        node = self.root
        missing = 0
        for at, name in enumerate(names):
            kid = node.kids.get(name) if node.kids else None
            if kid is None:
                if zxid <= node.zxid:
                    return None
                missing = len(names) - at
                break
            if zxid <= kid.floor:
                return None
            node = kid
        for name in names[len(names) - missing :] if missing else ():
            kid = Znode(name, floor=node.zxid)
            if node.kids is None:
                node.kids = {}
            node.kids[name] = kid
            node = kid
        return node

    def _take_data(self, names: tuple[str, ...], event: Data) -> bool:
        stat: Stat = event.stat
        if not names:
            return False
        node = self._walk(names, stat.czxid)
        if node is None or stat.mzxid <= node.mzxid:
            return False
        if node.mzxid == NONE and node.listed:
            parent = self.find(names[:-1])
            if parent is not None:
                parent.waiting -= 1
                self.filled = parent.waiting == 0
        node.czxid = stat.czxid
        node.mzxid = stat.czxid if stat.mzxid == stat.czxid else stat.mzxid  # one object for both
        value = self._read(names, node, event)
        node.digest = hash(event.data)
        if node.unreadable is None and value == node.value:
            return False
        node.value = value
        node.unreadable = None
        return True

    def _take_refusal(self, names: tuple[str, ...], event: Unreadable) -> bool:
        node = self._walk(names, self.zxid + 1)
        if node is None or node.unreadable == event.why:
            return False
        node.unreadable = event.why
        if names:  # what stood there may be gone or other by now; the root's refusal is told by the caller
            node.mzxid = node.czxid = node.zxid = NONE
            node.value = node.kids = None
        return True

    def _take_list(self, names: tuple[str, ...], event: Children) -> bool:
        node = self._walk(names, event.zxid)
        if node is None:
            return False
        if event.zxid < node.zxid:
            return self._take_late_list(node, event)
        before, node.zxid = node.zxid, event.zxid
        refused, node.unreadable = node.unreadable, None
        kids = node.kids = node.kids or {}
        listed = set(event.names)
        changed = refused is not None
        if event.zxid == before and listed == {name for name, kid in kids.items() if kid.listed}:
            return changed
        for name in [name for name in kids if name not in listed]:
            kid = kids[name]
            changed = changed or kid.listed
            kid.listed = False
            kid.floor = max(kid.floor, event.zxid)
            if not kid.prune(event.zxid):
                del kids[name]
        # A second list at the same zxid corrects the first, so that one is no evidence of absence.
        floor = before if before < event.zxid else NONE
        if not kids:  # the first list of 50,000 names should not hold us for long
            node.kids = {name: Znode(name, True, floor) for name in sorted(listed)}
            node.waiting = len(listed)
            return changed or bool(listed)
        added = sorted(name for name in listed if name not in kids or not kids[name].listed)
        for name in added:
            if name in kids:
                kids[name].listed = True  # and its floor is this list's predecessor already
            else:
                kids[name] = Znode(name, True, floor)
        node.waiting = sum(kid.listed and kid.mzxid == NONE for kid in kids.values())
        return changed or bool(added)

    def _take_late_list(self, node: Znode, event: Children) -> bool:
        """It names nothing any more, but what it lacks was created after it."""
        named = set(event.names)
        changed = False
        for name, kid in (node.kids or {}).items():
            if kid.listed and name not in named and kid.floor < event.zxid:
                kid.floor = event.zxid
                seen = kid.czxid, kid.zxid
                refused = kid.unreadable
                kid.prune(event.zxid)
                kid.unreadable = refused
                changed = changed or seen != (kid.czxid, kid.zxid)
        return changed
