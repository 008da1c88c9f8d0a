"""How many nodes one request reads: as many as make a reply that comes soon.

Rules: pure. ZooKeeper spells a reply as a whole, and answers no ping of the session meanwhile: a hundred
nodes of 1 MiB each, which anybody may write, are a reply that ends the connection, and the next one as well.
What a node holds is not known before it is read. ZooKeeper takes names of nearly 1 MiB, which anybody may
make, and drops whoever sends it a request of 1 MiB (jute.maxbuffer): a node whose path is far longer than any
system makes them is not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from zkdns.registry.zk.wire import Op, size

MAX_READS: Final = 100
"""Reads in one request: 100,000 nodes in 1.4 s, while asyncio beside it is late by a few ms at most."""

FIRST_READS: Final = 25
"""The same where nothing was read yet."""

HEAVY_BYTES: Final = 1024 * 1024
"""Of a reply; what is next is as much less as this one was more."""


BATCH_BYTES: Final = 256 * 1024
"""Of the paths in a request, after which no more are put into it."""

MAX_PATH_CHARACTERS: Final = 8 * 1024
"""The longest are Dubbo's, URLs of two or three thousand. 150 services of 90,000 took a turn of 0.2 s."""

TOO_LONG: Final = f"its path has more than {MAX_PATH_CHARACTERS:,} characters"

SHOWN_CHARACTERS: Final = 60
"""Of such a name."""


def is_too_long(path: str) -> bool:
    """Whether a node is not read, for its name and those above it."""
    return len(path) > MAX_PATH_CHARACTERS


def stand_in(name: str) -> str:
    """What a node is told of by whose name is too long: nobody has to carry a megabyte of it."""
    seal = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{name[:SHOWN_CHARACTERS]}...{seal}"


class Portion:
    """`reads`: so many at most go into the next request."""

    def __init__(self) -> None:
        self.reads = FIRST_READS
        self._most = MAX_READS

    def of(self, ops: Sequence[Op], at: int) -> tuple[Op, ...]:
        """From the one `at` on as many as the next request may have; one at least."""
        end, length = at, 0
        while end < min(len(ops), at + self.reads) and length < BATCH_BYTES:
            length += size(ops[end].path)
            end += 1
        return tuple(ops[at:end])

    def took(self, size: int) -> None:
        """A reply of so many bytes of data."""
        if size > HEAVY_BYTES:
            self.reads = max(1, self.reads * HEAVY_BYTES // size)
        elif 2 * size <= HEAVY_BYTES:
            self.reads = min(2 * self.reads, self._most)

    def lose(self) -> None:
        """The connection ended within a reply, which may have been too long for it."""
        self._most = max(1, min(self._most, self.reads) // 2)
        self.reads = min(FIRST_READS, self._most)

    def end(self) -> None:
        """All was read."""
        self._most = MAX_READS
