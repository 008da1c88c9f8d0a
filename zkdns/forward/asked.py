"""One question under way: who asked it, and who waits for what comes of it.

Rules: does no I/O; bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from zkdns.dns import names
from zkdns.forward.load import MAX_WAITERS, Room
from zkdns.forward.pending import Pending
from zkdns.forward.stored import Kept

if TYPE_CHECKING:
    from zkdns.forward.alarms import Alarm
    from zkdns.forward.transport import Transport


class Asked(Struct, eq=False):
    """`client`, `network`: on whose account it is, None for ours; `room`: for those who wait."""

    key: bytes
    rd: bool
    client: str | None
    network: bytes | None = None
    transport: Transport | None = None
    stale: Kept | None = None
    waiting: list[Pending] = []
    room: Room = field(default_factory=lambda: Room(MAX_WAITERS))
    patience: Alarm | None = None

    @property
    def whose(self) -> bytes:
        """In whose turns it is sent, and what comes read: the network's; what we ask for ourselves has those
        of its domain, for who owns that says how much comes."""
        return self.network if self.network is not None else names.domain_of(self.key[:-5])

    def wait(self, pending: Pending, network: bytes | None) -> None:
        """One more of this network's waits, None for ours."""
        self.waiting.append(pending)
        self.room.take(network)

    def take_waiting(self) -> list[Pending]:
        """Those who wait, who do so no more."""
        waiting, self.waiting, self.room = self.waiting, [], Room(MAX_WAITERS)
        return waiting


def in_flight_key(key: bytes, rd: bool) -> bytes:
    """Where a question under way is found: one that asks for no recursion is a question of its own."""
    return key + b"\1" if rd else key
