"""The last known catalog and overrides on disk: read once at start, written aside as it changes.

Rules: writing is done in a thread and never holds up an answer; a full disk is a line in the log.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from pathlib import Path

from zkdns.model import Catalog, ConfigError, Problem
from zkdns.registry import state
from zkdns.registry.state import InstanceOverrides

log = logging.getLogger("zkdns.state")

EVERY = 5.0
"""Seconds between two writes."""


class StateDirectory:
    """The state directory of one server, made where it is missing; does nothing where none is set."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory) if directory else None
        try:
            if self._directory is not None:
                self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--state {directory}", error.strerror or str(error)) from None
        self._saved: tuple[Catalog | None, InstanceOverrides] = None, state.NO_OVERRIDES
        self._saved_at = float("-inf")
        self._writing: asyncio.Task[None] | None = None
        self.problem: Problem | None = None

    def load(self) -> tuple[Catalog | None, InstanceOverrides]:
        """What was known last, with the time it was known as its age, and what operators had ordered."""
        if self._directory is None:
            return None, state.NO_OVERRIDES
        loaded = state.load(self._directory)
        self.problem = loaded.problem
        if loaded.problem is not None:
            log.warning("%s: %s", loaded.problem.path, loaded.problem.what)
        if loaded.catalog is None:
            return None, state.NO_OVERRIDES
        known_at = loaded.catalog.stale_since or (self._directory / state.NAME).stat().st_mtime
        return replace(loaded.catalog, stale_since=known_at), loaded.overrides

    def keep(self, catalog: Catalog, overrides: InstanceOverrides, serial: int) -> None:
        """Write these soon, unless they are on disk. `serial`: the one that the answers bear. Called every
        second or so."""
        if self._directory is None or not catalog.complete:
            return
        if self._saved[0] is catalog and self._saved[1] == overrides:
            return
        if self._writing is not None or time.monotonic() - self._saved_at < EVERY:
            return
        self._writing = asyncio.create_task(
            self._write(self._directory, catalog, overrides, serial), name="state"
        )

    async def _write(
        self, directory: Path, catalog: Catalog, overrides: InstanceOverrides, serial: int
    ) -> None:
        self._saved_at = time.monotonic()
        try:
            await asyncio.to_thread(state.save, directory, replace(catalog, serial=serial), overrides)
        except OSError as error:
            self._fail(directory, error.strerror or str(error))
        except Exception:
            log.exception("the state can't be written")
        else:
            self._saved, self.problem = (catalog, overrides), None
        finally:
            self._writing = None

    def _fail(self, directory: Path, why: str) -> None:
        problem = Problem(
            str(directory), f"the state can't be written: {why}", "make room, or mend the rights"
        )
        if problem != self.problem:
            log.warning("%s: %s; answers go on", problem.path, problem.what)
        self.problem = problem

    async def stop(self, catalog: Catalog, overrides: InstanceOverrides, serial: int) -> None:
        """Write what is not on disk yet."""
        if self._writing is not None:
            await self._writing
        self._saved_at = float("-inf")
        self.keep(catalog, overrides, serial)
        if self._writing is not None:
            await self._writing
