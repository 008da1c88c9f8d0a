"""Questions for services that nobody had asked for yet: each service is compiled for the first of them.

Rules: lives in the loop and never waits; lets no error out: who asks gets SERVFAIL. One service is compiled
in a turn of the loop, at once where none was; hundreds that are asked for in one moment have a turn each,
those who ask one network after another. What takes long is compiled in a thread, and who asks waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container
from functools import partial
from typing import Final

from msgspec import Struct

from zkdns.answers.deferred import Asleep
from zkdns.dns import ede
from zkdns.dns.reply import fail
from zkdns.dns.types import SERVFAIL
from zkdns.forward.allow import network_of
from zkdns.forward.load import Room
from zkdns.forward.pending import Deliveries, Pending
from zkdns.line import Line
from zkdns.serve.request import Request
from zkdns.turn import NextTurn

MAX_WAITING: Final = 1024
"""Who may wait."""

MAX_COMPILED: Final = 2
"""Services that one question has compiled: its own, and one that an alias of a zone file leads to."""

SECONDS: Final = 2.0
"""That a question waits for a service that is compiled in a thread."""

_NOT_COMPILED = ede.option(ede.NOT_READY, "the service is not compiled yet")
_TOO_MANY = ede.option(ede.NOT_READY, "too many wait for services to be compiled")


class _Asker(Struct, eq=False):
    """`left`: how often it may still be found that a service is not compiled."""

    request: Request
    pending: Pending
    left: int = 2 * MAX_COMPILED - 1


class _Awaited(Struct, eq=False):
    """A service: who waits for it, and until when, once it is being compiled."""

    askers: list[_Asker]
    end: asyncio.Handle | None = None


class FirstQuestions:
    """`compile_now`: has a service compiled, at once or in a thread. `answer`: what is said now; raises
    Asleep. `failed`: what is said after an error of ours. `note`: hears of each that was answered."""

    def __init__(
        self,
        *,
        compile_now: Callable[[str], None],
        answer: Callable[[Request], bytes | Pending | None],
        failed: Callable[[Request], bytes | None],
        note: Callable[[Request], None],
    ) -> None:
        self._compile_now = compile_now
        self._answer = answer
        self._failed = failed
        self._note = note
        self._room = Room(MAX_WAITING)
        self._awaited: dict[str, _Awaited] = {}
        self._line: Line[str] = Line()
        """Those of them that wait for a turn, by the network that asked for each first."""
        self._next = NextTurn(self._take_turn)
        self._deliveries = Deliveries(lambda pending: None)

    def ask(self, request: Request, service: str) -> bytes | Pending | None:
        """The reply, once the service is compiled."""
        network = network_of(request.client)
        one = _Asker(request, Pending(request, network))
        if not self._room.is_for(network):
            return fail(request, SERVFAIL, _TOO_MANY, request.ra)
        if self._next.is_asked or service in self._awaited:
            self._wait(one, service)
            return one.pending
        self._next.ask()
        try:
            self._compile_now(service)
            return self._answer(request)
        except Asleep as asleep:
            self._wait(one, asleep.service, is_begun=asleep.service == service)
            return one.pending
        except Exception:
            return self._failed(request)

    def moved(self, services: Container[str]) -> None:
        """These are answered otherwise from now on."""
        for service in [name for name in self._awaited if name in services]:
            awaited = self._awaited.pop(service)
            if awaited.end is not None:
                awaited.end.cancel()
            for one in awaited.askers:
                self._room.leave(network_of(one.request.client))
                self._deliveries.do([one.pending], partial(self._ask_again, one, service))

    def _wait(self, one: _Asker, service: str, is_begun: bool = False) -> None:
        """`is_begun`: whether it is compiled already, in a thread."""
        network = network_of(one.request.client)
        self._room.take(network)
        awaited = self._awaited.get(service)
        if awaited is not None:
            awaited.askers.append(one)
            return
        self._awaited[service] = _Awaited([one])
        if is_begun:
            self._set_end(service)
        else:
            self._line.put(network, service)
            self._next.ask()

    def _set_end(self, service: str) -> None:
        awaited = self._awaited[service]
        awaited.end = asyncio.get_running_loop().call_later(SECONDS, self._end, service)

    def _take_turn(self) -> None:
        self._next.is_asked = False
        while self._line:
            service = self._line.take()
            if service not in self._awaited:
                continue
            self._next.ask()
            try:
                self._compile_now(service)  # and they are told by `moved`, where that is done
            finally:
                if service in self._awaited:
                    self._set_end(service)
            return

    def _ask_again(self, one: _Asker, service: str, pending: Pending) -> None:
        request, reply = one.request, None
        try:
            reply = self._answer(request)
        except Asleep as asleep:
            one.left -= 1
            if one.left:
                self._wait(one, asleep.service, is_begun=asleep.service == service)
                return
            reply = fail(request, SERVFAIL, _NOT_COMPILED, request.ra)
        except Exception:
            reply = self._failed(request)
        if isinstance(reply, Pending):
            reply.then(pending.deliver)
        elif reply is not None:
            self._note(request)
            pending.deliver(reply)

    def _end(self, service: str) -> None:
        """It takes too long, or could not be compiled."""
        for one in self._awaited.pop(service).askers:
            self._room.leave(network_of(one.request.client))
            self._deliveries.do([one.pending], partial(_refuse, one.request))


def _refuse(request: Request, pending: Pending) -> None:
    pending.deliver(fail(request, SERVFAIL, _NOT_COMPILED, request.ra))
