"""The loss guard: instances that vanish together, or with an outage of the registry, are kept as suspects.

A registry that loses half of a service at once has more likely lost sight of it (expired sessions, a
cut-off rack, a root removed by mistake) than seen it die; and what an outage of the registry took along
is mostly on its way back. Rules: pure; no I/O, no clock, no chance. A suspect is let go when it is
registered again, when its time is over, when an operator drained it or when its check fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from operator import attrgetter
from typing import Final

from msgspec import Struct

from zkdns.model import Instance, Service, State
from zkdns.steps import Steps, walk

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
    released: Callable[[Instance], bool],
    grace: Grace,
) -> Steps[Losses]:
    """The losses after the registered service went from `previous` to `current`, with pauses.

    `released`: whether an operator drained it or its check fails. Where the whole service is gone its last
    settings hold on. An instance that said it was going (its status was not `up`) is never kept. Instances
    that came in the same moment are counted against the loss: as many new ones are none.
    """
    settings = (current or previous or _NOBODY).settings
    if settings.hold <= 0 and not losses.kept and not grace.until:
        return NO_LOSSES
    hold = settings.hold
    present = current.instances if current is not None else ()
    here: set[str] = set()
    yield from walk(present, lambda some: here.update([i.path for i in some]))
    vanished: Sequence[Instance] = ()
    gone = yield from _still_gone(losses, here, now)
    if previous is not None and previous is not current:
        vanished = yield from _find_vanished(previous, here, gone)
        yield from walk(vanished, lambda some: gone.extend([Gone(i, now) for i in some]))
    suspects = _Suspects(here, now, released)

    def keep(some: Sequence[Kept]) -> None:
        suspects.add([k for k in some if hold > 0 or k.why != BY_HOLD])

    def catch(some: Sequence[Gone]) -> None:
        suspects.add([Kept(g.instance, g.at + hold) for g in some if _may_be_kept(g.instance)])

    def grant_grace(some: Sequence[Instance]) -> None:
        covered = [i for i in some if grace.covers(i, now) and _may_be_kept(i)]
        suspects.add([Kept(i, now + grace.seconds, BY_GRACE) for i in covered])

    yield from walk(losses.kept, keep)
    if hold > 0 and len(gone) > len(here):  # more than half of what was there and is there
        yield from walk(gone, catch)
    yield from walk(vanished, grant_grace)
    kept = yield from _without_needless(suspects.by_path, present, released)
    # One that was let go must not be caught again by the next loss.
    remembered: list[Gone] = []
    if hold > 0:
        yield from walk(gone, lambda some: remembered.extend([g for g in some if not released(g.instance)]))
    after = Losses(tuple(remembered), tuple(map(kept.__getitem__, sorted(kept))))
    if after == NO_LOSSES:
        return NO_LOSSES
    return losses if after == losses else after


def any_released(losses: Losses, released: Callable[[Instance], bool]) -> Steps[bool]:
    """Whether one that is kept is to be let go."""
    those: list[Kept] = []
    yield from walk(losses.kept, lambda some: those.extend([k for k in some if released(k.instance)]))
    return bool(those)


class _Suspects:
    """Who is kept, by path: for the reason that comes first, as long as that holds. `here`: the paths of
    those that are registered."""

    def __init__(self, here: Set[str], now: float, released: Callable[[Instance], bool]) -> None:
        self.by_path: dict[str, Kept] = {}
        self._here, self._now, self._released = here, now, released

    def add(self, some: Iterable[Kept]) -> None:
        for one in some:
            path = one.instance.path
            is_known = path in self._here or path in self.by_path
            if one.until > self._now and not is_known and not self._released(one.instance):
                self.by_path[path] = one


def _still_gone(losses: Losses, here: Set[str], now: float) -> Steps[list[Gone]]:
    """Those of the last seconds that did not come back."""
    gone: list[Gone] = []

    def note(some: Sequence[Gone]) -> None:
        gone.extend([g for g in some if now - g.at < WINDOW and g.instance.path not in here])

    yield from walk(losses.gone, note)
    return gone


def _find_vanished(previous: Service, here: Set[str], gone: Sequence[Gone]) -> Steps[list[Instance]]:
    """Those that are not there any more, and were not gone already."""
    known = {*map(_path_of, gone)}
    vanished: list[Instance] = []

    def note(some: Sequence[Instance]) -> None:
        vanished.extend([i for i in some if i.path not in here and i.path not in known])

    yield from walk(previous.instances, note)
    return vanished


def shift(losses: Losses, by: float) -> Losses:
    """The same where the clock was set."""
    gone = tuple(Gone(one.instance, one.at + by) for one in losses.gone)
    return Losses(gone, tuple(Kept(one.instance, one.until + by, one.why) for one in losses.kept))


def _may_be_kept(instance: Instance) -> bool:
    return instance.registration.status == "up" and instance.state is not State.UNREADABLE


def _without_needless(
    kept: dict[str, Kept], present: Sequence[Instance], released: Callable[[Instance], bool]
) -> Steps[dict[str, Kept]]:
    """Grace is for services that would be left with too little: one whose other instances have more than half
    of its weight goes on without, and a process that registered anew under another id is no suspect."""
    graced: list[Instance] = []
    yield from walk(
        [*kept.values()], lambda some: graced.extend([k.instance for k in some if k.why == BY_GRACE])
    )
    if not graced:
        return kept
    others: list[Instance] = []
    places: set[tuple[tuple[str, ...], str | None, int]] = set()

    def note(some: Sequence[Instance]) -> None:
        standing = [i for i in some if _may_be_kept(i) and not released(i)]
        others.extend(standing)
        places.update([_place(i) for i in standing])

    yield from walk(present, note)
    lost: list[Instance] = []
    yield from walk(graced, lambda some: lost.extend([i for i in some if _place(i) not in places]))
    # Where all weights are 0, each counts the same.
    here, gone = sum(map(_weight_of, others)), sum(map(_weight_of, lost))
    if here > gone or (here == gone == 0 and len(others) > len(lost)):
        lost = []
    needed: dict[str, Kept] = {}
    stay = {*map(_path_of_one, lost)}

    def sort_out(some: Sequence[tuple[str, Kept]]) -> None:
        needed.update([(path, k) for path, k in some if k.why != BY_GRACE or path in stay])

    yield from walk([*kept.items()], sort_out)
    return needed


_path_of = attrgetter("instance.path")
_path_of_one = attrgetter("path")
_weight_of = attrgetter("registration.weight")


def _place(i: Instance) -> tuple[tuple[str, ...], str | None, int]:
    return i.registration.addresses, i.registration.host, i.registration.port


_NOBODY: Final = Service(name="", label="", path="")
