"""How the answers tell of the registry: not read yet, out of reach, too long so, or all well.

Rules: in the loop; what is told changes in one step for all answers. While there is nothing to answer
from, all that is compiled is kept back: it is published when there is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from zkdns.answers.builder import Answers
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
        answers: Answers,
        engine: PythonEngine,
        publisher: Publisher,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._answers = answers
        self._engine = engine
        self._publisher = publisher
        self._clock = clock
        self._failure = NOT_READY
        answers.set_failure(NOT_READY)

    @property
    def seconds(self) -> float:
        """How long the registry has been out of reach; 0 while it is within."""
        since = self._publisher.registered.stale_since
        return max(0.0, self._clock() - since) if since is not None else 0.0

    def tell(self, ready: bool, limit: float) -> None:
        """`ready`: there is a catalog. `limit`: seconds after which an old one is no answer, 0 for none."""
        answers = self._answers
        stale = STALE if self._publisher.registered.stale_since is not None else b""
        failure = NOT_READY if not ready else TOO_OLD if 0 < limit < self.seconds else b""
        if failure != self._failure:
            self._failure = failure
            answers.stale = stale
            answers.set_failure(failure)
            self._engine.publish_afresh(answers)
        elif stale != answers.stale:
            if stale:
                log.warning("the registry is out of reach: answers go on from what was last known (EDE 3)")
            else:
                log.info("the registry is back")
            answers.stale = stale
            self._engine.publish(answers)

    def publish(self) -> None:
        """Put what was compiled in force, unless there is nothing to answer from."""
        if self._failure:
            self._answers.take_changes()
        else:
            self._engine.publish(self._answers)
