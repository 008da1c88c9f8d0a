"""`tcp`: the port takes a connection."""

from __future__ import annotations

from zkdns.health.connection import connect
from zkdns.health.targets import Target


async def probe(target: Target) -> str:
    (await connect(target)).close()
    return ""
