"""Whose addresses are whose: by packed address, the services that have it.

Rules: pure. A service of many addresses is not noted in one go: who asks for what moved gets a part of it
each time, in the order in which services changed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Final

from msgspec import Struct

MAX_ADDRESSES_IN_A_TURN: Final = 1000
"""Addresses of one service that are noted as it changes."""

GLANCES: Final = 8
"""So many that stay as they are take the time of one that is noted."""


class _Left(Struct, frozen=True):
    """What is not noted yet of one service: addresses that it has now, or has no more, and that are not among
    the `others`."""

    name: str
    addresses: Iterator[bytes]
    others: Collection[bytes]
    is_there: bool


class Holders:
    """Those of all services."""

    def __init__(self) -> None:
        self._held: dict[bytes, tuple[str, ...] | list[str]] = {}
        """In order: a list where there are several, for thousands may share one address."""
        self._moved: dict[bytes, None] = {}
        self._left: deque[_Left] = deque()

    @property
    def has_work(self) -> bool:
        """Whether there are addresses that are not noted yet."""
        return bool(self._left)

    def of(self, address: bytes) -> tuple[str, ...]:
        return tuple(self._held.get(address, ()))

    def replace(self, name: str, old: Collection[bytes], new: Collection[bytes]) -> None:
        """A service has the new addresses, and had the old ones; both tell quickly what is among them."""
        parts = _Left(name, iter(old), new, False), _Left(name, iter(new), old, True)
        if self._left or len(old) + len(new) > MAX_ADDRESSES_IN_A_TURN:
            self._left.extend(parts)
        else:
            for part in parts:
                self._note_some(part, None)

    def take(self, most: int | None = None) -> dict[bytes, tuple[str, ...]]:
        """Who has the addresses that moved since the last call, () for nobody; of those that are not noted
        yet so many at most."""
        self._note(most)
        moved, self._moved = self._moved, {}
        return {address: self.of(address) for address in moved}

    def _note(self, most: int | None) -> None:
        while self._left and most != 0:
            left = self._left.popleft()
            spent, is_done = self._note_some(left, most)  # an error of ours costs this one
            if not is_done:
                self._left.appendleft(left)
            if most is not None:
                most -= spent

    def _note_some(self, left: _Left, most: int | None) -> tuple[int, bool]:
        """As how many that were noted it counts, and whether these were all."""
        alone = (left.name,)  # one tuple for all addresses that only this service has
        looks = None if most is None else GLANCES * most
        noted = looked = 0
        for looked, address in enumerate(islice(left.addresses, looks), 1):  # noqa: B007  (asked for below)
            if address in left.others:
                continue
            self._moved[address] = None
            if left.is_there:
                self._put(address, alone)
            else:
                self._drop(address, alone)
            noted += 1
            if noted == most:
                break
        return max(noted, looked // GLANCES), looked != looks and noted != most

    def _put(self, address: bytes, alone: tuple[str]) -> None:
        holders = self._held.get(address, alone)
        if holders == alone:
            self._held[address] = alone
            return
        if isinstance(holders, tuple):
            holders = self._held[address] = [*holders]
        (name,) = alone
        if name not in holders[(at := bisect_left(holders, name)) : at + 1]:
            holders.insert(at, name)

    def _drop(self, address: bytes, alone: tuple[str]) -> None:
        holders = self._held.get(address, alone)
        (name,) = alone
        if isinstance(holders, tuple):
            if holders == alone:
                self._held.pop(address, None)
        elif (at := bisect_left(holders, name)) < len(holders) and holders[at] == name:
            del holders[at]
            if len(holders) == 1:
                self._held[address] = tuple(holders)
