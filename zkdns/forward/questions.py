"""Questions under way: whether there may be one more, which of them is sent next, and what came of each.

Rules: one asyncio loop. A few are sent in a turn of the loop, the networks that asked in turn; `done` is told
the outcome of each once.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable
from functools import partial

from zkdns.dns import ede
from zkdns.forward.alarms import Alarms
from zkdns.forward.asked import Asked, in_flight_key
from zkdns.forward.intake import Intake
from zkdns.forward.load import MAX_IN_FLIGHT, Full, Load
from zkdns.forward.readers import Readers
from zkdns.forward.resolution import LOOPING, OURS, STOPPING, Answered, Failed, Resolution
from zkdns.forward.transport import Transport
from zkdns.forward.upstream import order
from zkdns.forward.upstreams import Upstreams
from zkdns.line import Line
from zkdns.steps import Steps
from zkdns.turn import go_on

log = logging.getLogger("zkdns.forward")

STARTS_PER_TURN = 2
"""Questions taken off before others have their turn: each costs sockets and timers, as much as twenty
answers of our own, and those must not wait behind a thousand of them."""

FULL = {full: Failed(ede.NO_REACHABLE_AUTHORITY, full.value) for full in Full}

GIVEN_UP = Failed(ede.NO_REACHABLE_AUTHORITY, Full.NETWORK.value, is_ours=True)
"""What is said of a question whose place another network was given."""


class Questions:
    """`queries`: how many were sent, by upstream and rcode, or what went wrong. `forgeries`: replies that
    answered nothing that was asked. `is_stopping`: none is begun any more."""

    def __init__(
        self,
        upstreams: Upstreams,
        intake: Intake,
        clock: Callable[[], float],
        draw: random.Random,
        done: Callable[[Asked, Answered | Failed], None],
    ) -> None:
        self.queries: Counter[tuple[str, str]] = Counter()
        self.forgeries = 0
        self.is_stopping = False
        self._upstreams = upstreams
        self._intake = intake
        self._clock = clock
        self._draw = draw
        self._done = done
        self._asked: dict[bytes, Asked] = {}
        self._unsent: Line[Asked] = Line()
        """Those that have no transport yet, whose networks take turns."""
        self._next_send: asyncio.Handle | None = None
        self._load = Load()
        self._readers = Readers()
        self._alarms = Alarms()

    def __len__(self) -> int:
        return len(self._asked)

    def find(self, key: bytes, rd: bool) -> Asked | None:
        """The same question, where it is under way."""
        return self._asked.get(in_flight_key(key, rd))

    def hindrance(self, client: str | None) -> Failed | None:
        """Why none can be begun now for this client; None where one can."""
        if self.is_stopping:
            return STOPPING
        if self._upstreams.looping:
            return LOOPING
        full = self._load.hindrance(client)
        if full is Full.ALL and client is not None and self._make_room(client):
            return None
        return FULL[full] if full is not None else None

    def _make_room(self, client: str) -> bool:
        """Whether a question that another network waits for alone was given up for this client, whose network
        has less than its share: the one that waits longest."""
        network = self._load.giver(client)
        if network is None:
            return False
        each = (a for a in self._asked.values() if a.network == network and a.room.has_none_but(network))
        asked = next(each, None)
        if asked is None:
            return False
        if asked.transport is not None:
            asked.transport.end(GIVEN_UP)
        else:
            self._finish(asked, GIVEN_UP)
        return True

    def has_time_for(self, key: bytes) -> bool:
        """Whether one that nobody waits for may be begun: it is not under way, and others have room."""
        return self.find(key, True) is None and len(self) < MAX_IN_FLIGHT // 2 and not self.is_stopping

    def start(self, asked: Asked) -> None:
        """It is sent when its network's turn comes."""
        self._unsent.put(asked.whose, asked)
        self._asked[in_flight_key(asked.key, asked.rd)] = asked
        self._load.start(asked.client)
        if self._next_send is None:
            self._next_send = asyncio.get_running_loop().call_soon(self._send_some)

    def hold_place(self, client: str | None) -> None:
        """What was answered counts as under way for a while still."""
        self._load.start(client)

    def leave_place(self, client: str | None) -> None:
        """Not any more."""
        self._load.end(client)

    async def wait(self, seconds: float) -> None:
        """Until all are done, so long at most."""
        end = self._clock() + seconds
        while self._asked and self._clock() < end:  # noqa: ASYNC110  (many flights, one clock of our own)
            await asyncio.sleep(0.02)

    def end(self) -> Steps[None]:
        """What is left is not answered any more."""
        self._unsent = Line()
        for asked in list(self._asked.values()):
            if self.find(asked.key, asked.rd) is not asked:
                continue  # it was answered meanwhile
            if asked.transport is not None:
                asked.transport.end(STOPPING)
            else:
                self._finish(asked, STOPPING)
            yield

    def close(self) -> None:
        self._readers.stop()

    def _send_some(self) -> None:
        try:
            for _ in range(min(STARTS_PER_TURN, len(self._unsent))):
                asked = self._unsent.take()
                try:
                    if self.find(asked.key, asked.rd) is asked:  # else it was given up
                        self._send(asked)
                except Exception:
                    log.exception("a question could not be asked: %s", asked.key.hex())
                    self._finish(asked, OURS)
        finally:  # whatever we fall over: else none would be sent any more
            self._next_send = go_on(asyncio.get_running_loop(), self._send_some) if self._unsent else None

    def _send(self, asked: Asked) -> None:
        upstreams = order(self._upstreams.all)
        resolution = Resolution(asked.key[:-1], asked.key[-1], asked.rd, upstreams, self._clock(), self._draw)
        asked.transport = Transport(
            resolution, self._clock, partial(self._finish, asked), self._readers, self._intake, self._alarms,
            whose=asked.whose,
        )  # fmt: skip
        asked.transport.step()

    def _finish(self, asked: Asked, outcome: Answered | Failed) -> None:
        self._asked.pop(in_flight_key(asked.key, asked.rd), None)
        self._load.end(asked.client)
        if asked.transport is not None:
            self.forgeries += asked.transport.resolution.forgeries
            for upstream, what in asked.transport.resolution.log:
                self.queries[str(upstream.address), what] += 1
            asked.transport = None  # they know each other: the collector would have to find them
        self._done(asked, outcome)
