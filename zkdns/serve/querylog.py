"""The query log: a line for one query in so many, and for each that took long.

Rules: off, there is none of it and it costs nothing. No byte of a client's reaches a line as it came.
At most so many lines a second, so that a flood can't fill a disk; what was left out is told in one.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from zkdns.config import Settings
from zkdns.dns.message import read_reply
from zkdns.dns.names import text
from zkdns.dns.packet import NO_QUESTION
from zkdns.dns.types import rcode_name, type_name
from zkdns.forward.pending import Pending
from zkdns.serve.request import Request

log = logging.getLogger("zkdns.query")

Dispatch: TypeAlias = Callable[[Request], bytes | Pending | None]

WINDOW = 1.0
"""Seconds over which lines are counted."""

LINE = "query %(client)s %(transport)s %(name)s %(type)s: %(rcode)s, %(bytes)d bytes, %(microseconds)d us"


def choose(settings: Settings) -> QueryLog | None:
    """The log that the settings ask for; None where they ask for none."""
    if not (settings.query_log_sample or settings.query_log_slow):
        return None
    return QueryLog(settings.query_log_sample, settings.query_log_slow, settings.query_log_most)


def _call_later(delay: float, call: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_later(delay, call)


@dataclass(slots=True, eq=False)
class Sampler:
    """One of each `every` that follow one another, at a place drawn anew: every N-th would fall in step with
    clients that ask A and AAAA in turn. None where that is 0."""

    every: int
    draw: Callable[[int], int]
    _left: int = field(default=0, init=False)
    _place: int = field(default=0, init=False)

    def is_due(self) -> bool:
        if not self.every:
            return False
        if not self._left:
            self._left = self.every
            self._place = self.draw(self.every)
        self._left -= 1
        return self._left == self._place


@dataclass(slots=True, eq=False)
class Lines:
    """At most so many in a second; those that are left out are told in one. `later`: calls after seconds."""

    most: int
    later: Callable[[float, Callable[[], None]], object]
    _until: float = field(default=0.0, init=False)
    _count: int = field(default=0, init=False)
    _left_out: int = field(default=0, init=False)

    def has_room(self, now: float) -> bool:
        """Whether one more may be written, which counts as written then."""
        if now >= self._until:
            self._until = now + WINDOW
            self._count = 0
        if self._count < self.most:
            self._count += 1
            return True
        if not self._left_out:
            self.later(self._until - now, self._tell_left_out)
        self._left_out += 1
        return False

    def _tell_left_out(self) -> None:
        count, self._left_out = self._left_out, 0
        log.info(
            "query log: %(left_out)d lines were left out (query_log_most is %(most)d a second)",
            {"left_out": count, "most": self.most},
            extra={"fields": {"left_out": count}},
        )


class QueryLog:
    """`sample`: one query in so many, 0 for none; `slow`: seconds, 0 for none; `most`: lines a second."""

    def __init__(
        self,
        sample: int,
        slow: float,
        most: int,
        *,
        clock: Callable[[], float] = time.perf_counter,
        later: Callable[[float, Callable[[], None]], object] = _call_later,
        draw: Callable[[int], int] = random.randrange,
    ) -> None:
        self._sampler = Sampler(sample, draw)
        self._slow = slow
        self._lines = Lines(most, later)
        self._clock = clock

    def watch(
        self, dispatch: Dispatch, request: Request, sampled: bool | None = None, waited: float = 0.0
    ) -> bytes | Pending | None:
        """What `dispatch` does, with a look at it. `sampled`: whether this one was chosen, None where that
        is to be found out; `waited`: seconds since it was read."""
        if sampled is None:
            sampled = self._sampler.is_due()
        if not (sampled or self._slow):
            return dispatch(request)
        began = self._clock() - waited
        outcome = dispatch(request)
        if isinstance(outcome, bytes):
            self._note(request, outcome, began, sampled, False)
        elif outcome is not None:
            outcome.then(lambda reply: self._note(request, reply, began, sampled, True))
        return outcome

    def _note(self, request: Request, reply: bytes, began: float, sampled: bool, forwarded: bool) -> None:
        now = self._clock()
        seconds = now - began
        slow = 0 < self._slow <= seconds
        if not (sampled or slow) or not self._lines.has_room(now):
            return
        name, rtype = describe(request)
        fields = {
            "client": request.client,
            "transport": request.transport,
            "name": name,
            "type": rtype,
            "rcode": read_rcode(reply),
            "bytes": len(reply),
            "microseconds": round(seconds * 1e6),
            "forwarded": forwarded,
            "slow": slow,
        }
        log.info(LINE + ", forwarded" * forwarded + ", slow" * slow, fields, extra={"fields": fields})


def describe(request: Request) -> tuple[str, str]:
    """Name and type as text, odd bytes escaped, the name's case as it came; "-" for what can't be read."""
    if request.question is NO_QUESTION:
        return "-", "-"
    return text(request.packet[12 : request.end - 4]), type_name(request.question.rtype)


def read_rcode(reply: bytes) -> str:
    """The whole rcode: its upper bits are in the OPT record (RFC 6891, section 6.1.3)."""
    message = read_reply(reply)
    rcode = message.rcode if message is not None else reply[3] & 15
    return rcode_name(rcode)
