"""What the registries tell, handed on little by little to those who judge, follow and answer it.

Rules: pure. A registry may tell of any number of services at once: some of them are handed on, then others
have their turn. What one session held is shown together, as far as that is not too much: why
a node is gone is told by what else of its session stands.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from zkdns.arrivals import NOTHING as NOTHING_CAME
from zkdns.backlog import Backlog
from zkdns.health.health import Health
from zkdns.model import Catalog, Change, Problem
from zkdns.persistent import PersistentMap, differing
from zkdns.pipeline.defaults import ServiceDefaults
from zkdns.pipeline.gather import Gatherer
from zkdns.pipeline.hostnames import Hostnames
from zkdns.pipeline.latency import Latency
from zkdns.pipeline.publisher import Publisher
from zkdns.pipeline.registries import Registries
from zkdns.pipeline.routes import RouteBook
from zkdns.registry.override_nodes import NOTHING, ByService
from zkdns.steps import Steps
from zkdns.wall import Wall

AT_A_TIME: Final = 64
"""Services that are handed on between two looks at the clock: that takes a few milliseconds among 50,000."""

AT_A_TIME_OF_START: Final = 4096
"""The same before there is anything to answer from: each time costs a part of the whole."""

ORDERS: Final = 256
"""Overrides that are read between two looks at the clock: each takes some microseconds."""

MAX_TOGETHER: Final = 512
"""Services of which nothing is published before all of them were handed on."""

PART: Final = 8
"""Services that are published before more are handed on, where there are more than are shown together."""

NEARLY_ALL: Final = PART // 2
"""More are handed on while so many of those are not published yet: a turn has something to do to its end."""

MAX_UNPUBLISHED: Final = 12
"""Services that may wait here. What waits in the mirror is in fair order, and what clients ask for goes
first; here a change that comes among thousands waits for a part of them, some 0.4 ms each."""


class Gathering:
    """`is_due`: whether something else than services of an ensemble is to be handed on."""

    def __init__(
        self,
        registries: Registries,
        gatherer: Gatherer,
        publisher: Publisher,
        *,
        routes: RouteBook,
        hostnames: Hostnames,
        health: Health,
        latency: Latency,
        defaults: ServiceDefaults,
        wall: Wall,
    ) -> None:
        self.is_due = True
        self.defaults = defaults
        self._registries = registries
        self._gatherer = gatherer
        self._publisher = publisher
        self._routes = routes
        self._hostnames = hostnames
        self._health = health
        self._latency = latency
        self._wall = wall
        self._overrides: ByService = PersistentMap()
        """What is ordered."""
        self._wrong: tuple[Problem, ...] = ()
        """What is wrong with it."""
        self._unlaid: Backlog[str] = Backlog()
        """Services over which what is to be laid is not laid yet."""
        self._owed = 0
        """Services that are to be handed on before anything is published."""
        self._taking: Steps[None] | None = None
        """What is left of handing on what the registries hold: services of thousands take many steps."""
        self._is_to_order = False
        """Whether operators ordered something meanwhile, or more than was read at once."""
        self._is_in_parts = False
        """Whether there were more than are shown together."""
        self._waits_for_large = False
        """Whether those of them that are made in several steps keep the others: while nothing else is due."""
        self._changes: list[Change] = []

    @property
    def catalog(self) -> Catalog:
        """What the registries hold together."""
        return self._gatherer.catalog

    @property
    def has_work(self) -> bool:
        is_handed_on = self._taking is None and not (self.is_due or self._unlaid or self._is_to_order)
        return not is_handed_on or self._registries.has_work

    @property
    def is_taking(self) -> bool:
        """Whether what the registries hold is handed on in part: nothing is judged between its steps."""
        return self._taking is not None

    @property
    def is_within(self) -> bool:
        """Whether more is to be handed on before what already was is published: no more than had been told
        when that was begun, so that a registry that tells without end keeps nobody waiting."""
        return self._owed > 0 or self._taking is not None

    @property
    def is_behind(self) -> bool:
        """Whether so much was told, and is not published, that no more should be read for now."""
        return self._registries.own_backlog + self._publisher.backlog > MAX_UNPUBLISHED

    def hurry(self) -> None:
        """More waits to be heard: what was is shown without what takes long to be made, for a service of
        thousands may change without end."""
        self._waits_for_large = False

    def work(self, now: float, is_late: Callable[[], bool], most: int = AT_A_TIME) -> None:
        """Hand on what there is, until it is late, and no more than is shown together. `most`: services at a
        time; with 0 only what is begun goes on."""
        if (self._taking is not None and not self._go_on(is_late)) or not most:
            return
        if most > AT_A_TIME and not self._takes_orders(is_late):
            return
        backlog = self._registries.backlog
        if not self._owed and (self._publisher.backlog <= NEARLY_ALL or most > AT_A_TIME):
            self._is_in_parts = backlog > (0 if self._is_in_parts else MAX_TOGETHER)
            self._owed = min(backlog, PART) if self._is_in_parts else backlog
            if backlog:
                self._waits_for_large = not (self._publisher.has_work or self._registries.in_part)
        while self._owed or self.is_due or self._unlaid or self._is_to_order:
            if self._is_to_order:
                self.override()
            else:
                self._lay(most)
            moved = self._registries.show(min(most, self._owed), is_late)
            before, backlog = backlog, self._registries.backlog
            shown_later = 0 if self._waits_for_large else self._registries.in_part
            self._owed = max(0, min(self._owed - (before - backlog), backlog - shown_later))
            if moved or self.is_due:
                self.is_due = False
                self._taking = self._take(now)
                if not self._go_on(is_late):
                    return
            elif self._latency.shown.came:
                self._latency.hand_on(())
            if is_late():
                return

    def _takes_orders(self, is_late: Callable[[], bool]) -> bool:
        """At the start nothing is judged before all that is ordered is read. Returns whether it is."""
        while self._is_to_order:
            if is_late():
                return False
            self.override()
        return True

    def take_changes(self) -> list[Change]:
        """Registries that went out of reach since the last call, and that came back."""
        changes, self._changes = self._changes, []
        return changes

    def _take(self, now: float) -> Steps[None]:
        self._changes += self._registries.take_reach_changes(now)
        gatherer, old = self._gatherer, self.catalog
        yield from gatherer.take([r for r in self._registries.values() if r.is_known], self._routes.laid)
        if self.catalog.problems is not old.problems:
            self._wall.count("catalog", self.catalog.problems)
        changed: Collection[str] = ()
        if gatherer.services is not self._publisher.registered or self._hostnames.are_files_new:
            yield from self._hostnames.follow(gatherer.services)
            changed = yield from self._publisher.take(gatherer.services, now)
            self.defaults.forget(changed)
            if gatherer.views.are_there:  # what is ordered for instances is for their like in views, too
                self._is_to_order = True
        if self._latency.shown.came:
            self._latency.hand_on(changed)

    def _go_on(self, is_late: Callable[[], bool]) -> bool:
        """With what is handed on in part, until it is late. Returns whether all of it is."""
        steps, self._taking = self._taking, None
        for _ in steps or ():
            if is_late():
                self._taking = steps
                return False
        if self._is_to_order:
            self.override()
        return True

    def override(self) -> None:
        """What operators ordered, for the services and routes that are there now: so much at a time."""
        self._is_to_order = self.is_taking or self._registries.take_overrides(ORDERS)
        if self.is_taking:
            return
        came = NOTHING_CAME if self._is_to_order else self._registries.take_orders()
        before, self._overrides = self._overrides, self._registries.overrides
        own = self._registries.own
        if own is not None and (wrong := own.overrides.problems()) is not self._wrong:
            self._wrong = wrong
            self._wall.count("overrides", wrong)
        moved = differing(before, self._overrides)
        if moved:
            laid = self._routes.laid
            for name in moved:
                if self._overrides.get(name, NOTHING).get("") != laid.get(name):
                    self._unlaid[name] = None
            self._lay(AT_A_TIME)
        self._publisher.mark(self._health.override(self._gatherer.views.spread(self._overrides)))
        # Of what is read at once each order counts with the first service that is judged by it.
        if came and (meant := next(filter(self._publisher.is_to_judge, moved), None)) is not None:
            self._latency.due.put(meant, came)

    def _lay(self, most: int) -> None:
        """Lay some of what is ordered for services over them."""
        if self._unlaid:
            names = [self._unlaid.take_next() for _ in range(min(most, len(self._unlaid)))]
            laid = {name: self._overrides.get(name, NOTHING).get("") for name in names}
            self._publisher.mark(self._routes.lay(laid))
            self.is_due = True
