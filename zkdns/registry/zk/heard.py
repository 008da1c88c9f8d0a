"""What watch events said of the services of one root, kept until it is their turn to be read.

Rules: pure. Of thousands of events that come at once each costs a look-up here, and what it means is told
when its service has its turn: a change of somebody else's waits for no more of it. Of events that say the
same the last one is kept, in its place, and when the first came.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final, TypeAlias

from msgspec import Struct

from zkdns.registry.zk.portion import is_too_long
from zkdns.registry.zk.wire import CHANGED, CHILD, DELETED

WatchEvent: TypeAlias = tuple[int, str]
"""Its type, and the path that it names."""

MAX_EVENTS: Final = 65_536
"""Events of one service, beyond which they are told at once: nobody may fill this."""


class News(Struct):
    """What came of some events. `services`: those of which nothing was kept. `comes`, `goes`: whether a
    service did. `others`: events that are kept nowhere."""

    services: list[str]
    others: list[WatchEvent]
    comes: bool = False
    goes: bool = False


class Heard:
    """A service is called by the name of its node right below the root. `base`: what the paths of all below
    the root begin with."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._events: dict[str, dict[WatchEvent, float]] = {}
        self._losing: set[str] = set()
        """Services from whose lists something went."""

    def __len__(self) -> int:
        return len(self._events)

    def __contains__(self, service: str) -> bool:
        return service in self._events

    @property
    def more_went(self) -> bool:
        """Whether one of the events tells that something went."""
        return bool(self._losing)

    def put(self, events: Iterable[WatchEvent], one_shot: bool, at: float) -> News:
        """These came, in this order, at this time."""
        news = News([], [])
        base, length, kept, losing = self._base, len(self._base), self._events, self._losing
        for event in events:
            kind, path = event
            end = path.find("/", length)
            service = path[length:] if end < 0 else path[length:end]
            if not (service and path.startswith(base)) or is_too_long(path):
                news.others.append(event)
                continue
            mine = kept.get(service)
            if mine is None:
                kept[service] = {event: at}
                news.services.append(service)
            elif len(mine) < MAX_EVENTS:
                mine[event] = mine.pop(event, at)
            else:
                news.others.append(event)
            if kind == DELETED:
                losing.add(service)
                news.goes = news.goes or end < 0
            elif one_shot and kind == CHILD:
                losing.add(service)
            elif end < 0 and kind not in (CHANGED, CHILD):
                news.comes = True
        return news

    def take(self, service: str, most: int) -> list[tuple[WatchEvent, float]]:
        """So many of its events, those that came first, and when each came."""
        mine = self._events[service]
        if len(mine) > most:
            taken = list(islice(mine.items(), most))
            for event, _ in taken:
                del mine[event]
            return taken
        del self._events[service]
        self._losing.discard(service)
        return list(mine.items())

    def clear(self) -> None:
        self._events.clear()
        self._losing.clear()
