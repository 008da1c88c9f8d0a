"""The order of an answer: weights in, a Rotation out. One file a policy; the file's name is the option.

Rules: pure; the same weights give the same Rotation on every replica. A policy module has

    arrange(weights, cut) -> (orders, sequence)    see `rotation`
    shares(weights) -> the part of first places that each should get

Weights are whole numbers, at least one of them above 0 (`rotate` sees to it), and an instance of weight 0
is never first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from importlib import import_module
from typing import Any
from weakref import WeakValueDictionary

from zkdns import parts
from zkdns.answers.rotation import Rotation
from zkdns.answers.spliced import MAX_RECORDS

_rotations: WeakValueDictionary[tuple[str, tuple[int, ...], int], Rotation] = WeakValueDictionary()


RECENT = 16
"""Rotations of small services that are kept though none has them now: an instance that goes comes back, and a
weight that is changed is changed back. One takes some hundred kilobytes, and milliseconds to make."""

FEW = 500
"""Instances up to which a service is a small one here."""


def names() -> tuple[str, ...]:
    """Every policy there is."""
    return parts.names(parts.POLICIES)


def rotate(policy: str, weights: Sequence[int], cut: int) -> Rotation:
    """The Rotation for these weights. Services of the same shape share one."""
    cut, weights = min(cut, MAX_RECORDS), usable(weights)
    return _rotate(policy, weights, cut) if len(weights) > FEW else _rotate_recent(policy, weights, cut)


def _rotate(policy: str, weights: tuple[int, ...], cut: int) -> Rotation:
    key = (policy, weights, cut)
    rotation = _rotations.get(key)
    if rotation is None:
        orders, sequence = _module(policy).arrange(weights, cut)
        rotation = _rotations[key] = Rotation.of(orders, sequence)
    return rotation


_rotate_recent = lru_cache(RECENT)(_rotate)


def shares(policy: str, weights: Sequence[int]) -> list[float]:
    """What part of first places each should get; they sum to 1."""
    return list(_module(policy).shares(usable(weights))) if weights else []


@cache
def knows_weights(policy: str) -> bool:
    """Whether unequal weights get unequal parts."""
    lighter, heavier = shares(policy, (1, 2))
    return lighter != heavier


def usable(weights: Sequence[int]) -> tuple[int, ...]:
    """All 0 means equal shares (contract of `weight`)."""
    return tuple(weights) if any(weights) else (1,) * len(weights)


def _module(policy: str) -> Any:
    return import_module(f"{__name__}.{policy}")
