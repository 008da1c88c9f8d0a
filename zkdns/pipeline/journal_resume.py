"""A journal that goes on after a restart: what changed in the answers while the server was away.

Rules: pure. What is read again at the start is no change, and what is gone meanwhile is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from zkdns.model import Change, Service
from zkdns.pipeline import changes

MEANWHILE: Final = "while this server was away"


def resume(
    before: Mapping[str, Service], after: Mapping[str, Service], start: Sequence[Change], at: float
) -> list[Change]:
    """`before`: as the journal knew them last. `after`: as they are answered at first. `start`: all that the
    start told, of which what is no service's stays. `at`: when it did."""
    by_key = {(change.service, change.id, change.what): change for change in start}
    moment = changes.Moment(at, max((change.zxid for change in start), default=0))
    came = [change for change in start if not change.service]
    for name in dict.fromkeys((*after, *before)):
        for change in changes.between(before.get(name), after.get(name), moment):
            known = by_key.get((change.service, change.id, change.what))
            if known is not None and known.was == change.was and known.now == change.now:
                change = known
            elif change.what == "gone":
                change = replace(change, why=MEANWHILE)
            came.append(change)
    return came
