"""How other replicas and people reach this server: what stands in its node under /zkdns/servers.

Rules: what the operator says (`advertise`) stands. An address that is listened on stands for itself; a
wildcard, which nobody can call, becomes the address by which ZooKeeper is reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from zkdns.config import Address, Settings
from zkdns.registry.zk import route


def find(settings: Settings) -> tuple[str, str]:
    """Where it answers DNS, and HTTP ("" for nowhere). OSError where the way to ZooKeeper can't be told
    (yet). Not for the loop: names are resolved."""
    own, listen = settings.advertise, settings.listen[0]
    hosts = next((url.hosts for url in settings.registry if url.scheme == "zk"), "")
    unclear = any(address.wildcard for address in (listen, settings.http) if address is not None)
    host = own.host if own is not None else route.own_address(hosts) if hosts and unclear else ""
    dns = Address(own.host, own.port or listen.port) if own is not None else _reached(listen, host)
    return str(dns), str(_reached(settings.http, host)) if settings.http is not None else ""


def _reached(address: Address, host: str) -> Address:
    return replace(address, host=host) if address.wildcard and host else address


async def follow(settings: Settings, tell: Callable[[str, str], None], pause: float = 5.0) -> None:
    """Tells it once the way to ZooKeeper is known: its name may have no address while we start."""
    while True:
        try:
            return tell(*await asyncio.to_thread(find, settings))
        except OSError:
            await asyncio.sleep(pause)
