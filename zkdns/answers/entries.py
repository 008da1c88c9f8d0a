"""Entries of records that are spelled already: dealt by a policy, or given as they stand.

Rules: pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from zkdns.answers import policies
from zkdns.answers.members import Columns, Member
from zkdns.answers.rotation import RotationCounter
from zkdns.answers.table import EVERY, Entry, Tier
from zkdns.dns.packet import MAX_MESSAGE_BYTES
from zkdns.model import DEFAULTS, Service

UNCUT = 65_535
"""The cut of a browsing answer: none."""


def rotated(
    tiers: Sequence[Sequence[Member]], service: Service, note: bytes, counter: RotationCounter, origin: int,
    is_srv: bool = False,
) -> Entry:  # fmt: skip
    """The Entry that deals these members by the service's policy."""
    policy, cut = service.settings.policy, cut_of(service, is_srv)
    built, left = [], cut
    extras: list[bytes] = []
    ids: tuple[str, ...] = ()
    for members in tiers:
        columns = Columns.of(members)
        wires, runs = columns.records, columns.extras
        extras += filter(None, runs)
        ids = ids or _one_of_each(columns.ids)
        if left <= 0:
            continue
        # What is beyond that is never sent.
        fitting = MAX_MESSAGE_BYTES // min(map(len, wires))
        rotation = policies.rotate(policy, columns.weights, min(left, len(wires), fitting))
        built.append(Tier(rotation, wires, runs if any(runs) else (), columns.counts))
        left -= len(members)
    return Entry(
        tuple(built), cut, note, len(set(extras)) < len(extras), counter, origin,
        service=service.name, ids=ids,
    )  # fmt: skip


@lru_cache(16)
def _one_of_each(ids: tuple[str, ...]) -> tuple[str, ...]:
    """The names of a service have the same instances, most of them: one tuple stands for all."""
    return ids


def cut_of(service: Service, is_srv: bool = False) -> int:
    """How many records an answer of this service has at most. Who asks for SRV wants the whole pool, unless
    the service says otherwise."""
    settings = service.settings
    is_set = "answers" in settings.given or settings.answers != DEFAULTS.answers
    return UNCUT if is_srv and not is_set else settings.answers


def single(record: bytes, origin: int = EVERY) -> Entry:
    return several([record], origin)


def several(wires: Sequence[bytes], origin: int = EVERY) -> Entry:
    """An Entry that gives all records in this order every time."""
    order = policies.rotate("first", [1] * len(wires), len(wires))
    return Entry((Tier(order, tuple(wires), (), (0,) * len(wires)),), UNCUT, origin=origin)
