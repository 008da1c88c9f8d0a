"""The spellings of `host and port` that other systems use, in names and in data.

Rules: pure; `BadData` is the only error that leaves this file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

from zkdns.registry.addresses import where
from zkdns.registry.fields import PORT, BadData, show

MAX_URL_CHARACTERS: Final = 8192
"""Of a URL or host:port: longer ones are none."""

_URL: Final = re.compile(
    # Kafka's listener names have underscores, which RFC 3986 does not allow in a scheme.
    r"([A-Za-z][A-Za-z0-9+._-]*)://(?:[^@/?#]*@)?(\[[^\]/?#]*\]|[^:/?#\[\]]*)(?::([0-9]{0,9}))?(?:[/?#].*)?",
    re.DOTALL,
)
_HOST_PORT: Final = re.compile(r"(?:\[([^\[\]]*)\]|([^\[\]]*)):([0-9]{1,9})", re.DOTALL)
_SEQUENCE: Final = re.compile(r"(?:(?<![^-_])-[0-9]{9,10}|[0-9]{10})\Z")
"""%010d of a signed int: a sign is one where another hyphen, or an underscore, parts it from the name."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where something is reached: `addresses` or `host`, and `port` (0: none was given)."""

    addresses: tuple[str, ...]
    host: str | None
    port: int
    scheme: str = ""

    @property
    def place(self) -> tuple[tuple[str, ...], str | None]:
        return self.addresses, self.host

    def __str__(self) -> str:
        """`host:port`, IPv6 in brackets, the same whatever the spelling was."""
        host = self.host or self.addresses[0]
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


def at(host: Any, port: Any, field: str) -> Endpoint:
    """An endpoint whose host and port were told apart already. `field`: what holds them."""
    addresses, name = where(host, f"{field}'s host")
    number: int = PORT.take(f"{field}'s port", port)
    return Endpoint(addresses, name, number)


def host_port(value: Any, field: str) -> Endpoint:
    """`h:p` or `[fd00::5]:p`; an IPv6 address without brackets ends before the last colon."""
    match = _HOST_PORT.fullmatch(value) if _is_short(value) else None
    if match is None:
        raise BadData(f"{field} is {show(value)}, not host:port", f"set {field} to host:port")
    bracketed, plain, port = match.groups()
    return at(plain if bracketed is None else bracketed, int(port), field)


def url(value: Any, field: str) -> Endpoint:
    """`scheme://host[:port]…`; IPv6 in brackets."""
    match = _URL.fullmatch(value) if _is_short(value) else None
    if match is None:
        raise BadData(f"{field} is {show(value)}, not a URL", f"set {field} to scheme://host:port")
    scheme, host, port = match.groups()
    addresses, name = where(host.strip("[]"), f"{field}'s host")
    number: int = PORT.take(f"{field}'s port", int(port or 0))
    return Endpoint(addresses, name, number, scheme)


def anywhere(value: Any, field: str) -> Endpoint:
    """A URL, host:port, or a host alone."""
    if _is_short(value):
        if "://" in value:
            return url(value, field)
        head, colon, tail = value.rpartition(":")
        if colon and tail.isdigit() and (":" not in head or head.startswith("[")):
            return host_port(value, field)
    addresses, host = where(value, field)
    return Endpoint(addresses, host, 0)


def _is_short(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= MAX_URL_CHARACTERS


def sequence(name: str) -> str | None:
    """The number that ZooKeeper gave a sequential node, as it stands there: after 2147483647 comes
    -2147483648 (Programmer's Guide, Sequence Nodes). None for another node."""
    match = _SEQUENCE.search(name[-12:])
    return match.group() if match else None


def named_ports(endpoints: dict[str, int]) -> tuple[tuple[str, int], ...]:
    """Pairs by name, without those that have no port."""
    return tuple(sorted((name, port) for name, port in endpoints.items() if name and port))
