"""A mapping that is never changed in place: one with a few keys changed is a new one, which shares the rest.

Rules: pure. Making the next one costs what changed and a small part of the whole, as does telling two apart.
The order of its keys depends on the keys alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, Final, Generic, TypeVar
from weakref import ref
from zlib import crc32

V = TypeVar("V")

BUCKETS: Final = 512
"""100,000 keys make buckets of 200."""

ROW: Final = 32
"""Buckets that stand together: a change copies the list of rows and one row's buckets, and telling two maps
apart, which each change does several times, looks at no more than that."""


class PersistentMap(Mapping[str, V], Generic[V]):
    """Text to values. `PersistentMap(mapping)` copies it."""

    __slots__ = ("__weakref__", "_before", "_length", "_moved", "_rows")

    def __init__(self, items: Mapping[str, V] | None = None) -> None:
        self._rows: tuple[tuple[dict[str, V], ...], ...] = _rows_of(items) if items else _EMPTY
        self._length = len(items or {})
        self._before: Callable[[], PersistentMap[V] | None] = _none
        self._moved: list[str] = []
        """The keys that differ from the map before: that is asked for several times at each change."""

    def __getitem__(self, key: str) -> V:
        return self._bucket(key)[key]

    def get(self, key: str, default: Any = None) -> Any:
        return self._bucket(key).get(key, default) if self._length else default

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key in self._bucket(key)

    def __iter__(self) -> Iterator[str]:
        rows = [row for row in self._rows if row is not _EMPTY[0]]  # all of them, where it is large
        return chain.from_iterable(chain.from_iterable(rows))

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"PersistentMap({dict(self)!r})"

    def changed(self, changes: Mapping[str, V | None]) -> PersistentMap[V]:
        """With these values in place of those that were there; None takes a key away. The same object where
        that changes nothing."""
        touched: dict[int, dict[str, V]] = {}
        moved: list[str] = []
        length = self._length
        for key, value in changes.items():
            at = _place(key)
            bucket = touched[at] if at in touched else self._rows[at // ROW][at % ROW]
            before = bucket.get(key)
            if before is value:
                continue
            if at not in touched:
                bucket = touched[at] = dict(bucket)
            moved.append(key)
            if value is None:
                del bucket[key]
            else:
                bucket[key] = value
            length += (value is not None) - (before is not None)
        if not touched:
            return self
        rows = list(self._rows)
        for at, bucket in touched.items():
            row = rows[at // ROW]
            rows[at // ROW] = (*row[: at % ROW], bucket, *row[at % ROW + 1 :])
        other: PersistentMap[V] = PersistentMap.__new__(PersistentMap)
        other._rows, other._length = tuple(rows), length
        other._before, other._moved = ref(self), sorted(moved)
        return other

    def differing(self, other: PersistentMap[V]) -> list[str]:
        """The keys that have another object in the other one, or are in one of them alone, sorted."""
        if other._before() is self:
            return [*other._moved]
        keys = [
            key
            for ours, theirs in zip(self._rows, other._rows, strict=True)
            if ours is not theirs
            for before, after in zip(ours, theirs, strict=True)
            if before is not after
            for key in _differing(before, after)
        ]
        return sorted(keys)

    def _bucket(self, key: str) -> dict[str, V]:
        at = _place(key)
        return self._rows[at // ROW][at % ROW]


def differing(old: Mapping[str, V], new: Mapping[str, V]) -> list[str]:
    """The keys whose value is another object, or that are in one of them alone."""
    if old is new:
        return []
    if isinstance(old, PersistentMap) and isinstance(new, PersistentMap):
        return old.differing(new)
    return _differing(old, new) if old else [*new]  # at a start all of it came


def _differing(old: Mapping[str, V], new: Mapping[str, V]) -> list[str]:
    keys = [key for key, value in new.items() if old.get(key) is not value]
    keys += [key for key in old if key not in new]
    return keys


def _rows_of(items: Mapping[str, V]) -> tuple[tuple[dict[str, V], ...], ...]:
    rows: list[tuple[dict[str, V], ...]] = [*_EMPTY]
    buckets: dict[int, dict[str, V]] = {}
    for key, value in items.items():
        buckets.setdefault(_place(key), {})[key] = value
    for at in {place // ROW for place in buckets}:  # the others are those of every map that holds nothing
        rows[at] = tuple(buckets.get(place, _NOTHING) for place in range(at * ROW, (at + 1) * ROW))
    return tuple(rows)


def _place(key: str) -> int:
    return crc32(key.encode("utf-8", "surrogatepass")) % BUCKETS


def _none() -> None:
    """Stands for the one before, where there is none."""


_NOTHING: Final[dict[str, Any]] = {}
"""The bucket of none; never written to."""

_EMPTY: Final[tuple[tuple[dict[str, Any], ...], ...]] = ((_NOTHING,) * ROW,) * (BUCKETS // ROW)
"""The rows of every map that holds nothing: what they share is not looked at when two are told apart."""
