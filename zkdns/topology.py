"""Where a network stands: the map from networks to zones, and the zones' shares of the clients.

Rules: pure and frozen; a bad entry costs that entry and is told. The longest prefix that holds an address
tells its place. A client class is a small whole number: 0 where nothing is known, else the place's
index + 1, so that both engines can keep variants of an answer in a plain array.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

from zkdns.model import Problem, fault

MAX_NETWORKS = 10_000
MAX_PLACES = 256
"""Of one map."""
MAX_TOLD = 16
"""Bad entries of one map that are told one by one."""
MAX_NAME_CHARS = 63
"""A zone's name is a label of `ZONE.prefer._zone.SERVICE` (RFC 1035, section 2.3.4)."""

V4_IN_V6 = 96
"""IPv4 networks are kept as IPv4-mapped ones (RFC 4291, section 2.5.5.2): one table for both."""
V4_MAPPED = 0xFFFF << 32
"""What they begin with."""


class Place(NamedTuple):
    """A zone and the region that it is part of ("" where none was given)."""

    region: str
    zone: str

    def __str__(self) -> str:
        return f"{self.region}/{self.zone}" if self.region else self.zone


NOWHERE = Place("", "")


class Network(NamedTuple):
    """One entry of the map: `bits` of 128 fixed to those of `base`."""

    base: int
    bits: int
    place: Place

    @property
    def is_v4(self) -> bool:
        return self.bits >= V4_IN_V6 and is_v4(self.base)

    def written(self) -> tuple[str, int]:
        """As people write it: its address, and how many bits of that count."""
        if self.is_v4:
            return str(ipaddress.IPv4Address(self.base & 0xFFFFFFFF)), self.bits - V4_IN_V6
        return str(ipaddress.IPv6Address(self.base)), self.bits


def parse_place(text: str) -> Place:
    """`[REGION/]ZONE`; ValueError tells what is wrong with it."""
    region, slash, zone = text.strip().lower().rpartition("/")
    if slash and not region:
        raise ValueError(f"{text!r} has no region before the slash")
    for name in (zone, *([region] if slash else [])):
        if (
            not name
            or len(name) > MAX_NAME_CHARS
            or not all(c.isascii() and (c.isalnum() or c in "-_") for c in name)
        ):
            raise ValueError(f"{text!r} is no [REGION/]ZONE of letters, digits, - and _")
    return Place(region, zone)


@dataclass(frozen=True)
class Topology:
    """`networks`: longest prefix first. `own`: where this server stands, for clients of no network
    here. `clients`: the zones' shares of all clients, 1 each where none was given."""

    networks: tuple[Network, ...] = ()
    own: Place = NOWHERE
    clients: Mapping[str, Fraction] = field(default_factory=dict)

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """All places of the map and our own, in the order of their names: index + 1 is the client class."""
        places = {network.place for network in self.networks} | ({self.own} if self.own.zone else set())
        return tuple(sorted(places, key=lambda place: (place.zone, place.region)))

    @cached_property
    def zones(self) -> frozenset[str]:
        """Those of all places."""
        return frozenset(place.zone for place in self.places)

    @cached_property
    def _by_bits(self) -> dict[bool, list[tuple[int, dict[int, Place]]]]:
        """By whether it is IPv4: an IPv6 network holds no IPv4 address, however short its prefix."""
        tables: dict[bool, dict[int, dict[int, Place]]] = {False: {}, True: {}}
        for network in self.networks:
            table = tables[network.is_v4].setdefault(network.bits, {})
            table[network.base >> (128 - network.bits)] = network.place
        return {v4: sorted(networks.items(), reverse=True) for v4, networks in tables.items()}

    def place_of(self, address: str) -> Place | None:
        """The place of the longest prefix that holds `address` (text); None where none does."""
        try:
            number = as_number(address)
        except ValueError:
            return None
        for bits, table in self._by_bits[is_v4(number)]:
            if (place := table.get(number >> (128 - bits))) is not None:
                return place
        return None

    def named(self, text: str) -> Place | None:
        """The place that an instance names, `[REGION/]ZONE`; the map knows the region of its zones."""
        region, _, zone = text.strip().lower().rpartition("/")
        return Place(self.region_of(zone) or region, zone) if zone else None

    def class_of(self, place: Place) -> int:
        """The client class of a place; 0 where it has none."""
        return self._classes.get(place, 0)

    @cached_property
    def _classes(self) -> dict[Place, int]:
        return {place: number for number, place in enumerate(self.places, 1)}

    def region_of(self, zone: str) -> str:
        """The region of a zone by its name; "" where the map doesn't know."""
        return self._regions.get(zone, "")

    @cached_property
    def _regions(self) -> dict[str, str]:
        return {place.zone: place.region for place in reversed(self.places) if place.region}

    def client_shares(self) -> Mapping[str, Fraction]:
        """By zone: its part of all clients; they sum to 1."""
        return self._client_shares

    @cached_property
    def _client_shares(self) -> dict[str, Fraction]:
        zones = dict.fromkeys(place.zone for place in self.places)
        shares = {
            zone: self.clients.get(zone, Fraction(0) if self.clients else Fraction(1)) for zone in zones
        }
        total = sum(shares.values(), Fraction(0))
        return {zone: share / total for zone, share in shares.items()} if total else {}


NO_TOPOLOGY = Topology()


def is_v4(number: int) -> bool:
    """Whether these 128 bits are an IPv4 address."""
    return number >> 32 == V4_MAPPED >> 32


def as_number(address: str) -> int:
    """An address in text as 128 bits; ValueError where it is none."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    return int(ip) | (V4_MAPPED if ip.version == 4 else 0)


def parse_network(text: str, place: str) -> Network:
    """One entry; ValueError tells what is wrong with it. Host bits are forgiven, as a person writes them."""
    network = ipaddress.ip_network(text.strip(), strict=False)
    shift = V4_IN_V6 if network.version == 4 else 0
    base = int(network.network_address) | (V4_MAPPED if network.version == 4 else 0)
    return Network(base, network.prefixlen + shift, parse_place(place))


def parse_topology(
    where: str, entries: Any, clients: Any = None, own: Place = NOWHERE
) -> tuple[Topology, tuple[Problem, ...]]:
    """The map that `entries` (a JSON object or TOML table of network to place) tells, and what is wrong."""
    problems: list[Problem] = []
    by_prefix: dict[tuple[int, int], Network] = {}
    bad = 0
    if not isinstance(entries, Mapping):
        problems.append(Problem(where, "is no object of networks and places", CURE))
        entries = {}
    for at, (text, place) in enumerate(entries.items()):
        try:
            if at >= MAX_NETWORKS:
                problems.append(
                    Problem(where, f"has more than {MAX_NETWORKS} networks: the rest is left out", CURE)
                )
                break
            if not isinstance(place, str):
                raise ValueError(f"the place of {text!r} is no text")
            network = parse_network(str(text), place)
        except Exception as error:
            bad += 1
            if bad <= MAX_TOLD:
                is_ours = not isinstance(error, ValueError)  # it costs this entry, and the others count
                problems.append(
                    fault(f"{where}: {text}", error) if is_ours else Problem(where, str(error)[:200], CURE)
                )
        else:
            by_prefix[network.base, network.bits] = network
    if bad > MAX_TOLD:
        problems.append(Problem(where, f"{bad - MAX_TOLD} more of its entries can't be read", CURE))
    shares: dict[str, Fraction] = {}
    for zone, share in (clients if isinstance(clients, Mapping) else {}).items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1e9:
            problems.append(Problem(where, f"the clients of {zone!r} are no number from 0 up", CURE))
        else:
            shares[str(zone).lower()] = Fraction(share).limit_denominator(10_000)
    networks = sorted(by_prefix.values(), key=lambda network: (-network.bits, network.base))
    places = dict.fromkeys(network.place for network in networks)
    if len(places) > MAX_PLACES:
        problems.append(Problem(where, f"has more than {MAX_PLACES} places: the rest is left out", CURE))
        kept = set(list(places)[:MAX_PLACES])
        networks = [network for network in networks if network.place in kept]
    return Topology(tuple(networks), own, shares), tuple(problems)


CURE = 'give networks and places, such as {"10.1.0.0/16": "eu/eu-1a"}'
