"""Requests to ZooKeeper as they go out: those that wait in one write, in order, and no others."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from kazoo.exceptions import ConnectionDropped

from zkdns.registry.zk.adopt import MAX_REQUESTS, adopt


class Connection:
    """What kazoo does with the requests that wait, in a few lines."""

    def __init__(self) -> None:
        self._read_sock, self._write_sock = socket.socketpair()
        self._read_sock.setblocking(False)  # kazoo's own would wait for ever
        self.queue: deque[bytes] = deque()
        self.client = SimpleNamespace(_queue=self.queue)
        self.pending: list[bytes] = []
        self.writes: list[bytes] = []
        self.is_broken = False
        self.room = 1 << 16
        """Bytes that the socket takes without waiting."""
        self._socket = SimpleNamespace(send=self._send)
        self._read_watch_event = self._read = self._read_socket = self._socket_error_handling = None

    def ask(self, *requests: bytes) -> None:
        for request in requests:
            self.queue.append(request)
            self._write_sock.send(b"\0")

    def _send_request(self, read_timeout: float, connect_timeout: float) -> None:
        if not self.queue:
            self._read_sock.recv(1)
            return
        if self.queue[0] == b"expire":
            raise ConnectionDropped("for a test")
        self._write(self.queue[0], connect_timeout)
        request = self.queue.popleft()
        self._read_sock.recv(1)
        self.pending.append(request)

    def _send(self, frame: bytes) -> int:
        if self.is_broken or not self.room:
            raise BlockingIOError if not self.is_broken else BrokenPipeError
        self.writes.append(frame[: self.room])
        return len(self.writes[-1])

    def _write(self, frame: bytes, timeout: float) -> None:
        if self.is_broken:
            raise ConnectionDropped("broken")
        self.writes.append(frame)


@pytest.fixture
def connection() -> Iterator[Any]:
    connection = Connection()
    handler = SimpleNamespace(select=None)
    adopt(SimpleNamespace(_call=None, _connection=connection, handler=handler), lambda events: None)
    yield connection
    connection._read_sock.close()
    connection._write_sock.close()


def test_requests_that_wait_go_out_in_one_write(connection: Connection) -> None:
    connection.ask(b"one", b"two", b"three")
    connection._send_request(1.0, 1.0)
    assert connection.writes == [b"onetwothree"]
    assert connection.pending == [b"one", b"two", b"three"]
    assert not connection.queue


def test_more_than_go_out_at_once_wait_for_the_next_time(connection: Connection) -> None:
    connection.ask(*[b"x"] * (MAX_REQUESTS + 1))
    connection._send_request(1.0, 1.0)
    assert connection.writes == [b"x" * MAX_REQUESTS]
    connection._send_request(1.0, 1.0)
    assert connection.writes == [b"x" * MAX_REQUESTS, b"x"]


def test_a_request_that_is_not_announced_yet_is_not_waited_for(connection: Connection) -> None:
    connection.ask(b"one")
    connection.queue.append(b"two")  # its byte is on its way
    connection._send_request(1.0, 1.0)
    assert connection.writes == [b"one"]
    connection._write_sock.send(b"\0")
    connection._send_request(1.0, 1.0)
    assert connection.writes == [b"one", b"two"]


def test_an_announced_request_that_was_taken_back_costs_its_byte_alone(connection: Connection) -> None:
    connection.ask(b"one", b"two")
    connection.queue.clear()
    connection._send_request(1.0, 1.0)
    assert connection.writes == []
    connection.ask(b"three")
    connection._send_request(1.0, 1.0)
    assert connection.writes == [b"three"]


def test_what_stands_before_one_that_ends_the_connection_goes_out(connection: Connection) -> None:
    connection.ask(b"one", b"expire", b"two")
    with pytest.raises(ConnectionDropped, match="for a test"):
        connection._send_request(1.0, 1.0)
    assert connection.writes == [b"one"]


@pytest.mark.parametrize("room", [0, 1, 5])
def test_what_the_socket_has_no_room_for_goes_out_in_kazoos_way(room: int, connection: Connection) -> None:
    connection.room = room
    connection.ask(b"one", b"two")
    connection._send_request(1.0, 1.0)
    assert connection.writes == [part for part in (b"onetwo"[:room], b"onetwo"[room:]) if part]


def test_one_request_goes_out_without_a_look_at_what_else_waits(connection: Connection) -> None:
    looks: list[int] = []
    sock = connection._read_sock
    connection._read_sock = SimpleNamespace(  # type: ignore[assignment]
        recv=lambda size, *flags: looks.append(len(flags)) or sock.recv(size, *flags), close=sock.close
    )
    connection.ask(b"one")
    connection._send_request(1.0, 1.0)
    assert connection.writes == [b"one"]
    assert looks == [0], "its own byte, and no more"


def test_a_write_that_fails_is_told_and_the_next_is_its_own(connection: Connection) -> None:
    connection.is_broken = True
    connection.ask(b"one")
    with pytest.raises(ConnectionDropped, match="broken"):
        connection._send_request(1.0, 1.0)
    connection.is_broken = False
    connection._write(b"ping", 1.0)
    assert connection.writes == [b"ping"]
