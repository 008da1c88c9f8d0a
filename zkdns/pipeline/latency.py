"""How late what registries tell is in force: when each change came, from what they show to the answers.

Rules: pure. A change counts once for each service that it makes another, when that is compiled and put in
place; one that moves nothing there, when that is known. What a service waits for beside that (its first
check, the address of a host name) and those whose routes lead to it are no part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from zkdns.arrivals import Arrivals


class Latency:
    """The stations: `shown` by the registries, `due` to be judged, and `judged`. `views_of`: the names of a
    service's views."""

    def __init__(self, views_of: Callable[[str], Iterable[str]]) -> None:
        self.shown, self.due, self.judged = Arrivals(), Arrivals(), Arrivals()
        self._views_of = views_of
        self._served: list[float] = []

    def hand_on(self, changed: Collection[str]) -> None:
        """All that was shown is handed on to be judged; these are others by that."""
        names = frozenset(changed)
        for service in [*self.shown.came]:
            came = self.shown.take(service)
            moved = filter(names.__contains__, (service, *self._views_of(service)))
            if (meant := next(moved, None)) is not None:
                self.due.put(meant, came)
            else:
                self._served += came.values()

    def end(self, service: str) -> None:
        """As it was judged it is in force."""
        self._served += self.judged.take(service).values()

    def take(self) -> tuple[float, ...]:
        """When those came that are in force since the last call: to be asked at each turn."""
        served, self._served = self._served, []
        return tuple(served)
