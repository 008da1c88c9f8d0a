"""What one service says: which instances stand in which RRset, under which name, with which rdata.

Rules: pure. Owners are C00C, targets spelled out (RFC 2782: a target is not compressed). How a record looks
on the wire is `dns.records`' affair.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from math import lcm
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from zkdns.answers.nested import elsewhere_of
from zkdns.answers.table import InstanceAddresses
from zkdns.dns import ede, names
from zkdns.dns.records import OWNER, head, packed, pointer, srv
from zkdns.dns.types import AAAA, SRV, A
from zkdns.model import Instance, Service

DEALT: Final = (A, AAAA, SRV)
"""Types whose records a policy deals; the others are given as they stand."""


class Member(NamedTuple):
    """One record of an RRset: the record itself, its weight in the rotation, the instances that meet in it,
    and the additional records that go with it."""

    record: bytes
    weight: int
    holders: tuple[Instance, ...]
    extra: bytes = b""
    extra_count: int = 0

    @property
    def id(self) -> str:
        """Whose it counts as: the first one's."""
        return self.holders[0].key


_member: Callable[[tuple[bytes, int, tuple[Instance, ...], bytes, int]], Member]
_member = partial(tuple.__new__, Member)
"""Member(...) in half the time: a change makes one for each instance and port of its service."""

SRVRecords: TypeAlias = dict[tuple[str, int, int, int], bytes]
"""Those of instances that share no address, for the owners of a zone to share: by own name, port, weight and
priority."""

Tiers: TypeAlias = tuple[tuple[Member, ...], ...]
"""The records of an RRset by priority, none of them empty."""


class InstanceRecords(NamedTuple):
    """What the RRsets of one service share of an instance. `unowned`: its A and AAAA records without
    their owner, for its own name; `v4` and `v6`: with owner C00C, for names of several (whose TTL may be a
    shorter one). `sole_holder`: it has addresses, and nobody else in the service has one of them. `home`:
    the label of the service that its name stands under; `elsewhere`: by apex, that of the zone in which its
    name is a target, where that is another one."""

    label: bytes
    unowned: tuple[bytes, ...]
    v4: tuple[bytes, ...]
    v6: tuple[bytes, ...]
    sole_holder: bool
    home: bytes
    elsewhere: Mapping[bytes, bytes] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Spelling:
    """What the records of one service in one zone are spelled with: the apex, the service's TTL in seconds,
    and what they share of each instance, by `own_name`."""

    zone: bytes
    ttl: int
    by_name: Mapping[str, InstanceRecords]


@dataclass(frozen=True, slots=True)
class OwnerName:
    """Which instances an owner name is about, and those of them that are given out, by priority; `about`
    names it for people; `nobody` says why the group is empty where a name exists all the same.
    `levels`: who SRV gives, where those are others than `serving` (a route's). `counted`: its answers are
    about the whole service, so that their first places prove its weights (a tag's don't). `tag`: more tags
    may stand before it."""

    owner: bytes
    about: str
    group: tuple[Instance, ...]
    serving: Sequence[Sequence[Instance]]
    types: tuple[int, ...]
    port: str | None = None
    counted: bool = True
    nobody: str = ""
    levels: Sequence[Sequence[Instance]] | None = None
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


def ports_of(instance: Instance, name: str | None) -> tuple[int, ...]:
    """The main port, or the ports named so."""
    if name is None:
        return (instance.registration.port,) if instance.registration.port else ()
    ports = [port for own, port in instance.registration.ports if port and port_label(own) == name]
    return tuple(ports) if len(ports) < 2 else tuple(dict.fromkeys(ports))


def by_port(instances: Iterable[Instance]) -> dict[str, tuple[Instance, ...]]:
    """Which instances have a port of each name. Read once: asked for port by port, strangers' names are the
    square of their payloads."""
    ports: dict[str, dict[str, Instance]] = {}
    for i in instances:
        for own, number in i.registration.ports:
            having = ports.setdefault(port_label(own), {})
            if number:
                having[i.path] = i
    return {port: tuple(having.values()) for port, having in ports.items()}


@lru_cache(4096)  # a registry has few port names, and each instance repeats them
def port_label(name: str) -> str:
    """A port's name as it stands in `_name._tcp` (RFC 6335, section 5.1, made wide enough)."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in name.lower())[:62]


def spell(
    service: Service, ttl: int, others: Sequence[Instance] = (), apexes: Sequence[bytes] = ()
) -> dict[str, InstanceRecords]:  # fmt: skip
    """What the RRsets share, by `own_name`. Its records are the same objects wherever they
    stand: at 100,000 instances that is half of the memory. `others`: that its names give as well.
    `apexes`: of the zones that it has names in."""
    by_name = {}
    instances = (*service.instances, *others) if others else service.instances
    holders = Counter(a for i in instances for a in i.addresses)
    shared = shared_ttl(instances, ttl)
    before_v4, before_v6 = head(A, shared, 4), head(AAAA, shared, 16)
    own = names.label(service.label)
    elsewhere = {own: elsewhere_of(own, apexes)}
    for i in instances:
        unowned: list[bytes] = []
        v4: list[bytes] = []
        v6: list[bytes] = []
        sole_holder = i.registration.host is None
        kept = ttl_of(i, ttl)
        for a in i.addresses:
            is_v6 = ":" in a
            rdata = packed(a)
            body = (before_v6 if is_v6 else before_v4) + rdata
            unowned.append(body if kept == shared else head(AAAA if is_v6 else A, kept, len(rdata)) + rdata)
            (v6 if is_v6 else v4).append(OWNER + body)
            sole_holder = sole_holder and holders[a] == 1
        home = names.label(i.home) if i.home else own
        if home not in elsewhere:
            elsewhere[home] = elsewhere_of(home, apexes)
        by_name[own_name(i)] = InstanceRecords(
            names.label(i.label), tuple(unowned), tuple(v4), tuple(v6), sole_holder, home, elsewhere[home]
        )
    return by_name


def ttl_of(i: Instance, ttl: int) -> int:
    """That of its own addresses. `ttl`: its service's."""
    return ttl if i.registration.ttl is None else i.registration.ttl


def shared_ttl(instances: Iterable[Instance], ttl: int) -> int:
    """That of a name that gives several instances' addresses: who is there, and where, may be kept for the
    least of their times."""
    return min(ttl, min((ttl_of(i, ttl) for i in instances if i.answered), default=ttl))


def own_addresses(records: InstanceRecords) -> InstanceAddresses:
    """Those of its own name."""
    v4, v6, unowned = records.v4, records.v6, records.unowned
    if not unowned or (OWNER + unowned[0]) in ((v4 or v6)[0], (v6 or v4)[0]):
        return InstanceAddresses(b"".join(v4), b"".join(v6))
    own: tuple[list[bytes], list[bytes]] = [], []
    for body in unowned:
        own[int.from_bytes(body[:2], "big") == AAAA].append(OWNER + body)
    return InstanceAddresses(b"".join(own[0]), b"".join(own[1]))


def own_name(i: Instance) -> str:
    """Its own name as seen from the service that gives it."""
    return f"{i.label}.{i.home}" if i.home else i.label


@lru_cache(4096)  # as port_label
def tag_label(tag: str) -> str:
    """A tag as it stands in a name: one label, 63 bytes at most."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in tag.lower())[:63]


def protocols(instances: Iterable[Instance]) -> list[str]:
    """The protocols that the service has a `_service._proto` name for; tcp while it has no instance."""
    return sorted({i.registration.protocol for i in instances}) or ["tcp"]


def tiers_of(
    service: Service, about: OwnerName, rtype: int, spelling: Spelling, srv_records: SRVRecords | None = None
) -> Tiers:
    """The records of an A, AAAA or SRV RRset; () where it has none. `srv_records`: where several names share
    them."""
    if rtype == SRV:
        return srv_tiers(service, about, spelling, {} if srv_records is None else srv_records)
    return address_tiers(about.serving, rtype, spelling.by_name)


def address_tiers(
    serving: Sequence[Sequence[Instance]], rtype: int, by_name: Mapping[str, InstanceRecords]
) -> Tiers:
    """The lowest priority's addresses of one family. An address that two instances share is one
    member with the weights added; an instance's weight is shared among its own addresses."""
    if not serving:
        return ()
    those = [by_name[own_name(i)] for i in serving[0]]
    wanted = [own.v6 if rtype == AAAA else own.v4 for own in those]
    if not any(wanted):
        return ()
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


def srv_tiers(service: Service, about: OwnerName, spelling: Spelling, srv_records: SRVRecords) -> Tiers:
    """Every priority's instances on the asked port. Two at one target and port are one record with
    the weights added; instances at the same addresses share the first one's name as target. One with several
    ports of the name has a record for each, which share its places."""
    zone, ttl, by_name = spelling.zone, spelling.ttl, spelling.by_name
    label = names.label(service.label)
    inside = about.owner.endswith(label + zone)
    here, apex = pointer(about.owner, label + zone if inside else zone), pointer(about.owner, zone)
    scale = service.settings.srv_scale
    ends: dict[bytes, tuple[bytes, bytes]] = {}
    homes: dict[tuple[str, ...], tuple[bytes, bytes, bytes]] = {}
    tiers = []
    for tier in about.serving if about.levels is None else about.levels:
        members: list[Member] = []
        places: dict[tuple[bytes, int], tuple[int, int]] = {}
        ports = [ports_of(i, about.port) for i in tier]
        parts = lcm(*{len(numbers) for numbers in ports if numbers})
        for i, numbers in zip(tier, ports, strict=True):
            known_as = own_name(i)
            own = by_name[known_as]
            if own.home not in ends:
                suffix = here if inside and own.home == label else own.home + apex
                ends[own.home] = own.home + zone, suffix
                if own.elsewhere and zone in own.elsewhere:
                    ends[own.home] = (own.home + own.elsewhere[zone],) * 2
            name, suffix = ends[own.home]
            for port in numbers:
                share = i.weight * parts // len(numbers)
                if own.sole_holder and about.levels is None:  # a route may give one instance as two targets
                    key = known_as, port, i.weight, i.registration.priority
                    wire = srv_records.get(key)
                    if wire is None:
                        wire = srv_records[key] = _srv_of(i, i.weight, scale, port, own.label + name, ttl)
                    owner = own.label + suffix
                    run = owner + own.unowned[0] if len(own.unowned) == 1 else _run(owner, own)
                    members.append(_member((wire, share, (i,), run, len(own.unowned))))
                    continue
                if i.registration.host:
                    target = owner = names.wire(i.registration.host)
                else:
                    home = homes.setdefault(i.addresses, (own.label, name, suffix))
                    target, owner = home[0] + home[1], home[0] + home[2]
                at, weight = places.get((target, port), (len(members), 0))
                places[target, port] = at, weight + i.weight
                wire = _srv_of(i, weight + i.weight, scale, port, target, ttl)
                if at < len(members):
                    holders = (*members[at].holders, i)
                    share += members[at].weight
                    members[at] = members[at]._replace(record=wire, weight=share, holders=holders)
                else:
                    members.append(Member(wire, share, (i,), _run(owner, own), len(own.unowned)))
        if members:
            tiers.append(tuple(members))
    return tuple(tiers)


def _srv_of(i: Instance, weight: int, scale: float, port: int, target: bytes, ttl: int) -> bytes:
    return srv(i.registration.priority, min(int(weight * scale), 65535), port, target, ttl)


def _run(owner: bytes, own: InstanceRecords) -> bytes:
    """The address records of one instance under this owner."""
    return (
        owner + own.unowned[0] if len(own.unowned) == 1 else b"".join([owner + body for body in own.unowned])
    )


def target(instance: Instance, name: bytes) -> bytes:
    """The SRV target of one instance: the host name that it registered, else its own name here."""
    if instance.registration.host:
        return names.wire(instance.registration.host)
    return names.label(instance.label) + name


def counts(about: str, group: Collection[Instance]) -> str:
    """`web: 3 registered, 0 healthy (2 failing, 1 draining)`: under 100 bytes, the rarest states
    left out where it would be longer."""
    given = len([i for i in group if i.answered])
    text = f"{len(group)} registered, {given} healthy"
    if given:
        return ede.about(about, f"{text}, none for this type")
    text = ede.about(about, text)
    states, detail = Counter(i.state for i in group), ""
    for state, n in states.most_common():
        longer = f"{detail}, {n} {state}" if detail else f"{n} {state}"
        if len(text) + len(longer) + 3 > ede.MAX_TEXT_BYTES:
            break
        detail = longer
    return f"{text} ({detail})" if detail else text


def about_service(service: Service) -> list[str]:
    """What a person with dig reads of a service."""
    states = Counter(str(i.state) for i in service.instances)
    texts = [
        f"instances={len(service.instances)}",
        f"healthy={service.healthy()}",
        f"policy={service.settings.policy}",
    ]
    if service.settings.near != "off":
        texts.append(f"near={service.settings.near}")
    texts += [f"{state}={n}" for state, n in sorted(states.items()) if state != "healthy"]
    return texts + ([f"note={service.note}"] if service.note else [])


def about_instance(instance: Instance) -> list[str]:
    """What a person with dig reads of an instance: its state and why, then its own meta."""
    r = instance.registration
    texts = [f"id={instance.id}", f"state={instance.state}"]
    if instance.reason:
        texts.append(f"reason={instance.reason}")
    texts += [f"weight={instance.weight}", f"priority={r.priority}"]
    if r.tags:
        texts.append("tags=" + ",".join(r.tags))
    if r.zone:
        texts.append(f"zone={r.zone}")
    return texts + [f"{k}={v}" for k, v in r.meta]
