"""The loss guard: instances that vanish together are kept for a while, as suspects.

A registry that loses half of a service at once has more likely lost sight of it (expired sessions, a
cut-off rack, a root removed by mistake) than seen it die. Rules: pure; no I/O, no clock, no chance.
A suspect is let go when it is registered again, when its time is over, when an operator drained it
or when its check fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from zkdns.model import Instance, Service

WINDOW: Final = 5.0
"""Seconds within which losses count as one."""


@dataclass(frozen=True, slots=True)
class Gone:
    """An instance that left the registry not long ago."""

    instance: Instance
    at: float


@dataclass(frozen=True, slots=True)
class Kept:
    """A suspect, and the time at which it is let go."""

    instance: Instance
    until: float


@dataclass(frozen=True, slots=True)
class Losses:
    """What one service lost lately, and which of that is kept."""

    gone: tuple[Gone, ...] = ()
    kept: tuple[Kept, ...] = ()


NO_LOSSES: Final = Losses()


def retain(
    losses: Losses,
    previous: Service | None,
    current: Service | None,
    now: float,
    released: Callable[[Instance], bool] = lambda instance: False,
) -> Losses:
    """The losses after the registered service went from `previous` to `current`.

    `released`: whether an operator drained it or its check fails. Where the whole service is gone
    its last settings hold on. An instance that said it was going (its status was not `up`) is never
    kept. What came in the same moment counts for the service: as many new ones are no loss.
    """
    settings = (current or previous or _NOBODY).settings
    if settings.hold <= 0:
        return NO_LOSSES
    here = {i.path for i in current.instances} if current is not None else set()
    gone = [g for g in losses.gone if now - g.at < WINDOW and g.instance.path not in here]
    known = {g.instance.path for g in gone}
    if previous is not None and previous is not current:
        gone += [Gone(i, now) for i in previous.instances if i.path not in here and i.path not in known]
    kept = {
        k.instance.path: k
        for k in losses.kept
        if k.until > now and k.instance.path not in here and not released(k.instance)
    }
    if len(gone) > len(here):  # more than half of what was there and is there
        for g in gone:
            path, until = g.instance.path, g.at + settings.hold
            if g.instance.registration.status == "up" and until > now and not released(g.instance):
                kept.setdefault(path, Kept(g.instance, until))
    # One that was let go must not be caught again by the next loss.
    gone = [g for g in gone if not released(g.instance)]
    after = Losses(tuple(gone), tuple(kept[p] for p in sorted(kept)))
    return losses if after == losses else after


_NOBODY: Final = Service(name="", label="", path="")
