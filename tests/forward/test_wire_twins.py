"""The same packets, recorded ones that somebody meddled with, get the same bytes of both engines over UDP and
TCP: what is ours, what an upstream said before, and what it is asked for the first time."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import time
from contextlib import suppress

import pytest

from fuzz import seeds
from fuzz.mutate import mutate
from support.missing import demand_native
from support.ports import free_port
from support.upstream import addresses, run
from zkdns.answers.builder import Builder
from zkdns.answers.table import Table
from zkdns.config import Address, Settings
from zkdns.dns import names
from zkdns.dns.message import read_reply
from zkdns.forward.forwarder import Forwarder
from zkdns.forward.stored import MAX_TTL, Stored
from zkdns.model import Instance, Registration, Service
from zkdns.serve import engine as engines
from zkdns.serve.dispatch import Dispatcher
from zkdns.serve.respond import is_ours

PACKETS = 150
PATIENCE = (0.2, 0.2, 0.5, 1.0, 4.0, 4.0)
"""Seconds that a reply is waited for. A packet that gets two is sent again: a second may have passed between
the one engine's answer and the other's, or one come late."""
HITS = ("www.example.org", "example.com", "xn--mnchen-3ya.example")
QUERIES = (
    *seeds.QUERIES,
    *(
        seeds.question(name, rtype, tail)
        for name in HITS
        for rtype, tail in ((1, b""), (28, seeds.opt()), (1, seeds.opt(4096, 0x8000)), (16, seeds.opt(512)))
    ),
)
WORDS = (*seeds.PACKET_WORDS, *map(names.wire, HITS), seeds.opt(700, 0x8000, b"\0\x0a\0\x08abcdefgh"))
RECORDS = b"".join(b"\xc0\x0c\0\1\0\1\0\0\x70\x80\0\4\xc0\0\2" + bytes((n,)) for n in range(60))
"""More than fit into a datagram of 512 bytes."""
ONE = Service(
    "web", "web", "/services/web",
    instances=(Instance("i0", "i0", "/services/web/i0", Registration(("10.0.0.5",), port=80), 0.0),),
)  # fmt: skip


class Twin:
    """One engine on sockets of its own, with what both have in their caches."""

    def __init__(self, name: str, upstream: str, stored_at: float) -> None:
        settings = Settings(forward=(upstream,), engine=name)
        self.address = Address("127.0.0.1", free_port())
        self.table = Table()
        cache = engines.choose_cache(settings)
        self.forwarder = Forwarder(settings, cache=cache, is_ours=lambda name: is_ours(name, self.table))
        native = engines.open_native(name, cache)
        self.engine = engines.choose(Dispatcher(self.table, self.forwarder), native)
        self.engine.configure(settings)
        builder = Builder(["svc.local"])
        builder.replace("web", builder.compile(ONE))
        self.engine.apply(builder.take())
        for hit in HITS:
            for flags in (b"\0", b"\1"):
                question = names.wire(hit) + b"\0\1\0\1"
                records = b"".join(
                    b"\xc0\x0c\0\1\0\1\0\0\x70\x80\0\4\xc0\0\2" + bytes((n,)) for n in range(60)
                )
                message = read_reply(b"\0\0\x81\x80\0\1\0\x3c\0\0\0\0" + question + records)
                assert message is not None
                cache.put(question + flags, Stored(message, question + flags, stored_at), 1)

    async def start(self) -> None:
        await self.forwarder.start()
        await self.engine.start([self.address], 1)

    async def stop(self) -> None:
        await self.engine.stop()
        await self.forwarder.stop()
        self.engine.close()

    async def ask(self, packet: bytes, tcp: bool, patience: float) -> bytes:
        """What comes back; nothing, where nothing does in that time."""
        loop = asyncio.get_running_loop()
        kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
        at = ("127.0.0.1", self.address.port)
        with socket.socket(socket.AF_INET, kind) as client, suppress(TimeoutError, ConnectionError):
            client.setblocking(False)
            async with asyncio.timeout(patience):
                await loop.sock_connect(client, at)
                await loop.sock_sendall(client, struct.pack("!H", len(packet)) + packet if tcp else packet)
                reply = await loop.sock_recv(client, 65_535)
                while tcp and len(reply) < 2 + int.from_bytes(reply[:2], "big"):
                    more = await loop.sock_recv(client, 65_535)
                    if not more:
                        break
                    reply += more
                return reply
        return b""


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_a_packet_gets_the_same_bytes_of_both_engines(tcp: bool) -> None:
    demand_native()
    chance = random.Random(f"twins {tcp}")
    async with run(addresses("192.0.2.1", ttl=MAX_TTL)) as upstream:
        stored_at = time.monotonic()
        twins = [Twin(name, upstream.address, stored_at) for name in ("python", "native")]
        for twin in twins:
            await twin.start()
        try:
            packets = [*QUERIES, *(mutate(chance, QUERIES, WORDS)[:2000] for _ in range(PACKETS))]
            answered = 0
            for packet in packets:
                for patience in PATIENCE:
                    replies = [await twin.ask(packet, tcp, patience) for twin in twins]
                    if replies[0] == replies[1]:
                        break
                assert replies[0] == replies[1], packet.hex()
                answered += bool(replies[0])
            assert answered > len(packets) // 2
            hits = [twin.engine.cache_hits() for twin in twins]
            assert min(hits) >= 3 * len(HITS)
        finally:
            for twin in twins:
                await twin.stop()
