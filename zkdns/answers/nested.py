"""Who has a name that two services bring, where one zone lies inside another.

Rules: pure. In one zone no two services bring the same name, for their labels differ. Where `web.svc.local`
is a zone beside `svc.local`, `x.web.svc.local` may be the service `x` of the one and a tag of `web` in the
other: the longest zone of which a service has it wins, and when that service goes the next one has the name.
What the inner zone says of itself is no service's of an outer one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from zkdns.answers.table import Name, Zone
from zkdns.dns import names


class Brings(Protocol):
    """What a service brings to the table, as far as it is asked for here."""

    @property
    def names(self) -> Mapping[bytes, Name]: ...


class Claims:
    """By owner, the services that bring it, and in which zone."""

    def __init__(self, zones: Sequence[Zone]) -> None:
        self._zones = zones
        self._length = {zone.index: len(zone.apex) for zone in zones}
        self._by_owner: dict[bytes, dict[str, int]] = {}

    def move(self, service: str, old: Brings | None, new: Brings | None) -> set[bytes]:
        """A service brings other names from now on. Gives those to be decided anew."""
        before = old.names if old is not None else {}
        after = new.names if new is not None else {}
        for owner in before.keys() - after.keys():
            claims = self._by_owner[owner]
            del claims[service]
            if not claims:
                del self._by_owner[owner]
        for owner, known in after.items():
            self._by_owner.setdefault(owner, {})[service] = known.zone
        return {*before, *after}

    def holder(self, owner: bytes) -> tuple[str, int] | None:
        """The service that has the name, and the index of the zone in which it does."""
        claims = self._by_owner.get(owner)
        return max(claims.items(), key=lambda one: self._length[one[1]]) if claims else None

    def zone_of(self, owner: bytes) -> int:
        """The innermost zone that a name lies in."""
        return zones_of(owner, self._zones)[0].index


def zones_of(name: bytes, zones: Iterable[Zone]) -> list[Zone]:
    """Those that a name lies in, the innermost first."""
    above = {name, *names.suffixes(name)}
    return sorted((zone for zone in zones if zone.apex in above), key=lambda zone: -len(zone.apex))


def home_of(label: bytes, apex: bytes, apexes: Iterable[bytes]) -> bytes:
    """The apex below which the names of a service's instances are its own: `apex`, where no zone begins below
    the service's name there; else that of the longest that does, where they stand too. The target of an SRV
    record must have the addresses that are sent with it, whatever service comes."""
    own = label + apex
    inside = [other for other in apexes if other.endswith(own)]
    return home_of(label, max(inside, key=len), apexes) if inside else apex


def elsewhere_of(label: bytes, apexes: Sequence[bytes]) -> dict[bytes, bytes]:
    """By apex, the other one that a service's instances have their names below."""
    if len(apexes) < 2:
        return {}
    homes = {apex: home_of(label, apex, apexes) for apex in apexes}
    return {apex: home for apex, home in homes.items() if home != apex}
