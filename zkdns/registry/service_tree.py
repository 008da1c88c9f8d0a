"""One registry's events -> its Catalog: services, instances, settings, problems.

Rules: pure. Listed means alive. What a node means is the reader's to say (a format in a layout, or a preset);
here it is put to its service. A new reading of a root (Begin ... Whole) is built beside the one in force and
takes its place at Whole, so an old Catalog answers until the new one is whole. What did not change stays the
same object, across readings too. The cost is that of what changed. An error out of the reader costs the node
or the service that it met, and is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from zkdns.model import (
    EMPTY,
    Begin,
    Catalog,
    Children,
    Data,
    Event,
    Problem,
    Service,
    Session,
    Unreadable,
    Whole,
    fault,
    serial_of,
)
from zkdns.persistent import PersistentMap
from zkdns.registry.layout import Layout
from zkdns.registry.scope import Scope, scopes
from zkdns.registry.znodes import Listing, Names, Znode, mark_of

READABLE = "give us the right to read it, or remove it"


class Reader(Protocol):
    """What the nodes of a registry mean. Names are those below the registry's root."""

    @property
    def layouts(self) -> Iterable[Layout]:
        """Which nodes are read."""
        ...

    def services(self, names: Names) -> Iterable[str]:
        """The services that are there because this node is."""
        ...

    def owners(self, names: Names) -> Iterable[str]:
        """The services of which this node may tell something."""
        ...

    def read(self, service: str, names: Names, event: Data) -> Any:
        """What a node tells of a service. Equal values mean the same; None: nothing."""
        ...

    def refuse(self, service: str, names: Names, problem: Problem) -> Any:
        """What a node tells that can't be read, for the reason that `problem` has."""
        ...

    def assemble(
        self, name: str, path: str, values: Iterable[Any], before: Service | None
    ) -> tuple[Service | None, tuple[Problem, ...]]:
        """The service, of what its nodes tell; `before`, and what it is made of, where that is equal. None
        where they tell that it is none."""
        ...


class ServiceTree:
    """`base`: where the registry stands. `reducers`: who takes the events of each root that is watched."""

    def __init__(self, base: str, reader: Reader) -> None:
        self.base = base
        self.scopes = scopes(base, reader.layouts)
        self.reducers: dict[str, Root] = {scope.root: Root(scope, self) for scope in self.scopes}
        self.reader = reader
        self._cut = len(base.rstrip("/")) + 1
        self._services: dict[str, Service] = {}
        self._shown: PersistentMap[Service] = PersistentMap()
        self._wrong: dict[str, tuple[Problem, ...]] = {}
        self._dirty: dict[str, None] = {}
        self._refused: dict[str, str] = {}
        self._is_moved = True
        self._moved: dict[str, None] = {}
        self._stale_since: float | None = None
        self._catalog = EMPTY

    @property
    def zxid(self) -> int:
        """The largest mzxid or pzxid in the readings in force."""
        return max((root.zxid for root in self.reducers.values()), default=0)

    @property
    def stale_since(self) -> float | None:
        """Since when a registry is out of reach, seconds since the epoch; None while all are read."""
        return self._stale_since

    def names(self, path: str) -> Names:
        """The names of a path below the base."""
        return tuple(path[self._cut :].split("/")) if len(path) > self._cut else ()

    def apply(self, event: Event) -> None:
        """Take one event, where a single root is watched. Never raises on what the registry holds."""
        (root,) = self.reducers.values()
        root.apply(event)

    def catalog(self) -> Catalog:
        """What stands now. The same object as before where nothing changed."""
        self._rebuild()
        old = self._catalog
        rest = serial_of(self.zxid), all(r.is_whole for r in self.reducers.values()), self._stale_since
        if self._is_moved or rest != (old.serial, old.complete, old.stale_since):
            self._is_moved = False
            services = self._shown = self._shown.changed({n: self._services.get(n) for n in self._moved})
            self._moved.clear()
            problems = tuple(self._problems())
            self._catalog = Catalog(services, old.problems if problems == old.problems else problems, *rest)
        return self._catalog

    # --- for the roots ------------------------------------------------------------------------------

    def mark(self, names: Iterable[str]) -> None:
        """These services are to be made anew."""
        self._dirty.update(dict.fromkeys(names))

    def refuse(self, root: str, why: str | None) -> None:
        """A root can't be read, or can again."""
        if self._refused.get(root) != why:
            self._is_moved = True
            if why is None:
                del self._refused[root]
            else:
                self._refused[root] = why

    def tell_age(self, at: float | None) -> None:
        """A connection came or went at this time, seconds since the epoch."""
        roots = self.reducers.values()
        if all(root.is_current for root in roots):
            self._stale_since = None
        elif self._stale_since is None and not all(root.connected for root in roots):
            self._stale_since = at

    def make(self, name: str, at: Iterable[Reading]) -> tuple[Service | None, tuple[Problem, ...]]:
        """A service of what some readings hold of it."""
        held = [nodes for reading in at if (nodes := reading.services.get(name)) is not None]
        folders = [path for nodes in held for path in nodes.folders]
        if not folders:
            return None, ()
        before = self._services.get(name)
        values = (znode.value for nodes in held for znode in nodes.znodes.values() if znode.value is not None)
        try:
            return self.reader.assemble(name, folders[0], values, before)
        except Exception as error:  # ours: it costs this service, and the others go on
            return before or Service(name, name, folders[0]), (fault(folders[0], error),)

    def take(self, name: str, service: Service | None, problems: tuple[Problem, ...]) -> None:
        """This is how a service stands."""
        if self._services.get(name) is not service:
            self._is_moved = True
            self._moved[name] = None
            if service is None:
                self._services.pop(name, None)
            else:
                self._services[name] = service
        if self._wrong.get(name, ()) != problems:
            self._is_moved = True
            if problems:
                self._wrong[name] = problems
            else:
                self._wrong.pop(name, None)

    def _rebuild(self) -> None:
        if self._dirty:
            dirty, self._dirty = self._dirty, {}
            readings = [root.now for root in self.reducers.values()]
            for name in dirty:
                self.take(name, *self.make(name, readings))

    def _problems(self) -> Iterator[Problem]:
        for root, why in sorted(self._refused.items()):
            yield Problem(root, f"it can't be read: {why}", READABLE)
        for name in sorted(self._wrong):
            yield from self._wrong[name]


class ServiceNodes:
    """What one reading holds of one service: the folders that make it one, and its nodes by path. `waiting`:
    how many more are listed, whose data did not come yet."""

    __slots__ = ("folders", "waiting", "znodes")

    def __init__(self) -> None:
        self.folders: tuple[str, ...] = ()
        self.znodes: dict[str, Znode] = {}
        self.waiting = 0


class Reading:
    """One reading of one root: `services` by name. `before`: the one in force, whose znodes go on as the
    same objects where they are the same. `touched`: the services that changed since somebody looked."""

    def __init__(self, scope: Scope, tree: ServiceTree, before: Reading | None) -> None:
        self.services: dict[str, ServiceNodes] = {}
        self.touched: dict[str, None] = {}
        self.filled: list[str] = []
        self.before = before
        self.listing = Listing(scope.root, self._come, self._gone)
        self._tree = tree

    def apply(self, event: Children | Data | Unreadable) -> None:
        if not self.listing.apply(event) or isinstance(event, Children):
            return
        names = self._tree.names(event.path)
        for name in self._tree.reader.owners(names):
            self._put(name, names, event)

    def _come(self, path: str) -> None:
        names = self._tree.names(path)
        reader = self._tree.reader
        for name in reader.services(names):
            nodes = self._nodes(name)
            nodes.folders = (*nodes.folders, path)
            self.touched[name] = None
        for name in reader.owners(names):
            self._nodes(name).waiting += 1

    def _gone(self, path: str) -> None:
        names = self._tree.names(path)
        reader = self._tree.reader
        for name in reader.services(names):
            nodes = self._nodes(name)
            nodes.folders = tuple(folder for folder in nodes.folders if folder != path)
            self._leave(name, nodes)
        for name in reader.owners(names):
            nodes = self._nodes(name)
            if nodes.znodes.pop(path, None) is None:
                nodes.waiting -= 1
            self._leave(name, nodes)

    def _nodes(self, name: str) -> ServiceNodes:
        nodes = self.services.get(name)
        if nodes is None:
            nodes = self.services[name] = ServiceNodes()
        return nodes

    def _leave(self, name: str, nodes: ServiceNodes) -> None:
        self.touched[name] = None
        if not nodes.folders and not nodes.znodes and not nodes.waiting:
            self.services.pop(name, None)

    def _put(self, name: str, names: Names, event: Data | Unreadable) -> None:
        path = event.path
        nodes = self._nodes(name)
        known = nodes.znodes.get(path)
        mark = mark_of(event.data, event.stat) if isinstance(event, Data) else hash(event.why)
        if known is not None and known.mark == mark:
            return
        before = self.before.services.get(name) if self.before is not None else None
        node = before.znodes.get(path) if before is not None else None
        if node is None or node.mark != mark:
            node = Znode(mark, self._read(name, names, event))
        if known is None:
            nodes.waiting -= 1
            if not nodes.waiting:
                self.filled.append(name)
        nodes.znodes[path] = node
        if known is None or known.value != node.value:
            self.touched[name] = None

    def _read(self, name: str, names: Names, event: Data | Unreadable) -> Any:
        reader = self._tree.reader
        try:
            if isinstance(event, Data):
                return reader.read(name, names, event)
            problem = Problem(event.path, f"it can't be read: {event.why}", READABLE)
        except Exception as error:  # ours: it costs this node, until it changes
            problem = fault(event.path, error)
        return reader.refuse(name, names, problem)


class Root:
    """One root that is watched: its reading in force, and the one that is under way."""

    def __init__(self, scope: Scope, tree: ServiceTree) -> None:
        self.connected = True
        self.is_whole = False
        self._scope = scope
        self._tree = tree
        self._behind = False  # what was read before the connection was lost is still in force
        self._next: Reading | None = None
        self._is_refused = False
        self._made: dict[str, tuple[Service | None, tuple[Problem, ...]]] = {}
        """Services of the reading under way that are complete: work that would else come at once, at its
        end."""
        self.now = Reading(scope, tree, None)

    @property
    def zxid(self) -> int:
        return self.now.listing.zxid

    @property
    def is_current(self) -> bool:
        """Whether what stands here is what the ensemble holds: connected, and read whole since."""
        return self.connected and not self._behind

    def apply(self, event: Event) -> None:
        """Take one event. Never raises on what the registry holds."""
        if isinstance(event, Children | Data | Unreadable):
            if self._next is not None:
                self._prepare(self._next, event)
                return
            self.now.apply(event)
            self._pass_on()
            if self._is_refused != (self.now.listing.refused is not None):
                self._end(None)
        elif isinstance(event, Begin):
            self._next = Reading(self._scope, self._tree, self.now)
            self._made.clear()
        elif isinstance(event, Whole):
            done, self._next = self._next, None
            self._end(done)
        elif isinstance(event, Session):
            self.connected = event.connected
            self._behind = self._behind or not event.connected
            self._tree.tell_age(event.at)

    def _pass_on(self) -> None:
        touched, self.now.touched = self.now.touched, {}
        self.now.filled.clear()
        self._tree.mark(touched)

    def _prepare(self, reading: Reading, event: Children | Data | Unreadable) -> None:
        reading.apply(event)
        if len(self._tree.reducers) == 1:
            for name in reading.filled:
                if name in reading.touched:
                    del reading.touched[name]
                    self._made[name] = self._tree.make(name, [reading])
        reading.filled.clear()

    def _end(self, done: Reading | None) -> None:
        """The reading under way is whole; or what was refused is read now."""
        refused = (done or self.now).listing.refused
        self._is_refused = refused is not None
        self._tree.refuse(self._scope.root, refused)
        if refused is not None:
            # Nothing was read, which is no sign that nothing is there: the old reading stands.
            self.now.listing.refused = refused
            return
        if done is not None:
            self._put_in_force(done)
        self.is_whole = True
        self._behind = False
        self._tree.tell_age(None)

    def _put_in_force(self, done: Reading) -> None:
        old, self.now = self.now, done
        done.before = None
        for name in old.services.keys() | done.services.keys():
            was, now = old.services.get(name), done.services.get(name)
            if was is None or now is None or was.folders != now.folders or was.znodes != now.znodes:
                if name in self._made and name not in done.touched:
                    self._tree.take(name, *self._made[name])
                else:
                    self._tree.mark([name])
        self._made.clear()
        self._pass_on()
