"""The notes beside an explained answer: what a person would ask next.

Rules: pure; each note is one short sentence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from zkdns.answers.notes import notes_on_names
from zkdns.answers.records import DEALT
from zkdns.answers.routed import Beyond, Routed, as_routed, notes_of_given
from zkdns.dns import ede, names
from zkdns.dns.types import AAAA, SRV, A
from zkdns.explain.routing import TargetShare
from zkdns.explain.shares import Shares
from zkdns.explain.subject import Subject
from zkdns.lists import list_near
from zkdns.model import Service

MIN_UDP_BYTES, EDNS, OPT_BYTES = 512, 1232, 11
"""Bytes: an answer without EDNS, one with it, and its OPT record."""


def notes_on(
    subject: Subject,
    placing: Shares,
    reply: dns.message.Message,
    services: Mapping[str, Service],
    stale: bool,
    *,
    beyond: Beyond,
    targets: Sequence[TargetShare] = (),
) -> Iterator[str]:
    """What there is to say about the reply. `beyond`: what the service's names give beside its own instances;
    `targets`: of the route that the name is."""
    yield from _on_names(subject, placing.rtype, beyond)
    rcode = reply.rcode()
    if rcode == dns.rcode.NXDOMAIN and reply.answer:
        yield f"an alias leads to {reply.answer[-1][0]}, which is not there"
    elif rcode == dns.rcode.NXDOMAIN:
        yield from _on_missing(subject, services)
    elif rcode == dns.rcode.SERVFAIL:
        if any(isinstance(o, dns.edns.EDEOption) and o.code == ede.NOT_READY for o in reply.options):
            yield "until all is read nobody can say that a name is not there: it is SERVFAIL, not NXDOMAIN"
    elif rcode == dns.rcode.NOERROR and not reply.answer:
        if reply.flags & dns.flags.AA:
            yield from _on_nothing(subject, placing)
            if subject.route is not None:
                yield from _on_route(subject.route, targets)
        else:
            yield f"delegated: the servers of {reply.authority[0].name} answer for it"
    elif placing.rtype in DEALT:
        yield from _on_dealt(subject, placing, targets)
    if stale:
        yield "the registry is out of reach: this is what was last known"


def _on_names(subject: Subject, rtype: int, beyond: Beyond) -> Iterator[str]:
    service = subject.service
    if service is None:
        return
    if service.label != service.name:
        yield f"registered as {service.name!r}, which is no DNS label: folded to {service.label!r}"
    if subject.kind == "instance":
        (instance,) = subject.group
        if instance.known_as:
            where = f"registered as {instance.id!r} in {instance.registry}"
            yield f"{where}: another of the service has that name"
        elif instance.label != instance.id:
            yield f"registered as {instance.id!r}, which is no DNS label: folded to {instance.label!r}"
        if rtype in DEALT:
            yield "an instance's own name is answered for as long as it is registered, whatever its state"
    elif subject.kind == "tag":
        shown = sum(1 for _ in subject.shown())
        yield f"those with the tag {subject.word!r}: {len(subject.group)} of {shown}"
    elif subject.kind in ("protocol", "port") and len(subject.group) < len(service.instances):
        which = f"a port named {subject.port!r}" if subject.port else f"protocol {subject.word}"
        yield f"those with {which}: {len(subject.group)} of {len(service.instances)}"
    if subject.route is not None:
        yield from notes_of_given(service, subject.route)
    elif subject.kind != "instance" and (
        note := notes_on_names(service, beyond.guests, beyond.notes).on(subject.serving)
    ):
        yield note


def _on_missing(subject: Subject, services: Mapping[str, Service]) -> Iterator[str]:
    wanted = names.labels(subject.qname)[0].decode("latin-1")
    service = subject.service
    if subject.zone is None:
        yield "no record of a zone file has this name"
        return
    if service is not None and subject.kind == "near":
        zones = sorted({i.registration.zone for i in service.instances if i.registration.zone})
        yield f"{wanted!r} is no zone of the map or of {service.name}; {list_near(wanted, zones)}"
        return
    if service is not None:
        about = f"no instance, tag or port of {service.name}"
        views = [one for one in services.values() if one.view_of == service.name]
        known = {i.label for one in (service, *views) for i in one.instances}
        known |= {tag for i in service.instances for tag in i.registration.tags}
        known |= {registry for view in views for registry in view.registries}
        yield f"{wanted!r} is {about}; {list_near(wanted, sorted(known))}"
        return
    own = names.labels(subject.qname[: -len(subject.zone.apex)] + names.ROOT)
    wanted = own[-1].decode("latin-1") if own else wanted
    labels = {service.label for service in services.values()}
    yield f"no service {wanted!r} is registered; {list_near(wanted, labels)}"


def _on_nothing(subject: Subject, placing: Shares) -> Iterator[str]:
    """Why it is NODATA."""
    service, rtype = subject.service, placing.rtype
    if service is None or subject.kind == "below":
        yield "NODATA: the name exists, and has nothing of this type"
        return
    about = service.name
    shown = dns.rdatatype.to_text(dns.rdatatype.RdataType(rtype))
    if subject.kind == "instance":
        yield (
            f"NODATA: {subject.group[0].id} has {_lack(rtype, None)}"
            if rtype in DEALT
            else (f"NODATA: an instance has A, AAAA, SRV and TXT, no {shown}")
        )
    elif rtype not in DEALT:
        types = "SRV and PTR" if subject.kind in ("protocol", "port") else "A, AAAA, SRV and TXT"
        types = "A, AAAA and SRV" if subject.kind in ("tag", "near") else types
        yield f"NODATA: the name has {types}, no {shown}"
    elif subject.kind == "tag" and not subject.group:
        yield "NODATA: nobody holds this office now"
    elif not (service.instances or subject.group):
        yield f"NODATA: no instance of {about} is registered"
    elif subject.kind in ("protocol", "port") and rtype != SRV:
        yield f"NODATA: the name has SRV, no {shown}"
    elif not (serving := subject.serving):
        states = Counter(str(i.state) for i in subject.group)
        counts = ", ".join(f"{n} {state}" for state, n in states.most_common())
        yield f"NODATA: none of {len(subject.group)} is given out{f' ({counts})' if counts else ''}"
    elif rtype == SRV:
        yield f"NODATA: none of those that are given out has {_lack(rtype, subject.port, True)}"
    else:
        priority = serving[0][0].registration.priority
        lack = _lack(rtype, None, True)
        yield f"NODATA: none of those that are given out has {lack} (priority {priority}, the lowest)"


def _lack(rtype: int, port: str | None, any: bool = False) -> str:
    word = {A: "IPv4 address", AAAA: "IPv6 address", SRV: f"port named {port}" if port else "main port"}[
        rtype
    ]
    return f"{'an' if word[0] == 'I' else 'a'} {word}" if any else f"no {word}"


def _on_dealt(subject: Subject, placing: Shares, targets: Sequence[TargetShare]) -> Iterator[str]:
    service = subject.service
    if service is None or subject.kind == "instance":
        return
    giver = service if subject.route is None else as_routed(service, subject.route)
    serving = subject.serving
    out = [i for i in subject.group if not i.answered]
    if out:
        states = ", ".join(f"{n} {state}" for state, n in Counter(str(i.state) for i in out).most_common())
        yield f"{len(out)} of {len(subject.group)} {'is' if len(out) == 1 else 'are'} not given out: {states}"
    if subject.route is not None:
        yield from _on_route(subject.route, targets)
    if placing.rtype != SRV and len(serving) > 1:
        low = serving[0][0].registration.priority
        waiting = sum(map(len, serving[1:]))
        yield f"A and AAAA give the lowest healthy priority ({low}); {waiting} of higher ones stand by"
    first = placing.tiers[0] if placing.tiers else ()
    zeros = [i for i in first if not i.weight]
    if zeros and len(zeros) == len(first):
        yield "all weights are 0, which means equal shares"
    elif zeros:
        yield f"weight 0, never first while another weight is above 0: {', '.join(i.key for i in zeros[:8])}"
    for meeting in placing.shared[:4]:
        ids = " and ".join(i.key for i in meeting[:4])
        what = "target and port" if placing.rtype == SRV else "address"
        yield f"{ids} have the same {what}: one record, with the weights added"
    if placing.cut:
        yield f"each answer gives {giver.settings.answers} of the records (the setting `answers`)"
    weighed = [i for i in first if i.weight != i.registration.weight and "warm" not in i.reason]
    for i in weighed[:4]:
        if not service.note and subject.route is None:  # a route's are places in its cycle
            yield f"{i.id} registered the weight {i.registration.weight}, and {i.weight} is in force"
    if placing.rtype == SRV and giver.settings.srv_scale != 1:
        yield f"weights in SRV records are multiplied by {giver.settings.srv_scale:g} (srv_scale)"


def _on_route(route: Routed, targets: Sequence[TargetShare]) -> Iterator[str]:
    """Each tier, with each target's share due, and given since the shares changed last."""
    asked = any(one.answers for one in targets)
    for number, tier in groupby(targets, attrgetter("tier")):
        targets_text = ", ".join(
            f"{one.target} {one.due * 100:.4g} % ({one.healthy} of {one.registered} healthy"
            f"{f', {one.given * 100:.4g} % given' if asked else ''})"
            for one in tier
        )
        yield f"tier {number} of the route ({route.in_force.source}): {targets_text}"
    yield from route.problems
    if route.note:
        yield route.note


def notes_on_size(reply: dns.message.Message, size: int) -> Iterator[str]:
    """`size`: how many bytes are sent."""
    records = sum(map(len, reply.answer))
    if records and size > EDNS:
        yield f"{size} bytes: over UDP it is cut to {EDNS} (additional records first, then TC and TCP)"
    elif records and size > MIN_UDP_BYTES + OPT_BYTES:
        cut = f"it is cut to {MIN_UDP_BYTES} (additional records first, then TC and TCP)"
        yield f"{size} bytes: without EDNS {cut}"
