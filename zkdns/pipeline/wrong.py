"""All that is wrong with what one pipeline holds: with what is registered, ordered, and laid beside it.

Rules: pure. Each is told once, even if two registries are the same place. Taken as of now; written out by
whoever reads it, in a thread or not.
"""

from __future__ import annotations

from itertools import chain

from zkdns.answers.builder import Builder
from zkdns.answers.zonefiles.overlay import Overlay
from zkdns.health.health import Health
from zkdns.model import Problem
from zkdns.pipeline.compiler import Compiler
from zkdns.pipeline.gather import Gatherer
from zkdns.pipeline.hostnames import Hostnames
from zkdns.pipeline.locality import Localities
from zkdns.pipeline.lost_names import tell_nested
from zkdns.pipeline.publisher import Publisher
from zkdns.pipeline.registries import Registries
from zkdns.pipeline.replica import Replica
from zkdns.pipeline.routes import RouteBook
from zkdns.problems import Problems
from zkdns.wall import Wall


class Wrong:
    """Of these parts of a pipeline."""

    def __init__(
        self,
        wall: Wall,
        *,
        registries: Registries,
        gatherer: Gatherer,
        hostnames: Hostnames,
        localities: Localities,
        health: Health,
        routes: RouteBook,
        compiler: Compiler,
        publisher: Publisher,
        builder: Builder,
        overlay: Overlay,
        replica: Replica,
    ) -> None:
        self._wall = wall
        self._registries = registries
        self._gatherer = gatherer
        self._hostnames = hostnames
        self._localities = localities
        self._health = health
        self._routes = routes
        self._compiler = compiler
        self._publisher = publisher
        self._builder = builder
        self._overlay = overlay
        self._replica = replica

    def tell(self) -> Problems:
        own = self._registries.own
        nested: tuple[Problem, ...] = ()
        with self._wall.around("zones that nest", "told"):
            nested = tuple(tell_nested(self._publisher.services, self._builder.zone_names))
        each = (
            self._gatherer.catalog.problems,
            *(r.refusals for r in self._registries.values()),
            tuple(self._hostnames.problems.values()),
            own.overrides.problems() if own is not None else (),
            own.refusals_of_own if own is not None else (),
            self._localities.problems,
            tuple(self._health.problems.values()),
            *self._routes.problems.values(),
            *self._routes.faults.values(),
            tuple(self._compiler.limits.values()),
            *self._publisher.lost_names.values(),
            nested,
            (self._replica.problem,) if self._replica.problem is not None else (),
        )
        overlay, ours = self._overlay.tell(), tuple(self._wall.problems.values())
        return Problems(lambda: dict.fromkeys(chain(*each, overlay(), ours)))
