"""What only the collector would find, which in the server hardly ever looks at what has lived for a while."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def ended_transports() -> list[object]:
    """Those whose connection is over, and that are still there."""
    return [o for o in gc.get_objects() if isinstance(o, asyncio.Transport) and o.is_closing()]
