"""Who stands in an answer, with what part of the first places, and why the others don't.

Rules: pure. Instances meet in records as in `answers.records`: one address, or one target and port, is
one record with the weights added.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Set
from dataclasses import dataclass, field
from functools import partial
from math import lcm

from zkdns.answers import policies
from zkdns.answers.records import ports_of
from zkdns.answers.spliced import Spliced
from zkdns.answers.table import Entry
from zkdns.dns.types import AAAA, SRV, A
from zkdns.explain.subject import Subject
from zkdns.model import Instance


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

    def given(self, instance: Instance) -> bool:
        return instance.path in self.shares

    def share(self, instance: Instance) -> float:
        return self.shares.get(instance.path, 0.0)

    def why_out(self, instance: Instance) -> str:
        """Why one that is given out is not in this answer all the same."""
        subject = self.subject
        if instance.path in self.outside:
            return self.outside[instance.path]
        route = subject.route
        if route is not None and all(i.path != instance.path for i in route.name.group):
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
            if not _keys(instance, self.rtype, subject.port):
                return f"has no {'IPv6' if self.rtype == AAAA else 'IPv4'} address"
        if self.rtype == SRV and not ports_of(instance, subject.port):
            return "has no main port" if subject.port is None else f"has no port named {subject.port}"
        if any(instance.registration.priority == tier[0].registration.priority for tier in self.tiers):
            return "past the number of answers that are given"
        return "has no record of this type"


def place(subject: Subject, rtype: int, entry: Entry | None, positive: bool) -> Shares:
    """`entry`: what is dealt for the name and type, None where nothing is. `positive`: whether the reply
    has any record."""
    group = frozenset(i.path for i in subject.group)
    routed = {i.path for tier in subject.serving for i in tier} if subject.route is not None else None
    lowest = min((i.registration.priority for i in subject.group if i.answered), default=0)
    placing = partial(Shares, subject, rtype, lowest=lowest, _group=group, _routed=routed)
    if not positive:
        return placing()
    if subject.kind == "instance":
        fits = [i for i in subject.group if rtype not in (A, AAAA, SRV) or _keys(i, rtype, None)]
        return placing(dict.fromkeys((i.path for i in fits), 1.0))
    if subject.kind == "reverse":
        return placing(dict.fromkeys(group, 0.0))
    service = subject.service
    if service is None or rtype not in (A, AAAA, SRV) or entry is None:
        given = () if rtype in (A, AAAA, SRV) else (i for i in subject.group if i.answered)
        return placing(dict.fromkeys((i.path for i in given), 0.0))
    serving = subject.serving
    if rtype == SRV and subject.levels is not None:
        serving = subject.levels
    policy = "weighted" if subject.route is not None else service.settings.policy
    shares: dict[str, float] = {}
    tiers: list[tuple[Instance, ...]] = []
    shared: list[tuple[Instance, ...]] = []
    cut = False
    for tier in serving if rtype == SRV else serving[:1]:
        records = _meet(tier, rtype, subject.port)
        if not records:
            continue
        weights = [sum(weight for _, weight in members) for members in records]
        parts = [0.0] * len(weights) if tiers else policies.shares(policy, weights)
        indices = _indices_given(entry, len(tiers))
        for index in indices:
            members, part = records[index], parts[index]
            for instance, weight in members:
                own = part * weight / weights[index] if weights[index] else part / len(members)
                shares[instance.path] = shares.get(instance.path, 0.0) + own
        cut = cut or entry.cut < len(records) or len(indices) < len(records)
        tiers.append(tuple({i.path: i for members in records for i, _ in members}.values()))
        shared += [tuple(i for i, _ in members) for members in records if len(members) > 1]
    return placing(shares, tuple(tiers), tuple(shared), cut)


def _indices_given(entry: Entry, at: int) -> set[int]:
    """Which records of a tier are ever given."""
    if at >= len(entry.tiers):
        return set()
    orders = entry.tiers[at].rotation.orders
    return orders.given() if isinstance(orders, Spliced) else {index for order in orders for index in order}


def _meet(tier: Iterable[Instance], rtype: int, port: str | None) -> list[list[tuple[Instance, int]]]:
    """The records of a tier, in the order of the table: who stands behind each, with what weight."""
    keys = [(i, _keys(i, rtype, port)) for i in tier]
    scale = lcm(*{len(own) for _, own in keys if own})
    records: dict[Hashable, list[tuple[Instance, int]]] = {}
    for instance, own in keys:
        for key in own:
            records.setdefault(key, []).append((instance, instance.weight * scale // len(own)))
    return list(records.values())


def _keys(instance: Instance, rtype: int, port: str | None) -> list[Hashable]:
    """What its records of the type are known by."""
    if rtype == SRV:
        host = instance.registration.host
        return [(host.lower() if host else instance.addresses, n) for n in ports_of(instance, port)]
    return [a for a in instance.addresses if (":" in a) == (rtype == AAAA)]
