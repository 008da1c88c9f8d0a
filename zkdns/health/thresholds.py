"""Raw probes of one instance -> how it stands: `rise`, `fall`, and damping for one that flaps.

Rules: pure; no I/O, no clock, no chance: time is counted in probes. The first probe decides alone;
after that `fall` bad ones in a row put an instance out and `rise` good ones put it in. Each fall
that comes soon after a rise doubles the rise that is needed next, up to a cap; steady good probes
take the doublings back one by one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

CAP: Final = 10
"""The most times its `rise` that a flapping instance needs."""

STEADY: Final = 60
"""Good probes after which a fall is no flapping any more, and as many again forget one doubling."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How an instance stands with its check, and for one that fails what a person should read."""

    good: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Count:
    """What the probes so far amount to.

    `run`: probes in a row against the present standing; `steady`: good ones since it came in;
    `flaps`: doublings in force; `risen`: it came back from a failure before.
    """

    standing: Standing
    run: int = 0
    steady: int = 0
    flaps: int = 0
    risen: bool = False


def count(before: Count | None, good: bool, why: str, rise: int, fall: int) -> Count:
    """One more probe. `why` is what went wrong, for a bad one."""
    if before is None:
        return Count(Standing(True)) if good else Count(Standing(False, why))
    if before.standing.good:
        return _count_while_in(before, good, why, rise, fall)
    return _count_while_out(before, good, why, rise)


def needed(flaps: int, rise: int) -> int:
    """The good probes in a row that an instance needs to come back."""
    return rise * min(1 << flaps, CAP)


def _count_while_in(before: Count, good: bool, why: str, rise: int, fall: int) -> Count:
    if good:
        steady = before.steady + 1
        flaps = before.flaps - 1 if before.flaps and steady % STEADY == 0 else before.flaps
        return replace(before, run=0, steady=steady, flaps=flaps)
    run = before.run + 1
    if run < fall:
        return replace(before, run=run)
    flaps = before.flaps + (before.risen and before.steady < STEADY)
    flaps = min(flaps, CAP.bit_length())
    return Count(_out(why, flaps, rise), flaps=flaps, risen=before.risen)


def _count_while_out(before: Count, good: bool, why: str, rise: int) -> Count:
    if not good:
        return replace(before, standing=_out(why, before.flaps, rise), run=0)
    run = before.run + 1
    if run < needed(before.flaps, rise):
        return replace(before, run=run)
    return Count(Standing(True), flaps=before.flaps, risen=True)


def _out(why: str, flaps: int, rise: int) -> Standing:
    if not flaps:
        return Standing(False, why)
    return Standing(False, f"{why}; flapping, so {needed(flaps, rise)} good probes must follow")
