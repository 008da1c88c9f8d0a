"""What the world says -> what we answer: merged, resolved, judged, compiled, and put in place.

Rules: one loop; the work is done service by service, so that answering never waits for more than one
of them; only what changed is done again. Clocks and timers come in as arguments.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from zkdns.answers.builder import Builder
from zkdns.answers.service import ServiceAnswers
from zkdns.model import EMPTY, Catalog, Instance, Problem, Service
from zkdns.registry.merge import merge

log = logging.getLogger("zkdns.publish")

SLICE = 0.004
"""Seconds of work before queries have their turn."""

LARGE = 2000
"""Instances above which a service is compiled in a thread: at 50,000 that takes a second or two, which
nobody's query should wait for."""

Aside = Callable[[Callable[[], ServiceAnswers | None], Callable[[ServiceAnswers | None], None]], None]
"""Does the first in a thread, then calls the second with what came of it, in the loop."""

Judge = Callable[[Service, float, Service | None], tuple[Service, float | None]]


class Timer(Protocol):
    def cancel(self) -> None: ...


class Publisher:
    """`registered`: what the registries hold. `services`: the same with states, as it is answered."""

    def __init__(
        self,
        builder: Builder,
        judge: Judge,
        resolve: Callable[[str, Instance], tuple[str, ...]],
        call_later: Callable[[float, Callable[[], None]], Timer],
        *,
        clock: Callable[[], float] = time.time,
        tick: Callable[[], float] = time.perf_counter,
        aside: Aside | None = None,
    ) -> None:
        self.builder = builder
        self.registered: Catalog = EMPTY
        self.services: dict[str, Service] = {}
        self.changed: list[Callable[[Service | None, Service | None], None]] = []
        """Called with a service before and after, once its answers are in place."""
        self.published: Callable[[], None] = lambda: None
        """Called after each slice that put something in place."""
        self.host_problems: dict[str, Problem] = {}
        self._judge = judge
        self._resolve = resolve
        self._call_later = call_later
        self._clock = clock
        self._tick = tick
        self._aside = aside
        self._under_way: dict[str, bool] = {}
        """Services that are compiled aside now, and whether they changed again meanwhile."""
        self._queue: dict[str, None] = {}
        self._respelled: set[str] = set()
        self._alarms: dict[str, Timer] = {}
        self._working: Timer | None = None

    @property
    def idle(self) -> bool:
        """Whether all that is known is in the answers."""
        return not self._queue and not self._under_way

    @property
    def catalog(self) -> Catalog:
        """The serving Catalog as one value."""
        return replace(self.registered, services=dict(self.services), problems=self.problems)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with what is registered."""
        return (*self.registered.problems, *self.host_problems.values())

    def take(self, catalogs: Sequence[Catalog]) -> None:
        """The registries' Catalogs became these."""
        old, new = self.registered, merge(catalogs, self.registered)
        if new is old:
            return
        self.registered = new
        if self.host_problems:
            self._forget_hosts()
        changed = changes(old.services, new.services)
        if changed:
            self.mark(changed)
        else:
            self.published()  # the serial moved, or the age

    def mark(self, names: Iterable[str]) -> None:
        """These services must be judged and compiled again."""
        self._queue.update(dict.fromkeys(names))
        if self._working is None:
            self.work()

    def respell(self) -> None:
        """Compile all services as they stand: what they are spelled with (the TTL) has changed."""
        self._respelled.update(self.services)
        self.mark(self.services)

    def work(self) -> None:
        """Do what is queued, for a slice of time; the rest goes on at the loop's next turn."""
        self._working = None
        until = self._tick() + SLICE
        while self._queue:
            name = next(iter(self._queue))
            del self._queue[name]
            self._publish(name)
            if self._queue and self._tick() > until:
                self._working = self._call_later(0, self.work)
                break
        self.published()

    def _publish(self, name: str) -> None:
        if name in self._under_way:
            self._under_way[name] = True
            return
        if (alarm := self._alarms.pop(name, None)) is not None:
            alarm.cancel()
        registered = self.registered.services.get(name)
        before = self.services.get(name)
        now = self._clock()
        after: Service | None = None
        again: float | None = None
        # A service that is gone may still have instances that the loss guard keeps: the judge says.
        asked = registered or (replace(before, instances=()) if before is not None else None)
        if asked is not None:
            judged, again = self._judge(self._with_hosts(asked), now, before)
            if registered is not None or judged.instances:
                after = judged
        respelled = name in self._respelled
        self._respelled.discard(name)
        if again is not None:
            self._alarms[name] = self._call_later(max(0.0, again - now), lambda: self.mark([name]))
        if after is None:
            if before is not None:
                self._put(name, before, None, None)
        elif after is not before or respelled:
            self._compile(name, before, after)

    def _compile(self, name: str, before: Service | None, after: Service) -> None:
        if self._aside is not None and len(after.instances) > LARGE:
            self._under_way[name] = False
            self._aside(lambda: self._try(after), lambda part: self._finish(name, before, after, part))
        elif (part := self._try(after)) is not None:
            self._put(name, before, after, part)

    def _try(self, service: Service) -> ServiceAnswers | None:
        try:
            return self.builder.compile(service)
        except Exception:
            # We are wrong; what stood there goes on. The log has what is needed for a test.
            log.exception("service %r can't be compiled", service.name)
            return None

    def _finish(self, name: str, before: Service | None, after: Service, part: ServiceAnswers | None) -> None:
        changed = self._under_way.pop(name)
        if part is not None:
            self._put(name, before, after, part)
        if changed:
            self.mark([name])
        else:
            self.published()

    def _put(
        self, name: str, before: Service | None, after: Service | None, part: ServiceAnswers | None
    ) -> None:
        self.builder.replace(name, part)
        if after is None:
            self.services.pop(name, None)
        else:
            self.services[name] = after
        for tell in self.changed:
            tell(before, after)

    def _with_hosts(self, service: Service) -> Service:
        """Host names with the addresses they resolve to; one that doesn't costs its instance."""
        if not any(i.registration.host for i in service.instances):
            return service
        instances = []
        for i in service.instances:
            host = i.registration.host
            if host is None:
                instances.append(i)
                continue
            found = self._resolve(service.label, i)
            if found:
                self.host_problems.pop(i.path, None)
                instances.append(replace(i, resolved=found))
            else:
                self.host_problems[i.path] = Problem(
                    i.path,
                    f"the host name {host!r} doesn't resolve",
                    "register an address, or mend the name",
                )
        return replace(service, instances=tuple(instances))

    def _forget_hosts(self) -> None:
        """Drop the problems of instances that are registered no more."""
        paths = {
            i.path for s in self.registered.services.values() for i in s.instances if i.registration.host
        }
        for path in self.host_problems.keys() - paths:
            del self.host_problems[path]


def changes(old: Mapping[str, Service], new: Mapping[str, Service]) -> list[str]:
    """The names whose service is another object, or gone."""
    found = [name for name, service in new.items() if old.get(name) is not service]
    if len(old) + len(found) > len(new):
        found += [name for name in old if name not in new]
    return found
