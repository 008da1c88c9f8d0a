"""Frames of ZooKeeper's as they come: many in one system call, cut anywhere, and none of another
connection's."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kazoo.protocol.connection import ConnectionDropped

from zkdns.registry.zk.adopt import MAX_FRAME, adopt


class Socket:
    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.calls = 0

    def recv(self, most: int) -> bytes:
        self.calls += 1
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if len(piece) > most:
            self.pieces.insert(0, piece[most:])
        return piece[:most]


class Connection:
    """What kazoo does with the frames of its socket, in a few lines."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.came: list[Any] = []
        """Watch events and other frames, in order."""
        self._socket: Socket
        self._write_sock = self._read_sock = None
        self._read_watch_event: Any = None
        self._send_request = self._write = self.client = None
        self.closes = b"the last"

    @contextmanager
    def _socket_error_handling(self) -> Iterator[None]:
        yield

    def _read(self, length: int, timeout: float) -> bytes:
        read = b""
        while len(read) < length:
            piece = self._socket.recv(length - len(read))
            if not piece:
                raise ConnectionDropped("socket connection broken")
            read += piece
        return read

    def _read_socket(self, timeout: float) -> Any:
        length = int.from_bytes(self._read(4, timeout), "big")
        frame = self._read(length, timeout)
        if frame.startswith(b"\xff\xff\xff\xff") and len(frame) >= 28:
            self._read_watch_event(frame, 16)
            return None
        self.frames.append(frame)
        self.came.append(frame)
        return -11 if frame == self.closes else None


def adopted(*pieces: bytes) -> Connection:
    connection = Connection()
    connection._socket = Socket(*pieces)
    handler = SimpleNamespace(select=None)
    client = SimpleNamespace(_call=None, _connection=connection, handler=handler)
    adopt(client, lambda events: connection.came.append(list(events)))
    return connection


def event(kind: int, path: bytes, size: int | None = None) -> bytes:
    """The frame of a watch event without its length (ZooKeeper's `WatcherEvent`). `size`: how long it says
    that the path is."""
    return struct.pack("!iqiiii", -1, -1, 0, kind, 3, len(path) if size is None else size) + path


def framed(*frames: bytes) -> bytes:
    return b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames)


def test_frames_that_came_together_take_one_call_of_the_system() -> None:
    frames = [b"%d" % n for n in range(1000)]
    connection = adopted(framed(*frames))
    assert connection._read_socket(1.0) is None
    assert connection.frames == frames
    assert connection._socket.calls == 1


def read_in_pieces(frames: list[bytes], lengths: list[int]) -> Connection:
    """All of them, as they come in pieces of these lengths, and the rest in one."""
    stream, pieces = framed(*frames), []
    for length in lengths:
        pieces.append(stream[:length])
        stream = stream[length:]
    connection = adopted(*filter(None, (*pieces, stream)))
    while connection._socket.pieces:
        connection._read_socket(1.0)
    return connection


@given(st.lists(st.binary(max_size=20), max_size=12), st.lists(st.integers(1, 30), max_size=40))
def test_frames_are_the_same_wherever_they_are_cut(frames: list[bytes], lengths: list[int]) -> None:
    connection = read_in_pieces(frames, lengths)
    assert connection.frames == frames


def test_what_comes_after_the_last_frame_is_not_read_and_the_end_is_told() -> None:
    connection = adopted(framed(b"one", b"the last", b"more"))
    assert connection._read_socket(1.0) == -11
    assert connection.frames == [b"one", b"the last"]


def test_another_connection_begins_with_its_own() -> None:
    connection = adopted(framed(b"one") + b"\0\0\0\x09tor")
    with pytest.raises(ConnectionDropped):
        connection._read_socket(1.0)
    connection._socket = Socket(framed(b"two"))
    connection._read_socket(1.0)
    assert connection.frames == [b"one", b"two"]


def test_a_connection_that_ends_and_a_frame_beyond_measure_are_told_as_ever() -> None:
    with pytest.raises(ConnectionDropped):
        adopted()._read_socket(1.0)
    with pytest.raises(ConnectionDropped, match="announces a frame"):
        adopted((MAX_FRAME + 1).to_bytes(4, "big") + b"x")._read_socket(1.0)


def flat(came: list[Any]) -> list[Any]:
    return [one for each in came for one in (each if isinstance(each, list) else [each])]


def test_watch_events_that_came_together_are_handed_on_together_and_the_others_in_their_place() -> None:
    paths = [f"/services/web/{n}" for n in range(300)]
    events = [event(3, path.encode()) for path in paths]
    connection = adopted(framed(*events[:200], b"a reply", *events[200:]))
    connection._read_socket(1.0)
    told = [(3, path) for path in paths]
    assert connection.came == [told[:200], b"a reply", told[200:]]


@given(st.lists(st.integers(1, 60), max_size=40))
def test_watch_events_are_the_same_wherever_they_are_cut(lengths: list[int]) -> None:
    frames = [
        event(1, b"/a"),
        event(2, "/s/ä".encode()),
        b"reply",
        event(4, b""),
        event(3, b"/a/b/c"),
        b"end",
    ]
    connection = read_in_pieces(frames, lengths)
    assert flat(connection.came) == [(1, "/a"), (2, "/s/ä"), b"reply", (4, ""), (3, "/a/b/c"), b"end"]


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (event(3, b"/a", 1000), (3, "/a")),
        (event(3, b"/a", -1), (3, "")),
        (event(3, b"/a\xff"), (3, "/a\ufffd")),
        (event(3, b"/abc", 2), (3, "/a")),
    ],
)
def test_what_an_event_says_of_its_path_reaches_no_other_frame(frame: bytes, told: tuple[int, str]) -> None:
    connection = adopted(framed(frame, b"reply"))
    connection._read_socket(1.0)
    assert flat(connection.came) == [told, b"reply"]


def test_a_frame_that_is_too_short_for_an_event_is_left_to_kazoo() -> None:
    short = event(3, b"")[:-4]
    connection = adopted(framed(short, b"reply"))
    connection._read_socket(1.0)
    assert connection.frames == [short, b"reply"]
