"""`tcp`: the port takes a connection."""

from __future__ import annotations

import asyncio

from zkdns.health.targets import Target


async def probe(target: Target) -> str:
    _, writer = await asyncio.open_connection(target.address, target.port)
    writer.close()
    return ""
