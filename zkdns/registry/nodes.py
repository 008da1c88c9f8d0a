"""A small subtree of our own (/zkdns/servers, /zkdns/health, /zkdns/overrides) as plain data by name.

Rules: pure. Like the tree of services: listed means alive, any order of the same replies fold to the
same nodes, and a new reading takes the old one's place when it is whole. One that was refused doesn't.
"""

from __future__ import annotations

from zkdns.model import Begin, Children, Data, Event, Unreadable, Whole
from zkdns.registry.znodes import Replies, Znode


class Nodes:
    """`depth`: how far below `root` nodes count. `nodes()`: the data by the names below the root."""

    def __init__(self, root: str, depth: int = 1) -> None:
        self.root = root
        self._depth = depth
        self._now = self._begin()
        self._next: Replies | None = None
        self._nodes: dict[tuple[str, ...], bytes] = {}
        self._changed = False

    @property
    def zxid(self) -> int:
        """The largest mzxid or pzxid of all that was read."""
        return self._now.zxid

    def apply(self, event: Event) -> None:
        """Take one event. Never raises on what the registry holds."""
        if isinstance(event, Children | Data | Unreadable):
            (self._next or self._now).apply(event)
            self._changed = True
        elif isinstance(event, Begin):
            self._next = self._begin()
        elif isinstance(event, Whole) and self._next is not None:
            if self._next.root.unreadable is None:
                self._now = self._next
            self._next = None
            self._changed = True

    def nodes(self) -> dict[tuple[str, ...], bytes]:
        """What stands there now; the same object as before where nothing changed."""
        if self._changed:
            self._changed = False
            found: dict[tuple[str, ...], bytes] = {}
            self._collect((), self._now.root, found)
            if found != self._nodes:
                self._nodes = found
        return self._nodes

    def _collect(self, names: tuple[str, ...], node: Znode, found: dict[tuple[str, ...], bytes]) -> None:
        for name, kid in node.listed_kids():
            below = (*names, name)
            if kid.value is not None and len(below) == self._depth:
                found[below] = kid.value
            self._collect(below, kid, found)

    def _begin(self) -> Replies:
        return Replies(self.root, self._depth, lambda names, node, event: event.data)
