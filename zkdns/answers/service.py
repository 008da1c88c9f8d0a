"""All that one service brings to the table, as a value: so a change costs what changed.

Rules: pure; never written after it is made (`compilation` does that).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import replace
from itertools import chain
from typing import Any, Final

from msgspec import Struct

from zkdns.answers import policies
from zkdns.answers.first_places import FirstPlaces, shares_of
from zkdns.answers.kept import Kept
from zkdns.answers.late_names import LatePorts, LateTags
from zkdns.answers.owners import owners
from zkdns.answers.rotation import RotationCounter
from zkdns.answers.routed import NOTHING, Beyond, as_routed
from zkdns.answers.table import EVERY, Entries, Name, Zone
from zkdns.answers.variants import class_key
from zkdns.answers.zone_names import FOLDER
from zkdns.dns import names
from zkdns.dns.records import packed
from zkdns.identity import apart
from zkdns.model import Instance, Service, State

FEW: Final = 64
"""Instances that are grouped by address each time that somebody asks: a map of each small service's took more
room than its addresses."""

MANY: Final = 1000
"""Instances that are packed sooner than all addresses are looked at."""


class ServiceAnswers(Struct, frozen=True, eq=False):
    """All that one service brings to the table, and what it was made of. `ttl`: seconds, of its records.
    `grouped`: the instances at each packed address, None where they are few enough to be grouped when that is
    asked; `protocols`: those that it has a `_service._proto` name for; `origin`: whose staleness it has."""

    service: Service
    ttl: int
    entries: Entries
    names: Mapping[bytes, Name]
    grouped: Mapping[bytes, Sequence[Instance]] | None
    protocols: Sequence[str]
    first_places: Mapping[bytes, FirstPlaces] = {}
    origin: int = EVERY
    near: bool = False
    """Whether it is given by where clients stand."""
    beyond: Beyond = NOTHING
    """What its names give beside its own instances."""
    not_near: int = 0
    """Names that give all clients the same, for there was too much to arrange by where they stand."""
    deferred: bool = False
    """Whether all of this is compiled only once somebody asks for it."""
    size: int = 0
    """How many instances stand behind its names; 0 where they are few."""
    made: tuple[Collection[Any], ...] = ()
    """What was made of each instance, beside what stands in the entries and names."""
    kept: tuple[Kept[Any], ...] = ()
    """What is compiled when somebody asks for it."""

    @property
    def by_address(self) -> Mapping[bytes, Sequence[Instance]]:
        """The instances at each packed address."""
        return group_by_address(readable(self.service)) if self.grouped is None else self.grouped

    @property
    def addresses(self) -> Set[bytes]:
        """Those of its instances, packed."""
        if self.grouped is not None:
            return self.grouped.keys()
        # As `readable`, in one pass: thousands of which one says nothing would be copied each time.
        nothing, instances = State.UNREADABLE, self.service.instances
        each = [i.registration.addresses or i.resolved for i in instances if i.state is not nothing]
        return set(map(packed, chain.from_iterable(each)))

    @property
    def _addressed(self) -> Sequence[Instance]:
        return self.beyond.guests if self.service.view_of else self.service.instances

    def counters(self) -> dict[bytes, RotationCounter]:
        """Those of all its Entries, and of what each client class is given instead."""
        by_key = {key: entry.counter for key, entry in self.entries.items()}
        for key, entry in self.entries.items():
            for number, one in (entry.variants or {}).items():
                by_key[class_key(key, number)] = one.counter
        return by_key

    def shares(self) -> dict[str, float]:
        """What part of first places each instance should get, by its key, 0 to 1."""
        if self.beyond.route is None:
            return shares_of(self.service)
        given = self.beyond.route.name
        shares = dict.fromkeys((i.key for i in (*self.service.instances, *given.group)), 0.0)
        policy = as_routed(self.service, self.beyond.route).settings.policy
        for tier in given.first:
            for i, share in zip(tier, policies.shares(policy, [i.weight for i in tier]), strict=True):
                shares[i.key] += share
        return shares

    @property
    def label(self) -> str:
        return self.service.label

    def shown(self, zone: Zone) -> list[str]:
        """Its names in one zone as text: those that are for asking, and no folder of ports or of zones."""
        name = names.label(self.label) + zone.apex
        folders = {names.label(folder) + name for folder in (FOLDER, *(f"_{p}" for p in self.protocols))}
        if self.deferred:
            every = [about.owner for about in owners(readable(self.service), zone.apex)]
        else:
            here = [(owner, known) for owner, known in self.names.items() if known.zone == zone.index]
            every = [owner for owner, _ in here]
            late = (known.below for _, known in here if isinstance(known.below, LateTags | LatePorts))
            every += [owner for below in late for owner in below.owners()]
        return [names.text(owner).rstrip(".") for owner in every if owner not in folders]


def readdressed(old: ServiceAnswers, new: ServiceAnswers) -> tuple[Set[bytes], Set[bytes]]:
    """The addresses of both, of thousands without those that both have: few are looked at, where few
    instances changed."""
    if old.grouped is None or new.grouped is None:
        return old.addresses, new.addresses
    gone, come = apart(old._addressed, new._addressed)
    if len(gone) + len(come) > MANY:
        return old.addresses, new.addresses
    left, came = ({packed(a) for i in some for a in i.addresses} for some in (gone, come))
    return (
        {a for a in left if a in old.grouped and a not in new.grouped},
        {a for a in came if a in new.grouped and a not in old.grouped},
    )


def readable(service: Service) -> Service:
    """Without the instances that nothing is known of but that they are registered: they have no names."""
    if State.UNREADABLE not in [i.state for i in service.instances]:
        return service
    instances = tuple(i for i in service.instances if i.state is not State.UNREADABLE)
    return replace(service, instances=instances)


def group_by_address(service: Service) -> dict[bytes, list[Instance]]:
    """The instances at each address: reverse names are asked for one by one, of services of any size."""
    by_address: dict[bytes, list[Instance]] = {}
    for i in service.instances:
        for address in i.addresses:
            by_address.setdefault(packed(address), []).append(i)
    return by_address
