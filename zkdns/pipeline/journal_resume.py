"""A journal that goes on after a restart: what changed in the answers while the server was away.

Rules: pure. What is read again at the start is no change, and what is gone meanwhile is one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from zkdns.model import Change, Service
from zkdns.pipeline import changes
from zkdns.pipeline.journal import OUT_OF_REACH, WITHIN_REACH, move_reach

MEANWHILE: Final = "while this server was away"


def resume(
    before: Mapping[str, Service],
    after: Mapping[str, Service],
    start: Sequence[Change],
    at: float,
    away: Collection[str] = (),
    within: Collection[str] = (),
    *,
    known: changes.Known = (changes.UNKNOWN, 0),
) -> list[Change]:
    """`before`: as the journal knew them last. `after`: as they are answered at first. `start`: all that the
    start told, of which what is no service's stays. `at`: when it did. `away`: registries that were out of
    reach, as the journal knew it last; `within`: those that are within now. `known`: what is known of causes,
    and the newest transaction."""
    by_key = {(change.service, change.id, change.what): change for change in start}
    causes, newest = known
    moment = changes.Moment(at, max([newest, *(change.zxid for change in start)]))
    came = _reach(away, within, start, moment)
    came += [change for change in start if not change.service and change.what != "registry"]
    for name in dict.fromkeys((*after, *before)):
        for change in changes.between(before.get(name), after.get(name), moment, causes):
            same = by_key.get((change.service, change.id, change.what))
            if same is not None and same.was == change.was and same.now == change.now:
                change = same
            elif change.what == "gone":
                change = replace(change, why=MEANWHILE)
            came.append(change)
    return came


def _reach(
    away: Collection[str], within: Collection[str], start: Sequence[Change], moment: changes.Moment
) -> list[Change]:
    """Which registries went out of reach and which came back, as far as the journal does not know. A start
    tells of none that is within reach."""
    own = [change for change in start if change.what == "registry" and not change.service]
    known = set(away)
    back = (known & set(within)) - {change.id for change in own}
    words = OUT_OF_REACH, WITHIN_REACH, MEANWHILE
    came = [Change(moment.at, moment.zxid, "", name, "registry", *words) for name in sorted(back)]
    return came + [change for change in own if move_reach(known, change)]
