"""A Forwarder before upstreams of the test's own, asked as a listener would ask it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import dns.edns
import dns.flags
import dns.message

from support.upstream import FakeUpstream
from zkdns.answers.table import Table
from zkdns.config import Settings
from zkdns.forward.forwarder import Forwarder
from zkdns.forward.pending import Pending
from zkdns.serve.dispatch import Dispatcher

LOCAL = "127.0.0.1"


@asynccontextmanager
async def forwarding(*upstreams: FakeUpstream | str, **more: object) -> AsyncIterator[Forwarder]:
    forward = tuple(u if isinstance(u, str) else u.address for u in upstreams)
    settings = Settings(forward=forward, **{k: v for k, v in more.items() if k in Settings.__slots__})  # type: ignore[arg-type]
    others = {k: v for k, v in more.items() if k not in Settings.__slots__}
    forwarder = Forwarder(settings, **others)  # type: ignore[arg-type]
    await forwarder.start()
    try:
        yield forwarder
    finally:
        await forwarder.stop()


def query(name: str, rtype: str = "A", **more: object) -> dns.message.Message:
    return dns.message.make_query(name, rtype, **more)  # type: ignore[arg-type]


NOTHING = Table()


def dispatch(
    forwarder: Forwarder, wire: bytes, client: str, limit: int = 1232, table: Table = NOTHING
) -> bytes | Pending:
    """As a listener would, with no zones of ours unless a table is given."""
    dispatcher = Dispatcher(table, forwarder)
    outcome = dispatcher.dispatch(dispatcher.read(wire, client, "udp", limit))
    assert outcome is not None
    assert not dispatcher.errors
    return outcome


async def ask_wire(
    forwarder: Forwarder, wire: bytes, client: str = LOCAL, limit: int = 1232, table: Table = NOTHING
) -> bytes:
    outcome = dispatch(forwarder, wire, client, limit, table)
    return outcome if isinstance(outcome, bytes) else await asyncio.wait_for(outcome.wait(), 10)


def tell(forwarder: Forwarder, wire: bytes, client: str, told: Callable[[bytes], None]) -> None:
    """Has `told` called with the reply, now or later."""
    outcome = dispatch(forwarder, wire, client)
    told(outcome) if isinstance(outcome, bytes) else outcome.then(told)


async def ask(
    forwarder: Forwarder,
    asked: dns.message.Message | str,
    client: str = LOCAL,
    limit: int = 1232,
    table: Table = NOTHING,
) -> dns.message.Message:
    if isinstance(asked, str):
        asked = query(asked)
    answered = dns.message.from_wire(await ask_wire(forwarder, asked.to_wire(), client, limit, table))
    assert answered.id == asked.id
    assert answered.flags & dns.flags.QR
    return answered


def said(message: dns.message.Message) -> list[str]:
    return [rd.to_text() for rrset in message.answer for rd in rrset]


def edes(message: dns.message.Message) -> list[int]:
    return [int(o.code) for o in message.options if isinstance(o, dns.edns.EDEOption)]


class Clock:
    """The machine's, but for the hours that a test lets pass."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead
