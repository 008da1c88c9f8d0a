"""Aliases that lead from our data to what an upstream says, or from there to our data: both in one reply.

Rules: lives in the loop and never waits; lets no error out: who asks gets SERVFAIL. What is long is joined in
a thread.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from zkdns.dns import ede
from zkdns.dns.message import ASK_CD, ASK_DO, spell_query
from zkdns.dns.packet import HIGHEST_UDP, MAX_MESSAGE_BYTES
from zkdns.dns.reply import CD, fail
from zkdns.dns.types import SERVFAIL
from zkdns.forward.allow import network_of
from zkdns.forward.forwarder import Forwarder
from zkdns.forward.intake import LARGE_BYTES, Intake
from zkdns.forward.load import Room
from zkdns.forward.pending import Pending
from zkdns.serve.joined import join, join_home
from zkdns.serve.request import Request
from zkdns.serve.respond import Follow

MAX_LEAVES = 4
"""Times that the aliases of one answer may lead from our data to an upstream's."""

MAX_LONG: Final = 64
"""Long replies that wait to be joined: each asker's is its own. A network of them leaves others room."""

_TOO_LONG = ede.option(ede.NO_REACHABLE_AUTHORITY, "too many long answers behind aliases wait")

_TO_AND_FRO = ede.option(ede.NETWORK_ERROR, "aliases that lead out and home again too often")


class _Rest(Request):
    """What follows an alias, asked on behalf of who asked for that. `leaves`: how often aliases of ours led
    outside on the way here."""

    __slots__ = ("leaves",)

    def __init__(self, packet: bytes, of: Request, leaves: int) -> None:
        # What does not fit a datagram alone does not fit it behind an alias.
        limit = HIGHEST_UDP if of.limit <= HIGHEST_UDP else MAX_MESSAGE_BYTES
        super().__init__(packet, of.client, of.transport, limit, forwards=bool(of.ra))
        self.leaves: Final = leaves


class Following:
    """`answer` is how anything is answered, `failed` what is said after an error of ours, and `note` hears
    what was answered of ours behind an alias of others."""

    def __init__(
        self,
        forwarder: Forwarder | None,
        answer: Callable[[Request], bytes | Pending | None],
        failed: Callable[[Request], bytes | None],
        note: Callable[[Request], None],
    ) -> None:
        self._forwarder = forwarder
        self._answer = answer
        self._failed = failed
        self._note = note
        self._intake = Intake()
        self._room = Room(MAX_LONG)

    def lead_out(self, request: Request, alias: Follow) -> bytes | Pending:
        """Our alias, and what the upstreams say of the name that it leads to."""
        assert self._forwarder is not None  # noqa: S101  (the request says that it may)
        leaves = _leaves(request) + 1
        if leaves > MAX_LEAVES:
            return fail(request, SERVFAIL, _TO_AND_FRO, request.ra)
        question = alias.name + request.packet[request.end - 4 : request.end]
        query = _Rest(spell_query(0, question, True, _flags(request), edns=True), request, leaves)
        rest = self._forwarder.answer(query, request.client)
        if isinstance(rest, bytes):
            return join(request, alias, rest)
        pending = Pending(request)

        def take(rest: bytes) -> None:
            self._deliver(pending, request, partial(join, request, alias, rest), len(rest))

        rest.then(take)
        return pending

    def lead_home(self, pending: Pending, home: bytes, message: bytes) -> None:
        """An upstream's alias that leads to a name of ours, and what we say of that: it can't know."""
        request = pending.query
        if not isinstance(request, Request):
            pending.deliver(message)
            return
        question = home + request.packet[request.end - 4 : request.end]
        rd = bool(request.packet[2] & 1)
        packet = spell_query(0, question, rd, _flags(request), edns=request.edns is not None)
        rest = _Rest(packet, request, _leaves(request))
        denies = self._forwarder is not None and self._forwarder.denies_private

        def take(ours: bytes) -> None:
            whole = partial(join_home, request, message, ours, denies)
            self._deliver(pending, request, whole, len(message) + len(ours))

        ours = self._answer(rest)
        if isinstance(ours, Pending):
            ours.then(take)
            return
        self._note(rest)
        if ours is not None:
            take(ours)
        else:
            pending.deliver(message)

    def _deliver(self, pending: Pending, request: Request, whole: Callable[[], bytes], size: int) -> None:
        network = network_of(request.client)
        if size <= LARGE_BYTES:
            self._intake.work_out(whole, partial(self._take, pending, request), network, large=False)
        elif self._room.is_for(network):
            self._room.take(network)
            take = partial(self._leave_and_take, network, pending, request)
            self._intake.work_out(whole, take, network, large=True)
        else:
            pending.deliver(fail(request, SERVFAIL, _TOO_LONG, request.ra))

    def _leave_and_take(
        self, network: bytes, pending: Pending, request: Request, whole: Callable[[], bytes]
    ) -> None:
        self._room.leave(network)
        self._take(pending, request, whole)

    def _take(self, pending: Pending, request: Request, whole: Callable[[], bytes]) -> None:
        try:
            reply = whole()
        except Exception:
            failed = self._failed(request)
            if failed is None:
                return
            reply = failed
        pending.deliver(reply)


def _flags(request: Request) -> int:
    """What was asked of whatever an alias leads to: it may lead on from there."""
    flags = ASK_DO if request.edns is not None and request.edns.do else 0
    return flags | (ASK_CD if request.packet[3] & CD else 0)


def _leaves(request: Request) -> int:
    return request.leaves if isinstance(request, _Rest) else 0
