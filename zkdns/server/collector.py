"""When Python's cycle collector runs, and over what: nothing else runs meanwhile.

Rules: what is loaded has no reference cycles, and what ends is taken apart where it would be one. So it looks
at young objects, few at a time. What libraries leave behind of their connections may be a cycle that was kept
until it was old: where there are few old objects, it looks at them as well, once in a while, in a turn of its
own.
"""

from __future__ import annotations

import asyncio
import gc
from itertools import count
from typing import Final

YOUNG: Final = 2_000
"""New objects that are looked at together at the latest: they cost under a millisecond, 10,000 some 2 ms;
20,000 took 20 where others fill the caches."""

TIMES: Final = 4
"""So many times these are looked at once more."""

NEVER: Final = 1 << 30
"""So many times the rest isn't: a look at all that came since the start takes a tenth of a second or more."""

PAUSE: Final = 0.1
"""Seconds from one look at what is young to the next. By itself Python counts what is new less what is gone:
of a thousand questions to upstreams, each of which another follows, it met all at once, 40,000 objects for 10
to 20 ms."""

FEW: Final = 25_000
"""Old objects that are looked at, or counted, in some 3 ms. Five hundred HTTP connections are about as many;
more is what a registry brought."""

LOOKS_BACK: Final = 600
"""Looks at what is young from one at what is old to the next."""

_old = [0, 0]
"""So many old objects there are at the most beside those that were left, and how many looks made them so.
Counted as they are looked at: what is new less what is gone says nothing of them."""


def set_pace() -> None:
    """Before anything is loaded."""
    gc.set_threshold(YOUNG, TIMES, NEVER)


def leave() -> None:
    """What there is stays: it is not looked at again and again while more is loaded, nor ever after."""
    gc.freeze()
    _old[:] = 0, 0


def look() -> None:
    """At what registries brought since the last time: where thousands take the place of others Python itself
    looks at none until it looks at all, for 60 ms. What they bring has no circles: much of it is left, and
    not counted, for that takes 10 ms."""
    look_at_young()
    if _old[0] > FEW:
        leave()


def look_at_young() -> None:
    """All that is young is old then, or gone."""
    young = _count(0) + _count(1)
    gc.collect(1)
    looks = gc.get_count()[2]
    by_itself = max(0, looks - _old[1] - 1)
    _old[:] = _old[0] + young + YOUNG * (TIMES + 2) * by_itself, looks


async def follow() -> None:
    """Look at little at a time, for as long as it is let: each look is a turn of its own."""
    for looks in count(1):
        await asyncio.sleep(PAUSE)
        look_at_young()
        if _old[0] > FEW or not looks % LOOKS_BACK:
            await asyncio.sleep(0)
            tend(looks)


def tend(looks: int) -> None:
    """What is to be done with what is old, behind so many looks at what is young."""
    if _old[0] > 2 * FEW:
        leave()
    elif _old[0] > FEW:
        _old[0] = _count(2)
        if _old[0] > FEW * 4 // 5:  # else it would be counted each time
            leave()
    elif not looks % LOOKS_BACK:
        gc.collect()
        _old[1] = 0


def _count(generation: int) -> int:
    """How many objects are so old. Between the list of them and its end no line of Python is run, at which
    a thread could have its turn: where a tuple that it makes is held by others, Python gives it a
    SystemError."""
    (count,) = map(len, map(gc.get_objects, (generation,)))
    return count
