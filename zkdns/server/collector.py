"""When Python's cycle collector runs, and over what: nothing else runs meanwhile.

Rules: what is loaded has no reference cycles, and what ends is taken apart where it would be one. So it looks
at young objects, few at a time. What libraries leave behind of their connections may be a cycle that was kept
until it was old: where there are few old objects, it looks at them as well, once in a while.
"""

from __future__ import annotations

import gc
from typing import Final

YOUNG: Final = 2_000
"""New objects that are looked at together at the latest: they cost under a millisecond, 10,000 some 2 ms;
20,000 took 20 where others fill the caches."""

TIMES: Final = 4
"""So many times these are looked at once more."""

NEVER: Final = 1 << 30
"""So many times the rest isn't: a look at all that came since the start takes a tenth of a second or more."""

FEW: Final = 50_000
"""Old objects that are looked at in some 2 ms. A thousand HTTP connections are about as many; more is what a
registry brought."""

LOOKS_BACK: Final = 60
"""Seconds from one look at what is old to the next."""

_old = [0, 0]
"""So many old objects there are at the most beside those that were left, and how many looks made them so."""


def set_pace() -> None:
    """Before anything is loaded."""
    gc.set_threshold(YOUNG, TIMES, NEVER)


def leave() -> None:
    """What there is stays: it is not looked at again and again while more is loaded, nor ever after."""
    gc.freeze()
    _old[:] = 0, 0


def look() -> None:
    """At what registries brought since the last time. By itself it counts what is new less what is gone:
    where thousands take the place of others none are looked at until all of them are, in one turn of 60 ms.
    What they bring has no circles: where it is much it is left, and not counted, for that takes 10 ms."""
    _look_at_young()
    if _old[0] > FEW:
        leave()


def tend(second: int) -> None:
    """What is to be done in each second. `second`: how many there were."""
    _look_at_young()
    is_time = not second % LOOKS_BACK
    if not is_time and _old[0] <= FEW:
        return
    count = _count_old()
    _old[0] = min(count, FEW * 4 // 5)  # else it would be counted each second
    if count > FEW:
        leave()
    elif is_time:
        gc.collect()
        _old[1] = 0


def _look_at_young() -> None:
    """All that is young is old then, or gone."""
    new, times, _ = gc.get_count()
    gc.collect(1)
    looks = gc.get_count()[2]
    by_itself = max(0, looks - _old[1] - 1)
    _old[:] = _old[0] + new + YOUNG * (times + (TIMES + 1) * by_itself), looks


def _count_old() -> int:
    """How many old objects there are. Between the list of them and its end no line of Python is run, at
    which a thread could have its turn: where a tuple that it makes is held by others, Python gives it a
    SystemError."""
    (count,) = map(len, map(gc.get_objects, (2,)))
    return count
