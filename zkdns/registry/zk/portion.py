"""How many nodes one request reads: as many as make a reply that is soon through.

Rules: pure. ZooKeeper spells a reply as a whole, and answers no ping of the session meanwhile: a hundred
nodes of 1 MiB each, which anybody may write, are a reply that ends the connection, and the next one as well.
What a node holds is not known before it is read.
"""

from __future__ import annotations

from typing import Final

MAX_READS: Final = 100
"""Reads in one request: 100,000 nodes in 1.4 s, while asyncio beside it is late by a few ms at most."""

FIRST_READS: Final = 25
"""The same where nothing was read yet."""

HEAVY_BYTES: Final = 1024 * 1024
"""Of a reply; what is next is as much less as this one was more."""


class Portion:
    """`reads`: so many at most go into the next request."""

    def __init__(self) -> None:
        self.reads = FIRST_READS
        self._most = MAX_READS

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
