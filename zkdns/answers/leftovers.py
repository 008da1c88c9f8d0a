"""The answers that a service of thousands had until others took their place: freed some at a time.

Rules: pure. To free at once what was compiled of tens of thousands of instances would take a turn in which
nobody is answered. So we hold the parts while the whole goes, and then drop them little by little. Whoever
still holds the whole goes on using it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from zkdns.answers.routed import Routed
from zkdns.answers.service import ServiceAnswers
from zkdns.answers.table import Entry
from zkdns.steps import Steps

MANY: Final = 1000
"""Instances from which on it is a matter of milliseconds."""

AT_A_TIME: Final = 2048
"""Parts that are dropped in one turn, each of which may be made of several: a millisecond."""


class Leftovers:
    def __init__(self) -> None:
        self._standing: list[ServiceAnswers] = []
        """What the table holds until it takes the next Delta."""
        self._left: deque[Steps[None]] = deque()

    @property
    def has_work(self) -> bool:
        return bool(self._standing or self._left)

    def put(self, answers: ServiceAnswers) -> None:
        """Others stand in the place of these."""
        if answers.size > MANY:
            self._standing.append(answers)

    def drop(self) -> None:
        """Some of what no table holds any more; what stood until now is next."""
        if self._left:
            try:
                next(self._left[0])
            except StopIteration:
                self._left.popleft()
        while self._standing:
            self._left.append(_let_go(self._standing.pop()))


def _let_go(answers: ServiceAnswers) -> Steps[None]:
    held = [*{id(some): some for some in _parts_of(answers) if len(some) > MANY}.values()]
    del answers
    while held:
        some = held.pop()
        left: list[Any] = []
        # One at a time: the collector looks through all that is new.
        for each in (some.keys(), some.values()) if isinstance(some, Mapping) else (some,):
            yield from _copy(each, left)
        yield  # to touch tens of thousands once more takes milliseconds
        del some, each
        while left:
            yield
            del left[-AT_A_TIME:]


def _copy(some: Iterable[Any], left: list[Any]) -> Steps[None]:
    items = iter(some)
    while few := [*islice(items, AT_A_TIME)]:
        left += few
        yield


def _parts_of(answers: ServiceAnswers) -> Iterator[Collection[Any]]:
    for entry in answers.entries.values():
        yield from _of_entry(entry)
    for kept in answers.kept:
        for one in kept.values():
            if isinstance(one, Entry):
                yield from _of_entry(one)
    for name in answers.names.values():
        if name.instances is not None:
            yield name.instances
    if answers.grouped is not None:
        yield answers.grouped
    yield from answers.made
    if answers.beyond.route is not None:
        yield from _of_route(answers.beyond.route)
    yield answers.beyond.guests
    yield answers.service.instances


def _of_entry(entry: Entry) -> Iterator[Collection[Any]]:
    for one in (entry, *(entry.variants or {}).values()):
        for tier in one.tiers:
            yield tier.records
            yield tier.extras


def _of_route(route: Routed) -> Iterator[Collection[Any]]:
    yield route.composed.pool.first
    yield from route.composed.pool.levels
    for given in (route.name, *route.protocols.values(), *route.ports.values()):
        yield given.group
        yield from given.first
        yield from given.levels
        yield given.parts.first
        yield from given.parts.levels
        yield from given.parts.standing.values()
