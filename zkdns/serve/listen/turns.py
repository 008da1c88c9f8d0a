"""Which connection's messages are answered next: what came just now, what came before, what goes on.

Rules: lives in the loop; the clock comes in. What comes is answered at once as long as there is time for
that, of all connections together; the rest has turns. Who was given long answers lately is no newcomer, on
whatever connection: hundreds who connect anew for each would be ahead of who asks little.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from zkdns.line import FAVOURS, Line
from zkdns.turn import TURN_SECONDS, NextTurn

MAX_PROMPT = 16
"""Messages of one connection that are answered as soon as they come: most send no more in a row."""

PROMPT_SECONDS = 0.0005
"""How long that may take, of all connections together: a thousand may have sent in one moment."""

BURST_SECONDS = 0.0002
"""The same of one: a burst of short answers takes half of it."""

FEW = 4
"""Messages of one connection that are answered in its first turn: as many others may wait for theirs."""

MESSAGES_PER_TURN = 64
"""Those answered before others have their turn, however little each costs."""


LONG_BYTES = 8 << 10
"""Of what one asked in a turn and of the replies to that: these take as long as a hundred short ones."""

REMEMBERED_SECONDS = 10.0
"""For which it is known at least that a client was given such, unless there are too many to know."""

MAX_REMEMBERED = 4096
"""Clients of whom that is known, twice."""


class HasTurns(Protocol):
    """A connection."""

    def take_turn(self, most: int) -> None:
        """Answer so many of its messages, until the turn is over."""


class Turns:
    """Those of one listener."""

    def __init__(self, tick: Callable[[], float]) -> None:
        self.tick = tick
        self._came: Line[HasTurns] = Line()
        """Those with whole messages of which none had a turn yet, each once."""
        self._going_on: deque[HasTurns] = deque()
        """Those that have more than had a turn."""
        self._favours = 0
        self._next = NextTurn(self._take_turns)
        self.at_once = PROMPT_SECONDS
        """What is left of that. Where nothing is, what comes waits for a turn."""
        self._until = 0.0
        self._long: set[bytes] = set()
        """Clients that were given long answers since the time below, and before that."""
        self._long_before: set[bytes] = set()
        self._remembered_from = 0.0

    def note_long(self, whose: bytes) -> None:
        """This client was given long answers just now."""
        if self.tick() >= self._remembered_from + REMEMBERED_SECONDS or len(self._long) >= MAX_REMEMBERED:
            self._long_before, self._long = self._long, set()
            self._remembered_from = self.tick()
        self._long.add(whose)

    def begin(self, seconds: float) -> float:
        """So long lasts the turn that begins now. When that is."""
        now = self.tick()
        self._until = now + seconds
        return now

    def is_over(self) -> bool:
        """Whether the turn that was begun last is."""
        return self.tick() >= self._until

    def queue(self, one: HasTurns, whose: bytes, had_turn: bool) -> None:
        """It has a turn behind those that wait for one: what came has it before what goes on, one client's
        after another's."""
        if had_turn or whose in self._long or whose in self._long_before:
            self._going_on.append(one)
        else:
            self._came.put(whose, one)
        self._next.ask()

    def took_at_once(self, seconds: float) -> None:
        """Of `at_once`, which is whole again with the next turn. Whoever has long answers uses all of it up:
        there may be many such, and who comes next would wait for all of them."""
        self.at_once = self.at_once - seconds if seconds < BURST_SECONDS else 0.0
        if self.at_once < PROMPT_SECONDS / 2:
            self._next.ask()

    def _take_turns(self) -> None:
        self._next.is_asked = False
        self.at_once = PROMPT_SECONDS
        self.begin(TURN_SECONDS)
        try:
            if self._favours < FAVOURS and self._take(self._came.take, len(self._came), FEW):
                self._favours += 1
            else:
                self._favours = 0
                self._take(self._going_on.popleft, len(self._going_on), MESSAGES_PER_TURN)
        finally:
            if self._came or self._going_on:
                self._next.ask()

    def _take(self, take: Callable[[], HasTurns], count: int, most: int) -> bool:
        """Let so many have their turn, of so many messages each. Returns whether the time was over."""
        for _ in range(count):
            take().take_turn(most)
            if self.is_over():
                return True
        return False
