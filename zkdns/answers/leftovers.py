"""What a large route gave until something else took its place: let go of some at a time.

Rules: pure. To free what was compiled of tens of thousands of instances takes a turn of its own, in which
nobody is answered; of a route each of them was made for it alone. So we hold the parts for as long as it
stands, and drop them by and by. Who still holds the whole goes on with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from typing import Any, Final

from zkdns.answers.routed import Routed
from zkdns.answers.service import ServiceAnswers

MANY: Final = 1000
"""Parts from which on it is a matter of milliseconds."""

AT_A_TIME: Final = 4096
"""Parts that are dropped in one turn: a millisecond."""


class Leftovers:
    def __init__(self) -> None:
        self._standing: list[list[Any]] = []
        """Of what the table holds until it takes the next Delta."""
        self._left: deque[list[Any]] = deque()

    @property
    def has_work(self) -> bool:
        return bool(self._standing or self._left)

    def put(self, answers: ServiceAnswers, route: Routed) -> None:
        """Others stand in the place of these, which gave what the route leads to."""
        if len(route.name.group) > MANY:
            every = (*_of_answers(answers), *_of_route(route))
            self._standing += [[*parts] for parts in every if len(parts) > MANY]

    def drop(self) -> None:
        """Some of what no table holds any more; what stood until now is next."""
        left = self._left
        if left:
            del left[0][-AT_A_TIME:]
            if not left[0]:
                left.popleft()
        left.extend(self._standing)
        self._standing = []


def _of_answers(answers: ServiceAnswers) -> Iterator[Collection[Any]]:
    for entry in answers.entries.values():
        for one in (entry, *(entry.variants or {}).values()):
            for tier in one.tiers:
                yield tier.records
                yield tier.extras
    for name in answers.names.values():
        if name.instances is not None:
            yield name.instances.values()


def _of_route(route: Routed) -> Iterator[Collection[Any]]:
    yield route.composed.pool.first
    yield from route.composed.pool.levels
    for given in (route.name, *route.protocols.values(), *route.ports.values()):
        yield given.group
        yield from given.first
        yield from given.levels
