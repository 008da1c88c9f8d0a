"""One question over TCP: its reply, however it is cut, and no more than that."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from zkdns.config import Address
from zkdns.forward.sockets import Stream, begin_stream
from zkdns.forward.upstream import Upstream


@pytest.fixture
def ends() -> Iterator[tuple[Stream, socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield Stream(ours), ours, theirs


Ends = tuple[Stream, socket.socket, socket.socket]


def test_a_reply_is_read_byte_by_byte(ends: Ends) -> None:
    stream, _, theirs = ends
    for byte in b"\0\3ab":
        theirs.send(bytes((byte,)))
        assert stream.read() is None
    theirs.send(b"c")
    assert stream.read() == b"abc"


@pytest.mark.parametrize("whole", [b"\0\3abc", b"\0\0"])
def test_no_more_is_read_than_its_length_says(ends: Ends, whole: bytes) -> None:
    stream, ours, theirs = ends
    theirs.send(whole + b"and more")
    assert stream.read() == whole[2:]
    assert ours.recv(100) == b"and more"


@pytest.mark.parametrize("part", [b"", b"\0", b"\0\3", b"\0\3ab"])
def test_one_that_ends_early_is_no_reply(ends: Ends, part: bytes) -> None:
    stream, _, theirs = ends
    theirs.send(part)
    assert stream.read() is None
    theirs.close()
    with pytest.raises(EOFError):
        stream.read()


async def test_the_question_is_sent_behind_its_length() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        upstream = Upstream(Address(*listening.getsockname()))
        with await begin_stream(upstream, b"question") as sock:
            theirs, _ = await asyncio.to_thread(listening.accept)
            with theirs:
                assert theirs.recv(100) == b"\0\x08question"
                assert not sock.getblocking()


async def test_where_nobody_listens_it_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        upstream = Upstream(Address(*listening.getsockname()))
    with pytest.raises(ConnectionRefusedError):
        await begin_stream(upstream, b"question")
