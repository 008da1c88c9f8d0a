"""An instance that is registered and can't be read: counted and told, never answered.

Rules: pure.
"""

from __future__ import annotations

from typing import Final

from zkdns.model import Instance, Registration, State
from zkdns.registry.labels import to_label

UNREAD: Final = Registration((), weight=0, format="unreadable")
"""What is known of it."""


def unread(
    id: str, path: str, since: float, ephemeral: bool, why: str, owner: int = 0, zxid: int = 0
) -> Instance:
    return Instance(
        id,
        to_label(id),
        path,
        UNREAD,
        since,
        ephemeral,
        state=State.UNREADABLE,
        reason=why,
        weight=0,
        answered=False,
        owner=owner,
        zxid=zxid,
    )
