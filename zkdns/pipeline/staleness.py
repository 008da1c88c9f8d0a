"""How the answers tell of the registry: not read yet, out of reach, too long so, or all well.

Rules: in the loop; what is told changes in one step for all answers, by one small Delta. While there is
nothing to answer from, all that is compiled is kept back: it goes out as one when there is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from zkdns.answers import table
from zkdns.answers.builder import Builder
from zkdns.dns import ede
from zkdns.pipeline.publisher import Publisher
from zkdns.serve.engine import PythonEngine

log = logging.getLogger("zkdns")

NOT_READY = ede.option(ede.NOT_READY, "the first catalog is not loaded yet")
STALE = ede.option(ede.STALE_ANSWER, "the registry is out of reach")
TOO_OLD = ede.option(ede.NO_REACHABLE_AUTHORITY, "the registry is out of reach for longer than stale_max")


class Staleness:
    """What the answers say of the age of `publisher`'s catalog. `clock`: seconds since the epoch."""

    def __init__(
        self,
        builder: Builder,
        engine: PythonEngine,
        publisher: Publisher,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._builder = builder
        self._engine = engine
        self._publisher = publisher
        self._clock = clock
        self._ready = False
        builder.set_staleness(table.Staleness(failure=NOT_READY))
        engine.apply(builder.take())

    @property
    def seconds(self) -> float:
        """How long the registry has been out of reach; 0 while it is within."""
        since = self._publisher.registered.stale_since
        return max(0.0, self._clock() - since) if since is not None else 0.0

    def tell(self, ready: bool, limit: float) -> None:
        """`ready`: there is a catalog. `limit`: seconds after which an old one is no answer, 0 for none."""
        stale = STALE if self._publisher.registered.stale_since is not None else b""
        failure = NOT_READY if not ready else TOO_OLD if 0 < limit < self.seconds else b""
        before, now = self._builder.staleness(), table.Staleness(stale, failure)
        self._ready = ready
        if now == before:
            return
        if now.failure == before.failure:
            if stale:
                log.warning("the registry is out of reach: answers go on from what was last known (EDE 3)")
            else:
                log.info("the registry is back")
        self._builder.set_staleness(now)
        self._engine.apply(self._builder.take())

    def publish(self) -> None:
        """Put what was compiled in force; before there is a catalog it is kept, and goes out as one."""
        if self._ready:
            self._engine.apply(self._builder.take())
