"""Which HTTP connection's request is next: a few in each turn of the loop, client networks in turn.

Rules: lives in the loop. A request costs the loop half a millisecond, and five hundred connections may send
one in the same moment. Who asks whether we live waits for nobody of its network who asks for pages.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from zkdns.forward.allow import network_of
from zkdns.line import Line
from zkdns.turn import NextTurn

REQUESTS_PER_TURN: Final = 4
"""Requests that are begun before DNS clients, changes and others have their turn."""

PROBES: Final = ("/health", "/ready")
"""What orchestrators ask, and wait a second for."""

_PROBE = re.compile(rb"(GET|HEAD) (%s)[ ?]" % "|".join(PROBES).encode())


class HasTurns(Protocol):
    """A connection."""

    def take_turn(self) -> bool:
        """Begin one request; whether there is one still."""


def is_probe(request: bytes) -> bool:
    """Whether what begins so is one of them."""
    return _PROBE.match(request) is not None


def whose(client: str, *, is_probe: bool) -> bytes:
    """With whom a client's request shares its turns."""
    return (b"?" if is_probe else b"") + network_of(client)


class Turns:
    """Those of one door."""

    def __init__(self) -> None:
        self._line: Line[HasTurns] = Line()
        self._left = REQUESTS_PER_TURN
        self._next = NextTurn(self._take_turns)

    def come(self, one: HasTurns, whose: bytes) -> bool:
        """Whether it may begin a request now; else it has a turn."""
        has_one = self._left > 0  # nobody waits then
        if has_one:
            self._left -= 1
        else:
            self._line.put(whose, one)
        self._next.ask()
        return has_one

    def _take_turns(self) -> None:
        self._next.is_asked = False
        self._left = REQUESTS_PER_TURN
        try:
            while self._left and self._line:
                self._left -= self._line.take().take_turn()
        finally:
            if self._line:
                self._next.ask()
