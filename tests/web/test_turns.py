"""HTTP requests are begun a few in a turn of the loop, whoever sent how many, and networks take turns."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.listening import Listening
from zkdns.config import Address
from zkdns.web import http
from zkdns.web.turns import REQUESTS_PER_TURN, Turns, is_probe, whose

ASK = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextmanager
def counted_turns() -> Iterator[list[int]]:
    """How many turns the loop has had so far."""
    loop, turns = asyncio.get_running_loop(), [0]
    handle: list[asyncio.Handle] = []

    def turn() -> None:
        turns[0] += 1
        handle[:] = [loop.call_soon(turn)]

    turn()
    yield turns
    handle[0].cancel()


class One:
    def __init__(self, name: str, began: list[str]) -> None:
        self.name, self.began = name, began

    def take_turn(self) -> bool:
        self.began.append(self.name)
        return self.name != "gone"


def come(turns: Turns, began: list[str], *those: tuple[str, str, bytes]) -> None:
    for name, client, request in those:
        one = One(name, began)
        if turns.come(one, whose(client, is_probe=is_probe(request))):
            one.take_turn()


async def test_a_few_are_begun_in_a_turn_and_those_of_others_are_next() -> None:
    turns, began = Turns(), []  # type: ignore[var-annotated]
    page = b"GET / HTTP/1.1"
    come(turns, began, *[("many", f"192.0.2.{n}", page) for n in range(50)])
    come(turns, began, ("another", "198.51.100.1", page), ("probe", "192.0.2.9", ASK))
    assert len(began) == REQUESTS_PER_TURN, "as soon as they came"
    with counted_turns() as count:
        while len(began) < 52:
            assert len(began) <= REQUESTS_PER_TURN * (count[0] + 1)
            await asyncio.sleep(0)
    assert {"another", "probe"} < {*began[: 2 * REQUESTS_PER_TURN]}


async def test_those_that_have_gone_take_nobodys_turn() -> None:
    turns, began = Turns(), []  # type: ignore[var-annotated]
    come(turns, began, *[("one", "192.0.2.1", b"")] * REQUESTS_PER_TURN)
    come(turns, began, *[("gone", "192.0.2.1", b"")] * 50, *[("one", "192.0.2.1", b"")] * REQUESTS_PER_TURN)
    with counted_turns() as count:
        while began.count("one") < 2 * REQUESTS_PER_TURN:
            await asyncio.sleep(0)
            assert count[0] <= 3


@pytest.mark.parametrize(
    ("request_line", "is_one"),
    [
        (b"GET /health HTTP/1.1", True), (b"HEAD /ready HTTP/1.1", True), (b"GET /health?x=1 HTTP/1.1", True),
        (b"GET /healthz HTTP/1.1", False), (b"GET /metrics HTTP/1.1", False), (b"POST /ready", False),
    ],
)  # fmt: skip
def test_probes_share_turns_with_probes_alone(request_line: bytes, is_one: bool) -> None:
    assert is_probe(request_line) is is_one
    probe = whose("192.0.2.7", is_probe=True)
    assert (whose("192.0.2.1", is_probe=is_one) == probe) is is_one
    assert whose("198.51.100.1", is_probe=True) != probe


@pytest.mark.parametrize(
    ("head", "said"), [(b"", b'{"health":"ok"}'), (b"Expect: much\r\n", b'{"error":"expectation failed"}')]
)
async def test_requests_that_were_sent_behind_each_other_have_turns_of_their_own(
    head: bytes, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    spell, begun = http._json, Counter[int]()
    server = Listening()
    await server.web.start(Address(*server.address))
    with counted_turns() as turns:

        def counting(document: object, status: int = 200) -> http.web.Response:
            begun[turns[0]] += 1
            return spell(document, status)

        monkeypatch.setattr(http, "_json", counting)
        connections = [await asyncio.open_connection(*server.address) for _ in range(12)]
        for _, writer in connections:
            writer.write(ASK.replace(b"\r\n\r\n", b"\r\n" + head + b"\r\n") * 6)
        for reader, writer in connections:
            for _ in range(6):
                await reader.readuntil(said)
            writer.close()
    assert begun.total() == 12 * 6
    assert max(begun.values()) <= REQUESTS_PER_TURN
    await server.web.stop()
