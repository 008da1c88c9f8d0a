"""Raw probes of one instance -> how it stands: `rise`, `fall`, and damping for one that flaps.

Rules: pure; no I/O, no clock, no chance: time is counted in probes. The first probe decides alone;
after that `fall` bad ones in a row put an instance out and `rise` good ones put it in. Each fall
that comes soon after a rise doubles the rise that is needed next, up to a cap; steady good probes
take the doublings back one by one.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

CAP: Final = 10
"""The most times its `rise` that a flapping instance needs."""

STEADY: Final = 60
"""Good probes after which a fall is no flapping any more, and as many again forget one doubling."""


class CheckState(Struct, frozen=True):
    """How an instance stands with its check, and for one that fails what a person should read."""

    good: bool
    why: str = ""


class LastProbe(NamedTuple):
    """What this server's last probe of an instance said, for people. `at`: seconds since the epoch; `why`:
    what went wrong, "" where nothing did."""

    at: float
    why: str


class ProbeHistory(Struct, frozen=True):
    """What the probes so far amount to.

    `run`: probes in a row against the present check_state; `steady`: good ones since it came in;
    `flaps`: doublings in force; `risen`: it came back from a failure before.
    """

    check_state: CheckState
    run: int = 0
    steady: int = 0
    flaps: int = 0
    risen: bool = False


def advance(before: ProbeHistory | None, good: bool, why: str, rise: int, fall: int) -> ProbeHistory:
    """One more probe. `why` is what went wrong, for a bad one."""
    if before is None:
        return ProbeHistory(CheckState(True)) if good else ProbeHistory(CheckState(False, why))
    if before.check_state.good:
        return _advance_while_in(before, good, why, rise, fall)
    return _advance_while_out(before, good, why, rise)


def needed(flaps: int, rise: int) -> int:
    """The good probes in a row that an instance needs to come back."""
    return rise * min(1 << flaps, CAP)


def _advance_while_in(before: ProbeHistory, good: bool, why: str, rise: int, fall: int) -> ProbeHistory:
    if good:
        steady = before.steady + 1
        flaps = before.flaps - 1 if before.flaps and steady % STEADY == 0 else before.flaps
        return replace(before, run=0, steady=steady, flaps=flaps)
    run = before.run + 1
    if run < fall:
        return replace(before, run=run)
    flaps = before.flaps + (before.risen and before.steady < STEADY)
    flaps = min(flaps, CAP.bit_length())
    return ProbeHistory(_out(why, flaps, rise), flaps=flaps, risen=before.risen)


def _advance_while_out(before: ProbeHistory, good: bool, why: str, rise: int) -> ProbeHistory:
    if not good:
        return replace(before, check_state=_out(why, before.flaps, rise), run=0)
    run = before.run + 1
    if run < needed(before.flaps, rise):
        return replace(before, run=run)
    return ProbeHistory(CheckState(True), flaps=before.flaps, risen=True)


def _out(why: str, flaps: int, rise: int) -> CheckState:
    if not flaps:
        return CheckState(False, why)
    return CheckState(False, f"{why}; flapping, so {needed(flaps, rise)} good probes must follow")
