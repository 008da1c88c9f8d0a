"""All that is wrong at one moment, as a list that is written out when somebody reads it.

Rules: pure. Its parts are values that don't move, so that it may be read in a thread; making one costs as
much as there are parts. Of 100,000 rows that stand, a change that has to do with none of them copies none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import overload

from zkdns.model import Problem


class Problems(Sequence[Problem]):
    """`spell` gives the rows, the same whenever it is called. `ours`: those of them that are errors of ours,
    which are looked at with each change."""

    __slots__ = ("_rows", "_spell", "ours")

    def __init__(self, spell: Callable[[], Iterable[Problem]], ours: Iterable[Problem] = ()) -> None:
        self.ours = tuple(ours)
        self._spell = spell
        self._rows: tuple[Problem, ...] | None = None

    def _read(self) -> tuple[Problem, ...]:
        rows = self._rows
        if rows is None:
            rows = self._rows = tuple(self._spell())
        return rows

    def __len__(self) -> int:
        return len(self._read())

    @overload
    def __getitem__(self, at: int) -> Problem: ...

    @overload
    def __getitem__(self, at: slice) -> tuple[Problem, ...]: ...

    def __getitem__(self, at: int | slice) -> Problem | tuple[Problem, ...]:
        return self._read()[at]

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._read())

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return self._read() == tuple(other) if isinstance(other, Sequence) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._read())

    def __repr__(self) -> str:
        return repr(self._read())


def ours_of(rows: Sequence[Problem]) -> tuple[Problem, ...]:
    """The errors of ours among these."""
    return rows.ours if isinstance(rows, Problems) else tuple(row for row in rows if row.ours)
