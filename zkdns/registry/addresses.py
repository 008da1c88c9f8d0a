"""Addresses and host names as registrations give them: in one spelling, or with what is wrong about them.

Rules: pure; `BadData` is the only error that leaves this file.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from zkdns.registry.fields import BadData, Rule, show
from zkdns.registry.json_values import MAX_ITEMS

MAX_ADDRESS_CHARACTERS: Final = 45
"""Of an IPv6 address, its last groups written as IPv4 (RFC 4291, section 2.2)."""

MAX_HOST_CHARACTERS: Final = 254
"""Of a host name (RFC 1035, section 2.3.4), with the dot of the root."""

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_NUMERIC = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"(?!0\.|2(?:2[4-9]|3[0-9])\.|255\.255\.255\.255$){_OCTET}(?:\.{_OCTET}){{3}}")
"""No 0/8 ("this host"), no multicast, no broadcast (RFC 6890): a client can't reach one machine there."""


def canonical(value: str) -> str | None:
    """The address in the one spelling of RFC 5952, or None where it is none that a client can use. An
    IPv4-mapped IPv6 address (`::ffff:10.0.0.5`, as dual-stack sockets write it) is the IPv4 one."""
    if len(value) > MAX_ADDRESS_CHARACTERS:
        return None
    if ":" not in value:
        return value if _IPV4.fullmatch(value) else None  # ten times as fast as ipaddress
    try:
        address = ipaddress.IPv6Address(value)
    except ValueError:
        return None
    if address.ipv4_mapped is not None:
        return canonical(str(address.ipv4_mapped))
    if "%" in value or address.is_unspecified or address.is_multicast or address.is_link_local:
        return None  # a scope has no place in a record, and :: is an address to bind, not to reach
    return str(address)


def why_unusable(value: str) -> str:
    """Why no client can use what is an address all the same; "" for what is none."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_multicast:
        return "a multicast address"
    if isinstance(address, ipaddress.IPv6Address) and address.is_link_local:
        return "a link-local address, which is reached through one interface alone"
    if str(address) == "255.255.255.255":
        return "the broadcast address"
    return "which no client can reach"


def is_host(value: str) -> bool:
    """Whether it can be a host name. The last label must not look like a number, else a mistyped
    address would pass for a name (RFC 1123, section 2.1)."""
    if len(value) > MAX_HOST_CHARACTERS:
        return False
    name = value.removesuffix(".")
    labels = name.split(".")
    return len(name) <= 253 and all(map(_LABEL.fullmatch, labels)) and not _NUMERIC.fullmatch(labels[-1])


def where(value: Any, field: str = "address") -> tuple[tuple[str, ...], str | None]:
    """Addresses and host name out of one text or a list of them."""
    if isinstance(value, str):
        address = canonical(value)
        if address is not None:
            return (address,), None
        if is_host(value):
            return (), value.removesuffix(".").lower()
        raise _no_address(value, field)
    if not isinstance(value, list | tuple) or not set(map(type, value)) <= {str}:
        must = "an address, a host name or a list of addresses"
        raise BadData(f"{field} is {show(value)}, not {must}", f"set {field} to {must}")
    if not value:
        raise BadData(f"{field} is an empty list", f"name at least one address in {field}")
    if len(value) == 1:
        return where(value[0], field)
    addresses = []
    for at, item in enumerate(islice(dict.fromkeys(value), MAX_ITEMS)):
        address = canonical(item)
        if address is None:
            if is_host(item):
                raise BadData(
                    f"{field}[{at}] is {show(item)}, a host name",
                    f"a list in {field} holds addresses only; a host name stands alone",
                )
            raise _no_address(item, f"{field}[{at}]")
        addresses.append(address)
    return tuple(dict.fromkeys(addresses)), None


def _no_address(value: str, field: str) -> BadData:
    what = f"{field} is {show(value)}, not an IPv4 or IPv6 address or a host name"
    value = value[:MAX_HOST_CHARACTERS]
    bare = value.strip(" \t\r\n\0\ufeff[]")
    if not bare:
        return BadData(f"{field} is empty", f"set {field} to an address such as 10.0.0.5")
    if (address := canonical(bare)) is not None:
        return BadData(what, f"set {field} to {address}")
    if why := why_unusable(bare):
        return BadData(
            f"{field} is {value}, {why}", f"set {field} to the host's own address, such as 10.0.0.5"
        )
    head, colon, tail = bare.rpartition(":")
    head = head.strip("[]")
    if colon and tail.isascii() and tail.isdigit() and len(tail) <= 5:
        address = canonical(head)
        if address is not None or (is_host(head) and ":" not in head):
            return BadData(what, f"set {field} to {address or head} and the port field to {tail}")
        if why := why_unusable(head):
            cure = f"set {field} to the host's own address, such as 10.0.0.5, and the port field to {tail}"
            return BadData(f"{field} is {show(value)}, {why}", cure)
    return BadData(what, f"set {field} to an address such as 10.0.0.5")


def endpoint(value: Any, field: str, port: Rule) -> tuple[tuple[str, ...], str | None, int]:
    """Addresses, host name and port out of an object with `host` and `port`. `field`: what holds them."""
    if not isinstance(value, Mapping):
        must = "an object with host and port"
        raise BadData(f"{field} is {show(value)}, not {must}", f"set {field} to {must}")
    prefix = f"{field}." if field else ""
    addresses, host = where(value.get("host"), f"{prefix}host")
    number: int = port.take(f"{prefix}port", value.get("port"))
    return addresses, host, number
