"""What registries tell, event by event behind the wall: one that we fall over costs its node alone.

Rules: pure. What was not taken is tried again before anything else that is told of its node or of those below
it, and is dropped with a newer word on the same, or when its root is read anew.
"""

from __future__ import annotations

from zkdns.model import Begin, Children, Event
from zkdns.pipeline.inputs import Heard
from zkdns.pipeline.registry import Registry
from zkdns.wall import Wall

DOING = "heard"


class Hearing:
    """`wall`: keeps the errors, by path."""

    def __init__(self, wall: Wall) -> None:
        self._wall = wall
        self._left: dict[tuple[str, str, str, type[Event]], Event] = {}

    def take(self, registry: Registry, heard: Heard, now: float, grace: float) -> None:
        for event in heard.events:
            if self._left:
                self._catch_up(registry, heard.root, event, now, grace)
            self._take(registry, heard.root, event, now, grace)

    def _take(self, registry: Registry, root: str, event: Event, now: float, grace: float) -> None:
        path = getattr(event, "path", root)
        try:
            registry.take(root, event, now, grace)
        except Exception as error:
            self._left[registry.name, root, path, type(event)] = event
            self._wall.note(path, error, DOING)

    def _catch_up(self, registry: Registry, root: str, event: Event, now: float, grace: float) -> None:
        path = getattr(event, "path", root)
        for key, left in list(self._left.items()):
            name, of, where, kind = key
            if (name, of) != (registry.name, root):
                continue
            if isinstance(event, Begin) or self._is_gone(where, path, event):
                self._forget(key)
            elif f"{path}/".startswith(f"{where}/"):
                self._forget(key)
                if (where, kind) != (path, type(event)):
                    self._take(registry, root, left, now, grace)

    @staticmethod
    def _is_gone(where: str, path: str, event: Event) -> bool:
        """Whether this list has it no more."""
        base = path.rstrip("/") + "/"
        if not isinstance(event, Children) or not where.startswith(base):
            return False
        return where[len(base) :].partition("/")[0] not in event.names

    def _forget(self, key: tuple[str, str, str, type[Event]]) -> None:
        del self._left[key]
        path = key[2]
        if not any(other[2] == path for other in self._left):
            self._wall.problems.pop((path, DOING), None)
