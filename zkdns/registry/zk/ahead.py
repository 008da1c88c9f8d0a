"""The short reads of one root, which come before the long ones: services in turn, those that clients ask for
first.

Rules: pure. Where the data of thousands of services changes in one moment, nothing tells an unrelated change
from theirs. But few of so many services are asked for; and who has thousands made them by transactions of
hundreds, or one after another: what one transaction made is taken for one owner's, and so is, beside what
others made, what was made by transactions in a row.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import Final, TypeAlias

from zkdns.backlog import Accounts
from zkdns.registry.zk.read_plan import ReadRequest

FAVOURS: Final = 3
"""Reads of services that somebody asks for before the next of the others, which go on all the same."""

IN_A_ROW: Final = 1024
"""Transactions that take their turns as one: thousands of services that are made one by one come of a few
dozens of these."""

FEW: Final = 4
"""Transactions of one row that keep the order in which they came: between two turns of a row are those of all
others."""

Item: TypeAlias = ReadRequest | None
"""A read of a service; None: what is to be read of it is not told apart yet."""


class _Line:
    """What waits of some services. Those that one transaction made take their turns as one, however many they
    are, and in turn among themselves."""

    def __init__(self) -> None:
        self._reads: dict[str, tuple[int, dict[Item, None]]] = {}
        """By service, what made it, and what waits of it."""
        self._rows: Accounts[int] = Accounts()
        """Which transactions in a row are next, each of them once."""
        self._turns: dict[int, Accounts[str]] = {}
        """Of these, by what made them, the services that wait."""

    def __bool__(self) -> bool:
        return bool(self._reads)

    def put(self, service: str, made_by: int, request: Item) -> None:
        if service not in self._reads:
            self._reads[service] = made_by, {}
            row = made_by // IN_A_ROW
            if row not in self._turns:
                self._turns[row] = Accounts(are_long=True, few=FEW)
                self._rows.put(str(row), row)
            self._turns[row].put(str(made_by), service)
        self._reads[service][1][request] = None

    def take_next(self) -> tuple[str, Item]:
        account, row = self._rows.take_next()
        turns = self._turns[row]
        made_by, service = turns.take_next()
        reads = self._reads[service][1]
        request = next(iter(reads))
        del reads[request]
        if reads:
            turns.put_back(made_by, service)
        else:
            del self._reads[service]
        if turns:
            self._rows.put_back(account, row)
        else:
            del self._turns[row]
        return service, request

    def take_of(self, service: str, most: int) -> list[ReadRequest]:
        """So much of what waits of it and is told apart."""
        if service not in self._reads:
            return []
        made_by, reads = self._reads[service]
        taken = [*islice(filter(None, reads), most)]
        for request in taken:
            del reads[request]
        if not reads:
            self._remove(service, made_by)
        return taken

    def take_out(self, service: str) -> Collection[Item]:
        """All that waits of it."""
        if service not in self._reads:
            return ()
        made_by, reads = self._reads[service]
        self._remove(service, made_by)
        return reads

    def _remove(self, service: str, made_by: int) -> None:
        del self._reads[service]
        row = made_by // IN_A_ROW
        self._turns[row].remove(str(made_by), service)
        if not self._turns[row]:
            del self._turns[row]
            self._rows.remove(str(row), row)

    def clear(self) -> None:
        self._reads.clear()
        self._rows.clear()
        self._turns.clear()


class Ahead:
    """A service is called by the name of its node right below the root. `made_by`: the transaction that wrote
    that node last, as far as is known."""

    def __init__(self) -> None:
        self._asked_for: set[str] = set()
        self._first = _Line()
        """What waits of those."""
        self._others = _Line()
        self._favours = 0

    def __bool__(self) -> bool:
        return bool(self._first or self._others)

    def favour(self, service: str, made_by: int) -> None:
        """Somebody asks for it: from now on it goes first, until it is gone."""
        self._asked_for.add(service)
        for request in self._others.take_out(service):
            self._first.put(service, made_by, request)

    def forget(self, service: str) -> None:
        """It is gone."""
        self._asked_for.discard(service)

    def put(self, service: str, made_by: int, request: Item) -> None:
        (self._first if service in self._asked_for else self._others).put(service, made_by, request)

    def take_next(self) -> tuple[str, Item]:
        """Whose turn it is, and what of it is next; KeyError where nothing waits."""
        is_favoured = bool(self._first) and (self._favours < FAVOURS or not self._others)
        self._favours = self._favours + 1 if is_favoured else 0
        return (self._first if is_favoured else self._others).take_next()

    def take_of(self, service: str, most: int) -> list[ReadRequest]:
        """So much of what waits of a service and is told apart."""
        return self._first.take_of(service, most) or self._others.take_of(service, most)

    def clear(self) -> None:
        """Nothing waits any more."""
        if self:
            self._first.clear()
            self._others.clear()
