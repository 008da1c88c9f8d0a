"""Which nodes are listed below one watched root, as one reading tells them.

Rules: pure. Listed means alive: with its name goes all that stood below a node. In steps: whoever registers
chooses how many come or go at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import filterfalse, islice

from zkdns.model import LISTS, Children, Data, Listed, Unreadable
from zkdns.piecemeal import empty_in_steps
from zkdns.steps import Steps, finish

STEP = 256
"""Nodes that come or go in one step: half a millisecond."""

SLICE = 4096
"""Names that are looked through in one step: a millisecond."""

FEW = 32
"""So few names are looked through as they were told: sets of them would take ten times the room."""


def _tell_nobody(path: str) -> None:
    pass


def _slices(names: Collection[str]) -> Iterable[tuple[str, ...]]:
    """Of a long list of names so many at a time."""
    if isinstance(names, tuple) and len(names) <= SLICE:
        return (names,)
    rest = iter(names)
    return iter(lambda: tuple(islice(rest, SLICE)), ())


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

    def end(self) -> Steps[None]:
        """The same, and what was listed goes some at a time: to free tens of thousands takes a turn."""
        self.let_go()
        for names in self._below.values():
            if isinstance(names, set):
                yield from empty_in_steps(names)

    def apply(self, event: Children | Listed | Data | Unreadable) -> bool:
        """Whether the event is of a node that is listed."""
        path = event.path
        if isinstance(event, LISTS):
            return finish(self.steps(event))
        if isinstance(event, Unreadable):
            if path == self.root:
                self.refused = event.why
                return False
            if not self._is_listed(path):
                return False
            finish(self._list(path, ()))
            self._below.pop(path, None)
            return True
        if not self._is_known(path):
            return False
        self.zxid = max(self.zxid, event.stat.mzxid)
        return True

    def steps(self, event: Children | Listed) -> Steps[bool]:
        """Take a list, with a pause after so many of the nodes that come and go. Whether it is of a node that
        is listed."""
        path = event.path
        if isinstance(event, Listed):
            if not self._is_known(path):
                return False
            self.zxid = max(self.zxid, event.zxid)
            yield from self._change(path, event.come, event.gone)
            return True
        if self._is_missing(event):
            self.refused = None
            yield from self._clear()
            return False
        if not self._is_known(path):
            return False
        self.zxid = max(self.zxid, event.zxid)
        yield from self._list(path, event.names)
        return True

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

    def _list(self, path: str, names: tuple[str, ...]) -> Steps[None]:
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

    def _change(self, path: str, come: tuple[str, ...], gone: tuple[str, ...]) -> Steps[None]:
        """The same of those that are told to come and to go."""
        before = self._below.get(path, ())
        now = before if isinstance(before, set) else set(before)
        base = path if path.endswith("/") else path + "/"
        for name in filter(now.__contains__, gone):
            yield from self._drop(base + name)
        now.difference_update(gone)
        new = [*filterfalse(now.__contains__, come)]
        now.update(new)
        self._below[path] = now if len(now) > FEW else tuple(now)
        for name in new:
            self._come(base + name)

    def _drop(self, path: str) -> Steps[None]:
        for at, name in enumerate(self._below.pop(path, ()), 1):
            below = f"{path}/{name}"
            if below in self._below:
                yield from self._drop(below)
            else:
                self._gone(below)
            if not at % STEP:
                yield
        self._gone(path)

    def _clear(self) -> Steps[None]:
        """The root is not there."""
        yield from self._list(self.root, ())
        self._below.clear()
        if self._is_there:
            self._is_there = False
            self._gone(self.root)
