"""The registries as the loop hears of them: an ensemble's mirror, or a file that is followed.

Rules: the mirror emits on a thread of its own; everything here happens in the loop, in the order in which
it was emitted. Nothing here knows what it means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from zkdns.model import Event
from zkdns.registry.access import ZooKeeperSettings
from zkdns.registry.scope import Scope
from zkdns.registry.url import RegistryURL
from zkdns.registry.zk.mirror import Mirror


class Source(Protocol):
    """What a registry is read from."""

    def start(self) -> None:
        """Begin to follow; returns at once."""
        ...

    async def stop(self) -> None: ...


class ZooKeeperSource:
    """`scopes`: what is read. `hear(root, events, more_went)` is called in the loop; `more_went`: whether
    more went there than is read. `mirrors`: those that there are, by ensemble; each is shared by all who read
    from it, so that one session carries them."""

    def __init__(
        self,
        url: RegistryURL,
        settings: ZooKeeperSettings,
        scopes: Iterable[Scope],
        hear: Callable[[str, list[Event], bool], None],
        mirrors: dict[frozenset[str], Mirror],
    ) -> None:
        self.url = url
        self._hear = hear
        self._loop = asyncio.get_running_loop()
        ensemble = frozenset(url.hosts.split(","))
        if ensemble in mirrors:
            mirrors[ensemble].follow(tuple(scopes), self._emit)
        else:
            mirrors[ensemble] = Mirror(url.hosts, tuple(scopes), settings, self._emit)
        self.mirror = mirrors[ensemble]

    def start(self) -> None:
        self.mirror.start()

    async def stop(self) -> None:
        await asyncio.to_thread(self.mirror.stop)

    def _emit(self, scope: Scope, events: list[Event]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._take, scope.root, events, self.mirror.more_went)
        except RuntimeError:
            pass  # the loop is closed: the server is ending

    def _take(self, root: str, events: list[Event], more_went: bool) -> None:
        self.mirror.heard += 1
        self._hear(root, events, more_went)
