"""What the RRsets of one service share of each instance: its addresses as records, spelled once.

Rules: pure. Owners are C00C or none, so that the same objects stand wherever they are given: at 100,000
instances that is half of the memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache, partial
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from msgspec import Struct

from zkdns.answers.nested import elsewhere_of
from zkdns.answers.table import InstanceAddresses
from zkdns.dns import names
from zkdns.dns.records import OWNER, packed, record
from zkdns.dns.types import AAAA, A
from zkdns.model import Instance, Service


class InstanceRecords(NamedTuple):
    """What the RRsets of one service share of an instance. `unowned`: its A and AAAA records without
    their owner, for its own name; `v4` and `v6`: with owner C00C, for names of several (whose TTL may be a
    shorter one); `addresses`: those of its own name. `sole_holder`: it has addresses, and nobody else in the
    service has one of them. `home`: the label of the service that its name stands under; `elsewhere`: by
    apex, that of the zone in which its name is a target, where that is another one."""

    label: bytes
    unowned: tuple[bytes, ...]
    v4: tuple[bytes, ...]
    v6: tuple[bytes, ...]
    addresses: InstanceAddresses
    sole_holder: bool
    home: bytes
    elsewhere: Mapping[bytes, bytes] = MappingProxyType({})


class Spelling(Struct, frozen=True):
    """What the records of one service in one zone are spelled with: the apex, the service's TTL in seconds,
    and what they share of each instance, by `own_name`."""

    zone: bytes
    ttl: int
    by_name: Mapping[str, InstanceRecords]


def spell(
    service: Service, ttl: int, others: Sequence[Instance] = (), apexes: Sequence[bytes] = ()
) -> dict[str, InstanceRecords]:  # fmt: skip
    """What the RRsets share, by `own_name`. Its records are the same objects wherever they
    stand: at 100,000 instances that is half of the memory. `others`: that its names give as well.
    `apexes`: of the zones that it has names in."""
    by_name = {}
    instances = (*service.instances, *others) if others else service.instances
    every = [a for i in instances for a in i.addresses]
    are_apart = len(set(every)) == len(every)
    holders = {} if are_apart else Counter(every)
    shared = shared_ttl(instances, ttl)
    own = names.label(service.label)
    elsewhere = {own: elsewhere_of(own, apexes)}
    for i in instances:
        home = names.label(i.home) if i.home else own
        if home not in elsewhere:
            elsewhere[home] = elsewhere_of(home, apexes)
        kept = ttl if i.registration.ttl is None else i.registration.ttl
        unowned, v4, v6, addresses = _spell(i.addresses, kept)
        if kept != shared:
            _, v4, v6, _ = _spell(i.addresses, shared)
        sole_holder = i.registration.host is None and (are_apart or all(holders[a] == 1 for a in i.addresses))
        records = names.label(i.label), unowned, v4, v6, addresses, sole_holder, home, elsewhere[home]
        by_name[own_name(i)] = _instance_records(records)
    return by_name


_Records: TypeAlias = tuple[bytes, ...]
_instance_records = partial(tuple.__new__, InstanceRecords)


@lru_cache(1024)  # one instance that changes has those of all its service spelled
def _spell(addresses: tuple[str, ...], ttl: int) -> tuple[_Records, _Records, _Records, InstanceAddresses]:
    """Those without their owner; those with owner C00C, of each type; and of each type in one run."""
    unowned: list[bytes] = []
    v4: list[bytes] = []
    v6: list[bytes] = []
    for a in addresses:
        rtype, same = (AAAA, v6) if ":" in a else (A, v4)
        unowned.append(record(b"", rtype, ttl, packed(a)))
        same.append(OWNER + unowned[-1])
    return tuple(unowned), tuple(v4), tuple(v6), InstanceAddresses(b"".join(v4), b"".join(v6))


def ttl_of(i: Instance, ttl: int) -> int:
    """That of its own addresses. `ttl`: its service's."""
    return ttl if i.registration.ttl is None else i.registration.ttl


def shared_ttl(instances: Iterable[Instance], ttl: int) -> int:
    """That of a name that gives several instances' addresses: who is there, and where, may be kept for the
    least of their times."""
    own = {i.registration.ttl for i in instances if i.answered}
    return min([ttl, *(one for one in own if one is not None)])


def own_name(i: Instance) -> str:
    """Its own name as seen from the service that gives it."""
    return f"{i.label}.{i.home}" if i.home else i.label
