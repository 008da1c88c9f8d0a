"""Nodes of an ensemble, for commands that read or write a few: by path, in one session.

Rules: what is not there is None or (); whatever else the ensemble answers is a Refused that says what it was.
Each call waits for its reply; where there are many reads, they are on their way together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeVar

from kazoo.client import KazooClient
from kazoo.exceptions import (
    BadVersionError,
    KazooException,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
)
from kazoo.handlers.threading import KazooTimeoutError

from zkdns.registry.access import ZooKeeperSettings
from zkdns.registry.service_tree import ServiceTree
from zkdns.registry.survey import Survey
from zkdns.registry.zk import look
from zkdns.registry.zk.connect import close, connect

IN_FLIGHT: Final = 200
PATIENCE: Final = 30.0
"""Seconds that a reply is waited for."""

ANY_VERSION: Final = -1

T = TypeVar("T")


class Refused(RuntimeError):
    """The ensemble did not do it. The text is ZooKeeper's name for the reason, and what it adds."""


class Overtaken(Refused):
    """Somebody else wrote since this was read: it is there, is gone, or has another version."""


class Forbidden(Refused):
    """The node's ACL keeps us out."""


class HasChildren(Refused):
    """What has nodes below it can't be deleted."""


KINDS: Final[dict[type[KazooException], type[Refused]]] = {
    BadVersionError: Overtaken,
    NodeExistsError: Overtaken,
    NoNodeError: Overtaken,
    NoAuthError: Forbidden,
    NotEmptyError: HasChildren,
}


class Node(NamedTuple):
    """`modified`: when it was written last, seconds since the epoch."""

    data: bytes
    version: int
    modified: float


class Nodes:
    """One session. To be ended with `close`."""

    def __init__(self, client: KazooClient) -> None:
        self._client = client
        self._eyes = look.Eyes(client)

    def close(self, within: float = 2.0) -> None:
        """Ends the session; `within`: seconds that this may take."""
        close(self._client, within)

    # --- reading ----------------------------------------------------------------------------------

    def children(self, path: str) -> tuple[str, ...]:
        """The names below it, sorted."""
        with _named(path):
            names = self._ask_for(self._client.get_children, path)
        return tuple(sorted(names or ()))

    def get(self, path: str) -> Node | None:
        """The node; None where there is none."""
        with _named(path):
            reply = self._ask_for(self._client.get, path)
        return _node(*reply) if reply is not None else None

    def get_below(self, path: str) -> dict[str, Node]:
        """The nodes right below it, by name; what may not be read, or has just left, left out."""
        names = self.children(path)
        nodes = {}
        for at in range(0, len(names), IN_FLIGHT):
            some = [(name, self._client.get_async(f"{path}/{name}")) for name in names[at : at + IN_FLIGHT]]
            for name, reply in some:
                try:
                    node = self._ask_for(reply.get, timeout=PATIENCE)
                except Forbidden:
                    continue
                if node is not None:
                    nodes[name] = _node(*node)
        return nodes

    def emptied(self, paths: Iterable[str]) -> Iterator[str]:
        """Those that had children once, and have none now: `cversion` counts each that came or went
        (ZooKeeper Programmer's Guide, "Stat structure")."""
        for path, reply in [(path, self._client.exists_async(path)) for path in paths]:
            stat = self._ask_for(reply.get, timeout=PATIENCE)
            if stat is not None and stat.cversion and not stat.numChildren:
                yield path

    def read_tree(self, tree: ServiceTree) -> None:
        """Tell the tree all that it watches. Unreachable where the ensemble does not answer."""
        look.read_tree(self._eyes, tree)

    def read_service(self, tree: ServiceTree, name: str) -> None:
        """Tell the tree, in the usual layout, of this service alone."""
        look.read_service(self._eyes, tree, name)

    def read_root(self, reducer: look.Reducer) -> None:
        """Tell the reducer all below its root."""
        look.read_root(self._eyes, reducer)

    def look_around(self, survey: Survey) -> None:
        """Bring the survey to its end."""
        look.look_around(self._eyes, survey)

    # --- writing ----------------------------------------------------------------------------------

    def create(self, path: str, data: bytes, *, ephemeral: bool = False) -> None:
        """With the nodes above it, as far as they are missing."""
        with _refusals():
            self._client.create(path, data, ephemeral=ephemeral, makepath=True)

    def set(self, path: str, data: bytes, version: int = ANY_VERSION) -> None:
        """`version`: what it must have now (`Node.version`), else Overtaken is raised."""
        with _refusals():
            self._client.set(path, data, version=version)

    def delete(self, path: str, version: int = ANY_VERSION) -> None:
        """As `set`."""
        with _refusals():
            self._client.delete(path, version=version)

    @staticmethod
    def _ask_for(read: Callable[..., T], *args: Any, **options: Any) -> T | None:
        with _refusals():
            try:
                return read(*args, **options)
            except NoNodeError:
                return None


def _node(data: bytes, stat: Any) -> Node:
    return Node(data, stat.version, stat.mtime / 1000)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except (KazooException, KazooTimeoutError) as error:
        kind = next((ours for theirs, ours in KINDS.items() if isinstance(error, theirs)), Refused)
        raise kind(f"{type(error).__name__} {error}".strip()) from None


@contextmanager
def _named(path: str) -> Iterator[None]:
    """ZooKeeper doesn't say which node it was."""
    try:
        yield
    except Forbidden:
        raise Forbidden(f"{path} can't be read: its ACL does not let us read it") from None


@contextmanager
def open_nodes(hosts: str, settings: ZooKeeperSettings) -> Iterator[Nodes]:
    """For as long as it is used; Unreachable where no session can be had."""
    nodes = Nodes(connect(hosts, settings))
    try:
        yield nodes
    finally:
        nodes.close()
