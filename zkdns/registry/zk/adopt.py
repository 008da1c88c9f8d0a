"""The private parts of kazoo that we touch: its watch events, its requests, its socket.

Rules: kazoo's private names stand in this file (in `sasl`, those of its connecting) and are checked, so
that another kazoo fails at start with one clear line instead of later in a thread. What is called on
kazoo's connection thread only hands things on.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from math import ceil
from typing import Any, Final

import kazoo.version
from kazoo.client import KazooClient
from kazoo.exceptions import ZookeeperError
from kazoo.protocol import serialization
from kazoo.protocol.connection import ConnectionDropped
from kazoo.security import OPEN_ACL_UNSAFE

from zkdns.model import ConfigError
from zkdns.registry.zk.heard import WatchEvent
from zkdns.registry.zk.wire import (
    CONNECTION_LOSS,
    Create,
    Delete,
    Replace,
    SetData,
    Sync,
    What,
)

_EVENT = struct.Struct("!iii")
"""The type of a watch event, the state of its connection, and how long the path is that follows."""

_FRAME = struct.Struct("!iiqiiii")
"""The same with what stands before it: how long the frame is, its xid, zxid and error code."""

_IS_EVENT: Final = -1
"""The xid of a watch event's frame."""

READ_BYTES: Final = 64 * 1024

MAX_REQUESTS: Final = 64
"""Requests that go out in one write, before anything else is looked at."""

MAX_FRAME: Final = 128 * 1024 * 1024
"""Bytes of one reply: a hundred nodes of a mebibyte. kazoo waits for whatever is announced, and keeps it."""


def demand(owner: Any, *names: str) -> Any:
    """The same, if it has all of these names: another kazoo is told at start (ConfigError)."""
    for name in names:
        if not hasattr(owner, name):
            version = kazoo.version.__version__
            raise ConfigError("kazoo", f"version {version} has no {name}; zkdns needs kazoo 2.11")
    return owner


def adopt(client: KazooClient, on_events: Callable[[list[WatchEvent]], None]) -> None:
    """Have `on_events` called with watch events as they come, in order, on kazoo's connection thread.

    It takes the place of kazoo's own dispatch: a client that is adopted has no kazoo watchers.
    """
    demand(client, "_call")
    demand(client.handler, "select").select = wait_for
    names = "_read_watch_event", "_write_sock", "_read", "_read_socket", "_socket_error_handling"
    sending = "_read_sock", "_send_request", "_write", "client"
    connection = demand(getattr(client, "_connection", None), *names, *sending)
    inflow, outflow = _Inflow(connection, on_events), _Outflow(connection)

    def read_watch_event(buffer: bytes, offset: int) -> None:
        kind, _state, length = _EVENT.unpack_from(buffer, offset)
        path = buffer[offset + _EVENT.size :][: max(length, 0)]
        on_events([(kind, str(path, "utf-8", "replace"))])

    connection._read_watch_event = read_watch_event
    connection._read = inflow.read
    connection._read_socket = inflow.read_socket
    connection._send_request = outflow.send_requests
    connection._write = outflow.write


def wait_for(
    readers: Sequence[Any], writers: Sequence[Any], others: Sequence[Any], timeout: float | None = None
) -> tuple[list[Any], list[Any], list[Any]]:
    """Which sockets are ready, as `select.select` has it. kazoo makes and closes an epoll for each look: five
    system calls, and after each of them the thread waits for its turn again."""
    poll = select.poll()
    for one in readers:
        poll.register(one, select.POLLIN)
    for one in writers:
        poll.register(one, select.POLLOUT)
    ready = {number for number, _ in poll.poll(None if timeout is None else ceil(timeout * 1000))}
    return [r for r in readers if r.fileno() in ready], [w for w in writers if w.fileno() in ready], []


class _Inflow:
    """Takes as much from a connection's socket as there is. kazoo makes four system calls for each frame, and
    after each of them the thread waits for its turn again while others work: ten thousand watch events took
    seconds while a large service was compiled. Those that stand one behind another are read here and handed
    on together, at a tenth of what kazoo makes of each."""

    def __init__(self, connection: Any, on_events: Callable[[list[WatchEvent]], None]) -> None:
        self._connection = connection
        self._on_events = on_events
        self._read: Callable[[int, float], bytes] = connection._read
        self._read_socket: Callable[[float], Any] = connection._read_socket
        self._held = b""
        self._at = 0
        """How much of what is held was given."""

    def read(self, length: int, timeout: float) -> bytes:
        """So many bytes, in kazoo's own way where none are held."""
        if not 0 <= length <= MAX_FRAME:
            raise ConnectionDropped(f"what answers announces a frame of {length} bytes")
        begin, end = self._at, self._at + length
        if end <= len(self._held):
            self._at = end
            return self._held[begin:end]
        held, self._held, self._at = self._held[begin:], b"", 0
        return held + self._read(length - len(held), timeout)

    def read_socket(self, timeout: float) -> Any:
        """What kazoo does of one frame, for all that are here. Called where there is something to read."""
        with self._connection._socket_error_handling():
            try:
                self._held = self._connection._socket.recv(READ_BYTES)
            except ssl.SSLWantReadError:
                return None
        if not self._held:
            raise ConnectionDropped("socket connection broken")
        response = None
        try:
            while self._at < len(self._held) and response is None:
                if events := self._take_events():
                    self._on_events(events)
                else:
                    response = self._read_socket(timeout)
        finally:
            self._held, self._at = b"", 0  # another connection begins with its own
        return response

    def _take_events(self) -> list[WatchEvent]:
        """The watch events that are next, whole as they came."""
        held, begin, events = self._held, self._at, []
        while begin + _FRAME.size <= len(held):
            length, xid, _zxid, _error, kind, _state, size = _FRAME.unpack_from(held, begin)
            path, end = begin + _FRAME.size, begin + 4 + length
            if xid != _IS_EVENT or not path <= end <= len(held):
                break
            events.append((kind, str(held[path : min(end, path + max(size, 0))], "utf-8", "replace")))
            begin = end
        self._at = begin
        return events


class _Outflow:
    """Sends the requests that wait in one write, and looks whether its socket takes them only where it does
    not. kazoo sends each by itself, with two looks at its sockets before: the watches on the lists of 5,000
    services were a tenth of a start."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._send_request: Callable[[float, float], None] = connection._send_request
        self._write: Callable[[bytes, float], None] = connection._write
        self._held: list[bytes] | None = None
        """What is to go out together; None where each goes out by itself."""

    def send_requests(self, read_timeout: float, connect_timeout: float) -> None:
        """What kazoo does of one request, for all that wait. Called where there is one at least."""
        waiting = 1
        if len(self._connection.client._queue) > 1:
            # Each is announced by a byte, which kazoo takes with the request, and would wait for.
            waiting = len(self._connection._read_sock.recv(MAX_REQUESTS, socket.MSG_PEEK))
        held = self._held = []
        try:
            for _ in range(waiting):
                self._send_request(read_timeout, connect_timeout)
        finally:
            self._held = None
            if held:
                self._send(b"".join(held), connect_timeout)

    def _send(self, frame: bytes, timeout: float) -> None:
        try:
            sent = self._connection._socket.send(frame)
        except OSError:  # kazoo's own way waits until there is room, or tells what is wrong
            sent = 0
        if sent < len(frame):
            self._write(frame[sent:], timeout)

    def write(self, frame: bytes, timeout: float) -> None:
        if self._held is None:
            self._write(frame, timeout)
        else:
            self._held.append(frame)


class Outcome:
    """Stands where kazoo has its AsyncResult: what comes of a request is handed on at once, on kazoo's
    connection thread. So it arrives in the order of ZooKeeper's replies and events (kazoo's own results
    take another thread, and lose that order: kazoo #645). An `int` is ZooKeeper's error code."""

    __slots__ = ("_done",)

    def __init__(self, done: Callable[[Any], None]) -> None:
        self._done = done

    def set(self, value: Any) -> None:
        # Of a transaction kazoo gives a result for each part, and an error for each that was not done.
        errors = [one for one in value if isinstance(one, Exception)] if isinstance(value, list) else []
        self._done(min(map(_code, errors)) if errors else value)

    def set_exception(self, error: BaseException) -> None:
        self._done(_code(error))


def _code(error: BaseException) -> int:
    code = getattr(error, "code", None)
    return code if isinstance(error, ZookeeperError) and isinstance(code, int) and code else CONNECTION_LOSS


def send(client: KazooClient, what: What, done: Callable[[Any], None]) -> None:
    """Queue a request; `done` is given what comes of it, on kazoo's connection thread."""
    client._call(_spell(client, what), Outcome(done))


def ask(client: KazooClient, what: What) -> Any:
    """The same for who waits: gives kazoo's AsyncResult."""
    result = client.handler.async_result()
    client._call(_spell(client, what), result)
    return result


def _spell(client: KazooClient, what: What) -> Any:
    acl = client.default_acl or OPEN_ACL_UNSAFE
    match what:
        case Sync(path):
            return serialization.Sync(path)
        case Create(path, data, ephemeral):
            return serialization.Create(path, data, acl, int(ephemeral))
        case SetData(path, data):
            return serialization.SetData(path, data, -1)
        case Delete(path, version):
            return serialization.Delete(path, version)
        case Replace(path, data, version):
            both = (
                serialization.Delete(path, version),
                serialization.Create(path, data, acl, 1),
            )
            return serialization.Transaction(both)
    return what


def cut(client: KazooClient) -> None:
    """Break the TCP connection, so that a `stop()` that waits for a frozen server ends at once."""
    connected = getattr(client._connection, "_socket", None)
    if connected is not None:
        try:
            connected.shutdown(socket.SHUT_RDWR)
        except (OSError, ValueError):
            pass
