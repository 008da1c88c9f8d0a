"""Ephemeral nodes that are ours: made, made again after an expiry or a deletion, and given up.

Rules: `hold` and `release` may be called from any thread and only note what is wanted; `keep` does the
talking, on the mirror's thread. What ZooKeeper refuses is said once. A node that another session holds
is replaced once (our own earlier run, whose session has not expired yet) and never fought over.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import (
    ConnectionLoss,
    NodeExistsError,
    NoNodeError,
    OperationTimeoutError,
    SessionExpiredError,
    ZookeeperError,
)

log = logging.getLogger("zkdns.registry.zk")

LOOK_AGAIN = 10.0
"""Seconds after which a node of ours that stands is looked at again (its deletion may go unseen)."""

NOT_REFUSALS = (ConnectionLoss, SessionExpiredError, OperationTimeoutError)
"""ZooKeeper said nothing about the request: the connection is the trouble."""

Wait = Callable[[Any], Any]
"""Waits for a kazoo AsyncResult, with a limit."""


class Ephemerals:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: dict[str, bytes] = {}
        self._unwanted: set[str] = set()
        self._due: dict[str, float] = {}
        self._replaced: set[str] = set()
        self._refused: set[str] = set()
        self._sessions: set[int] = set()

    def hold(self, path: str, data: bytes) -> None:
        with self._lock:
            self._wanted[path] = data
            self._unwanted.discard(path)
            self._due[path] = 0.0

    def release(self, path: str) -> None:
        with self._lock:
            if self._wanted.pop(path, None) is not None:
                self._unwanted.add(path)
                self._due[path] = 0.0

    def renew(self) -> None:
        """A new connection: look at each of them."""
        with self._lock:
            self._due = dict.fromkeys((*self._wanted, *self._unwanted), 0.0)

    def notice(self, path: str) -> None:
        """A watch event named this path."""
        with self._lock:
            if path in self._wanted and path not in self._refused:
                self._due[path] = 0.0

    def next_due(self) -> float:
        """When `keep` has something to do, on the clock that it is given."""
        with self._lock:
            return min(self._due.values(), default=float("inf"))

    def keep(self, client: KazooClient, wait: Wait, now: float) -> None:
        """Make ZooKeeper's state the wanted one, for each path that is due."""
        with self._lock:
            due = [(path, self._wanted.get(path)) for path, at in self._due.items() if at <= now]
            for path, _ in due:
                self._due[path] = now + LOOK_AGAIN
        session = client.client_id[0] if client.client_id else 0
        self._sessions.add(session)
        for path, data in due:
            try:
                if data is None:
                    self._delete(client, wait, path)
                else:
                    self._put(client, wait, path, data, session)
            except NOT_REFUSALS:
                raise
            except ZookeeperError as why:
                self._say(path, f"ZooKeeper refused it: {type(why).__name__}")
                with self._lock:
                    self._due[path] = float("inf")
            else:
                if data is None:
                    with self._lock:
                        self._unwanted.discard(path)
                        if path not in self._wanted:
                            self._due.pop(path, None)

    def _say(self, path: str, why: str) -> None:
        if path not in self._refused:
            log.warning("can't hold %s: %s; going on without it", path, why)
        self._refused.add(path)

    def _put(self, client: KazooClient, wait: Wait, path: str, data: bytes, session: int) -> None:
        for _ in range(4):
            try:
                # Looked at first: a create that fails costs the ensemble a transaction all the same.
                there, stat = wait(client.get_async(path))
            except NoNodeError:
                try:
                    wait(client.create_async(path, data, ephemeral=True))
                    break
                except NoNodeError:
                    wait(client.ensure_path_async(path.rpartition("/")[0] or "/"))
                except NodeExistsError:
                    pass
                continue
            try:
                if stat.ephemeralOwner == session:
                    if there != data:
                        wait(client.set_async(path, data))
                    break
                if stat.ephemeralOwner not in self._sessions:
                    if path in self._replaced:
                        self._say(path, f"session {stat.ephemeralOwner:#x} holds it")
                        return
                    self._replaced.add(path)
                # Its version guards it: if it changed since, it is alive, and not ours to delete.
                wait(client.delete_async(path, version=stat.version))
            except NoNodeError:
                continue
        self._refused.discard(path)

    def _delete(self, client: KazooClient, wait: Wait, path: str) -> None:
        try:
            _, stat = wait(client.get_async(path))
            if stat.ephemeralOwner in self._sessions:
                wait(client.delete_async(path))
        except NoNodeError:
            pass
