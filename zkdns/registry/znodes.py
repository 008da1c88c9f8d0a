"""The znodes below one watched root, as one reading tells them: the last word on each path.

Rules: pure. The order of the events is law: a node is listed before its data is told, and what is told later
is newer (`zk/read_plan` and ZooKeeper's ordering see to that). So listed means alive: data of a node that no
list names is of no interest, and with its name goes all that stood below.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import filterfalse
from typing import Any, Final, NamedTuple, TypeAlias

from msgspec import Struct

from zkdns.model import (
    LISTS,
    OF_NODES,
    Begin,
    Children,
    Data,
    Event,
    Listed,
    Problem,
    Stat,
    Unreadable,
    Whole,
)
from zkdns.piecemeal import empty_in_steps
from zkdns.registry.layout import layout
from zkdns.registry.listing import Listing
from zkdns.registry.scope import Scope, scopes
from zkdns.steps import Steps, finish, walk

Names: TypeAlias = tuple[str, ...]
"""The way to a node: the names below some path that one knows."""


class Written(NamedTuple):
    """When a node's data was written (seconds since the epoch), and by which transaction."""

    at: float = 0.0
    zxid: int = 0


NEVER_WRITTEN = Written()


class Znode(Struct, frozen=True, eq=False):
    """`value`: what its data means; `mark`: of what it was read, so that the same is not read twice."""

    mark: int
    value: Any


def mark_of(data: bytes, stat: Stat) -> int:
    """The same for the same data of the same node; another history counts the same zxids again."""
    return hash((data, stat.czxid, stat.mzxid, stat.ctime, stat.ephemeral, stat.has_children))


MAX_REFUSED: Final = 16
"""Nodes that can't be read and are told, of each root."""


class Nodes:
    """A small subtree of our own (/zkdns/servers, /zkdns/health, /zkdns/overrides) as plain data by name.
    `depths`: how far below `root` nodes count; 0: `root` alone does. A new reading takes the old one's place
    when it is whole; one that was refused doesn't."""

    def __init__(self, root: str, *depths: int) -> None:
        self.root = root
        self._depths = depths or (1,)
        self._now = _Plain(root, self._depths)
        self._next: _Plain | None = None
        self._nodes: dict[Names, bytes] = {}
        self._refused: dict[str, str] = {}
        """By path, why it can't be read."""

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """What is read."""
        if self._depths == (0,):
            return (Scope(self.root, [()]),)
        return scopes(self.root, [layout("/{service}/{id}" if d == 2 else "/{id}") for d in self._depths])

    @property
    def zxid(self) -> int:
        """The largest mzxid or pzxid of all that was read."""
        return self._now.listing.zxid

    def apply(self, event: Event) -> None:
        """Take one event. Never raises on what the registry holds."""
        finish(self.steps(event))

    def steps(self, event: Event) -> Steps[None]:
        """The same with pauses: whoever may write there chooses how many nodes there are."""
        if isinstance(event, OF_NODES):
            self._note_refused(event)
            yield from (self._now if self._next is None else self._next).steps(event)
        elif isinstance(event, Begin):
            self._refused.clear()
            old, self._next = self._next, _Plain(self.root, self._depths)
            if old is not None:
                yield from old.let_go()
        elif isinstance(event, Whole) and self._next is not None:
            old = self._next
            if self._next.listing.refused is None:
                moved = yield from self._next.differing(self._now)
                old, self._now = self._now, self._next
                self._now.moved = old.moved
                yield from walk(moved, lambda some: self._now.moved.update(dict.fromkeys(some)))
            self._next = None
            yield from old.let_go()

    def _note_refused(self, event: Children | Listed | Data | Unreadable) -> None:
        if isinstance(event, Unreadable):
            if len(self._refused) < MAX_REFUSED:
                self._refused[event.path] = event.why
        elif self._refused:
            self._refused.pop(event.path, None)
            if isinstance(event, Listed):
                for name in event.gone:
                    self._refused.pop(f"{event.path}/{name}", None)
            if isinstance(event, Children):
                listed = {f"{event.path}/{name}" for name in event.names}
                for path in [one for one in self._refused if one.rpartition("/")[0] == event.path]:
                    if path not in listed:
                        del self._refused[path]

    @property
    def refusals(self) -> tuple[Problem, ...]:
        """What can't be read of it: nothing that stands there counts."""
        cure = "give us the right to read it (zookeeper.auth), or remove it"
        return tuple(Problem(path, f"it can't be read: {why}", cure) for path, why in self._refused.items())

    def nodes(self) -> dict[Names, bytes]:
        """What stands there now; the same object as before where nothing changed."""
        if self._now.moved:
            self._now.moved.clear()
            self._nodes = dict(self._now.nodes)
        return self._nodes

    @property
    def has_moved(self) -> bool:
        """Whether `take_moved` has any to give."""
        return bool(self._now.moved)

    def take_moved(self, most: int | None = None) -> dict[Names, tuple[bytes, Written] | None]:
        """Those that came, went or were written since the last call, with what they hold now: for whoever
        remembers what stands there. No more than `most`, those that came first."""
        now = self._now
        count = len(now.moved) if most is None else min(most, len(now.moved))
        moved = [now.moved.popitem(last=False)[0] for _ in range(count)]
        return {
            names: (now.nodes[names], now.written[names]) if names in now.nodes else None for names in moved
        }

    def written(self, names: Names) -> Written:
        """When the data of one of them was written."""
        return self._now.written.get(names, NEVER_WRITTEN)

    def data(self, names: Names) -> bytes | None:
        """What one of them holds; None where there is no such."""
        return self._now.nodes.get(names)

    def by_name(self) -> dict[str, bytes]:
        """What stands there now right below the root, where nothing else is read."""
        self._now.moved.clear()
        return dict(self._now.by_name)

    def times(self) -> dict[str, float]:
        """When the data of each of these was written."""
        return dict(self._now.times)

    def made_by(self) -> dict[str, int]:
        """The transaction that made each of these: the order in which they came. No copy: it goes on."""
        return self._now.made_by

    @property
    def listed_by(self) -> int:
        """The transaction that last made or removed a node right below the root (its pzxid)."""
        return self._now.listed_by


class _Plain:
    """One reading of such a subtree."""

    def __init__(self, root: str, depths: tuple[int, ...]) -> None:
        self.nodes: dict[Names, bytes] = {}
        self.written: dict[Names, Written] = {}
        self.moved: OrderedDict[Names, None] = OrderedDict()
        """Those that have changed since somebody asked last, in that order."""
        self.by_name: dict[str, bytes] = {}
        self.times: dict[str, float] = {}
        self.made_by: dict[str, int] = {}
        """The same of nodes right below the root, where these alone count: whoever wants all of them has a
        copy, and of tens of thousands no more is made anew."""
        self.listed_by = 0
        self.listing = Listing(root, lambda path: None, self._gone)
        self._base = len(root) + 1
        self._depths = depths
        self._is_flat = depths == (1,)

    def let_go(self) -> Steps[None]:
        """Nobody needs it any more."""
        yield from self.listing.end()
        for held in (self.nodes, self.written, self.by_name, self.times):
            yield from empty_in_steps(held)

    def steps(self, event: Children | Listed | Data | Unreadable) -> Steps[None]:
        if isinstance(event, LISTS):
            is_listed = yield from self.listing.steps(event)
        else:
            is_listed = self.listing.apply(event)
        if not is_listed:
            return
        names = self._names(event.path)
        if isinstance(event, Data) and len(names) in self._depths:
            stands = event.data, Written(event.stat.mtime, event.stat.mzxid)
            if stands != self._tell(names):
                self._put(names, *stands, event.stat.czxid)
        elif isinstance(event, LISTS) and not names:
            self.listed_by = event.zxid or self.listed_by
        elif isinstance(event, Unreadable):
            self._drop(names)

    def _gone(self, path: str) -> None:
        self._drop(self._names(path))

    def differing(self, other: _Plain) -> Steps[list[Names]]:
        """Those that stand otherwise in another reading, those that it has not last."""
        others: list[Names] = []

        def look(some: Sequence[Names]) -> None:
            others.extend([names for names in some if self._tell(names) != other._tell(names)])

        yield from walk([*other.nodes], look)
        yield from walk([*filterfalse(other.nodes.__contains__, self.nodes)], look)
        return others

    def _tell(self, names: Names) -> tuple[bytes | None, Written]:
        return self.nodes.get(names), self.written.get(names, NEVER_WRITTEN)

    def _put(self, names: Names, data: bytes, written: Written, made_by: int) -> None:
        self.nodes[names], self.written[names] = data, written
        self.moved[names] = None
        if self._is_flat:
            name = names[0]
            self.by_name[name], self.times[name], self.made_by[name] = data, written.at, made_by

    def _drop(self, names: Names) -> None:
        if self.nodes.pop(names, None) is not None:
            del self.written[names]
            self.moved[names] = None
            if self._is_flat:
                del self.by_name[names[0]], self.times[names[0]], self.made_by[names[0]]

    def _names(self, path: str) -> Names:
        return tuple(path[self._base :].split("/")) if len(path) >= self._base else ()
