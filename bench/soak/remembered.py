"""At a quiet moment: what the servers' journals say, beside what ZooKeeper holds and what the soak has done.

  1. What a journal rebuilds of this moment is what is registered, with each instance's weight and whether it
     is given.
  2. Each change begins where the one before it ended, from `registered` to `gone`.
  3. What came or went since the last quiet moment is told, by each server; and of all together once. What an
     ensemble was set back to before it went comes by the same transaction once more, and is told once more.

Rules: reads the files, as `zkdns history --state` does; the newest second may not be written yet.
"""

from __future__ import annotations

import time
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from bench.soak.cast import Replica
from bench.soak.hostile import is_hers
from bench.soak.model import Key
from bench.soak.truth import Truth
from zkdns.model import Change, Service
from zkdns.pipeline.journal import OutOfReach, Query
from zkdns.pipeline.journal_merge import merge
from zkdns.pipeline.journal_reading import read_changes, read_world

WITHIN = 20.0
"""Seconds for the last lines to be written, on a machine that does much else."""

EVERYTHING = Query(limit=10_000_000)


def disagree(
    replicas: Sequence[Replica],
    read: Callable[[], Truth],
    stood: Collection[Key],
    since: float,
    set_back: Sequence[float] = (),
) -> str:
    """What is wrong; "" for nothing. `read`: what ZooKeeper holds, since overrides end by themselves;
    `stood`: what was registered at the last quiet moment, at `since`; `set_back`: when an ensemble was set
    back to older data."""
    until = time.monotonic() + WITHIN
    while True:
        found = next(_differences(replicas, read(), stood, since, set_back), "")
        if not found or time.monotonic() > until:
            return found
        time.sleep(0.5)


def _differences(
    replicas: Sequence[Replica],
    truth: Truth,
    stood: Collection[Key],
    since: float,
    set_back: Sequence[float],
) -> Iterator[str]:
    accounts = []
    for replica in replicas:
        try:
            told = read_changes(replica.state, EVERYTHING).changes
            services = read_world(replica.state, time.time()).services()
        except (OSError, OutOfReach) as error:
            yield f"{replica}: its journal: {error}"
            continue
        changes = [change for change in told if not is_hers(change.service)]
        accounts.append(changes)
        wrong = (
            *rebuilt(services, truth, changes),
            *broken_off(changes),
            *untold(changes, truth, stood, since),
        )
        for what in wrong:
            yield f"{replica}: its journal: {what}"
    yield from (f"the journals together: {what}" for what in repeated(accounts, set_back))


def rebuilt(services: Mapping[str, Service], truth: Truth, changes: Sequence[Change]) -> Iterator[str]:
    """What the journal's moment has, and ZooKeeper has not, and the other way round."""
    has = {
        (s.name, i.id): (i.weight, i.answered)
        for s in services.values()
        for i in s.instances
        if i.registration.format != "unreadable" and not is_hers(s.name)
    }
    judged = truth.judged()
    should = {(s, i.id): (i.weight, not i.out) for s, found in judged.items() for i in found.values()}
    for key in sorted(has.keys() | should.keys()):
        if has.get(key) != should.get(key):
            what = f"{'/'.join(key)} is {has.get(key)} (weight, given), and should be {should.get(key)}"
            yield f"{what}: {_last(changes, key)}"


def _last(changes: Sequence[Change], key: Key) -> str:
    own = [c for c in changes if (c.service, c.id) == key]
    return "; ".join(f"{c.at:.3f} {c.what}: {c.was} -> {c.now} ({c.why})" for c in own[-6:])


def broken_off(changes: Sequence[Change]) -> Iterator[str]:
    """Changes that do not begin where the one before ended."""
    stands: dict[Key, str] = {}
    stand_for: dict[str, str] = {}
    for c in changes:
        key = c.service, c.id
        if c.what == "route":
            if c.service in stand_for and stand_for[c.service] != c.was:
                yield f"{c.service}'s route at {c.at:.3f}: from {c.was!r}, and was {stand_for[c.service]!r}"
            stand_for[c.service] = c.now
        if not c.id or c.what not in ("registered", "gone", "state"):
            continue
        if c.what == "registered":
            if bool(c.was) != (key in stands):
                stood = "did not stand" if c.was else "stood"
                what = f"{'/'.join(key)} was registered at {c.at:.3f}, and {stood} before"
                yield f"{what}: {_last(changes, key)}"
            if not c.was:
                stands[key] = c.now
            continue
        if stands.get(key) != c.was:
            yield f"{'/'.join(key)} {c.what} at {c.at:.3f}: from {c.was!r}, and stood as {stands.get(key)!r}"
        stands[key] = c.now
        if c.what == "gone":
            stands.pop(key, None)


def untold(changes: Sequence[Change], truth: Truth, stood: Collection[Key], since: float) -> Iterator[str]:
    """What is another than it was, without a word."""
    stand = truth.keys_told()
    told = {(c.service, c.id, c.what) for c in changes if c.at >= since}
    for before, after, what in ((stood, stand, "gone"), (stand, stood, "registered")):
        for key in before:
            if key not in after and (*key, what) not in told:
                yield f"{'/'.join(key)} is {what} since {since:.3f}, and that is told nowhere"


def repeated(accounts: Sequence[Sequence[Change]], set_back: Sequence[float] = ()) -> Iterator[str]:
    """What the servers' accounts, made one, tell more than once of one history. Each `set_back` begins
    another, in which transactions of before may do again what they did."""
    merged = [(bisect(set_back, c.at), c) for c in merge(accounts)]
    comings = Counter(
        (history, c.service, c.id, c.zxid)
        for history, c in merged
        if c.what == "registered" and c.id and not c.was
    )
    for (_, service, id, zxid), n in comings.items():
        if n > 1:
            yield f"{service}/{id} is registered {n} times by {zxid:#x}"
    routes = Counter(
        (history, c.service, c.zxid, c.now) for history, c in merged if c.what == "route" and c.zxid
    )
    for (_, service, zxid, now), n in routes.items():
        if n > 1:
            yield f"{service}'s route to {now!r} is laid {n} times by {zxid:#x}"
