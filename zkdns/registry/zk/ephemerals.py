"""Ephemeral nodes that are ours: made, made again after an expiry or a deletion, and given up.

Rules: no I/O, no clock, as `reads`: what came of a request comes in, requests go out. A node that stands in
another session is not fought over. A server's own node of an earlier run, whose session has not ended yet, is
replaced once; one that people register (`standby`) only where its `own` sessions say that it is theirs, else
this waits until it is gone. What keeps vanishing is made again with growing pauses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator
from itertools import count
from typing import Any, Final, TypeAlias

from msgspec import Struct

from zkdns.registry.zk.wire import (
    BAD_VERSION,
    GET_DATA,
    NO_CONNECTION,
    NO_NODE,
    NODE_EXISTS,
    Create,
    Delete,
    Node,
    Op,
    Replace,
    Request,
    SetData,
    WatchedRead,
    What,
    name_of,
)

LOOK_AGAIN: Final = 10.0
"""Seconds after which a node of ours that stands is looked at again (its deletion may go unseen)."""

MIN_PAUSE_SECONDS: Final = 0.05
MAX_PAUSE_SECONDS: Final = 10.0
STEADY: Final = 30.0
"""Seconds that a node must have stood for the next pause to be the shortest one again."""

AWAY: Final = 1.0
"""Seconds without a connection after which people are told."""

NEVER: Final = float("inf")

Steps: TypeAlias = Generator[What, Any, float]
"""Asks, is sent what came of it, and ends with the seconds until the next look."""


class Kept(Struct, eq=False):
    """One node. `data` None: it is to go. `own`: the sessions that it was made in by us. `said` is told
    what people want to know; where nobody is, troubles are warned of once. `made` is told the session,
    more than once, `gone` that the node is removed or can't be reached."""

    path: str
    data: bytes | None
    standby: bool = False
    own: set[int] = set()
    said: Callable[[str], None] | None = None
    made: Callable[[int], None] = lambda session: None
    gone: Callable[[], None] = lambda: None
    due: float = 0.0
    steps: Steps | None = None
    refused: bool = False
    replaced: bool = False
    text: str = ""
    made_at: float = -NEVER
    pause: float = MIN_PAUSE_SECONDS
    not_before: float = 0.0


class Refused(Exception):
    """ZooKeeper said no."""


class Ephemerals:
    """All of them. `hosts` is how people know the ensemble; `warn`: told of troubles that have nobody else
    to be told to; `patience`: seconds after which a reply will not come."""

    def __init__(
        self,
        hosts: str = "",
        warn: Callable[[str], None] = lambda text: None,
        patience: float = 20.0,
    ) -> None:
        self._hosts = hosts
        self._warn = warn
        self._patience = patience
        self._kept: dict[str, Kept] = {}
        self._asked: dict[int, tuple[Kept, float]] = {}
        """By request, for which node and when."""
        self._outbox: list[Request] = []
        self._ids = count(1)
        self._session = 0
        self._now = 0.0

    @property
    def wake(self) -> float:
        """When `requests` has something to do even if nothing comes in."""
        if not self._session:
            return NEVER
        due = [kept.due for kept in self._kept.values() if kept.steps is None]
        due += [at + self._patience for _, at in self._asked.values()]
        return min(due, default=NEVER)

    # --- what is wanted -------------------------------------------------------------------------------

    def keep(self, kept: Kept) -> None:
        """Keep this node from now on, in the place of an earlier wish for its path."""
        before = self._kept.get(kept.path)
        if before is not None:
            before.data, before.due = kept.data, 0.0
            return
        self._kept[kept.path] = kept

    def give_up(self, path: str) -> None:
        """Remove it, if it is ours."""
        kept = self._kept.get(path)
        if kept is not None:
            kept.data, kept.due = None, 0.0
            kept.made_at, kept.not_before = -NEVER, 0.0
            if not self._session:
                kept.gone()

    # --- what comes in ----------------------------------------------------------------------------------

    def connected(self, session: int) -> None:
        """A connection, and whose: each node is looked at."""
        self._drop()
        self._session = session
        for kept in self._kept.values():
            kept.refused = False
            kept.due = 0.0

    def lost(self) -> None:
        self._drop()
        self._session = 0
        for kept in self._kept.values():
            if kept.data is None:
                kept.gone()

    def away(self, why: str) -> None:
        """There has been no connection for a while."""
        for kept in self._kept.values():
            if kept.standby:
                self._say(
                    kept, f"ZooKeeper at {self._hosts} is out of reach, trying on" + (why and f": {why}")
                )

    def watched(self, paths: Collection[str]) -> None:
        """Watch events named these paths."""
        for path in self._kept.keys() & paths:
            kept = self._kept[path]
            if not kept.refused:
                kept.due = 0.0

    def take(self, id: int, outcome: Any, now: float) -> None:
        """What came of a request; of one of an earlier connection: nothing."""
        kept, _ = self._asked.pop(id, (None, now))
        if kept is not None:
            self._step(kept, outcome, now)

    # --- what goes out ----------------------------------------------------------------------------------

    def requests(self, now: float) -> list[Request]:
        self._lose_patience(now)
        for kept in list(self._kept.values()):
            if self._session and kept.steps is None and kept.due <= now:
                kept.due = NEVER
                kept.own.add(self._session)
                kept.steps = self._remove(kept) if kept.data is None else self._put(kept, kept.data)
                self._step(kept, None, now)
        outbox, self._outbox = self._outbox, []
        return outbox

    def _lose_patience(self, now: float) -> None:
        """A reply that doesn't come was lost on the way, and others with it. What is asked next brings that
        to light: its reply is not the one that the connection expects, and it ends."""
        for id, (kept, at) in list(self._asked.items()):
            if now - at >= self._patience:
                del self._asked[id]
                kept.steps, kept.due = None, 0.0

    def _drop(self) -> None:
        self._asked.clear()
        self._outbox.clear()
        for kept in self._kept.values():
            kept.steps = None

    def _step(self, kept: Kept, outcome: Any, now: float) -> None:
        self._now = now
        steps = kept.steps
        if steps is None:
            return
        try:
            if type(outcome) is int and outcome in NO_CONNECTION:
                raise StopIteration(MIN_PAUSE_SECONDS)
            what = steps.send(outcome)
        except StopIteration as end:
            kept.steps = None
            kept.due = min(kept.due, now + end.value)  # it may have been asked for meanwhile
        except Refused as why:
            kept.steps = None
            kept.refused = not kept.standby
            kept.due = now + MAX_PAUSE_SECONDS if kept.standby else NEVER
            self._complain(kept, f"ZooKeeper refuses {kept.path}: {why}")
        else:
            id = next(self._ids)
            self._asked[id] = kept, now
            self._outbox.append(Request(id, what))

    # --- one node ---------------------------------------------------------------------------------------

    def _put(self, kept: Kept, data: bytes) -> Steps:
        path = kept.path
        # Looked at first: a create that fails costs the ensemble a transaction all the same.
        there = yield WatchedRead(Op(GET_DATA, path))
        if there == NO_NODE:
            if self._now < kept.not_before:
                return kept.not_before - self._now
            return (yield from self._create(kept, data))
        if not isinstance(there, Node):
            raise Refused(name_of(there))
        if there.owner == self._session:
            if there.data != data:
                _check((yield SetData(path, data)), NO_NODE)
                return 0.0
            kept.made(self._session)  # the reply that it was may have been lost
            self._say(kept, f"registered {path}")
            return LOOK_AGAIN
        if there.owner not in kept.own:
            if kept.standby or kept.replaced:
                owner = f"session {there.owner:#x}" if there.owner else "nobody's session"
                self._complain(kept, f"{path} is held by {owner}; standing by until it is gone")
                return LOOK_AGAIN
            kept.replaced = True
        # Its version guards it: if it changed since, it is alive, and not ours to replace.
        if _check((yield Replace(path, data, there.version)), NO_NODE, BAD_VERSION, NODE_EXISTS):
            self._note_made(kept)
        return 0.0

    def _create(self, kept: Kept, data: bytes) -> Steps:
        kept.made(self._session)  # before it is: we may be killed in between, and our next run is to know
        outcome = yield Create(kept.path, data, True)
        if outcome == NO_NODE:
            at = [i for i, letter in enumerate(kept.path) if letter == "/" and i]
            for end in at:
                _check((yield Create(kept.path[:end], b"", False)), NODE_EXISTS)
            return 0.0
        if _check(outcome, NODE_EXISTS):
            self._note_made(kept)
        return 0.0

    def _remove(self, kept: Kept) -> Steps:
        there = yield WatchedRead(Op(GET_DATA, kept.path))
        if isinstance(there, Node) and there.owner in kept.own:
            if _check((yield Delete(kept.path, there.version)), NO_NODE, BAD_VERSION):
                self._say(kept, f"removed {kept.path}")
        elif not isinstance(there, Node) and there != NO_NODE:
            raise Refused(name_of(there))
        kept.gone()
        if kept.data is None and not kept.standby:
            del self._kept[kept.path]
        return NEVER

    def _note_made(self, kept: Kept) -> None:
        soon = self._now - kept.made_at < STEADY
        kept.pause = min(kept.pause * 2, MAX_PAUSE_SECONDS) if soon else MIN_PAUSE_SECONDS
        kept.not_before = self._now + kept.pause
        kept.made_at = self._now
        kept.made(self._session)

    def _say(self, kept: Kept, text: str) -> None:
        if kept.said is not None and text != kept.text:
            kept.text = text
            kept.said(text)

    def _complain(self, kept: Kept, text: str) -> None:
        if kept.said is None and text != kept.text:
            kept.text = text
            self._warn(f"{text}; going on without it")
        self._say(kept, text)


def _check(outcome: Any, *fine: int) -> bool:
    """Whether it was done; False for an error that only says that it must be looked at again."""
    if type(outcome) is not int:
        return True
    if outcome not in fine:
        raise Refused(name_of(outcome))
    return False
