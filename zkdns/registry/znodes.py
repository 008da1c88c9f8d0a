"""The znodes below one watched root, as one reading tells them: the last word on each path.

Rules: pure. The order of the events is law: a node is listed before its data is told, and what is told later
is newer (`zk/read_plan` and ZooKeeper's ordering see to that). So listed means alive: data of a node that no
list names is of no interest, and with its name goes all that stood below.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import filterfalse, islice
from typing import Any, Final, NamedTuple, TypeAlias

from msgspec import Struct

from zkdns.model import OF_NODES, Begin, Children, Data, Event, Problem, Stat, Unreadable, Whole
from zkdns.registry.layout import layout
from zkdns.registry.scope import Scope, scopes

STEP = 256
"""Nodes that come or go in one step: half a millisecond."""

SLICE = 4096
"""Names that are looked through in one step: a millisecond."""

FEW = 32
"""So few names are looked through as they were told: sets of them would take ten times the room."""

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


def _tell_nobody(path: str) -> None:
    pass


def _slices(names: Collection[str]) -> Iterator[tuple[str, ...]]:
    """Of a long list of names so many at a time."""
    if isinstance(names, tuple) and len(names) <= SLICE:
        yield names
        return
    rest = iter(names)
    while some := tuple(islice(rest, SLICE)):
        yield some


def _pause(some: tuple[str, ...]) -> tuple[None, ...]:
    """Once after a slice that is full."""
    return (None,) if len(some) == SLICE else ()


class Listing:
    """What is listed below `root`. `come` and `gone` are told each node that comes and goes, those above
    first; of a node that goes, all below it went before."""

    __slots__ = ("_below", "_come", "_gone", "_is_there", "refused", "root", "zxid")

    def __init__(self, root: str, come: Callable[[str], None], gone: Callable[[str], None]) -> None:
        self.root = root
        self.zxid = 0
        self.refused: str | None = None
        self._come = come
        self._gone = gone
        self._is_there = False
        self._below: dict[str, tuple[str, ...] | set[str]] = {}

    def let_go(self) -> None:
        """Tell nobody any more: who is told holds this, and would lie about with it for long."""
        self._come = self._gone = _tell_nobody

    def apply(self, event: Children | Data | Unreadable) -> bool:
        """Whether the event is of a node that is listed."""
        path = event.path
        if isinstance(event, Children):
            is_there = not self._is_missing(event) and (path == self.root or self._is_listed(path))
            for _ in self.steps(event):
                pass
            return is_there
        if isinstance(event, Unreadable):
            if path == self.root:
                self.refused = event.why
                return False
            if not self._is_listed(path):
                return False
            for _ in self._list(path, ()):
                pass
            self._below.pop(path, None)
            return True
        if not self._is_known(path):
            return False
        self.zxid = max(self.zxid, event.stat.mzxid)
        return True

    def steps(self, event: Children) -> Iterator[None]:
        """Take a list, with a pause after so many of the nodes that come and go."""
        path = event.path
        if self._is_missing(event):
            self.refused = None
            yield from self._clear()
        elif self._is_known(path):
            self.zxid = max(self.zxid, event.zxid)
            yield from self._list(path, event.names)

    def _is_missing(self, event: Children) -> bool:
        """Whether it tells that the root is not there."""
        return event.path == self.root != "/" and not event.zxid and not event.names

    def _is_known(self, path: str) -> bool:
        """Whether a node is listed, or is the root: of which something was told, so that it is there."""
        if path != self.root:
            return self._is_listed(path)
        self.refused = None
        if not self._is_there:
            self._is_there = True
            self._come(path)
        return True

    def _is_listed(self, path: str) -> bool:
        parent, _, name = path.rpartition("/")
        return name in self._below.get(parent or "/", ())

    def _list(self, path: str, names: tuple[str, ...]) -> Iterator[None]:
        before = self._below.get(path, ())
        now: set[str] = set()
        for some in _slices(names):
            now.update(some)
            yield from _pause(some)
        base = path if path.endswith("/") else path + "/"
        gone: list[str] = []
        for some in _slices(before):
            gone += filterfalse(now.__contains__, some)
            yield from _pause(some)
        # What goes is listed until all below it went: who stops in between finds the rest again.
        for at, name in enumerate(gone, 1):
            if base + name in self._below:
                yield from self._drop(base + name)
            else:
                self._gone(base + name)
            if not at % STEP:
                yield
        self._below[path] = names if len(names) <= FEW else now
        at = 0
        for some in _slices(names):
            for name in filterfalse(before.__contains__, some):
                at += 1
                self._come(base + name)
                if not at % STEP:
                    yield
            yield from _pause(some)

    def _drop(self, path: str) -> Iterator[None]:
        for at, name in enumerate(self._below.pop(path, ()), 1):
            below = f"{path}/{name}"
            if below in self._below:
                yield from self._drop(below)
            else:
                self._gone(below)
            if not at % STEP:
                yield
        self._gone(path)

    def _clear(self) -> Iterator[None]:
        """The root is not there."""
        yield from self._list(self.root, ())
        self._below.clear()
        if self._is_there:
            self._is_there = False
            self._gone(self.root)


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
        if isinstance(event, OF_NODES):
            self._note_refused(event)
            (self._now if self._next is None else self._next).apply(event)
        elif isinstance(event, Begin):
            self._refused.clear()
            if self._next is not None:
                self._next.listing.let_go()
            self._next = _Plain(self.root, self._depths)
        elif isinstance(event, Whole) and self._next is not None:
            old = self._next
            if self._next.listing.refused is None:
                old, self._now = self._now, self._next
                self._now.moved = old.moved | dict.fromkeys(sorted(self._now.differing(old)))
            old.listing.let_go()
            self._next = None

    def _note_refused(self, event: Children | Data | Unreadable) -> None:
        if isinstance(event, Unreadable):
            if len(self._refused) < MAX_REFUSED:
                self._refused[event.path] = event.why
        elif self._refused:
            self._refused.pop(event.path, None)
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
            self._now.moved = {}
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
        if most is None or len(now.moved) <= most:
            moved, now.moved = now.moved, {}
        else:
            moved = dict.fromkeys(islice(now.moved, most))
            now.moved = dict.fromkeys(islice(now.moved, most, None))
        return {
            names: (now.nodes[names], now.written[names]) if names in now.nodes else None for names in moved
        }

    def written(self, names: Names) -> Written:
        """When the data of one of them was written."""
        return self._now.written.get(names, NEVER_WRITTEN)

    def data(self, names: Names) -> bytes | None:
        """What one of them holds; None where there is no such."""
        return self._now.nodes.get(names)

    def times(self) -> dict[str, float]:
        """When the data of each node was written, by its name."""
        return {names[-1]: written.at for names, written in self._now.written.items()}

    @property
    def listed_by(self) -> int:
        """The transaction that last made or removed a node right below the root (its pzxid)."""
        return self._now.listed_by


class _Plain:
    """One reading of such a subtree."""

    def __init__(self, root: str, depths: tuple[int, ...]) -> None:
        self.nodes: dict[Names, bytes] = {}
        self.written: dict[Names, Written] = {}
        self.moved: dict[Names, None] = {}
        """Those that have changed since somebody asked last, in that order."""
        self.listed_by = 0
        self.listing = Listing(root, lambda path: None, self._gone)
        self._base = len(root) + 1
        self._depths = depths

    def apply(self, event: Children | Data | Unreadable) -> None:
        if not self.listing.apply(event):
            return
        names = self._names(event.path)
        if isinstance(event, Data) and len(names) in self._depths:
            stands = event.data, Written(event.stat.mtime, event.stat.mzxid)
            if stands != self._tell(names):
                self.nodes[names], self.written[names] = stands
                self.moved[names] = None
        elif isinstance(event, Children) and not names:
            self.listed_by = event.zxid
        elif isinstance(event, Unreadable):
            self._drop(names)

    def _gone(self, path: str) -> None:
        self._drop(self._names(path))

    def differing(self, other: _Plain) -> set[Names]:
        """Those that stand otherwise in another reading."""
        every = self.nodes.keys() | other.nodes.keys()
        return {names for names in every if self._tell(names) != other._tell(names)}

    def _tell(self, names: Names) -> tuple[bytes | None, Written]:
        return self.nodes.get(names), self.written.get(names, NEVER_WRITTEN)

    def _drop(self, names: Names) -> None:
        if self.nodes.pop(names, None) is not None:
            del self.written[names]
            self.moved[names] = None

    def _names(self, path: str) -> Names:
        return tuple(path[self._base :].split("/")) if len(path) >= self._base else ()
