"""Zone files beside the services: read in a thread, laid beside the services in one step of the loop.

Rules: a file that is wrong costs itself; its last good copy stays.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from zkdns.answers.builder import Builder
from zkdns.answers.zonefiles.overlay import Overlay
from zkdns.answers.zonefiles.reader import ZoneFolder
from zkdns.model import ConfigError, Problem

log = logging.getLogger("zkdns.zones")


class ZoneFiles:
    """The files of `folder`, "" for none (ConfigError where it isn't there)."""

    def __init__(self, folder: str, builder: Builder) -> None:
        if folder and not Path(folder).is_dir():
            raise ConfigError(f"--zones {folder}", "no such directory")
        apexes = [zone.apex for zone in builder.zones]
        self._folder = ZoneFolder(Path(folder), apexes) if folder else None
        self._overlay = Overlay(builder)

    @property
    def paths(self) -> list[str]:
        """The files that are served."""
        return [zone.path for zone in self._folder.loaded.zones.values()] if self._folder else []

    @property
    def apexes(self) -> list[bytes]:
        """The names at and below which files answer."""
        return [*self._folder.loaded.zones] if self._folder else []

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong in the files, and which of their records give way to a service."""
        return (*self._folder.loaded.problems, *self._overlay.problems()) if self._folder else ()

    @property
    def broken(self) -> bool:
        """Whether a file could not be taken as it stands now."""
        return self._folder is not None and bool(self._folder.loaded.problems)

    async def changed(self) -> bool:
        """Whether a file is not what it was when it was read."""
        return self._folder is not None and await asyncio.to_thread(self._folder.changed)

    async def load(self) -> bool:
        """Read them and put them in; whether there are any to read."""
        if self._folder is None:
            return False
        loaded = await asyncio.to_thread(self._folder.load)
        for problem in loaded.problems:
            log.warning("%s: %s", problem.path, problem.what)
        self._overlay.put(loaded.zones)
        return True
