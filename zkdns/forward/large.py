"""What a large reply takes of the loop is done in one thread: no flood of them takes more than its part."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Outcome = TypeVar("Outcome")

LARGE_BYTES = 16 << 10
"""A longer reply is read in the thread: one of 64 KB takes some ten milliseconds, and the loop has others. A
longer datagram is none that we asked for: its question goes over TCP."""

large_replies = ThreadPoolExecutor(1, "replies")


def work_out(
    work: Callable[[], Outcome], then: Callable[[Callable[[], Outcome]], object], *, large: bool
) -> None:
    """`then` is given what gives the outcome, or raises what the work raised: at once, or once the thread has
    done the work where it is large."""
    if not large:
        then(work)
        return
    future = asyncio.get_running_loop().run_in_executor(large_replies, work)
    future.add_done_callback(lambda done: then(done.result))
