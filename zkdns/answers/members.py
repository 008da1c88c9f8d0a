"""The records of an RRset before they are dealt: each with its weight, and whom it stands for.

Rules: pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import NamedTuple, TypeAlias, overload

from zkdns.model import Instance


class Member(NamedTuple):
    """One record of an RRset: the record itself, its weight in the rotation, the instances that meet in it,
    and the additional records that go with it."""

    record: bytes
    weight: int
    holders: tuple[Instance, ...]
    extra: bytes = b""
    extra_count: int = 0

    @property
    def id(self) -> str:
        """Whose it counts as: the first one's."""
        return self.holders[0].key


@dataclass(frozen=True, slots=True, eq=False)
class Columns(Sequence[Member]):
    """The members of one priority, column by column: so they are spelled, and so an Entry has them. `ids`:
    whose each counts as."""

    records: tuple[bytes, ...]
    weights: tuple[int, ...]
    holders: tuple[tuple[Instance, ...], ...]
    extras: tuple[bytes, ...]
    counts: tuple[int, ...]
    ids: tuple[str, ...]

    @classmethod
    def of_addresses(cls, instances: Sequence[Instance], records: Iterable[bytes]) -> Columns:
        """One address of each, with nothing beside it."""
        size = len(instances)
        weights = tuple([i.weight for i in instances])
        ids = tuple([i.key if i.home else i.known_as or i.id for i in instances])
        return cls(tuple(records), weights, tuple(zip(instances)), (b"",) * size, (0,) * size, ids)

    @classmethod
    def of(cls, members: Sequence[Member]) -> Columns:
        if isinstance(members, Columns):
            return members
        records, weights, holders, extras, counts = zip(*members, strict=True)
        return cls(records, weights, holders, extras, counts, tuple([m.id for m in members]))

    def taken(self, some: Sequence[int]) -> Columns:
        """These of them, in this order."""
        return Columns(
            tuple([self.records[n] for n in some]),
            tuple([self.weights[n] for n in some]),
            tuple([self.holders[n] for n in some]),
            tuple([self.extras[n] for n in some]),
            tuple([self.counts[n] for n in some]),
            tuple([self.ids[n] for n in some]),
        )

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Member]:
        rows = zip(self.records, self.weights, self.holders, self.extras, self.counts, strict=True)
        return starmap(Member, rows)

    @overload
    def __getitem__(self, at: int) -> Member: ...

    @overload
    def __getitem__(self, at: slice) -> tuple[Member, ...]: ...

    def __getitem__(self, at: int | slice) -> Member | tuple[Member, ...]:
        if isinstance(at, slice):
            return tuple(self)[at]
        return Member(self.records[at], self.weights[at], self.holders[at], self.extras[at], self.counts[at])


Tiers: TypeAlias = tuple[Sequence[Member], ...]
"""The records of an RRset by priority, none of them empty."""
