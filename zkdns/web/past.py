"""What the page shows of the journal, read now and then: a journal of a day may take a while to read.

Rules: `reader` is called in the loop, what it gives in a thread. A reading is used again for
MIN_REUSE_SECONDS, and for PACE times what it cost, so that however many pages are open they cost a small
part of the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from zkdns.pipeline.journal import Query
from zkdns.web.status import Observed

if TYPE_CHECKING:
    from zkdns.web.page import Past

MIN_REUSE_SECONDS = 1.0
PACE = 20.0
"""For how long a past is shown again: so many times what it took to be read."""
MAX_KEPT = 64
"""Services whose past is kept."""
MAX_CHANGES = 2000
"""Of one service that are read."""


class _Kept(Struct, frozen=True):
    past: Past
    until: float


class Pasts:
    """By service, "" for all."""

    def __init__(self, observed: Observed, tick: Callable[[], float] = time.monotonic) -> None:
        self._observed = observed
        self._tick = tick
        self._kept: dict[str, _Kept] = {}

    def reader(self, service: str, since: float) -> Callable[[], Past]:
        """Gives the changes of a service since that time; what can't be read is nothing."""
        from zkdns.web.page import Past  # with the first page

        kept = self._kept.get(service)
        if kept is not None and self._tick() < kept.until:
            past = kept.past
            return lambda: past
        read = self._observed.history(Query(service, since=since, limit=MAX_CHANGES))

        def work() -> Past:
            began = self._tick()
            try:
                past = Past(*read())
            except OSError:
                return Past()
            ended = self._tick()
            self._keep(service, _Kept(past, ended + max(MIN_REUSE_SECONDS, PACE * (ended - began))))
            return past

        return work

    def _keep(self, service: str, kept: _Kept) -> None:
        self._kept.pop(service, None)
        self._kept[service] = kept
        while len(self._kept) > MAX_KEPT:
            self._kept.pop(next(iter(self._kept)), None)
