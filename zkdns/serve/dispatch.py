"""One request, one reply, whatever the transport: answered, forwarded or refused, and counted.

Rules: runs in the loop and never waits; lets no error out. What goes wrong in here is ours: SERVFAIL, a
count, and the packet in the log.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from zkdns.answers.deferred import Asleep
from zkdns.answers.table import Entry, Name, Position, Table
from zkdns.config import Settings
from zkdns.dns import ede
from zkdns.dns.packet import HIGHEST_UDP
from zkdns.dns.reply import AA, fail
from zkdns.dns.types import NOERROR, NXDOMAIN, SERVFAIL
from zkdns.forward.forwarder import Forwarder
from zkdns.forward.pending import Pending
from zkdns.forward.stored import Wanted, wanted_of
from zkdns.serve import querylog
from zkdns.serve.again import is_at_hand, respond_again
from zkdns.serve.aside import Aside
from zkdns.serve.clients import NO_ROWS, ClientTable
from zkdns.serve.first_questions import MAX_COMPILED, FirstQuestions
from zkdns.serve.following import Following
from zkdns.serve.histogram import Histogram
from zkdns.serve.request import Request
from zkdns.serve.respond import (
    FORWARD,
    Follow,
    Wait,
    finish,
    next_position,
    refuse,
    respond,
    resume,
)
from zkdns.serve.waiting import Waiting
from zkdns.serve.wordings import Asked, Wordings, asked_of, other_words

log = logging.getLogger("zkdns.serve")

Outcome: TypeAlias = bytes | Pending | None
"""The reply, at once or later; None where nothing is to be said."""

BUCKETS = (5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 5e-3, 2.5e-2, 0.1, 0.5, 2.5)
"""Upper bounds of the query histogram, seconds."""

_SAMPLE = 32
"""One query in so many is timed: counts are exact, times need not be."""

_RECALLED = 4
"""So many that are recalled are answered between two looks at the clock: they take some 0.02 ms."""

HIGHEST_COUNTED: Final = 257
"""Types up to CAA are counted by themselves, the others together, as 0: a client may ask for all that there
are, and each scrape walks over what was counted."""

_MAX_MISSING = 1000
"""Clients whose search misses are counted by themselves."""

_LOOP = ede.option(ede.NETWORK_ERROR, "forwarding loop")


def _counted(rtype: int) -> int:
    return rtype if rtype <= HIGHEST_COUNTED else 0


def _may_not(client: str) -> bool:
    """Where nothing is forwarded."""
    return False


def _is_of_others(reply: bytes) -> bool:
    """Whether it says what upstreams know."""
    return not reply[2] & AA >> 8 and reply[3] & 15 in (NOERROR, NXDOMAIN)


def _leave(service: str) -> None:
    """Where nothing is deferred there is nothing to compile."""


class Dispatcher:
    """Where a packet goes: `read` makes a request of it, `dispatch` its reply. `table`: what is answered
    from; whoever publishes applies Deltas to it between two queries. `aside`: where what is not ready is
    compiled; None for here and now."""

    def __init__(
        self,
        table: Table,
        forwarder: Forwarder | None = None,
        position: Position = next_position,
        aside: Aside | None = None,
    ) -> None:
        self.table = table
        self.forwarder = forwarder
        self.position = position
        self.compile_now: Callable[[str], None] = _leave
        """Has a service compiled that was deferred until somebody asks for it."""
        self.clients: ClientTable | None = None
        """Who was told what; None where nobody notes it."""
        self._take_position = position
        self._given: tuple[Entry, int] | None = None
        """The Entry that the answer under way is of, and its position."""
        self.counts: Counter[tuple[str, int, int]] = Counter()
        """Replies by transport, type and rcode."""
        self.dropped: Counter[str] = Counter()
        self.errors = 0
        self.search_misses: Counter[str] = Counter()
        """Names that a search list made (`example.com.svc.local`), by client; "" past the first thousand."""
        self.times = Histogram(BUCKETS)
        self.query_log: querylog.QueryLog | None = None
        """None while it is off."""
        self._dispatched = 0
        self._asked: tuple[Wordings[Asked], Wordings[Asked]] = Wordings(), Wordings()
        """Of clients that may not have names forwarded, and of those that may."""
        self._wanted: Wordings[Wanted] = Wordings()
        """Of those that may, what upstreams answered."""
        self.following = Following(forwarder, self._answer, self._fail, self._note_answered)
        self._waiting = self._wait_by(aside) if aside is not None else None
        self.first_questions = self._wait_in_turn() if aside is not None else None
        """Those for services that are not compiled; None where each has it compiled here and now."""
        if forwarder is not None:
            forwarder.lead_home = self.following.lead_home

    def _wait_by(self, aside: Aside) -> Waiting:
        follow, note = self.following.lead_out, self._note_answered
        return Waiting(aside, resume=self._resume, follow=follow, failed=self._fail, note=note)

    def _wait_in_turn(self) -> FirstQuestions:
        compile_now, answer = (lambda service: self.compile_now(service)), self._answer_now
        return FirstQuestions(
            compile_now=compile_now, answer=answer, failed=self._fail, note=self._note_answered
        )

    def configure(self, settings: Settings) -> None:
        """These settings are in force from now on."""
        self.query_log = querylog.choose(settings)
        if settings.client_table and self.clients is None:
            self.note_clients(ClientTable())

    def note_clients(self, table: ClientTable) -> None:
        """Note in this table, from now on, who was told what."""
        self.clients = table
        self.position = self._give_position

    def _give_position(self, entry: Entry) -> int:
        position = self._take_position(entry)
        self._given = entry, position
        return position

    def read(self, packet: bytes, client: str, transport: str = "udp", limit: int = HIGHEST_UDP) -> Request:
        """The request that a packet is. Here is decided whether its client may have names forwarded."""
        forwards = self.forwarder is not None and self.forwarder.allows(client)
        return Request(packet, client, transport, limit, forwards)

    def dispatch(self, request: Request, sampled: bool | None = None, waited: float = 0.0) -> Outcome:
        """Its outcome. `sampled` and `waited` are for the query log."""
        if self.query_log is None:
            return self._dispatch(request)
        return self.query_log.watch(self._dispatch, request, sampled, waited)

    def dispatch_all(
        self,
        packets: Sequence[bytes],
        clients: Sequence[str],
        is_over: Callable[[], bool] | None = None,
        transport: str = "udp",
        limit: int = HIGHEST_UDP,
    ) -> list[Outcome]:
        """The same of messages that came together, each from the client at its place; of the first ones,
        where it is over before the rest had their turn. In one piece, since each packet goes through it:
        calls would be a part of what a plain answer costs."""
        if self.query_log is not None:
            return self._dispatch_one_by_one(packets, clients, is_over, transport, limit)
        outcomes: list[Outcome] = []
        forwarder = self.forwarder
        allows = forwarder.allows if forwarder is not None else _may_not
        table, position, theirs = self.table, self._take_position, self._wanted.recall
        noted, rows = self.clients, NO_ROWS
        kinds: list[tuple[int, int]] = []
        before: str | None = None
        forwards, ours = False, self._asked[False]
        recall = ours.recall
        now, began = time.time(), self._begin(len(packets))
        look_at = 1
        for packet, client in zip(packets, clients):  # noqa: B905  (`strict` is dear where one comes alone)
            # is there time for it?
            if len(outcomes) >= look_at:
                if began:
                    self.times.observe(time.perf_counter() - began)
                    began = 0.0
                if is_over is not None and is_over():
                    break
                look_at = len(outcomes) + _RECALLED
            # who asks? most that come together are of one client
            if client is not before:
                before, forwards = client, allows(client)
                ours = self._asked[forwards]
                recall = ours.recall
                if noted is not None:
                    rows = noted.lately(client)
            # was it asked before, in these words?
            wanted: Wanted | None = None
            words = packet[2:].lower()
            asked = recall(words)
            if asked is None:
                wanted = theirs(words) if forwards else None
                other = other_words(packet) if wanted is None else None
                if other is not None:
                    asked = recall(other)
                    wanted = theirs(other) if asked is None and forwards else None
            # then the reply is at hand, if it still holds
            reply: bytes | None = None
            try:
                if asked is not None:
                    given = respond_again(asked, packet, client, table, position, limit)
                    if given is not None:
                        reply, service, first_id, zone = given
                        kind = asked.manner.kind
                        if service and noted is not None:
                            row = rows.get(service)
                            if row is None:
                                row = noted.row(client, service, now)
                                rows = noted.lately(client)
                            row.note(first_id, zone, now)
                elif wanted is not None and forwarder is not None:
                    reply = forwarder.recall(wanted, packet, limit)
                    if reply is not None:
                        kind = wanted.rtype, reply[3] & 15
            except Exception:
                outcomes.append(
                    self._conclude(Request(packet, client, transport, limit, forwards), self._fail)
                )
                continue
            if reply is not None:
                outcomes.append(reply)
                kinds.append(kind)
                continue
            # else it is read
            request = Request(packet, client, transport, limit, forwards)
            outcomes.append(self._dispatch_unread(request, ours if asked is None else None))
            look_at = len(outcomes)
        if began and outcomes:
            self.times.observe(time.perf_counter() - began)
        # most of those that leave together are counted alike
        while kinds:
            first = kinds[0]
            count = kinds.count(first)
            self.counts[transport, _counted(first[0]), first[1]] += count
            kinds = [other for other in kinds if other != first] if count < len(kinds) else []
        return outcomes

    def _dispatch_one_by_one(
        self,
        packets: Sequence[bytes],
        clients: Sequence[str],
        is_over: Callable[[], bool] | None,
        transport: str,
        limit: int,
    ) -> list[Outcome]:
        """The same where each is told to the query log."""
        outcomes: list[Outcome] = []
        for packet, client in zip(packets, clients, strict=True):
            outcomes.append(self.dispatch(self.read(packet, client, transport, limit)))
            if is_over is not None and is_over():
                break
        return outcomes

    def _dispatch_unread(self, request: Request, ours: Wordings[Asked] | None) -> Outcome:
        """A request of which nothing was recalled, and may be the next time. `ours`: where, if what we say
        of it was not there already."""
        outcome = self._conclude(request, self._answer)
        if ours is not None and is_at_hand(request, self.table):
            ours.remember(request, asked_of)
        elif request.ra and isinstance(outcome, bytes) and _is_of_others(outcome):
            self._wanted.remember(request, wanted_of)
        return outcome

    def _begin(self, count: int) -> float:
        """When the first of so many queries is begun; 0.0 where none of them is timed."""
        before, self._dispatched = self._dispatched, self._dispatched + count
        return time.perf_counter() if self._dispatched // _SAMPLE > before // _SAMPLE else 0.0

    def _dispatch(self, request: Request) -> Outcome:
        began = self._begin(1)
        outcome = self._conclude(request, self._answer)
        if began:
            self.times.observe(time.perf_counter() - began)
        return outcome

    def _conclude(self, request: Request, answer: Callable[[Request], Outcome]) -> Outcome:
        """Its outcome, counted."""
        outcome = answer(request)
        if isinstance(outcome, bytes):
            self._count(request, outcome)
            if self.clients is not None:
                self._note_told(self.clients, request)
        elif outcome is None:
            self.dropped["not a query"] += 1
        else:
            outcome.then(lambda message: self._count(request, message))
        return outcome

    def _answer(self, request: Request, compiled: int = 0) -> Outcome:
        try:
            try:
                return self._answer_now(request)
            except Asleep as asleep:
                if self.first_questions is not None:
                    return self.first_questions.ask(request, asleep.service)
                return self._ask_again(request, asleep.service, compiled)
        except Exception:
            return self._fail(request)

    def _answer_now(self, request: Request) -> Outcome:
        """The same where all that it needs is compiled; else Asleep."""
        outcome = respond(request, self.table, self.position)
        if isinstance(outcome, Wait):
            if self._waiting is not None:
                return self._waiting.wait(request, outcome)
            outcome = finish(request, outcome, self.table, self.position)
        if isinstance(outcome, Follow):
            return self.following.lead_out(request, outcome)
        return self._forward(request) if outcome is FORWARD else outcome

    def _fail(self, request: Request) -> bytes | None:
        """After an error of ours."""
        self.errors += 1
        log.exception("a query failed; the packet is %s", request.packet.hex())
        try:
            return fail(request, SERVFAIL, flags=request.ra)
        except Exception:
            return None

    def _resume(self, request: Request, name: Name) -> bytes | Follow | Wait:
        return resume(request, name, self.table, self.position)

    def _ask_again(self, request: Request, service: str, compiled: int) -> Outcome:
        """Once this service is compiled here and now, which nobody had asked for."""
        if compiled == MAX_COMPILED:
            return fail(request, SERVFAIL, flags=request.ra)
        self.compile_now(service)
        return self._answer(request, compiled + 1)

    def _note_answered(self, request: Request) -> None:
        """What an alias leads to was answered, or what was compiled first."""
        if self.clients is not None:
            self._note_told(self.clients, request)

    def _note_told(self, clients: ClientTable, request: Request) -> None:
        """That this client was told of a service: its instances, or that it has nobody to give. That it has
        nothing of a type says nothing of it: who asks for A and AAAA goes on with what A gave."""
        given, self._given = self._given, None
        if given is not None:
            entry, position = given
            if entry.service:
                row = clients.row(request.client, entry.service, now := time.time())
                row.note(entry.first_id(position), entry.zone, now)
        elif not request.fault:
            name = self.table.names.get(request.question.name)
            if name is not None and name.service:
                clients.row(request.client, name.service, now := time.time()).note("", "", now)

    def _forward(self, request: Request) -> bytes | Pending:
        forwarder = self.forwarder
        if forwarder is None or not forwarder.enabled:
            return refuse(request, "not a zone of ours")
        if forwarder.is_probe(request.question.name):
            return fail(request, SERVFAIL, _LOOP)
        if not request.ra:
            forwarder.refused += 1
            return refuse(request, "forwarding is not for this client")
        return forwarder.answer(request, request.client)

    def _count(self, request: Request, message: bytes) -> None:
        rcode = message[3] & 15
        self.counts[request.transport, _counted(request.question.rtype), rcode] += 1
        if rcode == NXDOMAIN and message[2] & AA >> 8:
            self._note_search_miss(request)

    def _note_search_miss(self, request: Request) -> None:
        """Count an NXDOMAIN of ours whose parent isn't there either: a search list went through here,
        and the client whose `ndots` does that should be found."""
        name = request.question.name
        if name[1 + name[0] :] not in self.table.names:
            client = request.client
            is_counted = client in self.search_misses or len(self.search_misses) < _MAX_MISSING
            self.search_misses[client if is_counted else ""] += 1
