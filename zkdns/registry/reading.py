"""One reading of one root that is watched: what is listed and what it says, put to its services.

Rules: pure. What a node means is the reader's to say (a format in a layout, or a preset). What did not change
stays the same object, across readings too. An error out of the reader costs the node that it met, and is
told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from zkdns.arrivals import Came
from zkdns.model import LISTS, Children, Data, Listed, Problem, Service, Unreadable, fault
from zkdns.registry.layout import Layout
from zkdns.registry.listing import STEP, Listing
from zkdns.registry.znodes import Names, Znode, mark_of
from zkdns.steps import Steps
from zkdns.wall import Wall

Assembled: TypeAlias = tuple[Service | None, tuple[Problem, ...]]
"""A service, and what is wrong with it."""

READABLE = "give us the right to read it, or remove it"


class Begun(Struct, frozen=True):
    """A service that is to be made: whether as one of many that one list has, when came what it is made for,
    and what is left of it."""

    is_one_of_many: bool
    came: Came
    steps: Steps[Assembled] | None = None


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
        self, name: str, path: str, values: Sequence[Any], before: Service | None
    ) -> Steps[Assembled]:
        """The service, of what its nodes tell, and what is wrong with them; `before`, and what it is made of,
        where that is equal. None where they tell that it is none."""
        ...

    def forget(self, name: str) -> None:
        """The service is gone, and what was remembered of it may go."""
        ...


class ServiceNodes:
    """What one reading holds of one service: the folders that make it one, and its nodes by path. `waiting`:
    how many more are listed, whose data did not come yet."""

    __slots__ = ("came", "folders", "waiting", "znodes")

    def __init__(self) -> None:
        self.came = 0
        """The zxid that made its folder; 0 where that is not known."""
        self.folders: tuple[str, ...] = ()
        self.znodes: dict[str, Znode] = {}
        self.waiting = 0


class Reading:
    """One reading of one root: `services` by name. `base`: where the registry stands. `before`: the one in
    force, whose znodes go on as the same objects where they are the same. `touched`: the services that
    changed since somebody looked."""

    def __init__(
        self, root: str, base: str, reader: Reader, before: Reading | None = None, wall: Wall | None = None
    ) -> None:
        self.services: dict[str, ServiceNodes] = {}
        self.touched: dict[str, None] = {}
        self.filled: list[str] = []
        self.before = before
        self.listing = Listing(root, self._come, self._gone)
        self._unsorted: dict[str, None] = {}
        """Nodes that are listed, and of which we could not say whose they are."""
        self._wall = wall or Wall()
        self._reader = reader
        self._cut = len(base.rstrip("/")) + 1

    def names(self, path: str) -> Names:
        """The names of a path below the base."""
        return tuple(path[self._cut :].split("/")) if len(path) > self._cut else ()

    def apply(self, event: Children | Listed | Data | Unreadable) -> None:
        if isinstance(event, LISTS):
            for _ in self.steps(event):
                pass
            return
        self._sort_again(event.path)
        if not self.listing.apply(event):
            return
        names = self.names(event.path)
        for name in self._reader.owners(names):
            self._put(name, names, event)

    def steps(self, event: Children | Listed) -> Iterator[None]:
        """Take a list, with a pause after each step."""
        self._sort_again(event.path)
        yield from self.listing.steps(event)

    def end(self) -> Iterator[None]:
        """It is needed no more: what it holds goes, with a pause after so many services."""
        self.listing.let_go()
        while self.services:
            self.services.popitem()
            if not len(self.services) % STEP:
                yield

    def _sort_again(self, path: str) -> None:
        """Something is heard of what is at a path."""
        if self._unsorted:
            for one in [p for p in self._unsorted if f"{path}/".startswith(p + "/")]:
                self._come(one)

    def _come(self, path: str) -> None:
        try:
            self._sort(path)
        except Exception as error:  # ours: it costs this node, until something is heard of it
            self._unsorted[path] = None
            self._wall.note(path, error, "sorted")
        else:
            self._forgive(path)

    def _sort(self, path: str) -> None:
        names = self.names(path)
        reader = self._reader
        services, owners = [*reader.services(names)], [*reader.owners(names)]
        for name in services:
            nodes = self._nodes(name)
            nodes.folders = (*nodes.folders, path)
            self.touched[name] = None
        for name in owners:
            self._nodes(name).waiting += 1

    def _gone(self, path: str) -> None:
        if path in self._unsorted:
            self._forgive(path)
            return
        try:
            self._leave_all(path)
        except Exception as error:
            self._wall.note(path, error, "sorted")

    def _forgive(self, path: str) -> None:
        if self._unsorted and path in self._unsorted:
            del self._unsorted[path]
            self._wall.forgive(path, "sorted")

    def _leave_all(self, path: str) -> None:
        names = self.names(path)
        reader = self._reader
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
        if path in nodes.folders and isinstance(event, Data):
            nodes.came = event.stat.czxid
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
        reader = self._reader
        try:
            if isinstance(event, Data):
                return reader.read(name, names, event)
            problem = Problem(event.path, f"it can't be read: {event.why}", READABLE)
        except Exception as error:  # ours: it costs this node, until it changes
            problem = fault(event.path, error)
        return reader.refuse(name, names, problem)
