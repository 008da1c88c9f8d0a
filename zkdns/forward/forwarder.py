"""Forwarding: names outside our zones go to upstream resolvers, through one cache.

Rules: one asyncio loop; `answer` never raises and never waits: what is in the cache is replied to
at once, the rest when its question is done. Here are the clients: who may, and who waits for what.
Which question is sent next stands in `questions`, who is asked and believed in `resolution`, and what is kept
in `stored` and `cache`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from msgspec import Struct

from zkdns.config import Settings
from zkdns.dns import ede, names
from zkdns.dns.packet import Query
from zkdns.dns.reply import CD, RA, fail
from zkdns.dns.types import SERVFAIL
from zkdns.forward.addresses import Resolved
from zkdns.forward.alarms import Alarms
from zkdns.forward.allow import Permits, network_of, permit
from zkdns.forward.asked import Asked, in_flight_key
from zkdns.forward.cache import Cache, Replies
from zkdns.forward.eviction import share_of
from zkdns.forward.failures import Failures
from zkdns.forward.intake import Intake
from zkdns.forward.judged import Judged, judge
from zkdns.forward.load import MAX_ALL_WAITERS, Room
from zkdns.forward.pending import Deliveries, Pending
from zkdns.forward.questions import Questions
from zkdns.forward.resolution import ALL_CROWDED, CROWDED, OURS, Answered, Failed
from zkdns.forward.resolvconf import PATH
from zkdns.forward.resolve import resolve
from zkdns.forward.sockets import allow_many_sockets
from zkdns.forward.stored import Kept, Stored, Wanted, key_of, size_of
from zkdns.forward.upstreams import Upstreams, UpstreamStatus
from zkdns.lack import Lack
from zkdns.turn import take_turns

log = logging.getLogger("zkdns.forward")

STALE_AFTER = 1.8
"""Seconds a client waits where an expired answer is at hand (RFC 8767, section 5)."""
MAX_RECORDS_PER_TURN = 100
"""Records of a reply that are judged and spelled in the loop; more in a thread: each may have a name of 127
labels, and thousands take 100 ms."""


class ForwardStatus(Struct, frozen=True):
    """What people see of forwarding."""

    upstreams: tuple[UpstreamStatus, ...]
    cached: int
    in_flight: int
    cache_hits: int
    problem: str


class Forwarder:
    """Asks upstreams for what clients want to know, and remembers what they said.

    The counters only grow: `queries` by upstream and rcode (or what went wrong), `cache_hits` (`stale_hits`
    of them), `failure_hits`, `joined`, `limited`, `refused`, `forgeries`, `prefetches`, `blocked` (answers
    that named private addresses), `faults` (replies that met an error of ours).
    """

    def __init__(
        self,
        settings: Settings,
        *,
        resolv_conf: Path = PATH,
        cache: Replies | None = None,
        clock: Callable[[], float] = time.monotonic,
        draw: random.Random | None = None,
        is_ours: Callable[[bytes], bool] = lambda name: False,
    ) -> None:
        self._is_ours = is_ours
        self._clock = clock
        self._draw = draw or random.SystemRandom()
        self.cache: Replies = Cache() if cache is None else cache
        # Other upstreams may know other names: what the old ones said is forgotten.
        self._upstreams = Upstreams(settings, resolv_conf, clock, self._draw, self.cache.clear)
        self._lack = Lack()
        self._intake = Intake()
        self._questions = Questions(self._upstreams, self._intake, clock, self._draw, self._finish)
        self._failures: Failures[Failed] = Failures()
        self.denies_private = False
        """Whether the settings keep outside names from leading to private addresses."""
        self.lead_home: Callable[[Pending, bytes, bytes], None] | None = None
        """Delivers a reply whose aliases end at a name of ours, with what we say of that."""
        self.queries = self._questions.queries
        self.cache_hits = 0
        self.stale_hits = 0
        self.joined = 0
        self.limited = 0
        self.refused = 0
        self.prefetches = 0
        self.failure_hits = 0
        self.blocked = 0
        self.faults = 0
        self._deliveries = Deliveries(self._break)
        self._room = Room(MAX_ALL_WAITERS)
        """For those who wait."""
        self._patience = Alarms()
        self.reload(settings)

    # --- life ---------------------------------------------------------------------------------------

    async def start(self) -> None:
        self._questions.is_stopping = False
        allow_many_sockets()
        self._upstreams.start()

    async def stop(self, wait: float = 0.0) -> None:
        """Ends; questions under way may still be answered for `wait` seconds, then get SERVFAIL."""
        self._questions.is_stopping = True
        await self._questions.wait(wait)
        await self._upstreams.stop()
        for rest in (self._questions.end(), self._intake.finish(), self._deliveries.finish()):
            await take_turns(rest)
        await asyncio.sleep(0)
        self._questions.close()

    def reload(self, settings: Settings, allows: Permits | None = None) -> None:
        """Takes new settings; raises ConfigError, and keeps the old ones, where they can't be. `allows`: of
        `forward_allow`, where somebody worked it out."""
        allows = (allows or permit(settings.forward_allow)) if settings.forward else permit(())
        self._upstreams.configure(settings)
        self.enabled = bool(settings.forward)
        if self.denies_private != (settings.forward_private == "deny"):
            self.denies_private = not self.denies_private
            self.cache.clear()
        self.allows = allows
        """Whether a client may have names forwarded (RA, or else REFUSED with EDE 18)."""

    def forget(self, owners: Iterable[bytes], below: bool = False) -> None:
        """These names are ours from now on (wire, lower case; with `below` also what is below them): what
        upstreams said of them goes, within answers about other names as well."""
        if len(self.cache):  # a large registry brings 100,000 at once, at start
            self.cache.forget(owners, below)

    @property
    def lack(self) -> str:
        """What is lacking here for questions to upstreams; "" for nothing."""
        return self._lack.why(self._clock())

    @property
    def problem(self) -> str:
        """Why there is no upstream though some are set; empty where all is well."""
        return self._upstreams.problem

    @property
    def forgeries(self) -> int:
        return self._questions.forgeries

    def status(self) -> ForwardStatus:
        """What the page shows."""
        upstreams = self._upstreams.status()
        return ForwardStatus(upstreams, len(self.cache), len(self._questions), self.cache_hits, self.problem)

    # --- asked --------------------------------------------------------------------------------------

    def answer(self, query: Query, client: str | None) -> bytes | Pending:
        """The reply to a query for a name that is not ours, now or later. `client`: on whose account it
        is, None for ours; that it may ask is known."""
        key = key_of(query)
        now = self._clock()
        stored = self.cache.get(key, now)
        if stored is not None and now < stored.expires:
            if stored.hit(now):
                self.renew(key)
            return self._give(stored, query, now)
        if stored is not None and not self._upstreams.usable:
            return self._give(stored, query, now)
        failure = self._failure_of(key, query, now)
        if failure is not None:
            self.failure_hits += 1
            return self._give(stored or failure, query, now)
        return self._ask(key, query, client, stored)

    def recall(self, wanted: Wanted, packet: bytes, limit: int) -> bytes | None:
        """The same of a packet whose words are known, where what is kept is fresh. `limit`: bytes that its
        transport carries."""
        now = self._clock()
        stored = self.cache.get(wanted.key, now)
        if stored is None or now >= stored.expires:
            return None
        if stored.hit(now):
            self.renew(wanted.key)
        self.cache_hits += 1
        return stored.reply(packet, wanted.end, wanted.size, limit, now)

    def _failure_of(self, key: bytes, query: Query, now: float) -> Failed | None:
        """What to say of a question that failed a moment ago."""
        if not self._failures:
            return None
        key = in_flight_key(key, bool(query.packet[2] & 1))
        return self._failures.find(key, now, self._upstreams.usable_ones)

    def is_probe(self, name: bytes) -> bool:
        """Whether who asks for it is a probe of ours, come back; if so, its upstream is turned off."""
        return self._upstreams.is_probe(name)

    def _ask(self, key: bytes, query: Query, client: str | None, stale: Kept | None) -> bytes | Pending:
        """Wait for the question that is under way; for a new one where none is."""
        rd = bool(query.packet[2] & 1)
        asked = self._questions.find(key, rd)
        network = network_of(client) if client is not None else None
        hindrance = self._questions.hindrance(client) if asked is None else None
        if network is not None:
            if asked is not None and not asked.room.is_for(network):
                hindrance = CROWDED
            elif hindrance is None and not self._room.is_for(network):
                hindrance = ALL_CROWDED
        if hindrance is not None:
            self.limited += 1
            return self._give(stale or hindrance, query, self._clock())
        pending = Pending(query, network or b"")
        if network is not None:
            self._room.take(network)
            pending.then(partial(self._leave_room, network))
        try:
            if asked is not None:
                self.joined += 1
            else:
                asked = Asked(key, rd, client, network, stale=stale)
                if stale is not None:
                    asked.patience = self._patience.set(STALE_AFTER, partial(self._lose_patience, asked))
                self._questions.start(asked)
            asked.wait(pending, network)
        except Exception:
            pending.deliver(b"")  # it has left its room, and is answered by who asked for it
            raise
        return pending

    def _leave_room(self, network: bytes, reply: bytes) -> None:
        """Somebody of this network has a reply."""
        self._room.leave(network)

    def renew(self, key: bytes) -> None:
        """Fetch anew what is about to end, so that nobody waits for what is asked often."""
        if self._questions.has_time_for(key):
            self.prefetches += 1
            self._questions.start(Asked(key, True, None))

    def _finish(self, asked: Asked, outcome: Answered | Failed) -> None:
        try:
            if asked.patience is not None:
                asked.patience.cancel()
            self._conclude(asked, outcome, self._clock())
        except Exception:
            self._fail(asked)

    def _conclude(self, asked: Asked, outcome: Answered | Failed, now: float) -> None:
        place = in_flight_key(asked.key, asked.rd)
        if isinstance(outcome, Failed):
            self.faults += outcome is OURS
            if outcome.is_lack and self._lack.meet(outcome.text, now):
                log.warning("names can't be forwarded: %s", outcome.text)
            if not outcome.is_ours:
                self._failures.note(place, outcome, now, self._upstreams.usable_ones)
            self._give_all(asked.stale or self.cache.get(asked.key, now) or outcome, asked.waiting)
            return
        self._failures.forget(place)
        judging = partial(judge, outcome, asked.key, now, self._is_ours, self.denies_private)
        is_large = outcome.records > MAX_RECORDS_PER_TURN
        take = partial(self._take, asked, outcome)
        if is_large:  # until then it has its place: what was read takes much more room than it came with
            self._questions.hold_place(asked.client)
            take = partial(self._leave_and_take, asked, outcome)
        self._intake.work_out(judging, take, asked.whose, large=is_large)

    def _leave_and_take(self, asked: Asked, outcome: Answered, judged: Callable[[], Judged]) -> None:
        self._questions.leave_place(asked.client)
        self._take(asked, outcome, judged)

    def _take(self, asked: Asked, outcome: Answered, judged: Callable[[], Judged]) -> None:
        """An error of ours costs those who asked this, and nobody else."""
        try:
            stored, home, blocked = judged()
            self.blocked += blocked
            self._keep(asked, outcome, home, stored)
        except Exception:
            self._fail(asked)

    def _fail(self, asked: Asked) -> None:
        log.exception("an answer for %s met an error of our own", asked.key.hex())
        self.faults += 1
        self._give_all(OURS, asked.waiting)

    def _keep(self, asked: Asked, outcome: Answered, home: bytes, stored: Stored) -> None:
        """`home`: where its aliases lead without saying more."""
        now = self._clock()
        believed = asked.rd and outcome.upstream in self._upstreams.all
        lead_home = self.lead_home if home and self._is_ours(home) else None
        # Some of it may have become ours meanwhile; and what we say of ours is of each moment.
        spoken_of = (asked.key[:-5], *names.each(stored.others))
        if believed and stored.ttl and lead_home is None and not any(map(self._is_ours, spoken_of)):
            self.cache.put(asked.key, stored, share_of(asked.client))

        def deliver(pending: Pending) -> None:
            reply = _spell(stored, pending.query, now)
            lead_home(pending, home, reply) if lead_home else pending.deliver(reply)

        self._deliveries.do(asked.waiting, deliver)

    def _lose_patience(self, asked: Asked) -> None:
        """Those who waited long enough get the expired answer; the question goes on."""
        assert asked.stale is not None  # noqa: S101
        self._give_all(asked.stale, asked.take_waiting())

    def _give_all(self, what: Kept | Failed, waiting: list[Pending]) -> None:
        now = self._clock()
        self._deliveries.do(waiting, lambda pending: pending.deliver(self._give(what, pending.query, now)))

    def _break(self, pending: Pending) -> None:
        """It could not be delivered, for an error of ours."""
        self.faults += 1
        pending.deliver(self._give(OURS, pending.query, 0.0))

    def _give(self, what: Kept | Failed, query: Query, now: float) -> bytes:
        """The reply, of what was kept or why there is none."""
        if isinstance(what, Failed):
            flags = RA | query.packet[3] & CD
            return fail(query, SERVFAIL, ede.option(what.code, what.text), flags)
        self.cache_hits += 1
        self.stale_hits += now >= what.expires
        return _spell(what, query, now)

    # --- for ourselves ------------------------------------------------------------------------------

    async def resolve(self, name: str) -> Resolved:
        """The addresses of a name, as clients of ours would get them. Raises Unresolved, and Lacking."""
        began = self._clock()

        def find_lack() -> str:
            return self.lack if self._lack.met_at >= began else ""

        return await resolve(name, self._answer_us, self._intake, find_lack)

    def _answer_us(self, query: Query) -> bytes | Pending:
        return self.answer(query, None)


def _spell(kept: Kept, query: Query, now: float) -> bytes:
    return kept.reply(query.packet, query.end, size_of(query), query.limit, now)
