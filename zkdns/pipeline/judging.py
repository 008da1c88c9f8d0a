"""Services judged behind walls: an instance that our judge or compiler falls over costs itself alone.

Rules: pure; the clock comes in. Who is to blame is tried, instance by instance, only after an error; what is
shut out stays out for as long as its registration is the same object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final, TypeAlias

from zkdns.health.health import Health
from zkdns.model import Instance, Override, Service
from zkdns.pipeline.inputs import Judge, Judgement
from zkdns.pipeline.lost_names import with_own_names
from zkdns.registry.meeting import find
from zkdns.steps import Steps, finish
from zkdns.wall import Wall

DOING: Final = "judged"

Trial: TypeAlias = Callable[[Service, float, Mapping[str, Override] | None], Service]
"""A service as it would be judged, with these orders; nothing is remembered of it."""


def undrained(
    trial: Trial, services: Mapping[str, Service], those: Iterable[tuple[str, str]], now: float
) -> dict[str, Instance]:
    """By path, how these instances (by service and id) would stand if nothing were ordered for them: by what
    checks said last. Those that are not there are left out."""
    judged: dict[str, Instance] = {}
    for name, id in those:
        service = services.get(name)
        instance = find(service.instances, id) if service is not None else None
        if service is not None and instance is not None:
            alone = replace(service, instances=(instance,))
            judged[instance.path] = trial(alone, now, {}).instances[0]
    return judged


class Judging:
    """`judge`: a service as it is to be answered, and when it is to be judged again (seconds, the caller's
    clock), by `health`. `complete`: what a service has beside its registration. `compile`: raises where such
    a service can't be compiled. `complete_as_known`: completes one that is not registered; in whichever
    thread."""

    def __init__(
        self,
        judge: Judge,
        health: Health,
        complete: Callable[[Service], Steps[Service]],
        compile: Callable[[Service], object],
        wall: Wall,
        complete_as_known: Callable[[Service], Service],
    ) -> None:
        self._judge = judge
        self._trial = health.trial
        self._complete = complete
        self._compile = compile
        self._wall = wall
        self._complete_as_known = complete_as_known
        self._forget = health.forget

    def judge(self, service: Service, now: float, standing: Service | None) -> Judgement:
        """As the judge says, without those that it fails with, without what is remembered of it, and without
        what the loss guard and the checks would do; as it stands where that is not enough."""
        try:
            judgement = yield from self._judge_rest(service, now, standing, self._judge)
        except Exception as error:
            if self.shut_out(service, service, error, now):
                try:
                    return (yield from self._judge_rest(service, now, standing, self._judge))
                except Exception as another:
                    error = another
            self._wall.note(service.path, error, DOING)
            self._forget(service.name)  # else it might be met at each change, whatever that is
            for judge in (self._judge, self._try):
                try:
                    return (yield from self._judge_rest(service, now, None, judge))
                except Exception:
                    continue
            return standing if standing is not None else replace(service, instances=()), None
        if self._wall.problems:
            self._wall.forgive(service.path, DOING)
        return judgement

    def _judge_rest(self, service: Service, now: float, standing: Service | None, judge: Judge) -> Judgement:
        rest = with_own_names(self._without_shut_out(service))
        return (yield from judge((yield from self._complete(rest)), now, standing))

    def _try(self, service: Service, now: float, standing: Service | None) -> Judgement:
        """Of this moment alone: so what changes is answered at least."""
        yield from ()
        return self._trial(service, now, None), None

    def preview(self, service: Service, now: float, overrides: Mapping[str, Override]) -> Service:
        """As it would be judged if it were registered, and this ordered; may be called in a thread."""
        return self._trial(self._complete_as_known(service), now, overrides)

    def shut_out(self, service: Service, registered: Service, error: Exception, now: float) -> bool:
        """Keep out those of the registered instances with which alone, in this service, the same is met.
        Returns whether there are any."""
        tried = [i for i in registered.instances if self._wall.lets(i.path, i)]
        blamed = [i for i in tried if self._fails_alone(service, i, now)]
        for i in blamed:
            self._wall.shut_out(i.path, i, error)
        return bool(blamed)

    def forgive(self, before: Service | None, after: Service | None, registered: Service | None) -> None:
        """What is not registered any more, or is answered now, is no problem any more."""
        if not self._wall.problems:
            return
        if before is not None:
            here = {i.path for i in registered.instances} if registered is not None else set()
            path = before.path + "/"
            self._wall.forget_below(path, "", here.__contains__)
        if (service := after or before) is not None:
            self._wall.forget([service.path])
        if service is not None and after is None:
            self._wall.forgive(service.path, DOING)

    def _fails_alone(self, service: Service, instance: Instance, now: float) -> bool:
        try:
            alone = finish(self._complete(with_own_names(replace(service, instances=(instance,)))))
            self._compile(self._trial(alone, now, None))
        except Exception:
            return True
        return False

    def _without_shut_out(self, service: Service) -> Service:
        if not self._wall.has_shut_out or all(self._wall.lets(i.path, i) for i in service.instances):
            return service
        rest = tuple(i for i in service.instances if self._wall.lets(i.path, i))
        return replace(service, instances=rest)
