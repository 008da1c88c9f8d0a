"""ZooKeeper's requests and replies as values and bytes: those that we send, some of which kazoo 2.11 lacks.

Rules: pure. Replies are handed on raw and decoded by whoever asked, so that kazoo's connection thread only
copies bytes. `struct.error` tells of a reply that is no such reply.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, TypeAlias

from zkdns.model import Stat

EXISTS, GET_DATA, GET_CHILDREN, MULTI_READ, ADD_WATCH = 3, 4, 8, 22, 106
CREATED, DELETED, CHANGED, CHILD = 1, 2, 3, 4
"""Types of watch events (ZooKeeper's `Watcher.Event.EventType`)."""

PERSISTENT, PERSISTENT_RECURSIVE = 0, 1

CONNECTION_LOSS, MARSHALLING, UNIMPLEMENTED, TIMEOUT, BAD_ARGUMENTS = -4, -5, -6, -7, -8
API_ERROR, NO_NODE, NO_AUTH, BAD_VERSION, NODE_EXISTS = -100, -101, -102, -103, -110
EXPIRED, AUTH_FAILED, LOGIN_REQUIRED = -112, -115, -124
"""Error codes (ZooKeeper's `KeeperException.Code`)."""

NO_CONNECTION = frozenset({CONNECTION_LOSS, TIMEOUT, EXPIRED, AUTH_FAILED, LOGIN_REQUIRED})
"""ZooKeeper said nothing about the request: the connection is the trouble."""

_NAMES = {
    MARSHALLING: "MarshallingError", UNIMPLEMENTED: "Unimplemented", BAD_ARGUMENTS: "BadArguments",
    NO_NODE: "NoNode", NO_AUTH: "NoAuth", BAD_VERSION: "BadVersion", NODE_EXISTS: "NodeExists",
    -108: "NoChildrenForEphemerals", -114: "InvalidACL", -119: "NotReadOnly", -125: "QuotaExceeded",
}  # fmt: skip

_INT = struct.Struct("!i")
_INT_INT = struct.Struct("!ii")
_MULTI = struct.Struct("!iBi")
_STAT = struct.Struct("!qqqqiiiqiiq")
_END = _MULTI.pack(-1, 1, -1)
_ERROR = -1


class Node(NamedTuple):
    """A znode's data and the parts of its Stat that anyone here reads. `ctime` and `mtime` in seconds;
    `owner`: the session of an ephemeral; `children`: how many it has."""

    data: bytes
    czxid: int
    mzxid: int
    pzxid: int
    ctime: float
    owner: int
    children: int
    version: int = 0
    mtime: float = 0.0

    @property
    def ephemeral(self) -> bool:
        """Bound to a session. Container and TTL nodes have marks where an ephemeral has its session
        (ZooKeeper's EphemeralType)."""
        return self.owner != 0 and self.owner != -(1 << 63) and self.owner >> 56 != -1

    @property
    def stat(self) -> Stat:
        owner = self.owner if self.ephemeral else 0
        return Stat(self.czxid, self.mzxid, self.ctime, bool(owner), self.children > 0, self.mtime, owner)


class Op(NamedTuple):
    """One read: GET_DATA or GET_CHILDREN (multiRead allows no others) of a path."""

    type: int
    path: str


What: TypeAlias = "Sync | AddWatch | MultiRead | WatchedRead | Create | SetData | Delete | Replace"


class Request(NamedTuple):
    """To be sent. What comes of it goes back with its `id`: of a MultiRead the reply to each read, of a
    WatchedRead its one (for EXISTS True), of an AddWatch whether the server knew it, of others anything; and
    of any of them ZooKeeper's error code where it failed."""

    id: int
    what: What


Reply: TypeAlias = Node | tuple[str, ...] | int
"""What a read gives: a node, the names of its children, or ZooKeeper's error code."""

Raw: TypeAlias = tuple[bytes, int]
"""A reply's bytes, and where its body begins."""


def _string(text: str) -> bytes:
    data = text.encode()
    return _INT.pack(len(data)) + data


class Sync(NamedTuple):
    """What is read after it is not older than this moment, whichever member we are connected to."""

    path: str


class AddWatch(NamedTuple):
    """A watch that stays after it fired, on `path` and all below it (ZooKeeper 3.6). `mode` PERSISTENT:
    on it alone, and on the list of its children."""

    path: str
    mode: int = PERSISTENT_RECURSIVE

    @property
    def type(self) -> int:
        return ADD_WATCH

    def serialize(self) -> bytes:
        return _string(self.path) + _INT.pack(self.mode)

    @staticmethod
    def deserialize(buffer: bytes, offset: int) -> bool:
        # 3.6 and newer answer with an int. Servers of the 3.4 line let an opcode that they don't know
        # fall through to an empty "ok", which would be taken for a watch that is not there.
        return len(buffer) - offset >= _INT.size


class Create(NamedTuple):
    """A node; its ACL is the client's own."""

    path: str
    data: bytes
    ephemeral: bool


class SetData(NamedTuple):
    path: str
    data: bytes


class Delete(NamedTuple):
    """Only if the node still has this version."""

    path: str
    version: int


class Replace(NamedTuple):
    """Deletes the node if it still has this version and makes it as our ephemeral, in one step."""

    path: str
    data: bytes
    version: int


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
    so that kazoo keeps nothing and the event reaches us by the hook alone. `is_read`: whether the reply is
    wanted, and not the watch alone.
    """

    op: Op
    is_read: bool = True

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
        end = offset + 4 + max(_INT.unpack_from(buffer, offset)[0], 0)
        names.append(str(buffer[offset + 4 : end], "utf-8", "replace"))
        offset = end
    return tuple(names), offset


def _node(buffer: bytes, offset: int) -> tuple[Node, int]:
    (length,) = _INT.unpack_from(buffer, offset)
    start = offset + 4
    end = start + max(length, 0)
    czxid, mzxid, ctime, mtime, version, _, _, owner, _, children, pzxid = _STAT.unpack_from(buffer, end)
    node = Node(buffer[start:end], czxid, mzxid, pzxid, ctime / 1000, owner, children, version, mtime / 1000)
    return node, end + _STAT.size


def decode(op: Op, raw: Raw) -> Reply | bool:
    """The reply to one WatchedRead; True for what exists. `struct.error` for what is no such reply."""
    if op.type == EXISTS:
        return True
    return _names(*raw)[0] if op.type == GET_CHILDREN else _node(*raw)[0]


def decode_all(ops: tuple[Op, ...], raw: Raw) -> list[Reply]:
    """The replies to a MultiRead, one a read. `struct.error` for what is no such reply."""
    buffer, offset = raw
    replies: list[Reply] = []
    reply: Reply
    for op in ops:
        kind, done, _ = _MULTI.unpack_from(buffer, offset)
        offset += _MULTI.size
        if done or kind not in (op.type, _ERROR):
            raise struct.error("a reply of another kind")
        if kind == GET_DATA:
            reply, offset = _node(buffer, offset)
        elif kind == GET_CHILDREN:
            reply, offset = _names(buffer, offset)
        else:
            (reply,) = _INT.unpack_from(buffer, offset)
            offset += 4
        replies.append(reply)
    return replies


def name_of(code: int) -> str:
    """What people call an error (ZooKeeper's own name where it is a usual one)."""
    return _NAMES.get(code, f"error {code}")


def size(path: str) -> int:
    """At least the bytes that reading `path` and its children adds to a MultiRead (names are of the Basic
    Multilingual Plane: 3 bytes a character)."""
    return 2 * (_MULTI.size + 5 + 3 * len(path))
