"""The twin law over TCP: the same stream, however it is cut, gets the same replies from both engines."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from support import tables
from support.ports import free_port
from zkdns.answers.builder import Builder
from zkdns.answers.table import Table
from zkdns.config import Address
from zkdns.model import Instance, Registration, Service, ServiceSettings
from zkdns.serve import native
from zkdns.serve.dispatch import Dispatcher
from zkdns.serve.engine import NativeEngine, PythonEngine

pytestmark = pytest.mark.skipif(native.WHY_NOT != "", reason="the native engine is not built")

SEED = 20261128
PATIENCE = 30.0


@pytest_asyncio.fixture
async def both() -> AsyncIterator[tuple[list[Address], Table]]:
    """Where each engine listens, and what they answer from. Every order is the first, since draws differ."""
    made: list[tuple[PythonEngine, Address]] = []
    table = Table()
    for native_one in (False, True):
        answers = Builder(["svc.local"])
        for name, size in (("web", 2), ("none", 0), ("big", 3000)):
            held = tuple(
                Instance(f"i{n}", f"i{n}", f"/s/i{n}", Registration((f"10.0.{n >> 8}.{n & 255}",), 80), 0.0)
                for n in range(size)
            )
            settings = ServiceSettings(answers=4000, policy="first")
            answers.replace(name, answers.compile(Service(name, name, f"/s/{name}", settings, held)))
        dispatcher = Dispatcher(table if not native_one else Table())
        engine = NativeEngine(dispatcher, native.Native()) if native_one else PythonEngine(dispatcher)
        engine.apply(answers.take())
        address = Address("127.0.0.1", free_port())
        await engine.start([address], 2)
        made.append((engine, address))
    yield [address for _, address in made], table
    for engine, _ in made:
        engine.close()


async def replies(at: Address, pieces: list[bytes]) -> Counter[bytes]:
    """What one connection is told that sends these pieces, closes its half, and reads to the end."""
    reader, writer = await asyncio.open_connection(at.host, at.port)

    async def send() -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        writer.write_eof()

    sending = asyncio.create_task(send())
    said = await asyncio.wait_for(reader.read(), PATIENCE)
    await sending
    writer.close()
    await writer.wait_closed()
    found: Counter[bytes] = Counter()
    while said:
        size = int.from_bytes(said[:2], "big")
        assert len(said) >= 2 + size, "a reply is whole"
        found[said[2 : 2 + size]] += 1
        said = said[2 + size :]
    return found


async def test_both_engines_say_the_same_to_any_stream(both: tuple[list[Address], Table]) -> None:
    (one, other), table = both
    chance = random.Random(SEED)
    owners = tables.owners(table)
    seeds = [tables.query(o, t, e) for o in owners for t in (1, 28, 33, 255) for e in (b"", tables.opt())]
    total = 0
    for _ in range(60):
        messages = [tables.mutate(chance, chance.choice(seeds)) for _ in range(chance.randrange(150))]
        messages += [chance.randbytes(chance.randrange(20)) for _ in range(chance.randrange(10))]
        messages += [b""] * chance.randrange(20)
        chance.shuffle(messages)
        stream = b"".join(len(m).to_bytes(2, "big") + m for m in messages)
        stream = stream[: len(stream) - chance.choice((0, 0, 1, 7))]
        cuts = sorted(chance.randrange(len(stream) + 1) for _ in range(chance.randrange(8)))
        pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        told, twin = await asyncio.gather(replies(one, pieces), replies(other, pieces))
        assert told == twin
        total += told.total()
    assert total > 1000
