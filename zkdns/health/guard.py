"""The loss guard: instances that vanish together, or with an outage of the registry, are kept as suspects.

A registry that loses half of a service at once has more likely lost sight of it (expired sessions, a
cut-off rack, a root removed by mistake) than seen it die; and what an outage of the registry took along
is mostly on its way back. Rules: pure; no I/O, no clock, no chance. A suspect is let go when it is
registered again, when its time is over, when an operator drained it or when its check fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from zkdns.model import Instance, Service, State

WINDOW: Final = 5.0
"""Seconds within which losses count as one."""

BY_HOLD: Final = "left the registry together with others, kept by hold"
BY_GRACE: Final = "its session ended with an outage of the registry, kept by grace"


class Gone(Struct, frozen=True):
    """An instance that left the registry not long ago."""

    instance: Instance
    at: float


class Kept(Struct, frozen=True):
    """A suspect, the time at which it is let go, and why it is kept."""

    instance: Instance
    until: float
    why: str = BY_HOLD


class Losses(Struct, frozen=True):
    """What one service lost lately, and which of that is kept."""

    gone: tuple[Gone, ...] = ()
    kept: tuple[Kept, ...] = ()


class Grace(Struct, frozen=True):
    """After an outage of a registry: until when ephemeral instances that vanish are kept, by the registry's
    name, and for how many seconds each."""

    until: tuple[tuple[str, float], ...] = ()
    seconds: float = 0.0

    def covers(self, instance: Instance, now: float) -> bool:
        """Whether an instance that vanishes now may have gone with the outage alone."""
        if not self.seconds or not instance.ephemeral:
            return False
        return any(name == instance.registry and now <= until for name, until in self.until)


NO_LOSSES: Final = Losses()
NO_GRACE: Final = Grace()


def retain(
    losses: Losses,
    previous: Service | None,
    current: Service | None,
    now: float,
    released: Callable[[Instance], bool] = lambda instance: False,
    grace: Grace = NO_GRACE,
) -> Losses:
    """The losses after the registered service went from `previous` to `current`.

    `released`: whether an operator drained it or its check fails. Where the whole service is gone
    its last settings hold on. An instance that said it was going (its status was not `up`) is never
    kept. What came in the same moment counts for the service: as many new ones are no loss.
    """
    settings = (current or previous or _NOBODY).settings
    if settings.hold <= 0 and not losses.kept and not grace.until:
        return NO_LOSSES
    present = current.instances if current is not None else ()
    here = {i.path for i in present}
    gone = [g for g in losses.gone if now - g.at < WINDOW and g.instance.path not in here]
    known = {g.instance.path for g in gone}
    vanished: list[Instance] = []
    if previous is not None and previous is not current:
        vanished = [i for i in previous.instances if i.path not in here and i.path not in known]
        gone += [Gone(i, now) for i in vanished]
    suspects = [k for k in losses.kept if settings.hold > 0 or k.why != BY_HOLD]
    if settings.hold > 0 and len(gone) > len(here):  # more than half of what was there and is there
        suspects += [Kept(g.instance, g.at + settings.hold) for g in gone if _may_be_kept(g.instance)]
    graced = (i for i in vanished if grace.covers(i, now) and _may_be_kept(i))
    suspects += [Kept(i, now + grace.seconds, BY_GRACE) for i in graced]
    kept: dict[str, Kept] = {}
    for suspect in suspects:  # who is kept already is kept for that reason
        path = suspect.instance.path
        if suspect.until > now and path not in here and not released(suspect.instance):
            kept.setdefault(path, suspect)
    kept = _without_needless(kept, [i for i in present if _may_be_kept(i) and not released(i)])
    # One that was let go must not be caught again by the next loss.
    gone = [g for g in gone if not released(g.instance)] if settings.hold > 0 else []
    after = Losses(tuple(gone), tuple(kept[p] for p in sorted(kept)))
    if after == NO_LOSSES:
        return NO_LOSSES
    return losses if after == losses else after


def _may_be_kept(instance: Instance) -> bool:
    return instance.registration.status == "up" and instance.state is not State.UNREADABLE


def _without_needless(kept: dict[str, Kept], others: list[Instance]) -> dict[str, Kept]:
    """Grace is for services that would be left with too little: one whose other instances have more than half
    of its weight goes on without, and a process that registered anew under another id is no suspect."""
    places = {_place(i) for i in others}
    kept = {path: k for path, k in kept.items() if k.why != BY_GRACE or _place(k.instance) not in places}
    lost = [k.instance for k in kept.values() if k.why == BY_GRACE]
    # Where all weights are 0, each counts the same.
    here, gone = _weigh(others), _weigh(lost)
    if here > gone or (here == gone == 0 and len(others) > len(lost)):
        return {path: k for path, k in kept.items() if k.why != BY_GRACE}
    return kept


def _place(i: Instance) -> tuple[tuple[str, ...], str | None, int]:
    return i.registration.addresses, i.registration.host, i.registration.port


def _weigh(instances: Iterable[Instance]) -> int:
    return sum(i.registration.weight for i in instances)


_NOBODY: Final = Service(name="", label="", path="")
