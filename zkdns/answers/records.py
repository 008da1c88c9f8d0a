"""What one service says: which instances stand in which RRset, under which name, with which rdata.

Rules: pure. Owners are C00C, targets spelled out (RFC 2782: a target is not compressed). How a record looks
on the wire is `dns.records`' affair.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from math import lcm
from typing import Final, NamedTuple

from msgspec import Struct

from zkdns.answers.members import Columns, Member, Tiers
from zkdns.answers.parts import NO_PARTS, Parts
from zkdns.answers.ports import ports_of_each
from zkdns.answers.spelling import InstanceRecords, Spelling, own_name
from zkdns.dns import names
from zkdns.dns.records import pointer, srv
from zkdns.dns.types import AAAA, SRV, A
from zkdns.model import MAX_WEIGHT, Instance, Service

DEALT: Final = (A, AAAA, SRV)
"""Types whose records a policy deals; the others are given as they stand."""


class OwnerName(Struct, frozen=True):
    """Which instances an owner name is about, and those of them that are given out, by priority; `about`
    names it for people; `nobody` says why the group is empty where a name exists all the same.
    `levels`: who SRV gives, where those are others than `serving` (a route's, with its `parts`). `counted`:
    its answers are about the whole service, so that their first places prove its weights (a tag's don't).
    `tag`: more tags may stand before it."""

    owner: bytes
    about: str
    group: tuple[Instance, ...]
    serving: Sequence[Sequence[Instance]]
    types: tuple[int, ...]
    port: str | None = None
    counted: bool = True
    nobody: str = ""
    levels: Sequence[Sequence[Instance]] | None = None
    parts: Parts = NO_PARTS
    tag: bool = False


def answered(group: Iterable[Instance]) -> list[list[Instance]]:
    """Those that are given out, by priority, lowest first."""
    tiers: dict[int, list[Instance]] = {}
    for i in group:
        if i.answered:
            tiers.setdefault(i.registration.priority, []).append(i)
    return [tiers[p] for p in sorted(tiers)]


def of_tag(owner: bytes, tag: str, service: str, having: Iterable[Instance]) -> OwnerName:
    """The name of a tag of the service with this label, and who has it."""
    group = tuple(having)
    return OwnerName(owner, f"{tag}.{service}", group, answered(group), DEALT, counted=False, tag=True)


def protocols(instances: Iterable[Instance]) -> list[str]:
    """The protocols that the service has a `_service._proto` name for; tcp while it has no instance."""
    return sorted({i.registration.protocol for i in instances}) or ["tcp"]


def of_protocol(instances: tuple[Instance, ...], protocol: str) -> tuple[Instance, ...]:
    """Those with this one; the same object where all have it."""
    own = [i for i in instances if i.registration.protocol == protocol]
    return instances if len(own) == len(instances) else tuple(own)


def tiers_of(
    service: Service, about: OwnerName, rtype: int, spelling: Spelling, shared: Shared | None = None
) -> Tiers:
    """The records of an A, AAAA or SRV RRset; () where it has none. `shared`: where several names share
    SRV records."""
    shared = shared or Shared()
    if rtype == SRV:
        return srv_tiers(service, about, spelling, shared)
    return address_tiers(about.serving, rtype, spelling.by_name, shared)


def address_tiers(
    serving: Sequence[Sequence[Instance]], rtype: int, by_name: Mapping[str, InstanceRecords], shared: Shared
) -> Tiers:
    """The lowest priority's addresses of one family. An address that two instances share is one
    member with the weights added; an instance's weight is shared among its own addresses."""
    if not serving:
        return ()
    those = shared.group(serving[0], by_name).own
    wanted = [own.v6 for own in those] if rtype == AAAA else [own.v4 for own in those]
    if not any(wanted):
        return ()
    alone = [own[0] for own in wanted if len(own) == 1]
    if len(set(alone)) == len(wanted):
        return (Columns.of_addresses(serving[0], alone),)
    scale = lcm(*{len(own) for own in wanted if own})
    members: dict[bytes, Member] = {}
    for i, own in zip(serving[0], wanted, strict=True):
        for wire in own:
            weight = i.weight * scale // len(own)
            known = members.get(wire)
            if known is None:
                members[wire] = Member(wire, weight, (i,))
            else:
                holders = (*known.holders, i)
                members[wire] = known._replace(weight=known.weight + weight, holders=holders)
    return (tuple(members.values()),) if members else ()


class Apart(NamedTuple):
    """Instances of which none shares an address with another of the service, in columns: what their SRV
    records are made of at whatever name. `bodies`: their addresses' records, for an owner to `join`."""

    own: tuple[InstanceRecords, ...]
    weights: tuple[int, ...]
    holders: tuple[tuple[Instance], ...]
    bodies: tuple[tuple[bytes, ...], ...]
    counts: tuple[int, ...]
    ids: tuple[str, ...]


class Group:
    """Instances that several names of a service give, and the records of each (`own`)."""

    def __init__(self, tier: Sequence[Instance], by_name: Mapping[str, InstanceRecords]) -> None:
        self.tier = tier
        self.own = [by_name[own_name(i)] for i in tier]
        self.wires: dict[tuple[tuple[int, ...], ...], tuple[bytes, ...]] = {}
        """Their SRV records by their ports, where they stand apart."""

    @cached_property
    def apart(self) -> Apart | None:
        """None where some share an address, or have their names under another service's."""
        tier, own = self.tier, self.own
        if not own or not all(one.sole_holder and not i.home for one, i in zip(own, tier, strict=True)):
            return None
        return Apart(
            tuple(own),
            tuple([i.weight for i in tier]),
            tuple(zip(tier)),
            tuple([(b"", *one.unowned) for one in own]),
            tuple([len(one.unowned) for one in own]),
            tuple([i.known_as or i.id for i in tier]),
        )


class Shared:
    """What the names of one service in one zone share, most of which give the same instances. `records`:
    SRV records of instances that share no address, by own name and port."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, int], bytes] = {}
        self._groups: dict[int, Group] = {}
        """By the identity of those in it, who are kept with it: so no others come to have that."""

    def group(self, tier: Sequence[Instance], by_name: Mapping[str, InstanceRecords]) -> Group:
        group = self._groups.get(id(tier))
        if group is None:
            group = self._groups[id(tier)] = Group(tier, by_name)
        return group


def srv_tiers(service: Service, about: OwnerName, spelling: Spelling, shared: Shared) -> Tiers:
    """Every priority's instances on the asked port. Two at one target and port are one record with
    the weights added; instances at the same addresses share the first one's name as target. One with several
    ports of the name has a record for each, which share its places."""
    targets = _Targets(service, about, spelling, shared)
    tiers: list[Sequence[Member]] = []
    for tier in about.serving if about.levels is None else about.levels:
        ports = tuple(ports_of_each(tier, about.port))
        # A route may give one instance as two targets.
        group = shared.group(tier, spelling.by_name) if about.levels is None else None
        if group and group.apart and len(tier) == sum(map(len, ports)) and all(ports):
            tiers.append(targets.of_apart(group, group.apart, ports))
        elif members := targets.of_meeting(tier, ports):
            tiers.append(members)
    return tuple(tiers)


class _Targets:
    """How the SRV records of one name are spelled."""

    def __init__(self, service: Service, about: OwnerName, spelling: Spelling, shared: Shared) -> None:
        self._zone, self._own = zone, own = spelling.zone, names.label(service.label)
        self._apex = pointer(about.owner, zone)
        inside = about.owner.endswith(own + zone)
        self._here = pointer(about.owner, own + zone) if inside else own + self._apex
        """How the owners of its own instances' addresses end."""
        self._scale, self._ttl = service.settings.srv_scale, spelling.ttl
        self._by_name, self._known = spelling.by_name, shared.records
        self._is_routed = about.levels is not None
        self._ends: dict[bytes, tuple[bytes, bytes]] = {}
        self._homes: dict[tuple[str, ...], tuple[bytes, bytes, bytes]] = {}
        """By addresses, whose name they go by."""

    def of_apart(self, group: Group, apart: Apart, ports: tuple[tuple[int, ...], ...]) -> Columns:
        """Where each has one port, and shares no address."""
        end, suffix = self._ends_of(apart.own[0])
        known, spell = self._known, self._spell
        wires = group.wires.get(ports)
        if wires is None:
            wires = group.wires[ports] = tuple(
                [
                    known.get((i.label, port))
                    or known.setdefault((i.label, port), spell(i, i.weight, port, own.label + end))
                    for i, own, (port,) in zip(group.tier, apart.own, ports, strict=True)
                ]
            )
        pairs = zip(apart.own, apart.bodies, strict=True)
        runs = tuple([(own.label + suffix).join(bodies) for own, bodies in pairs])
        return Columns(wires, apart.weights, apart.holders, runs, apart.counts, apart.ids)

    def of_meeting(self, tier: Sequence[Instance], ports: Sequence[Sequence[int]]) -> tuple[Member, ...]:
        """Where several may meet at one target."""
        members: list[Member] = []
        places: dict[tuple[bytes, int], tuple[int, int]] = {}
        """By target and port, which member that is, and what those there weigh."""
        parts = lcm(*{len(numbers) for numbers in ports if numbers})
        for i, numbers in zip(tier, ports, strict=True):
            of = own_name(i)
            own = self._by_name[of]
            for port in numbers:
                share = i.weight * parts // len(numbers)
                if own.sole_holder and not self._is_routed:
                    members.append(self._alone(i, of, own, port, share))
                    continue
                target, owner = self._target(i, own)
                at, weight = places.get((target, port), (len(members), 0))
                places[target, port] = at, weight + i.weight
                wire = self._spell(i, weight + i.weight, port, target)
                if at < len(members):
                    holders = (*members[at].holders, i)
                    share += members[at].weight
                    members[at] = members[at]._replace(record=wire, weight=share, holders=holders)
                else:
                    run = owner.join((b"", *own.unowned))
                    members.append(Member(wire, share, (i,), run, len(own.unowned)))
        return tuple(members)

    def _alone(self, i: Instance, of: str, own: InstanceRecords, port: int, share: int) -> Member:
        end, suffix = self._ends_of(own)
        wire = self._known.get((of, port))
        if wire is None:
            wire = self._known[of, port] = self._spell(i, i.weight, port, own.label + end)
        return Member(wire, share, (i,), (own.label + suffix).join((b"", *own.unowned)), len(own.unowned))

    def _target(self, i: Instance, own: InstanceRecords) -> tuple[bytes, bytes]:
        """The name that it is reached by, and the owner of its addresses."""
        if i.registration.host:
            return (names.wire(i.registration.host),) * 2
        label, end, suffix = self._homes.setdefault(i.addresses, (own.label, *self._ends_of(own)))
        return label + end, label + suffix

    def _ends_of(self, own: InstanceRecords) -> tuple[bytes, bytes]:
        """What a target ends with, and the owner of its addresses."""
        home, zone, known = own.home, self._zone, self._ends
        if home not in known:
            known[home] = home + zone, self._here if home == self._own else home + self._apex
            if own.elsewhere and zone in own.elsewhere:
                known[home] = (home + own.elsewhere[zone],) * 2
        return known[home]

    def _spell(self, i: Instance, weight: int, port: int, target: bytes) -> bytes:
        return srv(
            i.registration.priority, min(int(weight * self._scale), MAX_WEIGHT), port, target, self._ttl
        )


def target(instance: Instance, name: bytes) -> bytes:
    """The SRV target of one instance: the host name that it registered, else its own name here."""
    if instance.registration.host:
        return names.wire(instance.registration.host)
    return names.label(instance.label) + name
