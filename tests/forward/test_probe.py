"""Signs of life, on real sockets: which reply is one, and what is learned of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator

import pytest

from support.waiting import until
from zkdns.config import Address
from zkdns.dns.message import spell_query
from zkdns.forward.probe import Probe
from zkdns.forward.resolution import Attempt
from zkdns.forward.upstream import Upstream

QUESTION = b"\3Com\0\0\2\0\1"
SENT_AT, NOW = 10.0, 10.25


@pytest.fixture
def resolver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


@pytest.fixture
def upstream(resolver: socket.socket) -> Upstream:
    return Upstream(Address("127.0.0.1", resolver.getsockname()[1]), dead=True)


async def begin(
    upstream: Upstream, resolver: socket.socket
) -> tuple[dict[Upstream, Probe], Callable[[bytes], object]]:
    """Those under way, and what sends a reply to the one that was begun; its query came as it was spelled."""
    query = spell_query(0x1234, QUESTION, True, 0, True)
    probing: dict[Upstream, Probe] = {}
    attempt = Attempt(upstream, 0x1234, QUESTION, query, SENT_AT)
    probing[upstream] = Probe(attempt, lambda: NOW, probing)
    came, source = await asyncio.get_running_loop().sock_recvfrom(resolver, 512)
    assert came == query
    return probing, lambda reply: resolver.sendto(reply, source)


async def test_a_reply_to_what_was_asked_says_that_it_lives_and_how_long_it_took(
    upstream: Upstream, resolver: socket.socket
) -> None:
    probing, answer = await begin(upstream, resolver)
    answer(b"\x12\x34\x81\x82" + bytes(8) + QUESTION.swapcase())
    await until(lambda: not probing)
    assert (upstream.dead, upstream.latency) == (False, NOW - SENT_AT)


@pytest.mark.parametrize(
    "forged",
    [
        b"\x12\x35\x81\x80" + bytes(8) + QUESTION,
        b"\x12\x34\x01\x00" + bytes(8) + QUESTION,
        b"\x12\x34\x81\x80" + bytes(8) + b"\3net" + QUESTION[4:],
        b"\x12\x34\x81\x80" + bytes(8),
        b"",
    ],
    ids=["another's id", "a query", "another question", "a header alone", "nothing"],
)
async def test_what_answers_something_else_is_no_sign(
    forged: bytes, upstream: Upstream, resolver: socket.socket
) -> None:
    probing, answer = await begin(upstream, resolver)
    answer(forged)
    await asyncio.sleep(0.02)
    assert upstream.dead
    assert upstream in probing
    probing.pop(upstream).close()
