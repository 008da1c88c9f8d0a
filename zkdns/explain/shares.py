"""Who stands in an answer, with what part of the first places, and why the others don't.

Rules: pure. Instances meet in records as `answers.records` has it: one address, or one target and port, is
one record with the weights added.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

from zkdns.answers import policies, records
from zkdns.answers.members import Tiers
from zkdns.answers.ports import ports_of
from zkdns.answers.records import DEALT, OwnerName
from zkdns.answers.routed import as_routed
from zkdns.answers.spelling import Spelling, spell
from zkdns.answers.spliced import Spliced
from zkdns.answers.table import Entry
from zkdns.dns import names
from zkdns.dns.types import AAAA, SRV, A
from zkdns.explain.subject import Subject
from zkdns.model import Instance, Service

Meeting: TypeAlias = tuple[tuple[Instance, ...], ...]


@dataclass(frozen=True, slots=True)
class Shares:
    """`shares`: by path, the part of first places of those that are given. `tiers`: by priority, the
    instances that have a record here. `shared`: instances that meet in one record. `cut`: an answer
    never gives all records. `outside`: by path, why one is not for this client."""

    subject: Subject
    rtype: int
    shares: dict[str, float] = field(default_factory=dict)
    tiers: tuple[tuple[Instance, ...], ...] = ()
    shared: tuple[tuple[Instance, ...], ...] = ()
    cut: bool = False
    lowest: int = 0
    _group: frozenset[str] = frozenset()
    outside: dict[str, str] = field(default_factory=dict)
    _routed: Set[str] | None = None
    """By path, those that the route gives now; None where the name is none."""
    _led_to: Set[str] | None = None
    """The same of all that it leads to."""
    _priorities: Set[int] = frozenset()
    """Of those that have a record here."""

    def given(self, instance: Instance) -> bool:
        """Whether this answer ever has it."""
        return instance.path in self.shares

    def share(self, instance: Instance) -> float:
        """Its part of the first places, 0 to 1."""
        return self.shares.get(instance.path, 0.0)

    def why_out(self, instance: Instance) -> str:
        """Why one that is given out is not in this answer all the same."""
        subject = self.subject
        if instance.path in self.outside:
            return self.outside[instance.path]
        if self._led_to is not None and instance.path not in self._led_to:
            return "the name stands for others: it is no target of the route"
        if instance.path not in self._group:
            if subject.kind == "port":
                return f"has no port named {subject.port} for {subject.word}"
            if subject.kind == "tag":
                return f"has no tag {subject.word}"
            return f"its protocol is {instance.registration.protocol}"
        if self._routed is not None and instance.path not in self._routed:
            return "stands by: its target has no share of the route now"
        if self.rtype in (A, AAAA):
            lowest = self.lowest
            if instance.registration.priority != lowest and self._routed is None:
                own = instance.registration.priority
                return f"priority {own}: stands by while one of priority {lowest} is given"
            if not instance.addresses:
                return f"the host name {instance.registration.host!r} doesn't resolve"
            if not _has_record(instance, self.rtype):
                return f"has no {'IPv6' if self.rtype == AAAA else 'IPv4'} address"
        if self.rtype == SRV and not ports_of(instance, subject.port):
            return "has no main port" if subject.port is None else f"has no port named {subject.port}"
        if instance.registration.priority in self._priorities:
            return "past the number of answers that are given"
        return "has no record of this type"


def place(subject: Subject, rtype: int, entry: Entry | None, positive: bool) -> Shares:
    """`entry`: what is dealt for the name and type, None where nothing is. `positive`: whether the reply
    has any record."""
    group = frozenset(i.path for i in subject.group)
    routed = {i.path for tier in subject.serving for i in tier} if subject.route is not None else None
    led_to = {i.path for i in subject.route.name.group} if subject.route is not None else None
    lowest = min((i.registration.priority for i in subject.group if i.answered), default=0)
    placing = partial(Shares, subject, rtype, lowest=lowest, _group=group, _routed=routed, _led_to=led_to)
    if not positive:
        return placing()
    if subject.kind == "instance":
        return placing({i.path: 1.0 for i in subject.group if _has_record(i, rtype)})
    if subject.kind == "reverse":
        return placing(dict.fromkeys(group, 0.0))
    service = subject.service
    if service is not None and entry is not None and rtype in DEALT:
        fields = _share_out(subject, service, rtype, entry)
        return placing(*fields, _priorities={i.registration.priority for tier in fields[1] for i in tier})
    given = () if rtype in DEALT else (i for i in subject.group if i.answered)
    return placing({i.path: 0.0 for i in given})


def _share_out(
    subject: Subject, service: Service, rtype: int, entry: Entry
) -> tuple[dict[str, float], Meeting, Meeting, bool]:
    """The fields `shares`, `tiers`, `shared` and `cut` of an answer that is dealt."""
    giver = service if subject.route is None else as_routed(service, subject.route)
    policy = giver.settings.policy
    shares: dict[str, float] = {}
    tiers: list[tuple[Instance, ...]] = []
    shared: list[tuple[Instance, ...]] = []
    cut = False
    for at, members in enumerate(_tiers_of(subject, service, rtype)):
        # Only the first priority has first places.
        parts = policies.shares(policy, [m.weight for m in members]) if at == 0 else [0.0] * len(members)
        records_of = Counter(i.path for m in members for i in m.holders)
        given = _indices_given(entry, at)
        for index in given:
            holders = members[index].holders
            weights = [i.weight / records_of[i.path] for i in holders]
            total = sum(weights)
            for i, weight in zip(holders, weights, strict=True):
                own = parts[index] * (weight / total if total else 1 / len(holders))
                shares[i.path] = shares.get(i.path, 0.0) + own
        cut = cut or entry.cut < len(members) or len(given) < len(members)
        tiers.append(tuple({i.path: i for m in members for i in m.holders}.values()))
        meetings = [tuple({i.key: i for i in m.holders}.values()) for m in members]
        shared += [meeting for meeting in meetings if len(meeting) > 1]
    return shares, tuple(tiers), tuple(shared), cut


def _tiers_of(subject: Subject, service: Service, rtype: int) -> Tiers:
    """The records as the table has them, and who meets in each."""
    about = OwnerName(
        subject.qname, "", subject.group, subject.serving, (rtype,), subject.port, levels=subject.levels
    )
    zone = subject.zone.apex if subject.zone is not None else names.ROOT
    spelling = Spelling(zone, 0, spell(replace(service, instances=subject.group), 0))
    return records.tiers_of(service, about, rtype, spelling)


def _indices_given(entry: Entry, at: int) -> set[int]:
    """Which records of a tier are ever given."""
    if at >= len(entry.tiers):
        return set()
    orders = entry.tiers[at].rotation.orders
    return orders.given() if isinstance(orders, Spliced) else {index for order in orders for index in order}


def _has_record(instance: Instance, rtype: int) -> bool:
    """Whether its own name has one of this type."""
    if rtype == SRV:
        return bool(ports_of(instance, None))
    return rtype not in (A, AAAA) or any((":" in a) == (rtype == AAAA) for a in instance.addresses)
