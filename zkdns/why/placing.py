"""Who stands in an answer, with what part of the first places, and why the others don't.

Rules: pure. Instances meet in records as in `answers.records`: one address, or one target and port, is
one record with the weights added.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from math import lcm

from zkdns.answers import policies
from zkdns.answers.records import AAAA, SRV, A, answered, port_of
from zkdns.answers.table import Entry
from zkdns.model import Instance
from zkdns.why.subject import Subject


@dataclass(frozen=True, slots=True)
class Placing:
    """`shares`: by path, the part of first places of those that are given. `tiers`: by priority, the
    instances that have a record here. `shared`: instances that meet in one record."""

    subject: Subject
    rtype: int
    shares: dict[str, float] = field(default_factory=dict)
    tiers: tuple[tuple[Instance, ...], ...] = ()
    shared: tuple[tuple[Instance, ...], ...] = ()
    cut: bool = False

    def given(self, instance: Instance) -> bool:
        return instance.path in self.shares

    def share(self, instance: Instance) -> float:
        return self.shares.get(instance.path, 0.0)

    def why_out(self, instance: Instance) -> str:
        """Why one that is given out is not in this answer all the same."""
        subject = self.subject
        if all(i is not instance for i in subject.group):
            if subject.kind == "port":
                return f"has no port named {subject.port} for {subject.word}"
            if subject.kind == "tag":
                return f"has no tag {subject.word}"
            return f"its protocol is {instance.registration.protocol}"
        if self.rtype in (A, AAAA):
            first = answered(subject.group)
            if first and instance.registration.priority != first[0][0].registration.priority:
                return (
                    f"priority {instance.registration.priority}: stands by while one of priority "
                    f"{first[0][0].registration.priority} is given"
                )
            if not instance.addresses:
                return f"the host name {instance.registration.host!r} doesn't resolve"
            if not _keys(instance, self.rtype, subject.port):
                return f"has no {'IPv6' if self.rtype == AAAA else 'IPv4'} address"
        if self.rtype == SRV and not port_of(instance, subject.port):
            return "has no main port" if subject.port is None else f"has no port named {subject.port}"
        if any(instance is i for tier in self.tiers for i in tier):
            return "past the number of answers that are given"
        return "has no record of this type"


def place(subject: Subject, rtype: int, entry: Entry | None, positive: bool) -> Placing:
    """`entry`: what is dealt for the name and type, None where nothing is. `positive`: whether the reply
    has any record."""
    if not positive:
        return Placing(subject, rtype)
    if subject.kind == "instance":
        fits = [i for i in subject.group if rtype not in (A, AAAA, SRV) or _keys(i, rtype, None)]
        return Placing(subject, rtype, dict.fromkeys((i.path for i in fits), 1.0))
    if subject.kind == "reverse":
        return Placing(subject, rtype, dict.fromkeys((i.path for i in subject.group), 0.0))
    service = subject.service
    if service is None or rtype not in (A, AAAA, SRV) or entry is None:
        given = () if rtype in (A, AAAA, SRV) else (i for i in subject.group if i.answered)
        return Placing(subject, rtype, dict.fromkeys((i.path for i in given), 0.0))
    serving = answered(subject.group)
    if rtype != SRV:
        serving = serving[:1]
    shares: dict[str, float] = {}
    tiers: list[tuple[Instance, ...]] = []
    shared: list[tuple[Instance, ...]] = []
    cut = False
    for tier in serving:
        found = _meet(tier, rtype, subject.port)
        if not found:
            continue
        at = len(tiers)
        weights = [sum(weight for _, weight in members) for members in found]
        parts = policies.shares(service.settings.policy, weights) if not at else [0.0] * len(weights)
        dealt = _dealt(entry, at)
        for index, (members, part) in enumerate(zip(found, parts, strict=True)):
            if index in dealt:
                for instance, weight in members:
                    own = part * weight / weights[index] if weights[index] else part / len(members)
                    shares[instance.path] = shares.get(instance.path, 0.0) + own
        cut = cut or entry.cut < len(found) or len(dealt) < len(found)
        tiers.append(tuple(dict.fromkeys(i for members in found for i, _ in members)))
        shared += [tuple(i for i, _ in members) for members in found if len(members) > 1]
    return Placing(subject, rtype, shares, tuple(tiers), tuple(shared), cut)


def _dealt(entry: Entry, at: int) -> set[int]:
    """Which records of a tier are ever given."""
    if at >= len(entry.tiers):
        return set()
    return {index for order in entry.tiers[at].deal.orders for index in order}


def _meet(tier: Iterable[Instance], rtype: int, port: str | None) -> list[list[tuple[Instance, int]]]:
    """The records of a tier, in the order of the table: who stands behind each, with what weight."""
    keys = [(i, _keys(i, rtype, port)) for i in tier]
    scale = lcm(*{len(own) for _, own in keys if own})
    found: dict[Hashable, list[tuple[Instance, int]]] = {}
    for instance, own in keys:
        for key in own:
            found.setdefault(key, []).append((instance, instance.weight * scale // len(own)))
    return list(found.values())


def _keys(instance: Instance, rtype: int, port: str | None) -> list[Hashable]:
    """What its records of the type are known by."""
    if rtype == SRV:
        number = port_of(instance, port)
        host = instance.registration.host
        return [(host.lower() if host else instance.addresses, number)] if number else []
    return [a for a in instance.addresses if (":" in a) == (rtype == AAAA)]
