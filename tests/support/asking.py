"""Packets answered as the sockets would have them answered, without sockets."""

from __future__ import annotations

from support.tables import Answers
from zkdns.answers.table import Position, Table
from zkdns.dns.packet import HIGHEST_UDP
from zkdns.serve.dispatch import Dispatcher
from zkdns.serve.request import Request
from zkdns.serve.respond import Outcome, next_position
from zkdns.serve.respond import respond_whole as respond_to


def respond(
    packet: bytes,
    table: Table | Answers,
    limit: int = HIGHEST_UDP,
    position: Position = next_position,
    ra: int = 0,
    client: str = "",
) -> Outcome:
    """What `respond` says to this packet; `ra`: 0x80 where the client may have names forwarded."""
    if isinstance(table, Answers):
        table = table.table
    return respond_to(Request(packet, client, limit=limit, forwards=bool(ra)), table, position)


def reply_of(
    dispatcher: Dispatcher, packet: bytes, client: str = "192.0.2.1", limit: int = HIGHEST_UDP
) -> bytes | None:
    """The reply over UDP that is there at once; None for none."""
    outcome = dispatcher.dispatch(dispatcher.read(packet, client, limit=limit))
    return outcome if isinstance(outcome, bytes) else None
