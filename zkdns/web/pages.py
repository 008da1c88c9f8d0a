"""What a page needs of the server: gathered in the loop, of one moment, and rendered in a thread.

Rules: reads only. `prepare` costs the loop no more than a look; what takes long is in what it gives.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from zkdns.named import find_service
from zkdns.pipeline.journal import OutOfReach
from zkdns.serve.clients import Demand
from zkdns.web.moments import read_moment
from zkdns.web.past import Pasts
from zkdns.web.rates import MAX_CLIENTS, SAMPLE_EVERY, Rates
from zkdns.web.shapes import Firsts
from zkdns.web.status import Beside, Observed
from zkdns.web.threads import Busy

if TYPE_CHECKING:
    from zkdns.web.page import Asked

MAX_CHANGES = 64
"""Changes that one question may try: each costs its service's answers."""

HOUR, DAY = 3600.0, 86400.0
"""How far back the page looks: over all services, and at one."""


class Pages:
    """The page of one server."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._pasts = Pasts(observed)
        self._rates = Rates()

    def prepare(self, query: Mapping[str, str], tried: Sequence[str]) -> Callable[[], str]:
        """What makes the page for this query string, with these changes tried; to be called in a thread."""
        from zkdns.web.page import Asked, Past, View, render  # loaded by whoever asks for the first one

        observed, now = self._observed, time.time()
        status = observed.status()
        asked = Asked.read({**query, "if": " ".join(tried)})
        opened = find_service(status.services, asked.service) if asked.service else None
        if opened is not None:
            asked = asked.about(opened.name)
        firsts = observed.firsts(opened.name) if opened is not None else Firsts
        past = self._pasts.reader(asked.service, now - DAY) if asked.service else Past
        # One that is gone may still be in somebody's cache: who asked for it is told as well.
        beside = observed.beside(asked.service) if asked.service else Beside
        recent = self._pasts.reader("", now - HOUR)
        explained = self._explainer(asked)
        load, routed = self._rates.load, observed.routed()

        def work() -> str:
            view = View(status, now, firsts(), past(), recent(), explained(), load, beside(), routed)
            return render(view, asked)

        return work

    def _explainer(self, asked: Asked) -> Callable[[], Mapping[str, Any] | str | None]:
        """The explanation, or what keeps us from one."""
        if not asked.explain:
            return lambda: None
        try:
            refuse_too_many(asked.changes)
            at = read_moment({"at": asked.at}, "at", ends=True)
            work = self._observed.explain(
                asked.explain,
                asked.type or "A",
                asked.client or None,
                asked.changes,
                at,
            )
        except (ValueError, OutOfReach) as error:
            text = str(error)
            return lambda: text

        def explain() -> Mapping[str, Any] | str:
            try:
                return work()
            except (ValueError, OutOfReach) as error:
                return str(error)

        return explain

    async def sample(self, run: Callable[[Callable[[], Demand]], Awaitable[Demand]]) -> None:
        """Count, every few seconds, how much is asked. `run`: calls in a thread."""
        while True:
            work = self._observed.demand(self._rates.since, MAX_CLIENTS)
            with suppress(Busy):
                demand = await run(work)
                queries = sum(self._observed.counters().queries.values())
                self._rates.take(queries, demand, time.time())
            await asyncio.sleep(SAMPLE_EVERY)


def refuse_too_many(changes: Sequence[str]) -> None:
    """ValueError where more are to be tried than may be."""
    if len(changes) > MAX_CHANGES:
        raise ValueError(f"more than {MAX_CHANGES} changes to try")
