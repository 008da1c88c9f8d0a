"""What one service says: which instances stand in which RRset, under which name, with which rdata.

Rules: pure. A record is a *piece* (table.py): owner C00C, targets spelled out (RFC 2782: a target
is not compressed). The few lines that pack A, AAAA and SRV do by hand what dnslib does, because a
large registry spells them by the hundred thousand; dnslib spells the rest.
"""

from __future__ import annotations

import ipaddress
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import lcm

import dnslib

from zkdns.answers import names
from zkdns.answers.table import OWNER
from zkdns.model import Instance, Service

A, NS, SOA, PTR, HINFO, TXT, AAAA, SRV = 1, 2, 6, 12, 13, 16, 28, 33

_HEAD = struct.Struct("!HHIH").pack
_SRV = struct.Struct("!HHH").pack


@dataclass(frozen=True, slots=True)
class Member:
    """One record of an RRset: its piece, its weight in the deal, whose it is (ids), and the
    additional records that go with it."""

    piece: bytes
    weight: int
    ids: tuple[str, ...]
    extra: bytes = b""
    extra_count: int = 0


@dataclass(frozen=True, slots=True)
class RRset:
    """`owner` in lower case on the wire. `tiers`: the members of each priority, lowest first.
    `whole`: it is not cut to the service's `answers` (people browse it, nobody connects by it)."""

    owner: bytes
    rtype: int
    tiers: tuple[tuple[Member, ...], ...]
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Owners:
    """Which instances an owner name is about; `about` names it for people. `counted`: its answers are
    about the whole service, so that their first places prove its weights (a tag's don't)."""

    owner: bytes
    about: str
    group: tuple[Instance, ...]
    types: tuple[int, ...]
    port: str | None = None
    counted: bool = True


def packed(address: str) -> bytes:
    """An address in text as its 4 or 16 bytes."""
    if ":" in address:
        return ipaddress.IPv6Address(address).packed
    return bytes(map(int, address.split(".")))


def record(owner: bytes, rtype: int, ttl: int, rdata: bytes) -> bytes:
    """One wire record of class IN (RFC 1035, section 3.2.1)."""
    return owner + _HEAD(rtype, 1, ttl, len(rdata)) + rdata


def addresses(owner: bytes, found: Iterable[str], ttl: int) -> tuple[bytes, int]:
    """The A and AAAA records of these addresses in one run, and how many they are."""
    run = [record(owner, AAAA if ":" in a else A, ttl, packed(a)) for a in found]
    return b"".join(run), len(run)


def srv(priority: int, weight: int, port: int, target: bytes, ttl: int) -> bytes:
    return record(OWNER, SRV, ttl, _SRV(priority, weight, port) + target)


def txt(strings: Iterable[str], ttl: int) -> bytes:
    """One TXT record; a string past 255 bytes is cut there (RFC 1035, section 3.3.14)."""
    rdata = dnslib.TXT([s.encode()[:255] for s in strings] or [b""])
    buffer = dnslib.DNSBuffer()
    rdata.pack(buffer)
    return record(OWNER, TXT, ttl, bytes(buffer.data))


def answered(group: Iterable[Instance]) -> list[list[Instance]]:
    """Those that are given out, by priority, lowest first."""
    tiers: dict[int, list[Instance]] = {}
    for i in group:
        if i.answered:
            tiers.setdefault(i.registration.priority, []).append(i)
    return [tiers[p] for p in sorted(tiers)]


def port_of(instance: Instance, name: str | None) -> int:
    """The main port, or the port named so; 0 where it has none."""
    if name is None:
        return instance.registration.port
    return next((p for n, p in instance.registration.ports if port_label(n) == name), 0)


def port_label(name: str) -> str:
    """A port's name as it stands in `_name._tcp` (RFC 6335, section 5.1, made wide enough)."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in name.lower())[:62]


def owners(service: Service, zone: bytes) -> Iterator[Owners]:
    """Every name of the service that can be enumerated cheaply: all but those of single instances."""
    name = names.label(service.label) + zone
    everyone = service.instances
    yield Owners(name, service.label, everyone, (A, AAAA, SRV))
    for protocol in protocols(everyone):
        of_protocol = tuple(i for i in everyone if i.registration.protocol == protocol)
        below = names.label("_" + protocol)
        yield Owners(names.label("_" + service.label[:62]) + below + zone, service.label, of_protocol, (SRV,))
        for port in dict.fromkeys(port_label(n) for i in of_protocol for n, _ in i.registration.ports):
            having = tuple(i for i in of_protocol if port_of(i, port))
            owner = names.label("_" + port) + below + name
            yield Owners(owner, f"{service.label}:{port}", having, (SRV,), port)
    taken = {i.label for i in everyone}
    by_tag: dict[str, list[Instance]] = {}
    for i in everyone:
        for tag in i.registration.tags:
            by_tag.setdefault(tag_label(tag), []).append(i)
    for tag, tagged in by_tag.items():
        if tag and tag not in taken:
            about = f"{tag}.{service.label}"
            yield Owners(names.label(tag) + name, about, tuple(tagged), (A, AAAA, SRV), counted=False)


def tag_label(tag: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in tag.lower())[:63]


def protocols(instances: Iterable[Instance]) -> list[str]:
    """The protocols that the service has a `_service._proto` name for; tcp while it has no instance."""
    return sorted({i.registration.protocol for i in instances}) or ["tcp"]


def address_tiers(group: Iterable[Instance], rtype: int, ttl: int) -> tuple[tuple[Member, ...], ...]:
    """The lowest priority's addresses of one family. An address that two instances share is one
    member with the weights added; an instance's weight is shared among its own addresses."""
    serving = answered(group)
    if not serving:
        return ()
    wanted = [[a for a in i.addresses if (":" in a) == (rtype == AAAA)] for i in serving[0]]
    scale = lcm(*(len(a) for a in wanted if a))
    weights: dict[str, int] = {}
    ids: dict[str, list[str]] = {}
    for i, own in zip(serving[0], wanted, strict=True):
        for a in own:
            weights[a] = weights.get(a, 0) + i.weight * scale // len(own)
            ids.setdefault(a, []).append(i.id)
    members = tuple(
        Member(record(OWNER, rtype, ttl, packed(a)), w, tuple(ids[a])) for a, w in weights.items()
    )
    return (members,) if members else ()


def srv_tiers(service: Service, about: Owners, zone: bytes, ttl: int) -> tuple[tuple[Member, ...], ...]:
    """Every priority's instances on the asked port. Two at one target and port are one record with
    the weights added; instances at the same addresses share the first one's name as target."""
    name = names.label(service.label) + zone
    inside = about.owner.endswith(name)
    suffix = pointer(about.owner, name if inside else zone)
    if not inside:
        suffix = names.label(service.label) + suffix
    home: dict[tuple[str, ...], str] = {}
    tiers = []
    for tier in answered(about.group):
        found: dict[tuple[bytes, int], tuple[int, list[str], Instance]] = {}
        for i in tier:
            port = port_of(i, about.port)
            if not port:
                continue
            at = target(i, home, name)
            weight, ids, first = found.get((at, port), (0, [], i))
            ids.append(i.id)
            found[at, port] = (weight + i.weight, ids, first)
        members = []
        for (at, port), (weight, ids, first) in found.items():
            owner = at if first.registration.host else names.label(home[first.addresses]) + suffix
            extra, count = addresses(owner, first.addresses, ttl)
            scaled = min(int(weight * service.settings.srv_scale), 65535)
            piece = srv(first.registration.priority, scaled, port, at, ttl)
            members.append(Member(piece, weight, tuple(ids), extra, count))
        if members:
            tiers.append(tuple(members))
    return tuple(tiers)


def target(instance: Instance, home: dict[tuple[str, ...], str], name: bytes) -> bytes:
    """The SRV target: the host name that it registered, else its own name here."""
    if instance.registration.host:
        return names.wire(instance.registration.host)
    return names.label(home.setdefault(instance.addresses, instance.label)) + name


def pointer(owner: bytes, suffix: bytes) -> bytes:
    """A compression pointer to `suffix`, which `owner`, the name asked, ends with."""
    return struct.pack("!H", 0xC000 | 12 + len(owner) - len(suffix))


def counts(about: str, group: Iterable[Instance]) -> str:
    """`web: 3 registered, 0 healthy (2 failing, 1 draining)`: under 100 bytes, the rarest states
    left out where it would be longer."""
    states = Counter(i.state for i in group)
    given = sum(1 for i in group if i.answered)
    total = states.total()
    said = f"{about}: {total} registered, {given} healthy"
    if given:
        return f"{said}, none for this type"[:99]
    detail = ""
    for state, n in states.most_common():
        longer = f"{detail}, {n} {state}" if detail else f"{n} {state}"
        if len(said) + len(longer) + 3 > 99:
            break
        detail = longer
    return f"{said} ({detail})" if detail else said


def about_service(service: Service) -> list[str]:
    """What a person with dig reads of a service."""
    states = Counter(str(i.state) for i in service.instances)
    said = [
        f"instances={len(service.instances)}",
        f"healthy={service.healthy()}",
        f"policy={service.settings.policy}",
    ]
    said += [f"{state}={n}" for state, n in sorted(states.items()) if state != "healthy"]
    return said + ([f"note={service.note}"] if service.note else [])


def about_instance(instance: Instance) -> list[str]:
    """What a person with dig reads of an instance: its state and why, then its own meta."""
    r = instance.registration
    said = [f"id={instance.id}", f"state={instance.state}"]
    if instance.reason:
        said.append(f"reason={instance.reason}")
    said += [f"weight={instance.weight}", f"priority={r.priority}"]
    if r.tags:
        said.append("tags=" + ",".join(r.tags))
    if r.zone:
        said.append(f"zone={r.zone}")
    return said + [f"{k}={v}" for k, v in r.meta]
