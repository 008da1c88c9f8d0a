"""Which class a client is of, and for how much around it that holds: the map as both engines search it.

Rules: pure and frozen. IPv4 and IPv6 are maps of their own; an IPv4-mapped IPv6 address (RFC 4291, section
2.5.5.2) is that IPv4 address. Prefixes nest and never cross, so they cut the addresses of a family into
spans, each of one class. The twin of native/src/prefix.rs.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from msgspec import Struct

from zkdns.topology import V4_IN_V6, Topology, is_v4

IPV4, IPV6 = 1, 2
"""Address families (IANA; RFC 7871, section 6)."""
BITS = {IPV4: 32, IPV6: 128}

MAX_REMEMBERED = 10_000
"""Clients whose class is remembered by their address."""


class Prefix(NamedTuple):
    """A network in text, the number of its bits that count, and what it means."""

    address: str
    bits: int
    value: int


class Spans(Struct, frozen=True):
    """Where spans of one value begin, ascending, the first at 0. Neighbours differ."""

    starts: Sequence[int]
    values: Sequence[int | None]
    bits: int

    @classmethod
    def of(cls, networks: Iterable[tuple[int, int, int]], bits: int) -> Spans:
        """Of (base, prefix length, value); of two equal prefixes the later counts."""
        every = sorted(((base, length, value) for base, length, value in networks), key=lambda n: n[:2])
        starts, values = [0], list[int | None]([None])

        def say(at: int, value: int | None) -> None:
            if starts[-1] == at:
                starts.pop()
                values.pop()
            if not values or values[-1] != value:
                starts.append(at)
                values.append(value)

        open_: list[tuple[int, int]] = []
        for base, length, value in [*every, (1 << bits, bits, 0)]:
            while open_ and open_[-1][0] < base:
                end, _ = open_.pop()
                say(end + 1, open_[-1][1] if open_ else None)
            if base < 1 << bits:
                say(base, value)
                open_.append((base + (1 << bits - length) - 1, value))
        if starts[-1] == 1 << bits:
            starts.pop()
            values.pop()
        return cls(starts, values, bits)

    def find(self, number: int) -> tuple[int | None, int]:
        """The value at an address, and the length of the longest network around it that is all of it."""
        at = bisect_right(self.starts, number) - 1
        scope = 0
        if at:
            scope = self._parting(number, self.starts[at] - 1)
        if at + 1 < len(self.starts):
            scope = max(scope, self._parting(number, self.starts[at + 1]))
        return self.values[at], scope

    def _parting(self, number: int, outside: int) -> int:
        """How many leading bits tell the two apart."""
        return self.bits - (number ^ outside).bit_length() + 1


def spans_of(prefixes: Iterable[Prefix]) -> dict[int, Spans]:
    """By family."""
    spans: dict[int, list[tuple[int, int, int]]] = {IPV4: [], IPV6: []}
    for address, bits, value in prefixes:
        ip = ipaddress.ip_address(address)
        spans[IPV4 if ip.version == 4 else IPV6].append((int(ip), bits, value))
    return {family: Spans.of(networks, BITS[family]) for family, networks in spans.items()}


@dataclass(frozen=True)
class ClientMap:
    """`networks`: by their client class. `own`: that of clients in none of them. `trusted`: who may
    speak for others by ECS (RFC 7871)."""

    networks: tuple[Prefix, ...] = ()
    own: int = 0
    trusted: tuple[Prefix, ...] = ()
    _known: dict[str, int] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def _spans(self) -> dict[int, Spans]:
        return spans_of(self.networks)

    @cached_property
    def _trusted_spans(self) -> dict[int, Spans]:
        return spans_of(self.trusted)

    def prepare(self) -> None:
        """Do now what else the first question would wait for."""
        _ = self._spans, self._trusted_spans

    def class_of(self, client: str) -> int:
        """The class of a client by its address in text."""
        known = self._known.get(client)
        if known is None:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            parsed = parse_client(client)
            known = self.own if parsed is None else self.locate(*parsed)[0]
            self._known[client] = known
        return known

    def locate(self, family: int, number: int) -> tuple[int, int]:
        """The class of an address, and the SCOPE PREFIX-LENGTH for which it is the same."""
        if family == IPV6 and is_v4(number):
            value, scope = self._spans[IPV4].find(number & 0xFFFFFFFF)
            return self.own if value is None else value, scope + V4_IN_V6
        value, scope = self._spans[family].find(number)
        return self.own if value is None else value, scope

    def trusts(self, client: str) -> bool:
        """Whether this client may speak for others."""
        if not self.trusted or (parsed := parse_client(client)) is None:
            return False
        family, number = parsed
        return self._trusted_spans[family].find(number)[0] is not None


NO_CLIENTS = ClientMap()
"""Nobody stands anywhere, and nobody speaks for others."""


def parse_client(text: str) -> tuple[int, int] | None:
    """Family and number of an address in text; None where it is none."""
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return (IPV4 if ip.version == 4 else IPV6), int(ip)


def client_map(topology: Topology, ecs_from: Iterable[str] = ()) -> ClientMap:
    """The map of a topology. `ecs_from`: networks in text."""
    networks = [Prefix(*network.written(), topology.class_of(network.place)) for network in topology.networks]
    trusted = []
    for text in ecs_from:
        network = ipaddress.ip_network(text, strict=False)
        trusted.append(Prefix(str(network.network_address), network.prefixlen, 1))
    return ClientMap(tuple(networks), topology.class_of(topology.own), tuple(trusted))
