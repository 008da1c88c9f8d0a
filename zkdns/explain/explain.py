"""Why an answer is what it is: the reply that would be sent now, and each instance in or out of it.

Rules: pure; it asks the same `respond` as the sockets do, of what a Builder held at one moment, and moves
no position while it looks. ValueError,
in words for people, where the name, the type, the client or a change can't be read.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

import dns.edns
import dns.exception
import dns.message
import dns.rcode
import dns.rdatatype
from msgspec import Struct

from zkdns.answers.builder import build_table
from zkdns.answers.deferred import Asleep
from zkdns.answers.records import DEALT
from zkdns.answers.routed import NOTHING, Beyond, InForce, in_force_at
from zkdns.answers.snapshot import Snapshot
from zkdns.answers.table import Entry, Table, Unready
from zkdns.answers.zone_names import ZoneNames
from zkdns.client_map import client_map
from zkdns.dns import ede, names
from zkdns.dns.packet import MAX_MESSAGE_BYTES
from zkdns.explain import what_if
from zkdns.explain.follow import Follower
from zkdns.explain.locality import place_near, place_zone, stand
from zkdns.explain.notes import notes_on, notes_on_size
from zkdns.explain.routing import TargetShare, target_shares
from zkdns.explain.shares import Shares, place
from zkdns.explain.subject import Subject, locate
from zkdns.model import Instance, Service
from zkdns.serve.request import Request
from zkdns.serve.respond import FORWARD, Outcome, respond_whole
from zkdns.topology import Topology

NO_ROUTES: Final[Mapping[str, InForce]] = MappingProxyType({})
NO_SERVICES: Final[Mapping[str, Service]] = MappingProxyType({})

_AWAY: Final = (ede.STALE_ANSWER, ede.NO_REACHABLE_AUTHORITY)

_OPT: Final = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
"""An OPT record of a client that takes 1232 bytes (RFC 6891, section 6.1.2)."""


class Then(Struct, frozen=True):
    """Another moment: the services as they were answered, and where networks stood; None where they stand
    now. `unknown`: of which nobody knows how they stood."""

    at: float
    services: Mapping[str, Service]
    topology: Topology | None = None
    unknown: frozenset[str] = frozenset()


class Unknown(LookupError):
    """The answer of that moment rests upon a service of which nobody knows how it stood."""


def explain(
    snapshot: Snapshot,
    name: str,
    qtype: str,
    *,
    client: str | None,
    changes: Sequence[str],
    forwards: Callable[[str], bool],
    routes: Mapping[str, InForce] = NO_ROUTES,
    more: Mapping[str, Service] = NO_SERVICES,
    lifted: Mapping[str, Instance] = what_if.NOBODY,
    then: Then | None = None,
) -> dict[str, Any]:
    """The shape of /api/v1/explain. `client`: who asks. `changes`: tried on a copy, see `try_changes`.
    `forwards`: whether names that are not ours are asked upstream for this client. `routes`: those in force;
    `more`: what single registries hold, for changes to lead to; `lifted`: how those stand that changes
    undrain. `then`: in place of the snapshot's moment."""
    qname, rtype = read_name(name), read_type(qtype)
    asker = read_client(client)
    if then is not None:
        snapshot, routes, standing = _set_back(snapshot, then), _routes_of(then), then.services
    else:
        standing = snapshot.standing()
    services = {**more, **standing}
    trial = what_if.try_changes(services, changes, routes, lifted)
    beyond = snapshot.beyond
    before = locate(services, snapshot.zones, qname, beyond)
    services |= trial.touched
    again: Mapping[str, Service] = {}
    follower = None
    if changes or then is not None:
        follower = Follower(services, {**routes, **trial.routes})
        beyond = follower.beyond
        again = {name: services[name] for name in (*follower.composed, *more) if name in services}
        again = {**(then.services if then is not None else {}), **again, **trial.touched}
    subject = locate(services, snapshot.zones, qname, beyond)
    if then is not None and follower is not None:
        _refuse_unknown(then.unknown, subject, follower, bool(snapshot.files))
    case = _Case(snapshot, rtype, asker, services, subject, beyond)
    outcome, table = _respond(case, before, again)
    account, notes = _tell(case, outcome, table, forwards)
    account["notes"] = list(dict.fromkeys([*trial.effects, *notes]))
    return account


class _Case(Struct, frozen=True, eq=False):
    """A question by one client, and what it is about. `services`: all by name, and `beyond`, what their names
    give beside their own instances: as they would be."""

    snapshot: Snapshot
    rtype: dns.rdatatype.RdataType
    asker: str
    services: Mapping[str, Service]
    subject: Subject
    beyond: Callable[[str], Beyond]


def _tell(
    case: _Case, outcome: Outcome, table: Table, forwards: Callable[[str], bool]
) -> tuple[dict[str, Any], Sequence[str]]:
    """The account of what is said, and the notes on it."""
    snapshot, subject, asker = case.snapshot, case.subject, case.asker
    account: dict[str, Any] = {
        "name": names.text(subject.qname).rstrip(".") or ".",
        "type": dns.rdatatype.to_text(case.rtype),
        "rcode": "REFUSED",
        "stale": False,
        "answer": [],
        "instances": [],
        "notes": [],
        "client": stand(snapshot.topology, asker).row(),
    }
    if isinstance(outcome, bytes):
        fields, notes = _tell_reply(case, table, outcome)
        return account | fields, notes
    if outcome is FORWARD and forwards(asker):
        note = "the name is in no zone of ours: an upstream is asked, and what it says is passed on"
        return account | {"rcode": "FORWARDED"}, (note,)
    return account, (_refusal(subject, asker, snapshot.zone_names),)


def _respond(case: _Case, before: Subject, again: Mapping[str, Service]) -> tuple[Outcome, Table]:
    """What is said, and by which table. `before`: what the name is about now; `again`: those that are others
    than in the snapshot."""
    snapshot = case.snapshot
    request = Request(_spell_query(case.subject.qname, case.rtype), case.asker, limit=MAX_MESSAGE_BYTES)
    while True:
        table = _build_table(snapshot, again, case.beyond, before, case.subject)
        try:
            return respond_whole(request, table, snapshot.position_of), table
        except Asleep as asleep:
            again = {**again, asleep.service: snapshot.services[asleep.service].service}


def _tell_reply(case: _Case, table: Table, wire: bytes) -> tuple[dict[str, Any], list[str]]:
    """The fields that a reply fills, and the notes on it."""
    snapshot, subject, rtype = case.snapshot, case.subject, case.rtype
    # Record by record: in one RRset dnspython would lose the order.
    reply = dns.message.from_wire(wire, one_rr_per_rrset=True)
    stale = any(option.code in _AWAY for option in _errors(reply))
    entry = _find_entry(subject, rtype, table, snapshot.position_of)
    placing, nearby = place(subject, rtype, entry, bool(reply.answer)), list[str]()
    beyond = NOTHING if subject.service is None else case.beyond(subject.service.name)
    if entry is not None and subject.service is not None:
        placing, nearby = place_near(placing, entry, snapshot, case.asker, beyond)
    elif subject.kind == "near":
        placing, nearby = _place_zone(subject, rtype, table)
    if reply.rcode() == dns.rcode.SERVFAIL:
        placing = replace(
            placing, outside={i.path: "nothing is given: it is SERVFAIL" for i in subject.group}
        )
    fields: dict[str, Any] = {
        "stale": stale,
        "rcode": dns.rcode.to_text(reply.rcode()),
        "answer": [rdata.to_text() for rrset in reply.answer for rdata in rrset],
        "instances": list(_rows(subject, placing)),
    }
    targets: list[TargetShare] = []
    if subject.route is not None and subject.service is not None and subject.kind != "near":
        targets = target_shares(subject.route, snapshot.recent_first_answers(subject.service.name))
        fields["targets"] = [one.row() for one in targets]
    notes = [*map(_spell, _errors(reply)), *nearby]
    notes += notes_on(subject, placing, reply, case.services, stale, beyond=beyond, targets=targets)
    return fields, [*notes, *notes_on_size(reply, len(wire))]


def _refuse_unknown(unknown: frozenset[str], subject: Subject, follower: Follower, has_files: bool) -> None:
    rests_upon = {name for service in subject.services for name in follower.rests_upon(service.name)}
    # Any service may have had the address, and an alias in a zone file may lead to any.
    if subject.kind == "reverse" or (subject.kind == "zone" and has_files):
        rests_upon |= unknown
    if missing := sorted(unknown & rests_upon):
        raise Unknown(f"how {missing[0]} stood then is not known")


def _set_back(snapshot: Snapshot, then: Then) -> Snapshot:
    """To a moment of which no answers are kept, and nobody knows how old they were."""
    snapshot = replace(snapshot, services={}, staleness={})
    if then.topology is None:
        return snapshot
    clients = replace(client_map(then.topology), trusted=snapshot.clients.trusted)
    return replace(snapshot, topology=then.topology, clients=clients)


def _routes_of(then: Then) -> dict[str, InForce]:
    """Those in force at that moment."""
    routed = ((name, service.stands_for) for name, service in then.services.items())
    return {name: in_force_at(route, then.at)[0] for name, route in routed if route is not None}


def _find_entry(
    subject: Subject, rtype: int, table: Table, position_of: Callable[[Entry], int]
) -> Entry | None:  # fmt: skip
    """What a policy deals for a name and type; some of tags and ports are compiled when they are asked."""
    qname = subject.qname
    entry = table.entries.get(qname + rtype.to_bytes(2, "big"))
    if entry is not None or subject.kind not in ("tag", "port") or rtype not in DEALT:
        return entry
    known = next(name for suffix in names.suffixes(qname) if (name := table.names.get(suffix)) is not None)
    while known.below is not None:
        try:
            given = known.below.answer(qname, rtype, table, position_of, MAX_MESSAGE_BYTES)
            return given if isinstance(given, Entry) else None
        except Unready as unready:
            unready.work()
    return None


def _place_zone(subject: Subject, rtype: int, table: Table) -> tuple[Shares, list[str]]:
    """For a name that asks for a zone itself: who is given."""
    named = _zone_names(subject, table)
    zones = (
        named.arrange(subject.qname, rtype, subject.word, subject.mode) if named and rtype in DEALT else None
    )
    if named is None or zones is None:
        return place(subject, rtype, None, False), []
    if subject.mode == "pin":
        about = named.about(subject.qname, subject.word, subject.mode)
        subject = replace(subject, serving=about.serving, levels=about.levels)
    return place_zone(place(subject, rtype, zones[0], True), named, zones)


def _zone_names(subject: Subject, table: Table) -> ZoneNames | None:
    """Those of the service, where the zone is one that can be asked for."""
    _, _, *above = names.labels(subject.qname)
    known = table.names.get(b"".join(map(names.label, above)) + names.ROOT)
    named = known.responder if known is not None else None
    return named if isinstance(named, ZoneNames) and named.is_there(subject.word) else None


def _build_table(
    snapshot: Snapshot, touched: Mapping[str, Service], beyond: Callable[[str], Beyond],
    before: Subject, after: Subject,
) -> Table:  # fmt: skip
    """A table of the services that the name is about, as they would be."""
    involved = {service.name for subject in (before, after) for service in subject.services}
    if not involved and snapshot.files:
        involved = {*snapshot.services, *touched}  # an alias in a zone file may lead to any
    until = None if snapshot.files else _last_needed(after)
    answers = [
        snapshot.compile(touched[name], beyond(name), until) if name in touched else snapshot.services[name]
        for name in sorted(involved)
    ]
    return build_table(snapshot, answers)


def _last_needed(subject: Subject) -> bytes | None:
    """Which name of its service is the last that needs its records for this one; None where any may."""
    service, zone = subject.service, subject.zone
    if service is None or zone is None or subject.kind == "below":
        return None
    if subject.kind in ("instance", "near"):  # spelled by what stands at the service's own
        return names.label(service.label) + zone.apex
    return subject.qname


# --- in -----------------------------------------------------------------------------------------------


def read_name(text: str) -> bytes:
    """A name in text as it is asked for; an address stands for its reverse name."""
    try:
        return names.reverse(text.strip())
    except ValueError:
        pass
    try:
        return names.wire(text.strip())
    except UnicodeEncodeError:
        raise ValueError(f"{text!r} is no domain name: only ASCII; write xn--… for others") from None
    except ValueError as error:
        raise ValueError(f"{text!r} is no domain name: {str(error).rpartition(': ')[2]}") from None


def read_type(text: str) -> dns.rdatatype.RdataType:
    """A type by its name or number."""
    try:
        return dns.rdatatype.from_text(f"TYPE{text}" if text.isascii() and text.isdigit() else text)
    except (dns.exception.DNSException, ValueError):
        raise ValueError(f"{text!r} is no record type; there are A, AAAA, SRV, TXT, PTR, …") from None


def read_client(text: str | None) -> str:
    """An address as it is compared; this machine where none is given."""
    if not text:
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(text.strip().strip("[]")))
    except ValueError:
        raise ValueError(f"the client {text!r} is no IP address") from None


def _spell_query(qname: bytes, rtype: int) -> bytes:
    counts = b"\0\1" + bytes(4) + b"\0\1"
    return b"\0\0\1\0" + counts + qname + rtype.to_bytes(2, "big") + b"\0\1" + _OPT


# --- out ----------------------------------------------------------------------------------------------


def _errors(reply: dns.message.Message) -> list[dns.edns.EDEOption]:
    """What the reply itself says of its reasons (RFC 8914)."""
    return [option for option in reply.options if isinstance(option, dns.edns.EDEOption)]


def _spell(error: dns.edns.EDEOption) -> str:
    return f"the reply carries EDE {int(error.code)}{f': {error.text}' if error.text else ''}"


def _refusal(subject: Subject, client: str, zone_names: Sequence[str]) -> str:
    zones = ", ".join(zone_names)
    if subject.kind == "reverse":
        return f"no instance has this address, and nothing is forwarded for {client}: REFUSED"
    return f"the name is in no zone of ours ({zones}), and nothing is forwarded for {client}: REFUSED"


def _rows(subject: Subject, placing: Shares) -> Iterator[Mapping[str, Any]]:
    for service, instance in subject.shown():
        given = placing.given(instance)
        yield {
            "id": instance.key,
            "in": given,
            "state": str(instance.state),
            "reason": instance.reason if given or not instance.answered else placing.why_out(instance),
            "share": round(placing.share(instance), 6),
            "service": service.name,
            "weight": instance.weight,
            "priority": instance.registration.priority,
            "address": list(instance.addresses)
            or ([instance.registration.host] if instance.registration.host else []),
        }
