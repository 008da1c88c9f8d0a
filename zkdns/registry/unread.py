"""An instance that is registered and can't be read: counted and told, never answered.

Rules: pure.
"""

from __future__ import annotations

from typing import Final

from zkdns.model import Instance, Registration, Stat, State
from zkdns.registry.labels import to_label

UNREAD: Final = Registration((), weight=0, format="unreadable")
"""What is known of it."""


def unread(id: str, path: str, stat: Stat, why: str) -> Instance:
    return Instance(
        id,
        to_label(id),
        path,
        UNREAD,
        stat.ctime,
        stat.ephemeral,
        state=State.UNREADABLE,
        reason=why,
        weight=0,
        answered=False,
        owner=stat.owner,
        zxid=stat.mzxid,
    )
