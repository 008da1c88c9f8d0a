"""Zone files in a folder: read in a thread, and again when they change.

Rules: a file that is wrong costs itself; its last good copy stays. One that is just being written is let be
until it is whole.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zkdns.answers.zonefiles.lookup import ZoneData
from zkdns.files import MAX_UNSETTLED, SETTLE
from zkdns.model import ConfigError, Problem

if TYPE_CHECKING:
    from zkdns.answers.zonefiles.reader import ZoneFolder

log = logging.getLogger("zkdns.zones")

SLOW = 5.0
"""Seconds after which it is told that files are still being read."""


class ZoneFiles:
    """The files of `folder`, "" for none (ConfigError where it isn't there). `apexes`: the zones of services,
    which a file may share."""

    def __init__(self, folder: str, apexes: Sequence[bytes]) -> None:
        if folder and not Path(folder).is_dir():
            raise ConfigError(f"--zones {folder}", "no such directory")
        self._folder = _open(Path(folder), apexes) if folder else None
        self._unsettled = 0
        self._reading = asyncio.Lock()
        self._anew = False
        """Whether somebody waits for all of them to be read anew."""
        self._told: tuple[Problem, ...] = ()

    @property
    def paths(self) -> list[str]:
        """The files that are served."""
        return [zone.path for zone in self._folder.loaded.zones.values()] if self._folder else []

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong in the files."""
        return tuple(self._folder.loaded.problems) if self._folder else ()

    @property
    def broken(self) -> bool:
        """Whether a file could not be taken as it stands now."""
        return self._folder is not None and bool(self._folder.loaded.problems)

    async def changed(self) -> bool:
        """Whether a file is not what it was when it was read, and whole by now as far as can be seen."""
        if self._folder is None or not await asyncio.to_thread(self._folder.changed):
            self._unsettled = 0
            return False
        before = await asyncio.to_thread(self._folder.look)
        await asyncio.sleep(SETTLE)
        is_settled = before == await asyncio.to_thread(self._folder.look)
        self._unsettled = 0 if is_settled else self._unsettled + 1
        return is_settled or self._unsettled >= MAX_UNSETTLED

    async def load(self, *, anew: bool = False) -> Mapping[bytes, ZoneData] | None:
        """The zones, by apex, of files that have changed; `anew`: of all. None where there is no folder, and
        where another reading that began since then has taken all anew."""
        self._anew |= anew
        async with self._reading:
            if self._folder is None or (anew and not self._anew):
                return None
            anew, self._anew = self._anew, False
            slow = asyncio.get_running_loop().call_later(SLOW, self._tell_slow)
            try:
                loaded = await asyncio.to_thread(self._folder.load, anew=anew)
            finally:
                slow.cancel()
            # What can't be read is tried again each second: that is told once.
            for problem in loaded.problems:
                if anew or problem not in self._told:
                    log.warning("%s: %s", problem.path, problem.what)
            self._told = loaded.problems
            return loaded.zones

    def stop(self) -> None:
        """What is being read is left as it was."""
        if self._folder is not None:
            self._folder.is_stopping = True

    def _tell_slow(self) -> None:
        if self._folder is not None:
            log.info("the zone files in %s take long to read", self._folder.folder)


def _open(folder: Path, apexes: Sequence[bytes]) -> ZoneFolder:
    """dnspython reads them: a tenth of a start's imports, for those alone who have such files."""
    from zkdns.answers.zonefiles.reader import ZoneFolder

    return ZoneFolder(folder, apexes)
