"""Several replicas' accounts of what changed, as one that tells each change once.

Rules: pure. Replicas see the same writes, in steps that may differ: of two writes in a row one may have read
the second alone. So two accounts of a change agree in what it came to, and in the transaction, where a node
tells that; else they are of about the same time. What a server reads again when it begins is no change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from zkdns.model import Change
from zkdns.pipeline.changes import SO
from zkdns.pipeline.journal_resume import MEANWHILE

TOGETHER: Final = 5.0
"""Seconds by which replicas may be apart: their clocks, and how long each takes to see a change."""

Key: TypeAlias = tuple[str, str, str, str]
"""Service, instance, what, and what it came to."""


def merge(journals: Iterable[Sequence[Change]]) -> list[Change]:
    """Each change once, oldest first. Each journal is in its own order."""
    several = [_without_repeats(journal) for journal in journals]
    merged = several[0] if several else []
    for journal in several[1:]:
        merged = _join(merged, journal)
    in_order = sorted(merged, key=lambda change: (change.at, change.zxid))
    return _chained(in_order) if len(several) > 1 else in_order


def _without_repeats(journal: Iterable[Change]) -> list[Change]:
    """Without registrations that were told before and stood ever since."""
    standing: dict[tuple[str, str], int] = {}
    kept = []
    for change in journal:
        own = change.service, change.id
        if change.what == "gone":
            standing.pop(own, None)
        elif change.what == "registered" and not change.was:
            # A service's own line has no transaction of its own, and no other reason to be told again.
            mark = change.zxid if change.id else -1
            if mark and standing.get(own) == mark:
                continue
            standing[own] = mark
        kept.append(change)
    return kept


def _join(known: list[Change], more: Sequence[Change]) -> list[Change]:
    """Two accounts; each change of one is at most one of the other."""
    at: dict[Key, list[int]] = {}
    for n, change in enumerate(known):
        at.setdefault(_key(change), []).append(n)
    joined = list(known)
    rest = []
    for change in more:
        same = at.get(_key(change), [])
        twin = next((n for n in same if known[n].zxid == change.zxid != 0), None)
        if twin is None:
            rest.append(change)
        else:
            same.remove(twin)
            joined[twin] = _either(known[twin], change)
    for change in rest:
        if change.zxid and (
            change.why == SO or (change.what == "registered" and change.id and not change.was)
        ):
            # its own transaction, which nobody else tells of
            joined.append(change)
            continue
        same = at.get(_key(change), [])
        twin = min(same, key=lambda n: abs(known[n].at - change.at), default=None)
        if twin is None or not _are_of_one_time(known[twin], change):
            joined.append(change)
        else:
            same.remove(twin)
            joined[twin] = _either(known[twin], change)
    return joined


def _are_of_one_time(one: Change, other: Change) -> bool:
    """Who was away tells it only once it is back."""
    late, early = (one, other) if one.at > other.at else (other, one)
    return late.why == MEANWHILE or late.at - early.at <= TOGETHER


def _key(change: Change) -> Key:
    # One that comes is `starting` to a replica, and `healthy` to another, which knows of a probe already.
    now = "" if change.what == "registered" and not change.was else change.now
    return change.service, change.id, change.what, now


def _either(one: Change, other: Change) -> Change:
    """Two accounts of one change: who saw it first."""
    return one if one.at <= other.at else other


def _chained(changes: Iterable[Change]) -> list[Change]:
    """Each from where the one before it led: a replica that read two writes at once tells of the first
    beginning."""
    stands: dict[tuple[str, str, str], str] = {}
    chains = []
    for change in changes:
        own = change.service, change.id, change.what
        if change.what == "gone" or (change.what == "registered" and not change.was):
            stands.pop((change.service, change.id, "weight"), None)
            stands[change.service, change.id, "state"] = change.now
        elif change.what in ("state", "weight"):
            was = stands.get(own, change.was)
            stands[own] = change.now
            if was == change.now != change.was and change.why != SO:
                continue  # it was so before: by who saw it come, or who was not away when it became so
            if was not in (change.was, change.now):
                change = replace(change, was=was)
        chains.append(change)
    return chains
