"""Looks around in an ensemble, for a survey or for what is registered now: reads alone, many at once, and
no watch.

Rules: it waits for no reply longer than PATIENCE. What may not be read, or is gone by now, is not there.
Servers before 3.6 know no multiRead; they are asked one by one. With their refusal they end the connection
(ZooKeeper's UnimplementedRequestProcessor), so what is on its way then is lost and asked for again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

from kazoo.client import KazooClient
from kazoo.exceptions import (
    APIError,
    BadArgumentsError,
    KazooException,
    MarshallingError,
    NoAuthError,
    NoNodeError,
    UnimplementedError,
)
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.retry import KazooRetry

from zkdns.model import Begin, Children, Data, Event, Unreadable, Whole
from zkdns.registry.scope import Scope
from zkdns.registry.service_tree import ServiceTree
from zkdns.registry.survey import Survey
from zkdns.registry.zk.adopt import ask
from zkdns.registry.zk.connect import Unreachable
from zkdns.registry.zk.portion import TOO_LONG, Portion, is_too_long, stand_in
from zkdns.registry.zk.wire import (
    GET_CHILDREN,
    GET_DATA,
    NO_AUTH,
    NO_NODE,
    MultiRead,
    Node,
    Op,
    Reply,
    decode_all,
)

PATIENCE: Final = 10.0
"""Seconds for one reply."""

BATCH: Final = 100
IN_FLIGHT: Final = 4
"""Reads of one request, and requests that are under way."""

OLD: Final = (UnimplementedError, MarshallingError, BadArgumentsError, APIError)
"""How servers before 3.6 refuse multiRead."""


class Reducer(Protocol):
    """What makes something of the events of its root. `scopes`: what is read for it."""

    @property
    def scopes(self) -> tuple[Scope, ...]: ...

    def apply(self, event: Event) -> None: ...


def look_around(eyes: Eyes, survey: Survey) -> None:
    """Bring the survey to its end. Unreachable where the ensemble does not answer."""
    while wanted := survey.wants():
        readable = [look for look in wanted if not is_too_long(look.path)]
        for look in wanted if len(readable) < len(wanted) else ():
            survey.take(look, None)
        ops = [Op(GET_CHILDREN if look.listing else GET_DATA, look.path) for look in readable]
        for look, reply in zip(readable, eyes.read(ops), strict=True):
            if isinstance(reply, int):  # an error of its own
                survey.take(look, None)
            else:
                survey.take(look, reply.data if isinstance(reply, Node) else reply)


def read_tree(eyes: Eyes, tree: ServiceTree) -> None:
    """Read all that the tree watches, once. Unreachable where the ensemble does not answer."""
    for scope in tree.scopes:
        root = tree.reducers[scope.root]
        root.apply(Begin())
        for event in _read_scope(eyes, scope):
            root.apply(event)
        root.apply(Whole())


def read_service(eyes: Eyes, tree: ServiceTree, name: str) -> None:
    """The same of one service in the usual layout, in which all that stands below its name is its own."""
    (scope,) = tree.scopes
    tree.apply(Children(scope.root, (name,), 0))
    for event in _read_scope(eyes, scope, f"{scope.root.rstrip('/')}/{name}"):
        tree.apply(event)


def read_root(eyes: Eyes, reducer: Reducer) -> None:
    """Read all that one reducer watches, once."""
    for scope in reducer.scopes:
        for event in _read_scope(eyes, scope):
            reducer.apply(event)


def _read_scope(eyes: Eyes, scope: Scope, start: str = "") -> Iterator[Event]:
    level = [start or scope.root]
    while level:
        spots = {path: spot for path in level if (spot := scope.at(path)) is not None}
        lists = [path for path, spot in spots.items() if spot.lists or path == scope.root]
        ops = [*(Op(GET_DATA, path) for path in spots), *(Op(GET_CHILDREN, path) for path in lists)]
        replies = dict(zip(ops, eyes.read(ops), strict=True))
        level = []
        for path, spot in spots.items():
            node = replies[Op(GET_DATA, path)]
            names = replies.get(Op(GET_CHILDREN, path), ())
            if isinstance(node, Node) and not isinstance(names, Node | int):
                base = path.rstrip("/")
                below = [name for name, _ in scope.children(path, spot, names)]
                listed = [stand_in(name) if is_too_long(f"{base}/{name}") else name for name in below]
                if path in lists:
                    yield Children(path, tuple(listed), node.pzxid)
                if spot.data:
                    yield Data(path, node.data, node.stat)
                for name, as_name in zip(below, listed, strict=True):
                    if name == as_name:
                        level.append(f"{base}/{name}")
                    else:
                        yield Unreadable(f"{base}/{as_name}", TOO_LONG)
            elif NO_AUTH in (node, names):
                yield Unreadable(path, "its ACL does not let us read it")
            elif path == scope.root:
                yield Children(path, (), 0)


class Eyes:
    """Reads of one client, by multiRead as long as the server knows it."""

    def __init__(self, client: KazooClient) -> None:
        self._client = client
        self._read = self._read_many
        self._portion = Portion()

    def read(self, ops: Sequence[Op]) -> list[Reply]:
        """The replies, in order."""
        try:
            return self._read_all(ops)
        except (KazooException, KazooTimeoutError) as error:
            raise Unreachable(f"ZooKeeper does not answer: {type(error).__name__}") from None

    def _read_all(self, ops: Sequence[Op]) -> list[Reply]:
        try:
            return [*self._read(ops)]
        except OLD:
            if self._read == self._read_each:
                raise
            self._read = self._read_each
            again = KazooRetry(max_tries=-1, delay=0.05, max_delay=0.5, deadline=PATIENCE)
            return list(again(lambda: [*self._read_each(ops)]))

    def _read_many(self, ops: Sequence[Op]) -> Iterator[Reply]:
        flying: deque[tuple[tuple[Op, ...], Any]] = deque()
        at = 0
        while at < len(ops) or flying:
            while at < len(ops) and len(flying) < IN_FLIGHT:
                batch = self._portion.of(ops, at)
                at += len(batch)
                flying.append((batch, ask(self._client, MultiRead(batch))))
            batch, result = flying.popleft()
            replies = decode_all(batch, result.get(timeout=PATIENCE))
            self._portion.took(sum(len(reply.data) for reply in replies if isinstance(reply, Node)))
            yield from replies

    def _read_each(self, ops: Sequence[Op]) -> Iterator[Reply]:
        for at in range(0, len(ops), BATCH):
            results = [
                self._client.get_children_async(op.path)
                if op.type == GET_CHILDREN
                else self._client.get_async(op.path)
                for op in ops[at : at + BATCH]
            ]
            for op, result in zip(ops[at : at + BATCH], results, strict=True):
                try:
                    reply = result.get(timeout=PATIENCE)
                except NoNodeError:
                    yield NO_NODE
                except NoAuthError:
                    yield NO_AUTH
                else:
                    yield tuple(reply) if op.type == GET_CHILDREN else _node(*reply)


def _node(data: bytes, stat: Any) -> Node:
    return Node(
        data,
        stat.czxid,
        stat.mzxid,
        stat.pzxid,
        stat.ctime / 1000,
        stat.ephemeralOwner,
        stat.numChildren,
        stat.version,
        stat.mtime / 1000,
    )
