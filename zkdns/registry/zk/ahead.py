"""The short reads of one root, which come before the long ones: services in turn, those that clients ask for
first.

Rules: pure. Where the data of thousands of services changes in one moment, nothing tells an unrelated change
from theirs; but few of so many services are asked for.
"""

from __future__ import annotations

from typing import Final

from zkdns.backlog import Accounts
from zkdns.registry.zk.read_plan import ReadRequest

FAVOURS: Final = 3
"""Reads of services that somebody asks for before the next of the others, which go on all the same."""


class Ahead:
    """A service is called by the name of its node right below the root."""

    def __init__(self) -> None:
        self._asked_for: set[str] = set()
        self._first: Accounts[ReadRequest] = Accounts()
        """What waits of those."""
        self._others: Accounts[ReadRequest] = Accounts()
        self._favours = 0

    def __bool__(self) -> bool:
        return bool(self._first or self._others)

    def favour(self, service: str) -> None:
        """Somebody asks for it: from now on it goes first, until it is gone."""
        self._asked_for.add(service)
        for request in self._others.take_out(service):
            self._first.put(service, request)

    def forget(self, service: str) -> None:
        """It is gone."""
        self._asked_for.discard(service)

    def put(self, service: str, request: ReadRequest) -> None:
        (self._first if service in self._asked_for else self._others).put(service, request)

    def take_next(self) -> ReadRequest:
        """KeyError where nothing waits."""
        is_favoured = bool(self._first) and (self._favours < FAVOURS or not self._others)
        self._favours = self._favours + 1 if is_favoured else 0
        return (self._first if is_favoured else self._others).take_next()[1]

    def clear(self) -> None:
        """Nothing waits any more."""
        if self:
            self._first.clear()
            self._others.clear()
