"""What upstreams answered: which replies are kept, and which go.

Rules: no I/O; the clock is an argument. The native engine's `cache` is this module's twin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Protocol

from zkdns.dns import names
from zkdns.forward.eviction import FairCache
from zkdns.forward.stored import Kept, Stored

MAX_ENTRIES = 100_000
MAX_BYTES = 64 << 20
MAX_BODY_BYTES = 8192
"""Bytes of the largest body that is kept."""

AT_A_TIME = 1000
"""Replies that are looked through in a row for what is said of names: a third of a millisecond."""

GONE_AT_A_TIME = 100
"""Replies that are let go of in a row: all that are kept may speak of one name, and to let go of all at once
took half a second."""


class Replies(Protocol):
    """Where replies are kept: here, or in the native engine. A key is a name in lower case, type, class
    and a byte of `ASK_DO` and `ASK_CD`."""

    def get(self, key: bytes, now: float) -> Kept | None:
        """The reply of a key, expired or not, save those that are past keeping."""

    def put(self, key: bytes, stored: Stored, share: int) -> None:
        """Keep a reply in place of what has its key; one that mustn't be kept pushes out nothing.
        `share`: of whose asking it came."""

    def forget(self, owners: Iterable[bytes], below: bool = False) -> None:
        """Let go of all that is said of these names, in lower case, whoever asked for it; with `below` of
        what is below them, too."""

    def clear(self) -> None: ...
    @property
    def used(self) -> int:
        """Bytes that what is kept is charged."""

    def __len__(self) -> int: ...


class _Items(FairCache[Stored]):
    """Knows the keys of what is said of each reverse name: those come and go with instances, one by one."""

    def __init__(self, limit: int, entries: int) -> None:
        super().__init__(limit, entries)
        self.of_reverse_name: dict[bytes, set[bytes]] = {}

    def put(self, key: bytes, value: Stored, share: int, now: float) -> None:
        super().put(key, value, share, now)
        if names.ARPA in key or names.ARPA in value.others:
            for name in _reverse_names(key, value):
                if key in self:
                    self.of_reverse_name.setdefault(name, set()).add(key)

    def __delitem__(self, key: bytes) -> None:
        value = self[key]
        super().__delitem__(key)
        if names.ARPA not in key and names.ARPA not in value.others:
            return
        for name in _reverse_names(key, value):
            keys = self.of_reverse_name.get(name)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del self.of_reverse_name[name]


class _Walk:
    """Through all that is kept, for what is said of some names."""

    def __init__(self, owners: frozenset[bytes], below: bool, keys: Iterable[bytes]) -> None:
        self.keys = iter(keys)
        self._owners = owners
        self._ends = tuple(owners)
        self._below = below

    def meets(self, key: bytes, stored: Stored) -> bool:
        others = stored.others
        if not key[:-5].endswith(self._ends) and not (others and any(end in others for end in self._ends)):
            return False
        return _speaks(key, stored, self._owners, self._below)


class Cache:
    """Replies by key, in Python's own memory."""

    def __init__(self, limit: int = MAX_BYTES, entries: int = MAX_ENTRIES) -> None:
        self._bounds = (limit, entries)
        self._find: Callable[[bytes], Stored]
        self.clear()

    def get(self, key: bytes, now: float) -> Stored | None:
        try:
            stored: Stored = self._find(key)
        except KeyError:
            return None
        return None if stored.is_over(now) else stored

    def put(self, key: bytes, stored: Stored, share: int) -> None:
        if stored.ttl > 0 and len(stored.body) <= MAX_BODY_BYTES:
            self._gone.discard(key)
            self._items.put(key, stored, share, stored.stored_at)

    def forget(self, owners: Iterable[bytes], below: bool = False) -> None:
        owners = frozenset(owners)
        by_name = self._items.of_reverse_name
        # That may be a hundred thousand: some now, and some whenever one is asked for, that one first.
        if not all(map(names.is_reverse, owners)):
            self._walks.append(_Walk(owners, below, [*self._items]))
        else:
            if below:
                owners = frozenset(name for name in by_name if not owners.isdisjoint(_above(name)))
            for owner in owners & by_name.keys():
                self._gone |= by_name.pop(owner)
        if self._walks or self._gone:
            self._find = self._find_on_the_way
            self._walk_on()

    def _find_on_the_way(self, key: bytes) -> Stored:
        stored: Stored = self._items[key]
        if key in self._gone or any(walk.meets(key, stored) for walk in self._walks):
            del self._items[key]
        self._walk_on()
        return self._items[key]

    def _walk_on(self) -> None:
        for _ in range(min(GONE_AT_A_TIME, len(self._gone))):
            self._items.pop(self._gone.pop(), None)
        if self._walks:
            self._look_on()
        if not (self._walks or self._gone):
            self._find = self._items.__getitem__

    def _look_on(self) -> None:
        walk = self._walks[0]
        keys = [*islice(walk.keys, AT_A_TIME)]
        for key in keys:
            stored = self._items.get(key)
            if stored is not None and walk.meets(key, stored):
                del self._items[key]
        if len(keys) < AT_A_TIME:
            self._walks.pop(0)

    def clear(self) -> None:
        self._walks: list[_Walk] = []
        """What is forgotten, and not looked for everywhere yet."""
        self._gone: set[bytes] = set()
        """Keys of what is forgotten, and not let go of yet."""
        self._items = _Items(*self._bounds)
        self._find = self._items.__getitem__  # a third of the price of its `get`

    @property
    def used(self) -> int:
        """Bytes that what is kept is charged."""
        return int(self._items.currsize)

    def __len__(self) -> int:
        return len(self._items)


def _speaks(key: bytes, stored: Stored, owners: frozenset[bytes], below: bool) -> bool:
    """Whether a reply says something of one of these names."""
    spoken_of = (key[:-5], *names.each(stored.others))
    if not below:
        return not owners.isdisjoint(spoken_of)
    return any(not owners.isdisjoint(_above(name)) for name in spoken_of)


def _reverse_names(key: bytes, stored: Stored) -> Iterator[bytes]:
    return filter(names.is_reverse, (key[:-5], *names.each(stored.others)))


def _above(name: bytes) -> Iterator[bytes]:
    """The name, and all that it is below."""
    yield name
    yield from names.suffixes(name)
    yield names.ROOT
