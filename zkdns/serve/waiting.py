"""Requests whose answer is compiled first, and the reply that each gets once it is.

Rules: lives in the loop and never waits; lets no error out: who asks gets SERVFAIL. An answer may take a few
steps to compile, one behind the other, and no more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from zkdns.answers.table import Name, Unready
from zkdns.dns import ede
from zkdns.dns.reply import fail
from zkdns.dns.types import SERVFAIL
from zkdns.forward.allow import network_of
from zkdns.forward.pending import Pending
from zkdns.serve.aside import Aside
from zkdns.serve.request import Request
from zkdns.serve.respond import Follow, Wait

MAX_STEPS = 3
"""Steps in which an answer may be compiled after the first."""

_NOT_COMPILED = ede.option(ede.NOT_READY, "the name is not compiled yet")
_TOO_MANY = ede.option(ede.NOT_READY, "too many names wait to be compiled")


class _Waiting(NamedTuple):
    """A request whose answer is compiled first: at this name it was not ready."""

    request: Request
    pending: Pending
    name: Name


class Waiting:
    """`aside`: where answers are compiled. `resume`: what is said now, at the name that was not ready.
    `follow`: what is said where an alias leads outside. `failed`: what is said after an error of ours.
    `note`: hears of each that was answered."""

    def __init__(
        self,
        aside: Aside,
        *,
        resume: Callable[[Request, Name], bytes | Follow | Wait],
        follow: Callable[[Request, Follow], bytes | Pending],
        failed: Callable[[Request], bytes | None],
        note: Callable[[Request], None],
    ) -> None:
        self._aside = aside
        self._resume = resume
        self._follow = follow
        self._failed = failed
        self._note = note

    def wait(self, request: Request, waits: Wait) -> bytes | Pending:
        """The reply once its answer is compiled. What waits holds nothing that holds it: a collector that
        looks seldom would leave it lying about."""
        pending = Pending(request)
        if self._ask_aside(_Waiting(request, pending, waits.name), waits.unready, MAX_STEPS):
            return pending
        return fail(request, SERVFAIL, _TOO_MANY, request.ra)

    def _ask_aside(self, one: _Waiting, unready: Unready, left: int) -> bool:
        then = partial(self._go_on, one, left)
        network = network_of(one.request.client)
        return self._aside.do(unready.account, network, unready.key, unready.work, then)

    def _go_on(self, one: _Waiting, left: int) -> None:
        """It was compiled; `left`: how often more may have to be."""
        request = one.request
        reply: bytes | Pending | None
        try:
            outcome = self._resume(request, one.name)
            if isinstance(outcome, Wait):
                if left and self._ask_aside(one, outcome.unready, left - 1):
                    return
                # It could not be compiled, or an alias leads elsewhere by now.
                reply = fail(request, SERVFAIL, _NOT_COMPILED, request.ra)
            elif isinstance(outcome, Follow):
                reply = self._follow(request, outcome)
            else:
                reply = outcome
        except Exception:
            reply = self._failed(request)
        if isinstance(reply, Pending):
            reply.then(one.pending.deliver)
        elif reply is not None:
            self._note(request)
            one.pending.deliver(reply)
