"""Keeps one node registered for as long as it is wanted: the heart of `zkdns register`.

Rules: the keeping is the mirror's (`registry/zk/ephemerals`); here it is wanted, given up and told of.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from zkdns.registry.access import ZooKeeperSettings
from zkdns.registry.zk.ephemerals import Kept
from zkdns.registry.zk.mirror import Mirror
from zkdns.registry.zk.notes import Notes


class Keeper:
    """`say`: one line for people, said when something changed. `want(True)` makes the node. `watchdog`:
    seconds without a connection after which kazoo's client is replaced."""

    def __init__(
        self,
        hosts: str,
        settings: ZooKeeperSettings,
        *,
        path: str,
        data: bytes,
        say: Callable[[str], None],
        notes: Notes,
        watchdog: float = 30.0,
    ) -> None:
        self._path = path
        self._data = data
        self._say = say
        self._notes = notes
        self._own = {notes.session} - {0}
        self._wanted = False
        self._gone = threading.Event()
        self._gone.set()
        self._mirror = Mirror(
            hosts, (), settings, lambda scope, events: None, watchdog=watchdog, for_people=True
        )

    def start(self) -> None:
        self._mirror.start()

    def want(self, wanted: bool) -> None:
        if wanted == self._wanted:
            return
        self._wanted = wanted
        if wanted:
            self._mirror.keep_as(
                Kept(
                    self._path,
                    self._data,
                    standby=True,
                    own=self._own,
                    said=self._say,
                    made=self._notes.write,
                    gone=self._gone.set,
                )
            )
        else:
            self._gone.clear()
            self._mirror.give_up(self._path)

    def give_up(self, within: float = 2.0) -> None:
        """Remove the node now, and wait until it is gone or can't be reached."""
        self.want(False)
        self._gone.wait(within)

    def stop(self) -> None:
        self._mirror.stop()
        self._notes.close()
