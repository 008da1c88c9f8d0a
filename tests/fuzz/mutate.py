"""Bytes made up from good examples, without knowing what the code does with them: by a seed, so that a
finding comes again. For the suite, and for where atheris is missing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

LONGEST = 20_000
NAMES = (
    "query",
    "reply",
    "payload",
    "override",
    "ballot",
    "zone",
    "settings",
    "registry-file",
    "state",
    "explain",
    "znode",
)
"""The targets, known without importing what they try (whoever instruments it must come first)."""


def mutate(chance: random.Random, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """One of the seeds with a few changes; now and then something that was never good."""
    made = chance.choice(seeds) if chance.randrange(50) else chance.randbytes(chance.randrange(60))
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3, 5, 9))):
        made = _change(chance, made, seeds, words)
    return made[:LONGEST]


def _change(chance: random.Random, made: bytes, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    at = chance.randrange(len(made) + 1)
    to = min(len(made), at + chance.choice((1, 1, 1, 2, 4, 8, 30)))
    kind = chance.randrange(10)
    if kind == 0:
        return made[:at]
    if kind == 1:
        return made[:at] + made[to:]
    if kind == 2:
        return made[:at] + made[at:to] * chance.choice((2, 3, 50)) + made[to:]
    if kind == 3:
        other = chance.choice(seeds)
        return made[:at] + other[chance.randrange(len(other) + 1) :]
    if kind in (4, 5):
        return made[:at] + chance.choice(words) + made[at:]
    if kind in (6, 7):
        return made[:at] + chance.choice(words) + made[to:]
    if kind == 8:
        return (
            made[:at]
            + bytes((chance.choice((0, 1, 63, 127, 128, 192, 255, chance.randrange(256))),))
            + made[at + 1 :]
        )
    return made[:at] + bytes(b ^ 1 << chance.randrange(8) for b in made[at : at + 1]) + made[at + 1 :]
