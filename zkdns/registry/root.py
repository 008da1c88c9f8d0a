"""One root that is watched: its reading in force, the one under way, and what each event does to them.

Rules: pure. A new reading (Begin ... Whole) is built beside the one in force and takes its place at Whole.
One that was refused is no sign that nothing is there: the old one stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import Protocol

from zkdns.arrivals import Passage
from zkdns.model import LISTS, OF_NODES, Begin, Children, Event, OfNode, Problem, Service, Session, Whole
from zkdns.registry.listing import STEP
from zkdns.registry.reading import Assembled, Reader, Reading
from zkdns.registry.scope import Scope
from zkdns.steps import Steps
from zkdns.wall import Wall


class Tree(Protocol):
    """What makes services of the readings of all roots: `ServiceTree` says what each of these does."""

    base: str
    reader: Reader
    wall: Wall
    passage: Passage

    @property
    def reducers(self) -> Sized: ...
    def mark(self, name: str, is_one_of_many: bool) -> None: ...
    def refuse(self, root: str, why: str | None) -> None: ...
    def tell_age(self, at: float | None) -> None: ...
    def is_making(self, name: str) -> bool: ...
    def make(self, name: str, at: Iterable[Reading]) -> Steps[Assembled]: ...
    def take(
        self, name: str, service: Service | None, problems: tuple[Problem, ...], is_one_of_many: bool
    ) -> None: ...


class Root:
    """One root that is watched: its reading in force, and the one that is under way."""

    def __init__(self, scope: Scope, tree: Tree) -> None:
        self.connected = True
        self.is_whole = False
        self._scope = scope
        self._tree = tree
        self._behind = False  # what was read before the connection was lost is still in force
        self._next: Reading | None = None
        self._is_refused = False
        self._made: dict[str, Assembled] = {}
        """Services of the reading under way that are complete: work that would else come at once, at its
        end."""
        self.now = self._begin(None)

    @property
    def zxid(self) -> int:
        return self.now.listing.zxid

    @property
    def is_current(self) -> bool:
        """Whether what stands here is what the ensemble holds: connected, and read whole since."""
        return self.connected and not self._behind

    def apply(self, event: Event) -> None:
        """Take one event. Never raises on what the registry holds."""
        for _ in self.steps(event):
            pass

    def steps(self, event: Event) -> Iterator[None]:
        """The same with a pause after each step, where it takes several."""
        if isinstance(event, OF_NODES):
            reading = self.now if self._next is None else self._next
            if isinstance(event, LISTS):
                yield from reading.steps(event)
            else:
                reading.apply(event)
            if self._next is not None:
                yield from self._prepare(self._next)
                return
            are_many = isinstance(event, Children) and event.path == self._scope.root
            yield from self._pass_on(are_many, event if event.told_at else None)
            if self._is_refused != (self.now.listing.refused is not None):
                yield from self._end(None)
        elif isinstance(event, Begin):
            left, self._next = self._next, self._begin(self.now)
            self._made.clear()
            if left is not None:
                yield from left.end()
        elif isinstance(event, Whole):
            done, self._next = self._next, None
            yield from self._end(done)
        elif isinstance(event, Session):
            self.connected = event.connected
            self._behind = self._behind or not event.connected

    def _begin(self, before: Reading | None) -> Reading:
        tree = self._tree
        return Reading(self._scope.root, tree.base, tree.reader, before, tree.wall)

    def _pass_on(self, are_many: bool, by: OfNode | None = None) -> Iterator[None]:
        """`by`: of which a watch event told, where that is known."""
        touched, self.now.touched = self.now.touched, {}
        self.now.filled.clear()
        for at, name in enumerate(touched, 1):
            if by is not None:
                self._tree.passage.heard.tell(name, by)
            self._tree.mark(name, are_many)
            if not at % STEP:
                yield

    def _prepare(self, reading: Reading) -> Iterator[None]:
        if len(self._tree.reducers) == 1:
            for name in reading.filled:
                if name in reading.touched:
                    del reading.touched[name]
                    self._made[name] = yield from self._tree.make(name, [reading])
        reading.filled.clear()

    def _end(self, done: Reading | None) -> Iterator[None]:
        """The reading under way is whole; or what was refused is read now."""
        refused = (done or self.now).listing.refused
        self._is_refused = refused is not None
        self._tree.refuse(self._scope.root, refused)
        if refused is not None:
            # Nothing was read, which is no sign that nothing is there: the old reading stands.
            self.now.listing.refused = refused
            if done is not None:
                yield from done.end()
            return
        if done is not None:
            yield from self._put_in_force(done)
        self.is_whole = True
        self._behind = False
        self._tree.tell_age(None)

    def _put_in_force(self, done: Reading) -> Iterator[None]:
        old, self.now = self.now, done
        done.before = None
        for at, name in enumerate(old.services.keys() | done.services.keys(), 1):
            if not at % STEP:
                yield
            was, now = old.services.get(name), done.services.get(name)
            if was is None or now is None or was.folders != now.folders or was.znodes != now.znodes:
                if name in self._made and name not in done.touched and not self._tree.is_making(name):
                    self._tree.take(name, *self._made[name], True)
                else:
                    self._tree.mark(name, True)
        self._made.clear()
        yield from old.end()
        yield from self._pass_on(True)
