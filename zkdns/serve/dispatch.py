"""One query, one reply, whatever the transport: counts it, forwards it, lets no error out.

Rules: runs in the loop and never waits; a reply comes back at once, or later through the `reply`
that the listener gave. What goes wrong in here is ours: SERVFAIL, a count, and the packet in the log.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable

from zkdns.answers.builder import Answers
from zkdns.config import Settings
from zkdns.dns import ede, packet
from zkdns.forward.forwarder import Forwarder
from zkdns.serve import querylog
from zkdns.serve.respond import FORWARD, Outcome, Position, fail, next_position, respond_fast, respond_general

log = logging.getLogger("zkdns.serve")

BUCKETS = (5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 5e-3, 2.5e-2, 0.1, 0.5, 2.5)
"""Upper bounds of the query histogram, seconds."""

_SAMPLE = 32
"""One query in so many is timed: counts are exact, times need not be."""

_CLIENTS = 1000

_LOOP = ede.option(ede.NETWORK_ERROR, "forwarding loop")


class Histogram:
    """How often something took how long. `bounds`: upper ends of the buckets, seconds, ascending."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def read(self) -> tuple[tuple[float, ...], tuple[int, ...], float]:
        """The bounds, the counts (one more: above them all), and the sum."""
        return self._bounds, tuple(self._counts), self._sum


class Dispatcher:
    """`answers` may be exchanged for another at any time between two queries."""

    def __init__(
        self, answers: Answers, forwarder: Forwarder | None = None, position: Position = next_position
    ) -> None:
        self.answers = answers
        self.forwarder = forwarder
        self.position = position
        self.counts: Counter[tuple[str, bytes, int]] = Counter()
        """Queries by transport, type (2 bytes) and rcode."""
        self.dropped: Counter[str] = Counter()
        self.errors = 0
        self.search_misses: Counter[str] = Counter()
        """Names that a search list made (`example.com.svc.local`), by client; "" past the first thousand."""
        self.times = Histogram(BUCKETS)
        self.query_log: querylog.QueryLog | None = None
        """None while it is off."""
        self._turn = 0

    def configure(self, settings: Settings) -> None:
        self.query_log = querylog.choose(settings)

    def handle(
        self, query: bytes, client: str, limit: int, transport: str, reply: Callable[[bytes], None],
        sampled: bool | None = None, waited: float = 0.0,
    ) -> bytes | None:  # fmt: skip
        """The reply, or None: nothing to say, or `reply` is called later. `sampled` and `waited` are for
        the query log."""
        if self.query_log is None:
            return self._handle(query, client, limit, transport, reply)
        return self.query_log.watch(
            self._handle, query, client, limit, transport, reply, sampled=sampled, waited=waited
        )

    def _handle(
        self, query: bytes, client: str, limit: int, transport: str, reply: Callable[[bytes], None]
    ) -> bytes | None:
        """The same, whatever the query log wants."""
        outcome = self.answer(query, client, limit)
        if outcome is FORWARD:
            return self.forward(query, client, limit, transport, reply)
        if outcome is not None:
            self.count(query, outcome, transport)
            if outcome[3] & 15 == packet.NXDOMAIN:
                self.note_search_miss(query, outcome, client)
        return outcome

    def answer(self, query: bytes, client: str, limit: int) -> Outcome:
        """What there is to say at once; not counted yet. `client` may be empty where nothing is forwarded."""
        ra = 0x80 if client and self.forwarder is not None and self.forwarder.allows(client) else 0
        self._turn += 1
        began = 0.0 if self._turn % _SAMPLE else time.perf_counter()
        try:
            outcome: Outcome = respond_fast(query, self.answers, limit, self.position, ra)
            if outcome is None:
                outcome = self._respond_general(query, limit, ra)
        except Exception:
            self.errors += 1
            log.exception("a query failed; the packet is %s", query.hex())
            try:
                outcome = fail(query, packet.SERVFAIL, b"", limit, ra)
            except Exception:
                outcome = None
        if began:
            self.times.observe(time.perf_counter() - began)
        if outcome is None:
            self.dropped["not a query"] += 1
        return outcome

    def _respond_general(self, query: bytes, limit: int, ra: int) -> Outcome:
        """What upstreams said is looked at before the long way through our own names is taken."""
        if ra and self.forwarder is not None:
            made = self.forwarder.cached(query, limit)
            if made is not None:
                return made
        return respond_general(query, self.answers, limit, self.position, ra)

    def count_batch(self, seen: list[bytes], transport: str) -> None:
        """`seen`: of each reply its rcode's byte and its query's type."""
        for key, n in Counter(seen).items():
            self.counts[transport, key[1:], key[0] & 15] += n

    def note_search_miss(self, query: bytes, reply: bytes, client: str) -> None:
        """Count an NXDOMAIN of ours whose parent isn't there either: a search list went through here,
        and the client whose `ndots` does that should be found."""
        end = query.find(b"\0", 12) + 1
        parent = query[13 + query[12] : end].lower()
        if reply[2] & 0x04 and parent not in self.answers.names:
            known = client in self.search_misses or len(self.search_misses) < _CLIENTS
            self.search_misses[client if known else ""] += 1

    def count(self, query: bytes, reply: bytes, transport: str) -> None:
        end = query.find(b"\0", 12) + 1
        self.counts[transport, query[end : end + 2], reply[3] & 15] += 1

    def forward(
        self, query: bytes, client: str, limit: int, transport: str, reply: Callable[[bytes], None]
    ) -> bytes | None:
        """The same as `handle` for a query whose outcome is FORWARD."""
        forwarder = self.forwarder
        ra = 0x80 if forwarder is not None and forwarder.allows(client) else 0
        if forwarder is not None and forwarder.is_probe(query):
            return fail(query, packet.SERVFAIL, _LOOP, limit)
        if forwarder is None or not forwarder.enabled:
            return self._refuse(query, limit, transport, ra, "not a zone of ours")
        if not ra:
            forwarder.refused += 1
            return self._refuse(query, limit, transport, ra, "forwarding is not for this client")

        def answered(made: bytes) -> None:
            self.count(query, made, transport)
            reply(made)

        forwarder.answer(query, client, limit, answered)
        return None

    def _refuse(self, query: bytes, limit: int, transport: str, ra: int, why: str) -> bytes:
        made = fail(query, packet.REFUSED, ede.option(ede.PROHIBITED, why), limit, ra)
        self.count(query, made, transport)
        return made
