"""Names that the server itself wants the addresses of, resolved as a client of it would have them resolved.

Rules: lives in the loop; whoever is asked keeps its own time. What is long is read in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from zkdns.dns.message import read_reply, spell_query
from zkdns.dns.names import text, wire
from zkdns.dns.packet import MAX_MESSAGE_BYTES, Query
from zkdns.dns.types import AAAA, IN, NOERROR, NXDOMAIN, A
from zkdns.forward.addresses import Lacking, Resolved, Unresolved, addresses_in
from zkdns.forward.intake import LARGE_BYTES, Intake
from zkdns.forward.pending import Pending

Ask = Callable[[Query], bytes | Pending]


async def resolve(name: str, ask: Ask, intake: Intake, find_lack: Callable[[], str]) -> Resolved:
    """The addresses of a name. Raises Unresolved; Lacking where `find_lack` says what was lacking then."""
    try:
        owner = wire(name)
    except ValueError as error:
        raise Unresolved(str(error)) from None
    try:
        both = await asyncio.gather(_ask(owner, A, ask, intake), _ask(owner, AAAA, ask, intake))
    except Unresolved:
        if lack := find_lack():
            raise Lacking(lack) from None
        raise
    addresses = both[0].addresses + both[1].addresses
    if not addresses:
        raise Unresolved(f"{name} has no address")
    return Resolved(addresses, min(each.ttl for each in both if each.addresses))


async def _ask(owner: bytes, rtype: int, ask: Ask, intake: Intake) -> Resolved:
    question = owner + rtype.to_bytes(2, "big") + IN.to_bytes(2, "big")
    answer = ask(Query(spell_query(0, question, True, 0, True), MAX_MESSAGE_BYTES))
    reply = answer if isinstance(answer, bytes) else await answer.wait()
    reading = partial(_read, reply, owner, rtype)
    return await intake.has_read(reading) if len(reply) > LARGE_BYTES else reading()


def _read(reply: bytes, owner: bytes, rtype: int) -> Resolved:
    message = read_reply(reply)
    if message is None or message.rcode not in (NOERROR, NXDOMAIN):
        raise Unresolved(f"{text(owner)} can't be resolved: no upstream gives an answer")
    if message.rcode == NXDOMAIN:
        raise Unresolved(f"{text(owner)} does not exist")
    return addresses_in(message, owner, rtype)
