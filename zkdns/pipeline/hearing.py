"""What registries tell, event by event behind the wall: one that we fall over costs its node alone.

Rules: pure. An event that we fell over is tried again before the next one about its node or one below, and is
dropped when a newer event says the same anew, or when its root is read again. A large batch is taken over
several turns, in its order, and counts once the last of it is taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from msgspec import Struct

from zkdns.model import Begin, Children, Event, Listed
from zkdns.pipeline.inputs import Heard
from zkdns.pipeline.registry import Registry
from zkdns.pipeline.sessions import SESSION_END_SECONDS
from zkdns.wall import Wall

DOING = "heard"

MAX_SECONDS_AT_ONCE: Final = 0.001
"""Seconds between two calls of `work` in which what comes is taken as it comes."""

MAX_UNTAKEN: Final = 2
"""Batches that may wait here: in the mirror what waits is in fair order, here it is not."""


class Batch(Struct):
    """`rest`: of its events, what is not taken yet; `event`: the one that is taken now, and `steps` what is
    left of it."""

    heard: Heard
    rest: Iterator[Event]
    is_begun: bool = False
    event: Event | None = None
    steps: Iterator[None] | None = None


class Hearing:
    """`wall`: keeps the errors, by path. `tick`: seconds on any clock. `heard_out`: is called with each batch
    whose events were all taken, and the time."""

    def __init__(
        self,
        registries: Mapping[str, Registry],
        wall: Wall,
        tick: Callable[[], float],
        heard_out: Callable[[Heard, float], None],
    ) -> None:
        self.grace = 0.0
        """Seconds for which what went with an outage is kept."""
        self._registries = registries
        self._wall = wall
        self._tick = tick
        self._heard_out = heard_out
        self._queue: deque[Batch] = deque()
        self._until: float | None = None
        """By `tick`, until when what comes is taken as it comes; None until something comes after `work`."""
        self._is_owed = False
        """Whether `work` ended within a batch last time: nothing could be shown of what it took."""
        self._left: dict[tuple[str, str, str, type[Event]], Event] = {}
        """Events that we fell over, by registry, root, path and kind."""
        self._more_went: dict[str, float] = {}
        """Registries whose last batch said that more went than was read, and when that was taken."""

    @property
    def has_work(self) -> bool:
        return bool(self._queue)

    @property
    def is_behind(self) -> bool:
        """Whether so much waits that no more should be told for now."""
        return len(self._queue) > MAX_UNTAKEN

    @property
    def is_within(self) -> bool:
        """Whether a batch is taken in part: what was told at once is shown at once."""
        return bool(self._queue) and self._queue[0].is_begun

    def awaits_losses(self, now: float) -> bool:
        """Whether more may have gone in this moment than is heard of."""
        if self._more_went:
            ended = [name for name, at in self._more_went.items() if now - at > SESSION_END_SECONDS]
            for name in ended:
                del self._more_went[name]
        return bool(self._queue or self._more_went)

    def shift(self, by: float) -> None:
        """The clock was set."""
        self._more_went = {name: at + by for name, at in self._more_went.items()}

    def take(self, heard: Heard, now: float) -> None:
        """Take a batch, or as much of it as there is time for; the rest is for `work`."""
        self._queue.append(Batch(heard, iter(heard.events)))
        if len(self._queue) == 1:
            if self._until is None:
                self._until = self._tick() + MAX_SECONDS_AT_ONCE
            if self._tick() <= self._until:
                self._go_on(now, self._until)

    def work(self, now: float, until: float) -> None:
        """Go on until then. A call after one that ended within a batch stops at the end of that batch: else
        nothing would be shown of a registry that tells without end."""
        self._until = None
        was_owed, self._is_owed = self._is_owed, False
        while self._queue:
            if not self._go_on(now, until):
                self._is_owed = True
                return
            if was_owed or self._tick() > until:
                return

    def _go_on(self, now: float, until: float) -> bool:
        """With the first batch. Returns whether it is done."""
        batch = self._queue[0]
        batch.is_begun = True
        heard = batch.heard
        registry = self._registries[heard.registry]
        while True:
            if batch.steps is None:
                batch.event = next(batch.rest, None)
                if batch.event is not None and self._left:
                    self._catch_up(registry, heard.root, batch.event, now)
            if batch.event is None:
                break
            batch.steps = self._take(registry, heard.root, batch.event, now, batch.steps)
            if self._tick() > until:
                return False
        self._queue.popleft()
        self._more_went.pop(heard.registry, None)
        if heard.more_went:
            self._more_went[heard.registry] = now
        self._heard_out(heard, now)
        return True

    def _take(
        self, registry: Registry, root: str, event: Event, now: float, steps: Iterator[None] | None = None
    ) -> Iterator[None] | None:
        """Go one step on with an event. What is left of it, None at its end."""
        try:
            if steps is None:
                steps = registry.steps(root, event, now, self.grace)
            for _ in steps:
                return steps
        except Exception as error:
            path = getattr(event, "path", root)
            self._left[registry.name, root, path, type(event)] = event
            self._wall.note(path, error, DOING)
        return None

    def _catch_up(self, registry: Registry, root: str, event: Event, now: float) -> None:
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
                    steps = self._take(registry, root, left, now)
                    while steps is not None:
                        steps = self._take(registry, root, left, now, steps)

    @staticmethod
    def _is_gone(where: str, path: str, event: Event) -> bool:
        """Whether this list has it no more."""
        base = path.rstrip("/") + "/"
        if not where.startswith(base):
            return False
        name = where[len(base) :].partition("/")[0]
        if isinstance(event, Listed):
            return name in event.gone
        return isinstance(event, Children) and name not in event.names

    def _forget(self, key: tuple[str, str, str, type[Event]]) -> None:
        del self._left[key]
        path = key[2]
        if not any(other[2] == path for other in self._left):
            self._wall.problems.pop((path, DOING), None)
