"""One registry's events -> its Catalog: services, instances, settings, problems.

Rules: pure. Listed means alive. The Catalog is of the readings in force (`root`), so an old one answers until
a new reading is whole. What did not change stays the same object, across readings too. The cost is that of
what changed. An error out of the reader costs the service that it met, and is told.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Final

from zkdns.arrivals import NOTHING, Passage
from zkdns.backlog import FEW, Backlogs
from zkdns.model import (
    EMPTY,
    Catalog,
    Event,
    Problem,
    Service,
    fault,
    serial_of,
)
from zkdns.order import in_order
from zkdns.persistent import PersistentMap
from zkdns.problems import Problems, ours_of
from zkdns.registry.listing import STEP
from zkdns.registry.reading import READABLE, Assembled, Begun, Reader, Reading, ServiceNodes
from zkdns.registry.root import Root
from zkdns.registry.scope import scopes
from zkdns.registry.znodes import Znode
from zkdns.steps import SLICE, Steps, finish, walk
from zkdns.wall import Wall, blame

SOME: Final = 256
"""Services and instances that are made before anybody looks at the clock: a millisecond or so."""


class ServiceTree:
    """`base`: where the registry stands. `reducers`: who takes the events of each root that is watched."""

    def __init__(self, base: str, reader: Reader) -> None:
        self.base = base
        self.scopes = scopes(base, reader.layouts)
        self.reader = reader
        self.wall = Wall()
        """Errors of ours in what nodes are and where they belong."""
        self.reducers: dict[str, Root] = {scope.root: Root(scope, self) for scope in self.scopes}
        self._services: dict[str, Service] = {}
        """As they were made last."""
        self._shown: PersistentMap[Service] = PersistentMap()
        """As they stand in the catalog."""
        self._wrong: dict[str, tuple[Problem, ...]] = {}
        """By service, what is wrong with its nodes."""
        self._ours: dict[str, tuple[Problem, ...]] = {}
        """Those of them that are errors of ours."""
        self._wrong_shown: PersistentMap[tuple[Problem, ...]] = PersistentMap()
        """The same as the catalog has it."""
        self._wrong_moved: dict[str, None] = {}
        """Services whose problems have changed since."""
        self._is_told = False
        """Whether the catalog has all that is wrong now."""
        self._refused: dict[str, str] = {}
        """By root, why it can't be read."""
        self._faults: tuple[Problem, ...] = ()
        """Errors of ours that the catalog has."""
        self._dirty: Backlogs[str] = Backlogs()
        """Services that are to be made anew."""
        self._moved: Backlogs[str] = Backlogs()
        """Services that were, and are not in the catalog yet."""
        self._is_moved = True
        """Whether something else than services is not in it."""
        self._begun: OrderedDict[str, Begun] = OrderedDict()
        """Services that are made in part, whose turn is next first: one of thousands takes several."""
        self._overtaken: dict[str, bool] = {}
        """Those of them that are to be made again after it, and whether as one of many."""
        self._is_turn_of_begun = False
        self._stale_since: float | None = None
        self._catalog = EMPTY
        self.passage = Passage()
        """When what is told came, until it is shown."""

    @property
    def zxid(self) -> int:
        """The largest mzxid or pzxid in the readings in force."""
        zxid = 0
        for root in self.reducers.values():  # asked at every turn
            zxid = max(zxid, root.zxid)
        return zxid

    @property
    def stale_since(self) -> float | None:
        """Since when a registry is out of reach, seconds since the epoch; None while all are read."""
        return self._stale_since

    def apply(self, event: Event) -> None:
        """Take one event, where a single root is watched. Never raises on what the registry holds."""
        (root,) = self.reducers.values()
        root.apply(event)

    def catalog(self) -> Catalog:
        """What stands now. The same object as before where nothing changed."""
        self.work()
        return self.show()

    @property
    def backlog(self) -> int:
        """Services of which something was told that is not in what `show` gave last."""
        return len(self._dirty) + len(self._moved) + len(self._begun) + len(self._overtaken)

    @property
    def in_part(self) -> int:
        """Those of them that are so large that they are made in several steps, and are not made yet."""
        return len(self._begun) + len(self._overtaken)

    @property
    def own_backlog(self) -> int:
        """Those of them that something was told of each, and not of thousands by one list."""
        return len(self._dirty.own) + len(self._moved.own)

    def take_over(self, shown: PersistentMap[Service]) -> Iterator[None]:
        """This is what was shown until now: it goes on until what was read of it is made."""
        self._shown = shown
        self._is_moved = True
        for at, name in enumerate(shown, 1):
            if name not in self._dirty and name not in self._moved:
                self._moved.put(name, True)
            if not at % STEP:
                yield

    def work(self, is_late: Callable[[], bool] = lambda: False, most: float = float("inf")) -> None:
        """Make anew the services that changed, until it is late or so many wait to be shown, but some of them
        at least. No more are made ahead, so that those that are told of next may still go first."""
        size = 0
        while (self._dirty or self._begun) and len(self._moved) < most:
            name, begun = self._take_next()
            with self.wall.around(f"{self.base.rstrip('/')}/{name}", "assembled"):
                steps = begun.steps or self.make(name, [root.now for root in self.reducers.values()])
                try:
                    next(steps)
                except StopIteration as end:
                    service, problems = end.value
                    self.take(name, service, problems, begun.is_one_of_many)
                    if begun.came:
                        passage = self.passage
                        (passage.made if name in self._moved else passage.shown).put(name, begun.came)
                    size += 1 + (len(service.instances) if service is not None else 0)
                else:
                    self._begun[name] = Begun(begun.is_one_of_many, begun.came, steps)  # behind the others
                    size += SLICE
            if name in self._overtaken and name not in self._begun:
                self._dirty.put(name, self._overtaken.pop(name))
            if size >= SOME and is_late():
                break

    def _take_next(self) -> tuple[str, Begun]:
        """What is made in part has every second turn."""
        self._is_turn_of_begun = bool(self._begun) and not (self._dirty and self._is_turn_of_begun)
        if not self._is_turn_of_begun:
            heard = self.passage.heard
            name, is_one_of_many = self._dirty.take_next()
            if name not in self._begun:
                return name, Begun(is_one_of_many, heard.take(name) if heard.came else NOTHING)
            self._overtaken[name] = is_one_of_many
        return self._begun.popitem(last=False)

    def show(self, most: int | None = None) -> Catalog:
        """What stands now; of the services that were made anew so many at most."""
        if (faults := tuple(self.wall.problems.values())) != self._faults:
            self._faults, self._is_moved, self._is_told = faults, True, False
        moved = self._take_moved(most)
        old = self._catalog
        rest = serial_of(self.zxid), all(r.is_whole for r in self.reducers.values()), self._stale_since
        if moved or self._is_moved or rest != (old.serial, old.complete, old.stale_since):
            self._is_moved = False
            if (station := self.passage.made).came:
                for name in moved:
                    self.passage.shown.put(name, station.take(name))
            services = self._shown = self._shown.changed({n: self._services.get(n) for n in moved})
            self._catalog = Catalog(services, old.problems if self._is_told else self._problems(), *rest)
        return self._catalog

    def show_more(self, most: int) -> int:
        """The same; how many services moved."""
        if not (before := len(self._moved)):
            return 0
        self.show(most)
        return before - len(self._moved)

    def _take_moved(self, most: int | None) -> Collection[str]:
        count = len(self._moved)
        if count > FEW and (most is None or count <= most):
            moved, self._moved = self._moved, Backlogs()
            return list(moved)
        return [self._moved.take_next()[0] for _ in range(count if most is None else min(count, most))]

    # --- for the roots ------------------------------------------------------------------------------

    def mark(self, name: str, is_one_of_many: bool) -> None:
        """This service is to be made anew; one of many: as a list has it, which may have thousands."""
        self._dirty.put(name, is_one_of_many)

    def refuse(self, root: str, why: str | None) -> None:
        """A root can't be read, or can again."""
        if self._refused.get(root) != why:
            self._is_moved, self._is_told = True, False
            if why is None:
                del self._refused[root]
            else:
                self._refused[root] = why

    def tell_age(self, at: float | None) -> None:
        """A connection came or went, as the roots were told: at this time, seconds since the epoch."""
        roots = self.reducers.values()
        if all(root.is_current for root in roots):
            self._stale_since = None
        elif self._stale_since is None and not all(root.connected for root in roots):
            self._stale_since = at

    def shift(self, by: float) -> None:
        """The clock was set."""
        if self._stale_since is not None:
            self._stale_since += by

    def is_making(self, name: str) -> bool:
        """Whether it is made in part."""
        return name in self._begun

    def make(self, name: str, at: Iterable[Reading]) -> Steps[Assembled]:
        """A service of what some readings hold of it now, with pauses."""
        held = [nodes for reading in at if (nodes := reading.services.get(name)) is not None]
        folders = [path for nodes in held for path in nodes.folders]
        if not folders:
            return None, ()
        folder = min(folders)  # whichever was read first: replicas read in different orders
        before = self._services.get(name)
        znodes = [*chain.from_iterable(nodes.znodes.values() for nodes in held)]
        came = max([nodes.came for nodes in held])
        values: list[Any] = []

        def note(some: Sequence[Znode]) -> None:
            values.extend([znode.value for znode in some if znode.value is not None])

        yield from walk(znodes, note)
        try:
            service, problems = yield from self.reader.assemble(name, folder, values, before)
        except Exception as error:
            service, problems = self._make_of_rest(name, folder, held, error)
        if service is not None and before is None and not service.instances:
            service = replace(service, zxid=came)
        return service, problems

    def _make_of_rest(
        self, name: str, folder: str, held: Sequence[ServiceNodes], error: Exception
    ) -> Assembled:
        """We are wrong: it is made without the nodes that are to blame; where none is, it stays as it is."""

        def attempt(some: Iterable[tuple[str, Any]]) -> Assembled:
            self.reader.forget(name)  # what is remembered may be what we fall over
            return finish(self.reader.assemble(name, folder, [value for _, value in some], None))

        every = [*chain.from_iterable(nodes.znodes.items() for nodes in held)]
        values = [(path, znode.value) for path, znode in every if znode.value is not None]
        blamed = blame(values, attempt)
        try:
            service, problems = attempt(one for n, one in enumerate(values) if n not in blamed)
        except Exception:
            return self._services.get(name) or Service(name, name, folder), (fault(folder, error),)
        faults = [fault(values[n][0], one) for n, one in blamed.items()] or [fault(folder, error)]
        return service, (*problems, *faults)

    def take(
        self, name: str, service: Service | None, problems: tuple[Problem, ...], is_one_of_many: bool
    ) -> None:
        """This is how a service stands. It is not being made."""
        if self._services.get(name) is not service or (service is None and name in self._shown):
            self._moved.put(name, is_one_of_many)
            if service is None:
                self._services.pop(name, None)
                self.reader.forget(name)
            else:
                self._services[name] = service
        if self._wrong.get(name, ()) != problems:
            self._is_moved, self._is_told = True, False
            self._wrong_moved[name] = None
            self._ours.pop(name, None)
            if problems:
                self._wrong[name] = problems
                if ours := ours_of(problems):
                    self._ours[name] = ours
            else:
                self._wrong.pop(name, None)

    def _problems(self) -> Problems:
        """What is wrong now."""
        self._is_told = True
        moved, self._wrong_moved = self._wrong_moved, {}
        wrong = self._wrong_shown = self._wrong_shown.changed({n: self._wrong.get(n) for n in moved})
        refused, faults = dict(self._refused), self._faults

        def spell() -> Iterator[Problem]:
            for root, why in sorted(refused.items()):
                yield Problem(root, f"it can't be read: {why}", READABLE)
            for name in in_order(wrong):
                yield from wrong[name]
            yield from faults

        return Problems(spell, [*chain.from_iterable(self._ours.values()), *ours_of(faults)])
