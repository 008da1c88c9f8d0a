"""A mirror of a real ZooKeeper with a plain fold of its events beside it, and the truth to compare with.

The fold here is deliberately naive (the last event wins, no zxids): the mirror's order alone must be
enough for it, and no bug of the real fold can hide one of the mirror.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError, NoNodeError

from support.closing import Starting
from zkdns.model import Begin, Children, Data, Event, Listed, Session, Unreadable, Whole
from zkdns.registry.access import ZooKeeperSettings
from zkdns.registry.layout import layout
from zkdns.registry.scope import Scope, scopes
from zkdns.registry.zk.mirror import Mirror

Nodes = dict[str, bytes | None]
"""Path -> data, None for a node that may not be read."""


def three_deep(root: str) -> Scope:
    """All that stands one, two and three levels below a root."""
    (scope,) = scopes(root, map(layout, ("/{a}", "/{a}/{b}", "/{a}/{b}/{c}")))
    return scope


class Reading:
    """One reading of a root: the last word on each path."""

    def __init__(self) -> None:
        self.data: Nodes = {}
        self.names: dict[str, tuple[str, ...]] = {}

    def fold(self, event: Event) -> None:
        match event:
            case Data(path, data):
                self.data[path] = data
            case Unreadable(path):
                self.forget(path)
                self.data[path] = None
            case Children(path, names):
                for name in set(self.names.get(path, ())) - set(names):
                    self.forget(f"{path}/{name}")
                self.names[path] = names
            case Listed(path, come, gone):
                for name in gone:
                    self.forget(f"{path}/{name}")
                self.names[path] = tuple(
                    dict.fromkeys(n for n in (*self.names[path], *come) if n not in gone)
                )

    def forget(self, path: str) -> None:
        self.data.pop(path, None)
        for name in self.names.pop(path, ()):
            self.forget(f"{path}/{name}")


class Mirrored(Starting):
    """Folds what a Mirror tells; `view(root)` is what a reader would see now."""

    def __init__(self, hosts: str, *roots: str, timeout: float = 4.0, auth: str = "", **options: Any) -> None:
        self.events: list[tuple[str, Event]] = []
        self.wholes = 0
        self._readings: dict[str, Reading] = {root: Reading() for root in roots}
        self._begun: dict[str, Reading] = {}
        self._lock = threading.Lock()
        settings = options.pop("settings", None) or ZooKeeperSettings(session_timeout=timeout, auth=auth)
        self.mirror = Mirror(hosts, map(three_deep, roots), settings, self.take, **options)

    def take(self, scope: Scope, events: list[Event]) -> None:
        assert events
        root = scope.root
        with self._lock:
            for event in events:
                self.events.append((root, event))
                if isinstance(event, Begin):
                    self._begun[root] = Reading()
                elif isinstance(event, Whole):
                    self._readings[root] = self._begun.pop(root)
                    self.wholes += 1
                else:
                    self._begun.get(root, self._readings[root]).fold(event)

    def view(self, root: str) -> Nodes:
        with self._lock:
            return dict(self._readings[root].data)

    @property
    def connected(self) -> list[bool]:
        """Each change of the session, as it was told."""
        with self._lock:
            return [event.connected for _, event in self.events if isinstance(event, Session)]

    def follows(self, client: KazooClient, root: str, timeout: float = 30.0) -> None:
        """Wait until the mirror's view is the truth."""
        deadline = time.monotonic() + timeout
        while (seen := self.view(root)) != (real := truth(client, root)):
            if time.monotonic() > deadline:
                lacks = sorted(real.items() - seen.items())[:5]
                extra = sorted(seen.items() - real.items(), key=str)[:5]
                raise AssertionError(f"the mirror lacks {lacks}, has {extra}; {self.mirror.status()}")
            time.sleep(0.02)

    def start(self) -> None:
        self.mirror.start()

    def close(self) -> None:
        self.mirror.stop()


def truth(client: KazooClient, root: str, depth: int = 3) -> Nodes:
    """The subtree as a plain client reads it, node by node."""
    nodes: Nodes = {}
    waiting = [(root, 0)]
    while waiting:
        path, at = waiting.pop()
        try:
            nodes[path] = client.retry(client.get, path)[0]
            if at < depth:
                names = client.retry(client.get_children, path)
                waiting += [(f"{path}/{name}", at + 1) for name in names]
        except NoAuthError:
            nodes[path] = None
        except NoNodeError:
            nodes.pop(path, None)
    return nodes


def eventually(condition: Callable[[], object], timeout: float = 30.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
