"""What a znode's data means: one file a format; the file's name is the option's value.

Rules: pure; `BadData` is the only error that leaves a format. A format module has

    RANK          where `auto` asks it: lower first
    FOLDERS       names of nodes below a service that hold its instances instead of being one
    QUIET         names of nodes below a service that are neither
    claims(node)  whether this payload is of its kind (for `auto`); never raises
    parse(node)   -> Registration, or BadData

and, where it gives service nodes a meaning of its own, `settings(value)` -> the settings, what is
wrong in them, and an Inherited or None; or None for a value that is not its own.
"""

from __future__ import annotations

import ipaddress
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Protocol

from zkdns.model import DEFAULTS, Registration, ServiceSettings
from zkdns.registry.fields import ABSENT, BadData, decode, why_no_json


class Node:
    """One znode as a format sees it: its own name, its data, and the JSON in it (read at need)."""

    __slots__ = ("_object", "_value", "data", "name")

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self.data = data
        self._value: Any = self
        self._object: dict[str, Any] | None = None

    @property
    def value(self) -> Any:
        """The JSON in the data, or ABSENT."""
        if self._value is self:
            self._value = decode(self.data)
        return self._value

    @property
    def object(self) -> dict[str, Any]:
        """The JSON object in the data; empty where it is something else."""
        found = self._object
        if found is None:
            value = self.value
            found = self._object = value if isinstance(value, dict) else {}
        return found


@cache
def names() -> tuple[str, ...]:
    """Every format there is."""
    return tuple(sorted(module.name for module in iter_modules(__path__)))


@cache
def named(name: str) -> Any:
    """The module of a format."""
    return import_module(f"{__name__}.{name}")


@cache
def ranked() -> tuple[Any, ...]:
    """The formats that `auto` chooses from, in the order in which it asks them."""
    return tuple(sorted((named(n) for n in names() if n != "auto"), key=lambda module: module.RANK))


def demand_object(node: Node) -> dict[str, Any]:
    """The JSON object in the node's data, or BadData."""
    value = node.value
    if not isinstance(value, dict):
        raise why_no_json(node.data)
    return value


class Inherits(Protocol):
    """What a service's node gives to its instances; equal ones compare equal."""

    def complete(self, registration: Registration, /) -> Registration: ...


def settings(format: str, data: bytes) -> tuple[ServiceSettings, list[BadData], Inherits | None]:
    """What a service's own node says. Bad settings cost only themselves."""
    if not data.strip() or _is_address(data):
        return DEFAULTS, [], None
    value = decode(data)
    if value is ABSENT:
        error = why_no_json(data)
        cure = 'write JSON such as {"ttl": 5, "policy": "weighted"}, or nothing'
        return DEFAULTS, [BadData(error.what, cure)], None
    for module in ranked() if format == "auto" else (named(format), named("native")):
        read = getattr(module, "settings", None)
        found: tuple[ServiceSettings, list[BadData], Inherits | None] | None = read(value) if read else None
        if found is not None:
            return found
    return DEFAULTS, [], None


def _is_address(data: bytes) -> bool:
    """Curator clients leave their own address in nodes that they make without data (its default)."""
    try:
        ipaddress.ip_address(data.decode("ascii").strip())
    except ValueError:
        return False
    return True
