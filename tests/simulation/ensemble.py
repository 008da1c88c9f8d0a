"""An ensemble in memory, as far as a reader can tell it from a real one.

Rules: no I/O, no clock, no chance. A leader's log is the truth; members apply it when they are told to, each
in its order. A connection is to one member: what that member applies goes down the connection as watch
events, in one line with the replies, so that an event comes before a reply that shows its change (ZooKeeper
Programmer's Guide, "Consistency Guarantees"). A connection that ends takes what is on its way along.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from zkdns.registry.zk.wire import (
    BAD_VERSION,
    CHANGED,
    CHILD,
    CREATED,
    DELETED,
    EXISTS,
    GET_CHILDREN,
    GET_DATA,
    NO_NODE,
    NODE_EXISTS,
    PERSISTENT,
    AddWatch,
    Create,
    Delete,
    MultiRead,
    Node,
    Op,
    Replace,
    Reply,
    Request,
    SetData,
    Sync,
    WatchedRead,
    What,
)

EVENT = -1
"""In the place of a part's number: a watch event, which is for all of them."""


class Transaction(NamedTuple):
    """`kind`: CREATED, CHANGED or DELETED. `after`: the znode as it left it, and `parent` the one above: the
    leader says what a change comes to (as ZooKeeper's does), and members put that in place."""

    kind: int
    path: str
    after: Node | None
    parent: Node | None


@dataclass(slots=True)
class Tree:
    """The znodes as one member has them."""

    nodes: dict[str, Node] = field(default_factory=dict)
    names: dict[str, set[str]] = field(default_factory=dict)

    def copy(self) -> Tree:
        return Tree(dict(self.nodes), {path: set(names) for path, names in self.names.items()})

    def apply(self, one: Transaction) -> None:
        if one.after is None:
            del self.nodes[one.path], self.names[one.path]
        else:
            self.nodes[one.path] = one.after
        if one.kind == CHANGED:
            return
        parent, _, name = one.path.rpartition("/")
        if one.kind == CREATED:
            self.names[one.path] = set()
        if one.parent is not None:
            self.nodes[parent] = one.parent
            names = self.names[parent]
            names.add(name) if one.kind == CREATED else names.discard(name)

    def read(self, op: Op) -> Reply:
        node = self.nodes.get(op.path)
        if node is None:
            return NO_NODE
        return node if op.type == GET_DATA else tuple(sorted(self.names[op.path]))


@dataclass(slots=True)
class Member:
    """One server: how much of the log it has applied."""

    tree: Tree
    applied: int


@dataclass(slots=True, eq=False)
class Connection:
    """A client's connection to one member, in a session. `watches`: persistent and recursive; `data_watches`
    and `child_watches` fire once, `lists` each time. `up`, `down`: what is on its way."""

    member: int
    session: int
    watches: set[str] = field(default_factory=set)
    data_watches: set[str] = field(default_factory=set)
    child_watches: set[str] = field(default_factory=set)
    lists: set[str] = field(default_factory=set)
    up: deque[tuple[int, Request]] = field(default_factory=deque)
    """Requests, each with the number of the part of the client that waits for it."""
    down: deque[tuple[int, int, object]] = field(default_factory=deque)
    """(EVENT, kind, path) and (part, id, outcome), in one line."""
    is_open: bool = True

    def deafen(self, most: int) -> bool:
        """So many events on their way get lost; whether there was one."""
        lost = [one for one in self.down if one[0] == EVENT][:most]
        for one in lost:
            self.down.remove(one)
        return bool(lost)


class Ensemble:
    """`members`: how many. `time`: seconds since the epoch, moved by whoever runs this."""

    def __init__(self, members: int = 2, start: float = 0.0) -> None:
        self.time = start
        self.epoch = 1
        self.counter = 0
        self.tree = Tree()
        self.log: list[Transaction] = []
        self.members = [Member(Tree(), 0) for _ in range(members)]
        self.connections: list[Connection] = []
        self.backups: list[tuple[Tree, int, int]] = []
        self._session = 0

    # --- what changes it --------------------------------------------------------------------------

    @property
    def zxid(self) -> int:
        return (self.epoch << 32) | self.counter

    def session(self) -> int:
        self._session += 1
        return self._session

    def create(self, path: str, data: bytes = b"", owner: int = PERSISTENT) -> None:
        """The node, and those above it where they are missing. Nothing where it is there."""
        parent = path.rpartition("/")[0]
        if path in self.tree.nodes or (parent in self.tree.nodes and self.tree.nodes[parent].owner):
            return
        if parent and parent not in self.tree.nodes:
            self.create(parent)
        self._commit(CREATED, path, data, owner)

    def set(self, path: str, data: bytes) -> None:
        if path in self.tree.nodes:
            self._commit(CHANGED, path, data, self.tree.nodes[path].owner)

    def delete(self, path: str) -> None:
        """The node and all below it."""
        for name in sorted(self.tree.names.get(path, ())):
            self.delete(f"{path}/{name}")
        if path in self.tree.nodes:
            self._commit(DELETED, path, b"", PERSISTENT)

    def expire(self, session: int) -> None:
        """A session ends, and its nodes with it."""
        for path in sorted(p for p, node in self.tree.nodes.items() if node.owner == session):
            self.delete(path)

    def reap(self, living: Collection[int]) -> None:
        """All sessions but these have ended."""
        owners = {node.owner for node in self.tree.nodes.values()} - {PERSISTENT, *living}
        for owner in sorted(owners):
            self.expire(owner)

    def elect(self) -> None:
        """Another leader: a new epoch."""
        self.epoch += 1
        self.counter = 0

    def back_up(self) -> None:
        self.backups.append((self.tree.copy(), self.epoch, self.counter))

    def restore(self, which: int) -> None:
        """An older state is put in the place of this one; the zxids go on from there. No connection lives."""
        if not self.backups:
            return
        tree, self.epoch, self.counter = self.backups[which % len(self.backups)]
        self.tree = tree.copy()
        self.log = []
        self.members = [Member(tree.copy(), 0) for _ in self.members]
        for connection in self.connections:
            connection.is_open = False

    def _commit(self, kind: int, path: str, data: bytes, owner: int) -> None:
        self.counter += 1
        zxid, nodes, after, parent = self.zxid, self.tree.nodes, None, None
        if kind == CHANGED:
            _, made, _, pzxid, ctime, _, children, version, _ = nodes[path]
            after = Node(data, made, zxid, pzxid, ctime, owner, children, version + 1, self.time)
        else:
            if kind == CREATED:
                after = Node(data, zxid, zxid, zxid, self.time, owner, 0, 0, self.time)
            above = path.rpartition("/")[0]
            if above:
                said, made, mzxid, _, ctime, of, children, version, mtime = nodes[above]
                children += 1 if kind == CREATED else -1
                parent = Node(said, made, mzxid, zxid, ctime, of, children, version, mtime)
        one = Transaction(kind, path, after, parent)
        self.tree.apply(one)
        self.log.append(one)

    # --- what members do --------------------------------------------------------------------------

    def apply(self, member: int, most: int) -> None:
        """A member applies what it has not yet, so many at most; whoever watches is told."""
        server = self.members[member]
        told = [c for c in self.connections if c.is_open and c.member == member]
        for one in self.log[server.applied : server.applied + most]:
            server.tree.apply(one)
            server.applied += 1
            for connection in told:
                connection.down += _fired(connection, one)

    def connect(self, member: int, session: int) -> Connection:
        connection = Connection(member % len(self.members), session)
        self.connections = [c for c in self.connections if c.is_open]
        self.connections.append(connection)
        return connection

    def serve(self, connection: Connection, most: int) -> None:
        """The member takes so many requests of a connection, in their order."""
        tree = self.members[connection.member].tree
        for _ in range(min(most, len(connection.up))):
            part, request = connection.up.popleft()
            what = request.what
            outcome: object = None
            if isinstance(what, WatchedRead):
                outcome = _read_watched(connection, tree, what.op)
            elif isinstance(what, MultiRead):
                outcome = [tree.read(op) for op in what.ops]
            elif isinstance(what, AddWatch):
                (connection.lists if what.mode == PERSISTENT else connection.watches).add(what.path)
                outcome = True
            elif isinstance(what, Sync):
                self.apply(connection.member, len(self.log))
            else:
                outcome = self._write(what, connection.session)
                # A member answers a write once it has applied it itself.
                self.apply(connection.member, len(self.log))
            connection.down.append((part, request.id, outcome))

    def _write(self, what: What, session: int) -> int | None:
        """The leader's answer: None where it is done, else an error code."""
        node = self.tree.nodes.get(what.path)  # type: ignore[union-attr]
        if isinstance(what, Create):
            if node is not None:
                return NODE_EXISTS
            if what.path.rpartition("/")[0] not in self.tree.nodes and what.path.count("/") > 1:
                return NO_NODE
            self.create(what.path, what.data, session if what.ephemeral else PERSISTENT)
            return None
        if node is None:
            return NO_NODE
        if isinstance(what, SetData):
            self.set(what.path, what.data)
            return None
        assert isinstance(what, Delete | Replace)
        if node.version != what.version:
            return BAD_VERSION
        self.delete(what.path)
        if isinstance(what, Replace):
            self.create(what.path, what.data, session)
        return None


def _fired(connection: Connection, one: Transaction) -> list[tuple[int, int, str]]:
    """The events that a transaction makes for a connection."""
    kind, path = one.kind, one.path
    events = []
    for root in connection.watches:
        if path.startswith(root) and (path == root or path[len(root)] == "/"):
            events.append((EVENT, kind, path))
            break
    children = connection.child_watches
    if path in connection.data_watches or (kind == DELETED and path in children):
        connection.data_watches.discard(path)
        events.append((EVENT, kind, path))
    if kind == DELETED:
        children.discard(path)
    if kind != CHANGED:
        parent = path.rpartition("/")[0]
        if parent in children or parent in connection.lists:
            children.discard(parent)
            events.append((EVENT, CHILD, parent))
    return events


def _read_watched(connection: Connection, tree: Tree, op: Op) -> object:
    """A read that leaves a watch; of a node that is not there only EXISTS does."""
    reply = tree.read(Op(GET_DATA, op.path) if op.type == EXISTS else op)
    if reply != NO_NODE:
        (connection.child_watches if op.type == GET_CHILDREN else connection.data_watches).add(op.path)
    elif op.type == EXISTS:
        connection.data_watches.add(op.path)
    return True if op.type == EXISTS and reply != NO_NODE else reply
