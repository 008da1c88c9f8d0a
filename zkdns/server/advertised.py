"""How other replicas and people reach this server: what stands in its node under /zkdns/servers.

Rules: what the operator says (`advertise`) stands. An address that is listened on stands for itself; a
wildcard, which nobody can call, becomes the address by which ZooKeeper is reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from zkdns.config import Address, Settings
from zkdns.pipeline.inputs import Advertised
from zkdns.registry.zk import route


def find(settings: Settings) -> tuple[str, str]:
    """Where it answers DNS, and HTTP ("" for nowhere). OSError where the way to ZooKeeper can't be told
    (yet). Not for the loop: names are resolved."""
    hosts = next((url.hosts for url in settings.registry if url.scheme == "zk"), "")
    unclear = any(address.wildcard for address in (settings.listen[0], settings.http) if address is not None)
    host = route.own_address(hosts) if hosts and unclear and settings.advertise is None else ""
    dns, http = _reached(settings, host)
    return str(dns), str(http or "")


def at_start(settings: Settings) -> tuple[str, str]:
    """The same as far as it is known with no name resolved: "" for a wildcard, which would lead whoever
    reads it to itself."""
    dns, http = ("" if each is None or each.wildcard else str(each) for each in _reached(settings))
    return dns, http


def _reached(settings: Settings, host: str = "") -> tuple[Address, Address | None]:
    """`host`: what stands for wildcards, where nobody said what to advertise."""
    own, listen, http = settings.advertise, settings.listen[0], settings.http
    host = host if own is None else own.host
    dns = replace(own, port=own.port or listen.port) if own is not None else _named(listen, host)
    return dns, http and _named(http, host)


def _named(address: Address, host: str) -> Address:
    return replace(address, host=host) if address.wildcard and host else address


async def follow(settings: Settings, tell: Callable[[Advertised], None], pause: float = 1.0) -> None:
    """Tells it once the way to ZooKeeper is known: its name may have no address while we start."""
    while True:
        try:
            return tell(Advertised(*await asyncio.to_thread(find, settings)))
        except OSError:
            await asyncio.sleep(pause)
