"""Settings that are read again when somebody asks (SIGHUP): in a thread, one reading at a time.

Rules: a file may be large, or lie on a share that doesn't answer, and nobody's question waits for that. Who
asks while they are read has them read once more, however often. What is wrong is told, and the old ones stay
in force.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from zkdns.model import ConfigError
from zkdns.server.notify import Notifier

log = logging.getLogger("zkdns")

Read = TypeVar("Read")


class Rereading(Generic[Read]):
    """`read` is called in a thread, and `take` in the loop with what it gives; both may raise ConfigError.
    `is_good`: whether the settings are in force as they stand in their file."""

    def __init__(self, read: Callable[[], Read], take: Callable[[Read], object], notifier: Notifier) -> None:
        self.is_good = True
        self._read = read
        self._take = take
        self._notifier = notifier
        self._is_asked = self._is_at_work = False

    def ask(self) -> bool:
        """Somebody wants them read. Whether that needs somebody to `work`."""
        self._notifier.reloading()
        was_at_work, self._is_asked, self._is_at_work = self._is_at_work, True, True
        return not was_at_work

    async def work(self) -> None:
        """Until nobody wants them read any more."""
        try:
            while self._is_asked:
                self._is_asked = False
                try:
                    self._take(await asyncio.to_thread(self._read))
                except Exception as error:
                    self._refuse(error)
                else:
                    self.is_good = True
                    log.info("reload: done")
                    self._notifier.reloaded()
        finally:
            self._is_at_work = False

    def _refuse(self, error: Exception) -> None:
        self.is_good = False
        is_ours = not isinstance(error, ConfigError)
        what = f"{error or repr(error)}; the old settings stay in force"
        log.error("reload: %s", what, exc_info=error if is_ours else None)
        self._notifier.reloaded(f"the last reload failed: {what}")
