"""Schedules out of seeds, and what is told of those that fail.

Rules: pure chance: a seed is a schedule, to the byte.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from random import Random
from typing import TypeAlias

import pytest

from simulation.machine import SHAPES
from simulation.world import CLOCKS, MAPS, ROUTES, Broken, Schedule, Step, World
from zkdns.answers import policies
from zkdns.registry import readers, scope, service_tree, znodes
from zkdns.registry.url import RegistryURL

SCHEDULES = int(os.environ.get("ZKDNS_SCHEDULES", "20000"))
"""How many a run of the suite plays."""

Numbers: TypeAlias = Callable[[Random], tuple[int, ...]]


def _service(r: Random) -> int:
    return r.choice((0, 0, 1))  # more of one: things meet


def _id(r: Random) -> int:
    return r.choice((0, 0, 0, 1, 1, 2))


def _two(r: Random) -> int:
    """An ensemble, a replica or a member."""
    return r.randrange(2)


CHANCES: dict[str, tuple[int, Numbers]] = {
    "register": (28, lambda r: (_two(r), _service(r), _id(r), r.choice((0, 1, 2, 3, 4, 5)))),
    "deregister": (10, lambda r: (_two(r), _service(r), _id(r))),
    "fold": (4, lambda r: (_two(r), _service(r))),
    "configure": (8, lambda r: (_two(r), _service(r), r.choice((0, 1, 2, 3, 4, 4, 4, 5, 6)))),
    "point": (4, lambda r: (_two(r), r.randrange(len(ROUTES) + 1))),
    "raze": (2, lambda r: (_two(r), _two(r))),
    "expire": (4, lambda r: (_two(r), _id(r))),
    "drain": (8, lambda r: (_service(r), _id(r), r.randrange(4))),
    "lay": (4, lambda r: (r.choice((0, 0, 0, 1, 1, 1, 2, 3, 3, 3, 4, 4, 4)), r.choice((0, 9, 15)))),
    "draw_map": (3, lambda r: (r.randrange(len(MAPS) + 1),)),
    "sicken": (8, lambda r: (_two(r), _service(r), _id(r), r.randrange(4))),
    "probe": (8, lambda r: (r.randrange(3), r.randrange(6), r.choice((1, 1, 2)))),
    "begin_probe": (10, lambda r: (r.randrange(3), r.randrange(6), _two(r))),
    "end_probe": (10, lambda r: (r.randrange(3),)),
    "haunt": (3, lambda r: (_two(r), _two(r))),
    "vote": (6, lambda r: (_two(r), _service(r), _id(r), r.choice((0, 0, 1, 1, 2, 3, 4)))),
    "expire_replica": (2, lambda r: (r.randrange(3), _two(r))),
    "restart": (2, lambda r: (r.randrange(3), r.randrange(8))),
    "overlap": (2, lambda r: (_two(r),)),
    "leave": (2, lambda r: ()),
    "unkeep": (2, lambda r: (r.randrange(3), _two(r))),
    "elect": (2, lambda r: (_two(r),)),
    "back_up": (4, lambda r: (_two(r),)),
    "restore": (4, lambda r: (_two(r), r.randrange(8))),
    "apply": (20, lambda r: (_two(r), _two(r), r.choice((1, 1, 2, 9)))),
    "cut": (2, lambda r: (_two(r),)),
    "heal": (2, lambda r: (_two(r), r.randrange(3))),
    "connect": (12, lambda r: (r.randrange(3), _two(r), _two(r))),
    "drop": (6, lambda r: (r.randrange(3), _two(r))),
    "serve": (28, lambda r: (r.randrange(3), _two(r), r.choice((1, 2, 9)))),
    "deliver": (36, lambda r: (r.randrange(3), _two(r), r.choice((1, 2, 9)))),
    "deafen": (10, lambda r: (r.randrange(3), _two(r), r.choice((1, 9)))),
    "wait": (8, lambda r: (r.choice((1, 5, 20, 20, 700)),)),
    "sync": (8, lambda r: ()),
    "quiet": (3, lambda r: ()),
}
"""How often which step comes, and its numbers."""

LONG_LISTS = 0.2
"""In what part of the schedules a list of two names is a long one, and read as one of thousands is."""

SET_CLOCKS = 0.1
"""In what part of the schedules somebody sets a clock, once."""

THEMES = {
    name: frozenset(words.split())
    for name, words in {
        "reading": "deregister fold raze expire configure apply serve deliver connect drop deafen sync",
        "order": "deregister apply serve deliver connect sync",
        "sessions": "deregister expire drain elect expire_replica restart unkeep apply serve deliver connect",
        "backups": "back_up restore elect fold drain sync",
        "probes": "configure begin_probe end_probe sicken sync",
        "votes": "configure sicken haunt vote sync",
        "replicas": "configure sicken probe overlap leave restart expire_replica unkeep wait",
        "routes": "configure point lay drain draw_map fold deregister wait sync",
        "outages": "cut heal configure sicken restart overlap leave wait deregister fold connect drop lay",
    }.items()
}
"""Steps that have to do with each other."""

IN_ALL = frozenset({"quiet", "register"})

OF_REPLICAS = frozenset({"sessions", "votes", "replicas", "outages"})
OF_REGISTRIES = frozenset({"routes", "outages"})
"""Themes that have to do with several of them. In most worlds of the others all steps meet in one: of several
registries they find less, and of several replicas no more (each bug of the probes in the same seeds)."""

OF_ANSWERS = frozenset({"routes", "outages"})
"""Themes whose bugs may show in the answers alone. In the worlds of the others somebody asks in a third: else
nothing is compiled, and what is known is held to what is registered all the same."""

OFTENER = {"probes": {"quiet": 2}, "outages": {"quiet": 5, "cut": 4, "heal": 4, "configure": 2}}
"""By theme, how many times oftener than else what comes: its bugs show between two moments at which nothing
is on its way, or after several rare steps."""


def _chance(word: str, theme: str) -> int:
    return CHANCES[word][0] * OFTENER.get(theme, {}).get(word, 1)


def _theme(random: Random) -> str:
    return random.choice(list(THEMES))


def theme_of(seed: int) -> str:
    return _theme(Random(seed))


def draw(seed: int, length: int = 40) -> Schedule:
    """The schedule of a seed. Each has a theme, and leaves some kinds of steps out: what is rare has its turn
    where what is common is missing (swarm testing, Groce and others 2012)."""
    random = Random(seed)
    name = _theme(random)
    theme = THEMES[name]
    words = [
        word for word in CHANCES if word in IN_ALL or random.random() < (0.85 if word in theme else 0.08)
    ]
    registries = random.choices(range(len(SHAPES)), (6, 2, 2) if name in OF_REGISTRIES else (38, 1, 1))[0]
    replicas = random.choices((1, 2), (1, 1) if name in OF_REPLICAS else (9, 1))[0]
    steps = [
        Step(word, CHANCES[word][1](random))
        for word in random.choices(words, [_chance(w, name) for w in words], k=random.randrange(4, length))
    ]
    if random.random() < SET_CLOCKS:  # drawn last: all else of a seed is as it is without it
        by = random.randrange(3), random.randrange(len(CLOCKS))
        steps.insert(random.randrange(len(steps) + 1), Step("set_clock", by))
    is_asked = int(name in OF_ANSWERS or random.random() < 0.33)
    are_long = int(random.random() < LONG_LISTS)  # drawn behind all else as well
    return [Step("shape", (registries, replicas, is_asked, are_long)), *steps, Step("quiet", ())]


def play(steps: Schedule) -> str | None:
    """What is broken in the world of this schedule; None where every law holds."""
    with sparing():
        gc.disable()  # a world is full of circles that go as one, and need not be looked for meanwhile
        try:
            World().run(steps)
        except Broken as broken:
            return str(broken)
        finally:
            gc.enable()
    return None


@contextmanager
def sparing() -> Iterator[None]:
    """What cost a tenth of all time is made once for many worlds: what equal weights give, which nodes are
    read, what reads them and what it finds in one (pure all). Who plays many enters this before."""
    if readers.reader_of is _reader_of:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        for module in (znodes, service_tree):
            patch.setattr(module, "scopes", lambda base, layouts: _scopes(base, tuple(layouts)))
        patch.setattr(policies, "rotate", lambda policy, weights, cut: _rotate(policy, tuple(weights), cut))
        patch.setattr(readers, "reader_of", _reader_of)
        yield


_rotate = lru_cache(1000)(policies.rotate)
_scopes = cache(scope.scopes)
_open = readers.reader_of


@cache
def _reader_of(url: RegistryURL, label: str = "") -> readers.Reader:
    reader = _open(url, label)
    reader._parse = lru_cache(1000)(reader._parse)
    return reader


def shorten(
    steps: Schedule, failing: Callable[[Schedule], bool] = lambda steps: play(steps) is not None
) -> Schedule:
    """The shortest schedule that fails as well, by leaving out what can be left out (delta debugging)."""
    size = max(1, len(steps) // 2)
    while size:
        at, before = 0, len(steps)
        while at < len(steps):
            fewer = steps[:at] + steps[at + size :]
            if fewer and failing(fewer):
                steps = fewer
            else:
                at += size
        if size > 1 or len(steps) == before:  # else a step may have become needless by another's going
            size //= 2
    return steps


def tell(seed: int, steps: Schedule) -> str:
    """A failing seed, for people."""
    shortest = shorten(steps)
    lines = "\n".join(f"    {step}" for step in shortest)
    return f"seed {seed}: {play(shortest)}\n{lines}"
