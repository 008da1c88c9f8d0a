"""ZooKeeper requests that kazoo 2.11 lacks (AddWatch, multiRead), and the private parts of kazoo we touch.

Rules: kazoo's private names stand in this file (in `handshake`, those of its connecting) and are checked, so
that another kazoo fails at start with one clear line instead of later in a thread. Replies are handed
on raw and decoded by whoever asked, so that kazoo's connection thread only copies bytes.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import kazoo.version
from kazoo.client import KazooClient

from zkdns.model import ConfigError

EXISTS, GET_DATA, GET_CHILDREN, MULTI_READ, ADD_WATCH = 3, 4, 8, 22, 106
CREATED, DELETED, CHANGED, CHILD = 1, 2, 3, 4
"""Types of watch events (ZooKeeper's `Watcher.Event.EventType`)."""

PERSISTENT_RECURSIVE = 1
NO_NODE, NO_AUTH = -101, -102

_INT = struct.Struct("!i")
_INT_INT = struct.Struct("!ii")
_MULTI = struct.Struct("!iBi")
_STAT = struct.Struct("!qqqqiiiqiiq")
_END = _MULTI.pack(-1, 1, -1)


class Node(NamedTuple):
    """A znode's data and the parts of its Stat that anyone here reads. `ctime` in seconds."""

    data: bytes
    czxid: int
    mzxid: int
    pzxid: int
    ctime: float
    owner: int
    children: int

    @property
    def ephemeral(self) -> bool:
        """Bound to a session. Container and TTL nodes have marks where an ephemeral has its session
        (ZooKeeper's EphemeralType)."""
        return self.owner != 0 and self.owner != -(1 << 63) and self.owner >> 56 != -1


class Op(NamedTuple):
    """One read: GET_DATA or GET_CHILDREN (multiRead allows no others) of a path."""

    type: int
    path: str


Reply: TypeAlias = Node | tuple[str, ...] | int
"""What a read gives: a node, the names of its children, or ZooKeeper's error code."""

Raw: TypeAlias = tuple[bytes, int]
"""A reply's bytes, and where its body begins."""


def _string(text: str) -> bytes:
    data = text.encode()
    return _INT.pack(len(data)) + data


class AddWatch(NamedTuple):
    """A watch that stays after it fired, on `path` and all below it (ZooKeeper 3.6)."""

    path: str

    @property
    def type(self) -> int:
        return ADD_WATCH

    def serialize(self) -> bytes:
        return _string(self.path) + _INT.pack(PERSISTENT_RECURSIVE)

    @staticmethod
    def deserialize(buffer: bytes, offset: int) -> bool:
        # 3.6 and newer answer with an int. Servers of the 3.4 line let an opcode that they don't know
        # fall through to an empty "ok", which would be taken for a watch that is not there.
        return len(buffer) - offset >= _INT.size


class MultiRead(NamedTuple):
    """Many reads in one request (ZooKeeper 3.6); errors come for each one. Sets no watches."""

    ops: tuple[Op, ...]

    @property
    def type(self) -> int:
        return MULTI_READ

    def serialize(self) -> bytes:
        parts: list[bytes] = []
        for op in self.ops:
            parts += (_MULTI.pack(op.type, 0, -1), _string(op.path), b"\0")
        return b"".join(parts) + _END

    @staticmethod
    def deserialize(buffer: bytes, offset: int) -> Raw:
        return buffer, offset


class WatchedRead(NamedTuple):
    """One read that leaves a one-shot watch, for servers before 3.6.

    kazoo's own requests would keep a set for each path in `_data_watchers`; this has no `watcher`,
    so that kazoo keeps nothing and the event reaches us by the hook alone.
    """

    op: Op

    @property
    def type(self) -> int:
        return self.op.type

    def serialize(self) -> bytes:
        return _string(self.op.path) + b"\1"

    @staticmethod
    def deserialize(buffer: bytes, offset: int) -> Raw:
        return buffer, offset


def _names(buffer: bytes, offset: int) -> tuple[tuple[str, ...], int]:
    (count,) = _INT.unpack_from(buffer, offset)
    offset += 4
    names = []
    for _ in range(count):
        end = offset + 4 + _INT.unpack_from(buffer, offset)[0]
        names.append(str(buffer[offset + 4 : end], "utf-8", "replace"))
        offset = end
    return tuple(names), offset


def _node(buffer: bytes, offset: int) -> tuple[Node, int]:
    (length,) = _INT.unpack_from(buffer, offset)
    start = offset + 4
    end = start + max(length, 0)
    czxid, mzxid, ctime, _, _, _, _, owner, _, children, pzxid = _STAT.unpack_from(buffer, end)
    node = Node(buffer[start:end], czxid, mzxid, pzxid, ctime / 1000, owner, children)
    return node, end + _STAT.size


def decode(op: Op, raw: Raw) -> Reply:
    """The reply to one WatchedRead."""
    return _names(*raw)[0] if op.type == GET_CHILDREN else _node(*raw)[0]


def decode_all(raw: Raw) -> list[Reply]:
    """The replies to a MultiRead, in its order."""
    buffer, offset = raw
    replies: list[Reply] = []
    reply: Reply
    while True:
        kind, done, _ = _MULTI.unpack_from(buffer, offset)
        offset += _MULTI.size
        if done:
            return replies
        if kind == GET_DATA:
            reply, offset = _node(buffer, offset)
        elif kind == GET_CHILDREN:
            reply, offset = _names(buffer, offset)
        else:
            (reply,) = _INT.unpack_from(buffer, offset)
            offset += 4
        replies.append(reply)


def size(path: str) -> int:
    """At least the bytes that reading `path` and its children adds to a MultiRead (names are of the Basic
    Multilingual Plane: 3 bytes a character)."""
    return 2 * (_MULTI.size + 5 + 3 * len(path))


# --- kazoo's private parts -------------------------------------------------------------------------


def demand(owner: Any, *names: str) -> Any:
    """The same, if it has all of these names: another kazoo is told at start (ConfigError)."""
    for name in names:
        if not hasattr(owner, name):
            version = kazoo.version.__version__
            raise ConfigError("kazoo", f"version {version} has no {name}; zkdns needs kazoo 2.11")
    return owner


def adopt(client: KazooClient, on_event: Callable[[int, str], None]) -> None:
    """Have `on_event(type, path)` called for each watch event, on kazoo's connection thread.

    It takes the place of kazoo's own dispatch: a client that is adopted has no kazoo watchers.
    """
    demand(client, "_call")
    connection = demand(getattr(client, "_connection", None), "_read_watch_event", "_write_sock")

    def read_watch_event(buffer: bytes, offset: int) -> None:
        kind, _state = _INT_INT.unpack_from(buffer, offset)
        (length,) = _INT.unpack_from(buffer, offset + 8)
        on_event(kind, str(buffer[offset + 12 : offset + 12 + max(length, 0)], "utf-8", "replace"))

    connection._read_watch_event = read_watch_event


def send(client: KazooClient, request: AddWatch | MultiRead | WatchedRead) -> Any:
    """Queue a request that kazoo has no method for; gives its AsyncResult."""
    result = client.handler.async_result()
    client._call(request, result)
    return result


def cut(client: KazooClient) -> None:
    """Break the TCP connection, so that a `stop()` that waits for a frozen server ends at once."""
    connected = getattr(client._connection, "_socket", None)
    if connected is not None:
        try:
            connected.shutdown(socket.SHUT_RDWR)
        except (OSError, ValueError):
            pass
