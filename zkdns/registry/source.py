"""One ensemble as the server's loop sees it: the services' Catalog, and what stands under /zkdns.

Rules: the mirror emits on a thread of its own; everything here happens in the loop, event by event, in
the order in which it was emitted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeAlias

from zkdns.config import RegistryURL, ZooKeeperSettings
from zkdns.model import Catalog, Event, Session, Whole
from zkdns.registry.file import FileSource
from zkdns.registry.readers import open_tree
from zkdns.registry.scope import Scope
from zkdns.registry.zk.mirror import Mirror

OWN = "/zkdns"
OVERRIDES, HEALTH, SERVERS = f"{OWN}/overrides", f"{OWN}/health", f"{OWN}/servers"


class Reducer(Protocol):
    """What takes the events of one root."""

    def apply(self, event: Event) -> None: ...


class OwnReducer(Reducer, Protocol):
    """What takes those of a root of our own, and says what is read there."""

    @property
    def scopes(self) -> Iterable[Scope]: ...


class ZooKeeperSource:
    """`changed(root)` is called in the loop after events of that root were folded. `reducers`: who
    takes the events of roots beside the services'. `mirrors`: those that there are, by ensemble; each is
    shared by all who read from it, so that one session carries them."""

    def __init__(
        self,
        url: RegistryURL,
        settings: ZooKeeperSettings,
        changed: Callable[[str], None],
        reducers: Mapping[str, OwnReducer],
        mirrors: dict[frozenset[str], Mirror],
    ) -> None:
        self.url = url
        self.tree = open_tree(url)
        self.connected = False
        self.since = time.time()
        self.whole: set[str] = set()
        """The roots that were read whole at least once."""
        self.noticed: float | None = None
        """When the oldest event came that is not told by `changed` yet (perf_counter)."""
        self.observe: Callable[[str, list[Event]], None] | None = None
        """Is shown all events as well, before they are folded."""
        self._changed = changed
        self._reducers: dict[str, Reducer] = {**reducers, **self.tree.reducers}
        wanted = [scope for one in (*reducers.values(), self.tree) for scope in one.scopes]
        self._loop = asyncio.get_running_loop()
        ensemble = frozenset(url.hosts.split(","))
        if ensemble in mirrors:
            mirrors[ensemble].follow(wanted, self._emit)
        else:
            mirrors[ensemble] = Mirror(url.hosts, wanted, settings, self._emit)
        self.mirror = mirrors[ensemble]

    @property
    def catalog(self) -> Catalog:
        return self.tree.catalog()

    @property
    def complete(self) -> bool:
        """Whether the services and all that goes with them were read."""
        return self.whole == self._reducers.keys()

    def start(self) -> None:
        self.mirror.start()

    async def stop(self) -> None:
        await asyncio.to_thread(self.mirror.stop)

    def _emit(self, scope: Scope, events: list[Event]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._take, scope.root, events, self.mirror.take_noticed())
        except RuntimeError:
            pass  # the loop is closed: the server is ending

    def _take(self, root: str, events: list[Event], at: float) -> None:
        reducer = self._reducers[root]
        if self.observe is not None:
            self.observe(root, events)
        for event in events:
            if isinstance(event, Session):
                self.connected, self.since = event.connected, event.at
            elif isinstance(event, Whole):
                self.whole.add(root)
            reducer.apply(event)
        if self.noticed is None:
            self.noticed = at
        self._changed(root)


Source: TypeAlias = ZooKeeperSource | FileSource


def open_sources(
    urls: Iterable[RegistryURL],
    settings: ZooKeeperSettings,
    file_changed: Callable[[], None],
    root_changed: Callable[[str], None],
    reducers: Mapping[str, OwnReducer],
) -> list[Source]:
    """A source for each URL, not started yet. Files are read (ConfigError). What stands under /zkdns is
    the first ensemble's: `reducers` take its events."""
    sources: list[Source] = []
    mirrors: dict[frozenset[str], Mirror] = {}
    for url in urls:
        if url.scheme == "file":
            file = FileSource(url.path, file_changed)
            file.load()
            sources.append(file)
        else:
            sources.append(ZooKeeperSource(url, settings, root_changed, reducers, mirrors))
            reducers = {}
    return sources


def is_read(root: str, sources: Iterable[Source]) -> bool:
    """Whether what stands under `root` was read whole by one of these, and is not nothing yet."""
    return any(isinstance(source, ZooKeeperSource) and root in source.whole for source in sources)
