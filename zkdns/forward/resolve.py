"""Names that the server itself wants the addresses of, resolved as a client of it would have them resolved.

Rules: lives in the loop; whoever is asked keeps its own time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from zkdns.dns.message import read_reply, spell_query
from zkdns.dns.names import text, wire
from zkdns.dns.packet import MAX_MESSAGE_BYTES, Query
from zkdns.dns.types import AAAA, IN, NOERROR, NXDOMAIN, A
from zkdns.forward.addresses import Lacking, Resolved, Unresolved, addresses_in
from zkdns.forward.pending import Pending

Ask = Callable[[Query], bytes | Pending]


async def resolve(name: str, ask: Ask, find_lack: Callable[[], str]) -> Resolved:
    """The addresses of a name. Raises Unresolved; Lacking where `find_lack` says what was lacking then."""
    try:
        owner = wire(name)
    except ValueError as error:
        raise Unresolved(str(error)) from None
    try:
        both = await asyncio.gather(_addresses(owner, A, ask), _addresses(owner, AAAA, ask))
    except Unresolved:
        if lack := find_lack():
            raise Lacking(lack) from None
        raise
    addresses = both[0].addresses + both[1].addresses
    if not addresses:
        raise Unresolved(f"{name} has no address")
    return Resolved(addresses, min(each.ttl for each in both if each.addresses))


async def _addresses(owner: bytes, rtype: int, ask: Ask) -> Resolved:
    question = owner + rtype.to_bytes(2, "big") + IN.to_bytes(2, "big")
    answer = ask(Query(spell_query(0, question, True, 0, True), MAX_MESSAGE_BYTES))
    message = read_reply(answer if isinstance(answer, bytes) else await answer.wait())
    if message is None or message.rcode not in (NOERROR, NXDOMAIN):
        raise Unresolved(f"{text(owner)} can't be resolved: no upstream gives an answer")
    if message.rcode == NXDOMAIN:
        raise Unresolved(f"{text(owner)} does not exist")
    return addresses_in(message, owner, rtype)
