"""Names that are spelled when asked: single instances and DNS-SD browsing (RFC 6763), reverse names.

Rules: pure; what is there now comes from the table that is asked. Nobody connects through these at speed,
and a large registry has too many of them to keep ready. What has many records is spelled once for each
change, and no more of it than a reply could hold.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice, tee
from operator import attrgetter

from msgspec import Struct

from zkdns.answers import records, texts
from zkdns.answers.spelling import ttl_of
from zkdns.answers.spliced import MAX_RECORDS
from zkdns.answers.table import ANSWERED_ANY, EVERY, NO_NAME, NODATA, OWN, Position, Sections, Table
from zkdns.dns import names
from zkdns.dns.packet import MAX_MESSAGE_BYTES
from zkdns.dns.records import OWNER, RECORD_BYTES, addresses, pointer, record, srv, txt
from zkdns.dns.types import ANY, PTR, SRV, TXT
from zkdns.model import MAX_WEIGHT, Instance, Service

MANY = 16
"""A reverse name's records are kept where there are more: fewer are spelled as fast as they are found."""


class InstanceNames(Struct, frozen=True):
    """`<id>.web.<zone>`: SRV and TXT (A and AAAA stand ready). `home`: the apex that targets stand below."""

    service: Service
    home: bytes
    ttl: int
    folded: Mapping[bytes, Instance] = {}

    def spell(self, label: bytes, qtype: int) -> Sections:
        i = find(self.service, label, self.folded)
        if i is None:
            return NO_NAME
        if qtype == SRV:
            return srv_of(i, self.service, self.home, self.ttl)
        if qtype == TXT:
            return Sections((txt(texts.about_instance(i), self.ttl),))
        return NODATA


@dataclass(frozen=True, slots=True)
class Browsing:
    """`_web._tcp.<zone>` and the DNS-SD instance names below it: SRV, and TXT with the instance's
    meta (RFC 6763, section 6). `home`: the apex that targets stand below. `apart`: `tell_apart`."""

    service: Service
    protocol: str
    zone: bytes
    home: bytes
    ttl: int
    ede: bytes
    folded: Mapping[bytes, Instance] = field(default_factory=dict)
    apart: Mapping[bytes, Instance] = field(default_factory=dict)
    _spelled: list[Sections] = field(default_factory=list, compare=False, repr=False)
    """The PTR answer, once it was asked for."""

    def answer(self, qname: bytes, qtype: int, table: Table, position: Position, room: int) -> Sections:
        owner = (
            names.label(names.underscored(self.service.label)) + names.label("_" + self.protocol) + self.zone
        )
        if qname == owner:
            if qtype == ANY:
                return ANSWERED_ANY
            if qtype != PTR:
                return Sections(ede=self.ede)
            if not self._spelled:
                self._spelled.append(self._list())
            return self._spelled[0]
        if qname[1 + qname[0] :] != owner:
            return NO_NAME
        label = qname[1 : 1 + qname[0]]
        i = self.apart.get(label) if self.apart else find(self.service, label, self.folded)
        if i is None or i.registration.protocol != self.protocol:
            return NO_NAME
        if qtype == SRV:
            return srv_of(i, self.service, self.home, self.ttl)
        if qtype == TXT:
            return Sections((txt((f"{k}={v}" for k, v in i.registration.meta), self.ttl),))
        return ANSWERED_ANY if qtype == ANY else NODATA

    def _list(self) -> Sections:
        every: Iterable[tuple[bytes | str, Instance]] = ((i.label, i) for i in self.service.instances)
        if self.apart:
            every = self.apart.items()
        given = (label for label, i in every if i.answered and i.registration.protocol == self.protocol)
        ends = _fill(names.label(label) + OWNER for label in given)
        return Sections(
            tuple(record(OWNER, PTR, self.ttl, end) for end in ends), ede=b"" if ends else self.ede
        )


class Services(Struct, frozen=True):
    """`_services._dns-sd._udp.<zone>`: PTR to each service's type (RFC 6763, section 9)."""

    owner: bytes
    zone: bytes
    ttl: int

    def answer(self, qname: bytes, qtype: int, table: Table, position: Position, room: int) -> Sections:
        if qname != self.owner:
            return NO_NAME
        if qtype != PTR:
            return ANSWERED_ANY if qtype == ANY else NODATA
        if self.owner not in table.spelled:
            table.spelled[self.owner] = self._list(table), OWN
        return table.spelled[self.owner][0]

    def _list(self, table: Table) -> Sections:
        end = pointer(self.owner, self.zone)
        kinds = _fill(
            names.label(names.underscored(service.label)) + names.label("_" + protocol) + end
            for service in map(table.services.__getitem__, table.service_names[:MAX_RECORDS])
            for protocol in service.protocols
        )
        return Sections(tuple(record(OWNER, PTR, self.ttl, kind) for kind in kinds))


def reverse(table: Table, qname: bytes, qtype: int) -> tuple[Sections, int] | None:
    """The answer for a name under in-addr.arpa or ip6.arpa, and its origin; None where no instance has
    the address."""
    address = names.address_of(qname)
    sharing = table.holders.get(address, ()) if address is not None else ()
    if not sharing or address is None:
        return None
    spelled = table.spelled.get(address) or _spell_reverse(table, address, sharing)
    if spelled is None:
        return None
    sections, origin = spelled
    if qtype != PTR:
        return (ANSWERED_ANY if qtype == ANY else NODATA), origin
    return sections, origin


def _fill(ends: Iterable[bytes]) -> list[bytes]:
    """The data of as many records as the longest message has room for, and of one more, so that it is told as
    cut."""
    some: list[bytes] = []
    left = MAX_MESSAGE_BYTES
    for end in ends:
        some.append(end)
        left -= RECORD_BYTES + len(end)
        if left < 0:
            break
    return some


def _spell_reverse(table: Table, address: bytes, sharing: tuple[str, ...]) -> tuple[Sections, int] | None:
    """Whom an address belongs to; kept until a service changes, where they are many. None where nobody has it
    any more: for a service of thousands, who has which is noted little by little."""
    known = map(table.services.get, sharing[:MAX_RECORDS])
    holders = [holder for holder in known if holder is not None and address in holder.by_address]
    if not holders:
        return None
    origin = holders[0].origin if len({holder.origin for holder in holders}) == 1 else EVERY
    # One RRset, one TTL (RFC 2181, section 5.2): the least of those that the services have.
    each = ((holder, i) for holder in holders for i in holder.by_address[address])
    named, pairs = tee(each)
    apex = table.zones[0].apex
    ends = _fill(names.label(i.label) + names.label(holder.label) + apex for holder, i in named)
    ttl = min([ttl_of(i, holder.ttl) for holder, i in islice(pairs, len(ends))])
    sections = Sections(tuple([record(OWNER, PTR, ttl, end) for end in ends]))
    if len(sections.answer) > MANY:
        table.spelled[address] = sections, origin
    return sections, origin


def srv_of(i: Instance, service: Service, home: bytes, ttl: int) -> Sections:
    """The SRV record of one instance with its addresses."""
    if not i.registration.port:
        return NODATA
    name = records.target(i, names.label(i.home or service.label) + home)
    extra = [addresses(name, (a,), ttl_of(i, ttl))[0] for a in i.addresses]
    weight = min(int(i.weight * service.settings.srv_scale), MAX_WEIGHT)
    served = srv(i.registration.priority, weight, i.registration.port, name, ttl)
    return Sections((served,), (), tuple(extra))


def find_folded(service: Service) -> dict[bytes, Instance]:
    """The instances whose labels are not their ids, by label."""
    return {i.label.encode("latin-1"): i for i in service.instances if i.label != i.id}


def tell_apart(instances: Iterable[Instance]) -> Mapping[bytes, Instance]:
    """By the labels that they are browsed by, where some of a route's services have the same: each of those
    has a short hash behind it. {} where no two have."""
    homes: dict[str, set[str]] = {}
    for i in instances:
        homes.setdefault(i.label, set()).add(i.home)
    if all(len(of) == 1 for of in homes.values()):
        return {}
    apart: dict[bytes, Instance] = {}
    for i in instances:
        label = i.label
        if len(homes[label]) > 1:
            seal = blake2b(f"{i.home}/{label}".encode(), digest_size=4).hexdigest()
            label = f"{label[:54]}-{seal}"
        apart.setdefault(label.encode("latin-1"), i)
    return apart


def find(service: Service, label: bytes, folded: Mapping[bytes, Instance]) -> Instance | None:
    """The instance with this label. Labels are mostly their ids, and instances stand in the order of
    these; those that were folded are at hand."""
    text = label.decode("latin-1")
    instances = service.instances
    at = bisect_left(instances, text, key=attrgetter("id"))
    if at < len(instances) and instances[at].label == text:
        return instances[at]
    return folded.get(label)
