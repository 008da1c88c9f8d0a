"""The room's one door: the merged Catalog, overrides, replicas and their ballots in; the serving Catalog out.

Rules: lives in one asyncio loop and never waits there. Inputs only mark services; `serving` judges the
marked ones, each alone, and `changed` is called when there is something to judge. What a replica says
for others is written through `publish`, at most once a second and only where it changed.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from zkdns.health import checks, sharing
from zkdns.health.guard import NO_LOSSES, Losses, hold
from zkdns.health.judge import NO_ORDERS, ServiceView, is_drained, judge
from zkdns.health.prober import SOCKETS, Prober
from zkdns.health.sharing import assign, rule
from zkdns.health.targets import Target, aim
from zkdns.health.thresholds import Count, Standing, count
from zkdns.model import EMPTY, Catalog, Instance, Override, Problem, Service, Verdict

LONGEST_SLEEP = 60.0
"""Seconds after which the clock is looked at again: it may have been set."""

WRITE_EVERY = 1.0
"""Seconds between two writes of our ballot."""


class Health:
    """`replica`: our id under /zkdns/servers. `changed`: some service must be judged again (called in
    the loop, once until `serving` is). `publish`: keeps our ballot's node with this data."""

    def __init__(
        self,
        replica: str,
        changed: Callable[[], None],
        publish: Callable[[bytes], None] = lambda data: None,
        *,
        allow_command_checks: bool = False,
        clock: Callable[[], float] = time.time,
        sockets: int = SOCKETS,
    ) -> None:
        self._me = replica
        self._changed = changed
        self._publish = publish
        self._allow_command = allow_command_checks
        self._clock = clock
        self._prober = Prober(self._take_verdict, replica, sockets)
        # what came in
        self._catalog = EMPTY
        self._orders: dict[str, dict[str, Override]] = {}
        self._live: frozenset[str] = frozenset({replica})
        self._ballots: dict[str, dict[str, Standing]] = {}
        self._connected = True
        # what was made of it, by service
        self._dirty: set[str] = set()
        self._called = False
        self._registered: dict[str, Service] = {}
        self._losses: dict[str, Losses] = {}
        self._targets: dict[str, dict[str, Target]] = {}
        self._problems: dict[str, Problem] = {}
        self._alarms: dict[str, float] = {}
        self._alarm_queue: list[tuple[float, str]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._serving = EMPTY
        # and by instance path
        self._service_of: dict[str, str] = {}
        self._counts: dict[str, Count] = {}
        self._standings: dict[str, Standing] = {}
        self._unprobed: set[str] = set()
        self._settled = asyncio.Event()
        # our ballot
        self._written = b""
        self._written_at = -WRITE_EVERY
        self._writer: asyncio.TimerHandle | None = None

    # --- in ---------------------------------------------------------------------------------------

    def replace(self, catalog: Catalog) -> None:
        """A new Catalog from the registries. Costs what changed in it."""
        old, new = self._catalog.services, catalog.services
        if catalog is self._catalog:
            return
        self._catalog = catalog
        if old is not new:
            self._mark(name for name, service in new.items() if old.get(name) is not service)
            self._mark(name for name in old if name not in new)
        self._call()

    def override(self, orders: Mapping[tuple[str, str], Override]) -> None:
        """All overrides there are, by service and instance id."""
        by_service: dict[str, dict[str, Override]] = {}
        for (service, id), order in orders.items():
            by_service.setdefault(service, {})[id] = order
        old, self._orders = self._orders, by_service
        self._mark(s for s in old.keys() | by_service.keys() if old.get(s) != by_service.get(s))

    def replicas(self, ids: Iterable[str]) -> None:
        """The live replicas (we are one of them whatever it says)."""
        live = frozenset(ids) | {self._me}
        if live == self._live:
            return
        self._live = live
        for targets in self._targets.values():
            for path, target in targets.items():
                self._share(path, target)
                self._settle(path)

    def ballot(self, replica: str, data: bytes | None) -> None:
        """What another replica's node under /zkdns/health says; None: it is gone."""
        old = self._ballots.get(replica, {})
        new = sharing.read_ballot(data) if data is not None else {}
        if data is None:
            self._ballots.pop(replica, None)
        else:
            self._ballots[replica] = new
        for path in old.keys() | new.keys():
            if path in self._service_of and old.get(path) != new.get(path):
                self._settle(path)

    def connected(self, connected: bool) -> None:
        """Whether ZooKeeper is within reach: while it is not, others' ballots stand still."""
        if connected != self._connected:
            self._connected = connected
            for path in self._counts:
                self._settle(path)

    # --- out --------------------------------------------------------------------------------------

    def serving(self) -> Catalog:
        """The Catalog with each instance judged: the same objects where nothing changed."""
        now = self._clock()
        catalog, old = self._catalog, self._serving
        services: Mapping[str, Service] = old.services
        changes: dict[str, Service | None] = {}
        while self._dirty:
            name = self._dirty.pop()
            judged = self._judge(name, now)
            if old.services.get(name) is not judged:
                changes[name] = judged
        self._called = False
        if changes:
            services = {n: s for n, s in {**services, **changes}.items() if s is not None}
        problems = catalog.problems
        if self._problems:
            problems = (*problems, *(self._problems[name] for name in sorted(self._problems)))
        new = replace(catalog, services=services, problems=problems)
        if services is not old.services or new != old:
            self._serving = new
        self._set_timer(now)
        return self._serving

    async def first_round(self) -> None:
        """Wait until every instance with a check has been probed, by us or by another replica: at
        most the longest of their timeouts and one second more."""
        self.serving()
        timeouts = [self._targets[self._service_of[path]][path].check.timeout for path in self._unprobed]
        if not timeouts:
            return
        try:
            async with asyncio.timeout(max(timeouts) + 1.0):
                await self._settled.wait()
        except TimeoutError:
            pass

    async def stop(self) -> None:
        for timer in (self._timer, self._writer):
            if timer is not None:
                timer.cancel()
        await self._prober.stop()

    # --- one service ------------------------------------------------------------------------------

    def _judge(self, name: str, now: float) -> Service | None:
        before = self._registered.get(name)
        registered = self._catalog.services.get(name)
        if registered is not None:
            service = registered
        elif before is not None:
            service = replace(before, instances=())
        else:
            return None
        orders = self._orders.get(name, NO_ORDERS)

        def released(instance: Instance) -> bool:
            return self._fails(instance.path) or is_drained(orders.get(instance.id), now)

        losses = hold(self._losses.get(name, NO_LOSSES), before, service, now, released)
        problem = self._aim(name, service, losses)
        if registered is None and not losses.kept:
            self._forget(name)
            return None
        self._registered[name] = service
        self._losses[name] = losses
        if problem is not None:
            self._problems[name] = problem
        else:
            self._problems.pop(name, None)
        view = ServiceView(orders, bool(self._targets[name]), self._standings, losses.kept)
        judged, again = judge(service, view, now, self._serving.services.get(name))
        if again is None:
            self._alarms.pop(name, None)
        elif self._alarms.get(name) != again:
            self._alarms[name] = again
            heapq.heappush(self._alarm_queue, (again, name))
        return judged

    def _forget(self, name: str) -> None:
        by_service: tuple[dict[str, Any], ...] = (
            self._registered, self._losses, self._targets, self._problems, self._alarms,
        )  # fmt: skip
        for known in by_service:
            known.pop(name, None)

    def _aim(self, name: str, service: Service, losses: Losses) -> Problem | None:
        instances = (*service.instances, *(k.instance for k in losses.kept))
        aimed, problem = aim(service, instances, checks.names(), self._allow_command)
        old = self._targets.get(name, {})
        new = {target.path: target for target in aimed}
        self._targets[name] = new
        for path in old.keys() - new.keys():
            self._prober.drop(path)
            self._service_of.pop(path, None)
            self._standings.pop(path, None)
            self._discount(path)
            self._note_probed(path)
        for path, target in new.items():
            known = old.get(path)
            if known == target:
                continue
            if known is None:
                self._service_of[path] = name
                self._unprobed.add(path)
                self._settled.clear()
            elif not known.same_place(target) or (self._fails(path) and known.since != target.since):
                # Another process stands there now: what was counted is not about it.
                self._standings.pop(path, None)
                self._discount(path)
            self._share(path, target)
            self._settle(path, mark=False)
        return problem

    def _fails(self, path: str) -> bool:
        standing = self._standings.get(path)
        return standing is not None and not standing.good

    # --- one instance -----------------------------------------------------------------------------

    def _share(self, path: str, target: Target) -> None:
        """Probe it, or leave it to others."""
        if self._me in assign(path, self._live):
            self._prober.aim(target)
        else:
            self._prober.drop(path)
            self._discount(path)

    def _discount(self, path: str) -> None:
        if self._counts.pop(path, None) is not None:
            self._write_soon()

    def _take_verdict(self, target: Target, verdict: Verdict) -> None:
        path = target.path
        if path not in self._service_of:
            return
        before = self._counts.get(path)
        after = count(before, verdict.good, verdict.why, target.check.rise, target.check.fall)
        self._counts[path] = after
        if before is None or before.standing != after.standing:
            self._settle(path)
            self._write_soon()

    def _settle(self, path: str, mark: bool = True) -> None:
        """Count the votes on one instance."""
        votes = []
        own = self._counts.get(path)
        if own is not None:
            votes.append(own.standing)
        if own is None or self._connected:
            for replica, ballot in self._ballots.items():
                if replica == self._me:
                    # What we wrote ourselves before a restart counts until we know better.
                    if own is None and path in ballot:
                        votes.append(ballot[path])
                elif replica in self._live and path in ballot:
                    votes.append(ballot[path])
        standing = rule(votes) or self._standings.get(path)
        if standing is None:
            return
        self._note_probed(path)
        if standing != self._standings.get(path):
            self._standings[path] = standing
            if mark:
                self._mark((self._service_of[path],))

    def _note_probed(self, path: str) -> None:
        self._unprobed.discard(path)
        if not self._unprobed:
            self._settled.set()

    # --- when -------------------------------------------------------------------------------------

    def _mark(self, names: Iterable[str]) -> None:
        before = len(self._dirty)
        self._dirty.update(names)
        if len(self._dirty) > before:
            self._call()

    def _call(self) -> None:
        if not self._called:
            self._called = True
            self._changed()

    def _set_timer(self, now: float) -> None:
        queue = self._alarm_queue
        while queue and self._alarms.get(queue[0][1]) != queue[0][0]:
            heapq.heappop(queue)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if queue:
            wait = min(max(queue[0][0] - now, 0.001), LONGEST_SLEEP)
            self._timer = asyncio.get_running_loop().call_later(wait, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._clock()
        due = []
        while self._alarm_queue and self._alarm_queue[0][0] <= now:
            at, name = heapq.heappop(self._alarm_queue)
            if self._alarms.get(name) == at:
                del self._alarms[name]
                due.append(name)
        if due:
            self._mark(due)
        else:
            self._set_timer(now)

    def _write_soon(self) -> None:
        if self._writer is None:
            loop = asyncio.get_running_loop()
            # A moment's wait even for the first: verdicts come in swarms.
            wait = max(self._written_at + WRITE_EVERY - loop.time(), 0.02)
            self._writer = loop.call_later(wait, self._write)

    def _write(self) -> None:
        self._writer = None
        data = sharing.write_ballot({path: c.standing for path, c in self._counts.items()})
        if data != self._written:
            self._written = data
            self._written_at = asyncio.get_running_loop().time()
            self._publish(data)
