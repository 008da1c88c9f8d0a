"""A question in words that are known, answered without reading it again: what `respond` says, in fewer steps.

Rules: no I/O, no clock, no chance. Says nothing where an answer is long, or more than the table's own to say:
`respond` is asked then.
"""

from __future__ import annotations

from typing import TypeAlias

from zkdns.answers.table import Position, Table
from zkdns.dns.packet import HIGHEST_UDP
from zkdns.dns.reply import RA, close, pack_head
from zkdns.dns.types import AAAA, HTTPS, A
from zkdns.serve.request import Request
from zkdns.serve.respond import MANY, positive, soa_of
from zkdns.serve.wordings import Asked

Given: TypeAlias = tuple[bytes, str, str, str]
"""A reply; the service whose instances it gives, or that has nobody to give; the id of the one that stands
first; the zone where all stand that it gives. "" for none."""

_USUAL = frozenset({A, AAAA, HTTPS})
"""Types that clients ask every name for, whether it has them or not."""


def is_at_hand(request: Request, table: Table) -> bool:
    """Whether `respond_again` may know what to say to those that ask the same."""
    question = request.question
    return request.key in table.entries or (question.rtype in _USUAL and question.name in table.names)


def respond_again(
    asked: Asked, packet: bytes, client: str, table: Table, position: Position, limit: int
) -> Given | None:
    """`asked`: what its words ask; `limit`: bytes that its transport carries."""
    if asked.moment is not table.moment:
        asked.moment, asked.entry = table.moment, table.entries.get(asked.key)
    entry = asked.entry
    if entry is None:
        return _deny_again(asked, packet, table, limit)
    stale = table.stale[entry.origin]
    if entry.variants is not None:
        entry = entry.variants.get(table.clients.class_of(client), entry)
    tiers = entry.tiers
    if stale is None or not tiers:
        return None
    tier = tiers[0]
    records = tier.records
    if len(records) > MANY < entry.cut:
        return None
    n = position(entry)
    rotation = tier.rotation
    sequence = rotation.sequence
    k = sequence[n % len(sequence)]
    first_id = entry.ids[rotation.heads[k]] if entry.ids else ""
    manner = asked.manner
    if len(tiers) == 1 and not entry.repeats:
        order = rotation.getters[k]
        chosen = order(records)
        count, additional = len(chosen), 0
        if tier.extras:
            chosen += order(tier.extras)
            additional = sum(order(tier.extra_counts))
        tail = b"".join(chosen)
        edns, end = manner.edns, asked.end
        if edns is not None:
            additional += 1
            tail += close(stale + entry.ede, edns.do) if stale or entry.ede else manner.opt
        if end + len(tail) <= (manner.room if limit <= HIGHEST_UDP else limit):
            reply = pack_head(packet[:2], manner.flags, 1, count, 0, additional) + packet[12:end] + tail
            return reply, entry.service, first_id, entry.zone
    request = Request(packet, client, limit=limit, forwards=bool(manner.flags & RA))
    return positive(request, entry, n, stale, table), entry.service, first_id, entry.zone


def _deny_again(asked: Asked, packet: bytes, table: Table, limit: int) -> Given | None:
    """The same where the table has nothing of this type."""
    qname, end, manner = asked.key[:-2], asked.end, asked.manner
    edns, opt_bytes = manner.edns, manner.opt
    name = table.names.get(qname)
    if name is None or name.responder is not None:
        return None
    stale = table.stale[name.origin]
    if stale is None:
        return None
    if edns is not None and (stale or name.ede):
        opt_bytes = close(stale + name.ede, edns.do)
    tail = soa_of(qname, table.zones[name.zone]) + opt_bytes
    if end + len(tail) > (manner.room if limit <= HIGHEST_UDP else limit):
        return None
    head = pack_head(packet[:2], manner.flags, 1, 0, 1, 0 if edns is None else 1)
    return head + packet[12:end] + tail, name.service, "", ""
