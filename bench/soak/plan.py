"""What will befall the ensemble and what its clients will do: a seed -> faults and actions, in order.

Rules: pure. The same seed gives the same two sequences, whatever happens meanwhile: an action says which
of the sessions, services and instances it means by a share of however many there are by then. How much of
them a life gets to is the clock's doing, and so is the moment of each; that can't be replayed.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

KINDS: Final = {
    "nothing": "churn alone, with nobody made to read all again: what was missed is still missed",
    "kill": "one member is killed, and started again",
    "freeze": "one member is frozen (SIGSTOP), and thawed",
    "kill-all": "all members are killed at once",
    "freeze-all": "all members are frozen",
    "cut-member": "a member loses its cable to clients and servers",
    "cut-peer": "a member loses its cable to the other members, and goes on to talk with clients",
    "cut-peers": "all members lose sight of each other: no quorum, every one within reach",
    "cut-server": "a server loses its cable to the ensemble; its own clients reach it",
    "expire": "a server's session is ended behind its back",
    "expire-all": "all servers' sessions are",
    "kill-far": "the other ensemble is killed, and started again",
    "freeze-far": "the other ensemble is frozen",
    "cut-far": "the other ensemble loses its cable to clients and servers",
    "restore": "the ensemble is set back to an older copy of its data (smaller zxids)",
}

CUTS: Final = frozenset(kind for kind in KINDS if kind.startswith("cut"))
"""The faults that need network namespaces."""

LONG: Final = 0.4
"""The share of faults that last three times as long: sessions end in them."""

WEIGHTS: Final = {
    "create": 6.0,
    "delete": 3.5,
    "change": 3.0,
    "again": 1.0,
    "burst": 0.3,
    "end": 0.3,
    "found": 0.3,
    "dissolve": 0.3,
    "drain": 1.0,
    "weigh": 0.7,
    "lift": 1.5,
    "lay": 0.5,
    "unlay": 0.2,
    "shut": 0.5,
    "reopen": 0.7,
}
"""How often a client does what (`churn.py` has a method for each)."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`target`: which member or server. `long`: whether it lasts past a session's timeout."""

    kind: str
    target: int = 0
    long: bool = False

    def __str__(self) -> str:
        whom = (
            "" if self.kind.endswith(("-all", "-far", "-peers", "restore", "nothing")) else f" {self.target}"
        )
        return f"{self.kind}{whom}{' (long)' if self.long else ''}"


@dataclass(frozen=True, slots=True)
class Action:
    """`who`, `where`, `how` and `more` are shares from 0 to 1 of whatever there is to choose from."""

    verb: str
    who: float
    where: float
    how: float
    more: float


def chance(seed: int, what: str) -> random.Random:
    """The seed's own stream for one purpose: how far one is drawn from doesn't move the others."""
    return random.Random(f"{seed} {what}")


def faults(seed: int, members: int, servers: int, kinds: Collection[str]) -> Iterator[Fault]:
    """Rounds of every fault on everyone whom it can befall, each round in an order of its own."""
    draw = chance(seed, "faults")
    targets = {
        "kill": range(members),
        "freeze": range(members),
        "cut-member": range(members),
        "cut-peer": range(members),
        "cut-server": range(servers),
        "expire": range(servers),
    }
    while True:
        once = [(kind, target) for kind in KINDS for target in targets.get(kind, range(1))]
        draw.shuffle(once)
        for kind, target in once:
            long = draw.random() < LONG
            if kind in kinds:
                yield Fault(kind, target, long or kind == "nothing")


def actions(seed: int) -> Iterator[Action]:
    """What clients do, one after the other."""
    draw = chance(seed, "actions")
    verbs, weights = list(WEIGHTS), list(WEIGHTS.values())
    while True:
        verb = draw.choices(verbs, weights)[0]
        yield Action(verb, draw.random(), draw.random(), draw.random(), draw.random())
