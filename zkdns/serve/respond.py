"""One request in, one outcome out: the reply's bytes, FORWARD, what to follow outside, or None (drop).

Rules: no I/O, no clock, no chance; raises on no packet, save `Asleep` of a service that is not compiled yet.
The plain case is first and short; the rest follows the order of RFC 1035 and RFC 6891. The native engine is
this module's twin for the plain case, byte for byte.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

from msgspec import Struct

from zkdns.answers import on_demand
from zkdns.answers.table import EVERY, FILES, Entry, Name, Position, Sections, Table, Unready, Zone
from zkdns.dns import ede, names, subnet
from zkdns.dns.packet import DROP, NSID
from zkdns.dns.records import RECORD_BYTES, RFC8482, pointer, txt
from zkdns.dns.reply import AA, QR, Reply, close, fail, opt, pack_head
from zkdns.dns.types import AAAA, ANY, CH, FORMERR, IN, NOERROR, NXDOMAIN, OPT, REFUSED, SERVFAIL, TXT, A
from zkdns.serve.request import Request


class Forward(enum.Enum):
    """Not ours: an upstream may know."""

    FORWARD = enum.auto()


FORWARD = Forward.FORWARD


class Follow(Struct, frozen=True):
    """An alias of ours that leads outside, for a client that may have names forwarded: an upstream may
    know the rest. `answer`: what is ours of it; `options`: what is to be said of that."""

    name: bytes
    answer: tuple[bytes, ...]
    options: bytes


class Wait(Struct, frozen=True):
    """The answer is compiled first, elsewhere: `unready` tells how. Then `resume` says what respond would."""

    name: Name
    unready: Unready


Outcome: TypeAlias = bytes | Forward | Follow | None

_NO_DATA = frozenset({0, OPT, 249, 250, 251, 252, 253, 254})
"""Types that name no data: OPT, TKEY, TSIG, IXFR, AXFR, MAILB, MAILA (RFC 6895, section 3.1)."""

MANY = 100
"""Records from which on an answer is put together with more care for its length."""

_NOTHING = Sections()
_ID_SERVER = names.wire("id.server")


def next_position(entry: Entry) -> int:
    """The next number of this Entry's own counter: two services asked in turn don't resonate."""
    counter = entry.counter
    n = counter.position
    counter.position = n + 1
    return n


def identity(version: str, host: str) -> dict[bytes, str]:
    """What the CHAOS names say (RFC 4892), and NSID (RFC 5001)."""
    texts = {"version.bind": version, "version.server": version, "id.server": host, "hostname.bind": host}
    return {names.wire(name): text for name, text in texts.items()}


def respond(request: Request, table: Table, position: Position) -> Outcome | Wait:
    """What the table says to this request; FORWARD where the name is not ours. `position` gives an Entry's
    place in its rotation."""
    edns = request.edns
    if edns is not None and edns.subnet is not None and not _hear_subnet(request, edns.subnet, table):
        return fail(request, FORMERR, flags=request.ra)
    entry = table.entries.get(request.key)
    if entry is not None:
        stale = table.stale[entry.origin]
        if stale is None:
            return _failed(request, entry.origin, table)
        if entry.variants is not None:
            entry = entry.variants.get(request.client_class(table.clients), entry)
            if not entry.tiers:
                return _no_data(request, table.names[request.question.name], table, position)
        return positive(request, entry, position(entry), stale, table)
    if request.fault:
        return None if request.fault == DROP else fail(request, request.fault, flags=request.ra)
    question = request.question
    if question.rclass != IN:
        return _chaos(request, table) if question.rclass == CH else refuse(request, "class not served")
    if question.rtype in _NO_DATA:
        return refuse(request, "type not served")
    name = table.names.get(question.name)
    return _missing(request, table, position) if name is None else _no_data(request, name, table, position)


def respond_whole(request: Request, table: Table, position: Position) -> Outcome:
    """The same where there is time: what is to be compiled first is, here and now."""
    outcome = respond(request, table, position)
    return finish(request, outcome, table, position) if isinstance(outcome, Wait) else outcome


def finish(request: Request, waits: Wait, table: Table, position: Position) -> bytes | Follow:
    """What is to be said, once it was compiled here and now."""
    outcome: bytes | Follow | Wait = waits
    while isinstance(outcome, Wait):
        outcome.unready.work()
        outcome = resume(request, outcome.name, table, position)
    return outcome


def resume(request: Request, name: Name, table: Table, position: Position) -> bytes | Follow | Wait:
    """What is to be said now that it was compiled. `name`: the one that was not ready."""
    return _by_responder(request, name, table, position)


def _hear_subnet(request: Request, data: bytes, table: Table) -> bool:
    """Whom a resolver of ours speaks for (RFC 7871); from others that is an option like any. Returns whether
    it is well formed."""
    if not request.fault and table.clients.trusts(request.client):
        request.subnet = subnet.read(data)
        return request.subnet is not None
    return True


def is_ours(name: bytes, table: Table) -> bool:
    """Whether this name, in lower case, is ours to answer for: whatever it asks, it is not forwarded."""
    if name in table.names or any(suffix in table.names for suffix in names.suffixes(name)):
        return True
    return names.address_of(name) in table.holders


def refuse(request: Request, why: str) -> bytes:
    """REFUSED, and why in a few words for people."""
    return fail(request, REFUSED, ede.option(ede.PROHIBITED, why), request.ra)


def positive(request: Request, entry: Entry, n: int, stale: bytes, table: Table) -> bytes:
    """The n-th answer of this Entry."""
    run = _run(entry, n)
    if run is None:
        return _positive_tiers(request, entry, n, stale, table)
    count, records, additional = run
    opt_bytes = b""
    packet, end, edns = request.packet, request.end, request.edns
    if edns is not None:
        additional += 1
        options = stale + entry.ede
        asked = edns.nsid or request.subnet is not None
        opt_bytes = opt(_options(request, table, options), edns.do) if asked else close(options, edns.do)
    if end + len(records) + len(opt_bytes) > request.room:
        return _positive_tiers(request, entry, n, stale, table)
    flags = QR | AA | request.ra | (packet[2] & 1) << 8
    head = pack_head(packet[:2], flags, 1, count, 0, additional)
    return b"".join((head, packet[12:end], records, opt_bytes))


def _run(entry: Entry, n: int) -> tuple[int, bytes, int] | None:
    """The n-th answer of this Entry: its records in one run, how many of them are answers and how many
    additional; None where several tiers, many records or additional ones that repeat need more care."""
    tiers = entry.tiers
    tier = tiers[0]
    rotation = tier.rotation
    k = rotation.sequence[n % len(rotation.sequence)]
    if len(tiers) > 1 or entry.repeats or (len(tier.records) > MANY and rotation.length(k) > MANY):
        return None
    order = rotation.getters[k]
    chosen = order(tier.records)
    if not tier.extras:
        return len(chosen), b"".join(chosen), 0
    return len(chosen), b"".join(chosen + order(tier.extras)), sum(order(tier.extra_counts))


def _positive_tiers(request: Request, entry: Entry, n: int, stale: bytes, table: Table) -> bytes:
    """The same where there are several tiers, many records, additional ones that repeat, or little room."""
    chosen: list[bytes] = []
    extras: list[tuple[bytes, int]] = []
    most = request.room // RECORD_BYTES + 1
    reply, options = Reply(request, AA | request.ra), _options(request, table, stale + entry.ede)
    for tier in entry.tiers:
        rotation = tier.rotation
        k = rotation.sequence[n % len(rotation.sequence)]
        if len(chosen) + rotation.length(k) > most:
            # So many fill the reply, and the rest need not be given: thousands over UDP cost no more.
            chosen += [tier.records[i] for i in rotation.head(k, most - len(chosen))]
            return reply.write(NOERROR, chosen, options=options)
        order = rotation.getters[k]
        chosen += order(tier.records)
        if tier.extras:
            extras += zip(order(tier.extras), order(tier.extra_counts), strict=True)
    if entry.repeats:
        extras = list(dict.fromkeys(extras))
    counts = [count for _, count in extras] or [0]
    return reply.write(NOERROR, chosen, (), [records for records, _ in extras], options, counts)


def _no_data(request: Request, name: Name, table: Table, position: Position) -> bytes | Follow | Wait:
    """The name is there; the table has nothing of this type for it."""
    if name.responder is not None:
        return _by_responder(request, name, table, position)
    stale = table.stale[name.origin]
    if stale is None:
        return _failed(request, name.origin, table)
    if request.question.rtype == ANY:
        return _on_demand(request, Sections((RFC8482,)), name.zone, stale, table)
    return _negative(request, NOERROR, stale + name.ede, name.zone, table)


def _missing(request: Request, table: Table, position: Position) -> Outcome | Wait:
    """The name is not there: its closest encloser (RFC 4592, section 3.3.1) decides."""
    qname = request.question.name
    for suffix in names.suffixes(qname):
        encloser = table.names.get(suffix)
        if encloser is None:
            continue
        if encloser.responder is not None:
            return _by_responder(request, encloser, table, position)
        stale = table.stale[encloser.origin]
        if stale is None:
            return _failed(request, encloser.origin, table)
        if encloser.instances and len(suffix) + qname[0] + 1 == len(qname):
            sections = _instance(request, encloser)
            if sections is not None:
                return _on_demand(request, sections, encloser.zone, stale, table)
        if encloser.below is not None:
            return _by_responder(request, encloser, table, position)
        stale = table.stale[EVERY]  # each registry might have it
        if stale is None:
            return _failed(request, EVERY, table)
        return _negative(request, NXDOMAIN, stale, encloser.zone, table)
    reverse = on_demand.reverse(table, qname, request.question.rtype)
    if reverse is None:
        return FORWARD
    sections, origin = reverse
    stale = table.stale[origin]
    if stale is None:
        return _failed(request, origin, table)
    return _on_demand(request, sections, 0, stale, table)


def _by_responder(request: Request, name: Name, table: Table, position: Position) -> bytes | Follow | Wait:
    responder = name.responder or name.below
    assert responder is not None  # noqa: S101
    stale = table.stale[name.origin]
    if stale is None:
        return _failed(request, name.origin, table)
    try:
        question = request.question
        sections = responder.answer(question.name, question.rtype, table, position, request.room)
    except Unready as unready:
        return Wait(name, unready.with_traceback(None))  # else its frames live as long, with all they hold
    if isinstance(sections, Entry):
        return positive(request, sections, position(sections), stale, table)
    if sections.by_client is not None:
        sections = sections.by_client(request.client_class(table.clients))
    if sections.rcode == NXDOMAIN and name.origin != FILES:
        stale = table.stale[EVERY]
        if stale is None:
            return _failed(request, EVERY, table)
    if sections.rcode == SERVFAIL and not sections.answer:
        stale = b""  # why nothing is said is more than how old it would be
    return _on_demand(request, sections, name.zone, stale, table)


def _instance(request: Request, service: Name) -> Sections | None:
    """The name of one instance, one label below its service's; None where there is none of it."""
    assert service.instances is not None  # noqa: S101
    qname, rtype = request.question.name, request.question.rtype
    label = qname[1 : 1 + qname[0]]
    addresses = service.instances.get(label)
    if addresses is None:
        return None
    if rtype == A:
        return Sections(_slices(addresses.a, 16))
    if rtype == AAAA:
        return Sections(_slices(addresses.aaaa, 28))
    if rtype == ANY:
        return Sections((RFC8482,))
    return service.spell(label, rtype) if service.spell else Sections()


def _slices(run: bytes, length: int) -> tuple[bytes, ...]:
    return tuple(run[k : k + length] for k in range(0, len(run), length))


def _on_demand(request: Request, sections: Sections, zone: int, stale: bytes, table: Table) -> bytes | Follow:
    """A reply of what was spelled on demand; where that is nothing, the zone's SOA."""
    if not sections.answer and not sections.authority and sections.rcode in (NOERROR, NXDOMAIN):
        return _negative(request, sections.rcode, stale + sections.ede, zone, table, sections)
    answer = sections.answer
    reply = Reply(request, request.ra | (AA if sections.aa else 0))
    options = _options(request, table, stale + sections.ede)
    if len(answer) > request.room // RECORD_BYTES:
        # So many don't fit, and reading them all would cost a client's neighbours (61 bytes ask for it).
        return reply.write(sections.rcode, answer[: request.room // RECORD_BYTES + 1], options=options)
    if sections.outside and request.ra and request.packet[2] & 1:
        return Follow(sections.outside, answer, options)
    return reply.write(
        sections.rcode, answer, sections.authority, sections.additional, options, sections.additional_counts
    )


def _negative(
    request: Request, rcode: int, options: bytes, index: int, table: Table, sections: Sections = _NOTHING
) -> bytes:
    """Nothing there: the SOA in authority says for how long (RFC 2308). `options`: what is said of that."""
    soa = soa_of(request.question.name, table.zones[index])
    packet, end, edns = request.packet, request.end, request.edns
    opt_bytes = b""
    if edns is not None:
        asked = edns.nsid or request.subnet is not None
        opt_bytes = opt(_options(request, table, options), edns.do) if asked else close(options, edns.do)
    if sections.additional or not sections.aa or end + len(soa) + len(opt_bytes) > request.room:
        reply = Reply(request, request.ra | (AA if sections.aa else 0))
        return reply.write(rcode, (), (soa,), sections.additional, _options(request, table, options))
    flags = QR | AA | request.ra | (packet[2] & 1) << 8 | rcode
    head = pack_head(packet[:2], flags, 1, 0, 1, 1 if edns is not None else 0)
    return b"".join((head, packet[12:end], soa, opt_bytes))


def soa_of(qname: bytes, zone: Zone) -> bytes:
    """The record that stands where there is nothing else."""
    inside = qname.endswith(zone.apex)  # save for a reverse name: its SOA stands elsewhere
    return (pointer(qname, zone.apex) if inside else zone.apex) + zone.soa


def _failed(request: Request, origin: int, table: Table) -> bytes:
    """There is nothing that could be answered from: never NXDOMAIN then."""
    return fail(request, SERVFAIL, _options(request, table, table.staleness[origin].failure), request.ra)


def _chaos(request: Request, table: Table) -> bytes:
    """version.bind and its kin (RFC 4892); nothing else is served in this class."""
    text = table.identity.get(request.question.name)
    if text is None:
        return refuse(request, "name not served")
    record = txt([text], 0)
    record = record[:4] + CH.to_bytes(2, "big") + record[6:]
    answer = (record,) if request.question.rtype in (TXT, ANY) else ()
    return Reply(request, AA | request.ra).write(NOERROR, answer, options=_options(request, table, b""))


def _options(request: Request, table: Table, options: bytes) -> bytes:
    """The options of a reply of ours, and before them who we are and for whom it is, where that was asked."""
    if request.edns is None:
        return b""
    if request.subnet is not None:
        options = request.subnet.option(request.scope) + options
    return _nsid(table) + options if request.edns.nsid else options


def _nsid(table: Table) -> bytes:
    """The NSID option (RFC 5001)."""
    identity = table.identity.get(_ID_SERVER, "").encode()
    return NSID + len(identity).to_bytes(2, "big") + identity
