"""The kinds of check: one file each; the file's name is the value of `check.type`.

Rules: a module has `async def probe(target) -> str`: what is wrong, in a few words, or "" where all is
well. It may raise OSError. It holds one socket or process at most, and lets go of it when cancelled
(which is how a timeout reaches it). What the other side sends is read to a limit and never trusted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from importlib import import_module
from typing import TypeAlias

from zkdns import parts
from zkdns.health.targets import Target

Probe: TypeAlias = Callable[[Target], Awaitable[str]]


@cache
def names() -> frozenset[str]:
    """Every kind of check there is."""
    return frozenset(parts.names(parts.CHECKS))


@cache
def named(name: str) -> Probe:
    probe: Probe = import_module(f"{__name__}.{name}").probe
    return probe
