"""What HTTP's tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from support.listening import Listening
from zkdns.config import Address


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Listening]:
    one = Listening()
    await one.web.start(Address(*one.address))
    yield one
    await one.web.stop()
