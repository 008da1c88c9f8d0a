"""What a znode's data means: one file a format; the file's name is the option's value.

Rules: pure; `BadData` is the only error that leaves a format. A file of the folder is a `Format`, and that
it lies there is all that it takes. One that gives service nodes a meaning of its own has also
`settings(value)` -> the settings, what is wrong in them, and an Inherits or None; or None for a value that
is not its own.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, Final, Protocol, cast

from msgspec import Struct

from zkdns import parts
from zkdns.model import Registration
from zkdns.registry import json_values
from zkdns.registry.fields import ABSENT, WRITE_AGAIN, BadData, why_no_json

_UNREAD: Final = object()


class Node:
    """One znode as a format sees it: its own name, its data, and the JSON in it (read at need)."""

    __slots__ = ("_error", "_object", "_value", "data", "name")

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self.data = data
        self._value: Any = _UNREAD
        self._error: Exception | None = None
        self._object: dict[str, Any] | None = None

    @property
    def value(self) -> Any:
        """The JSON in the data, or ABSENT."""
        if self._value is _UNREAD:
            try:
                self._value = json_values.read(self.data)
            except (ValueError, RecursionError) as error:
                self._value, self._error = ABSENT, error.with_traceback(None)
        return self._value

    def why_no_object(self, cure: str = WRITE_AGAIN) -> BadData:
        """What to tell where it is no JSON object. It is not read again: a megabyte takes its time."""
        assert not isinstance(self.value, dict)  # noqa: S101  (it is read now)
        return why_no_json(self.data, self._error, cure)

    @property
    def object(self) -> dict[str, Any]:
        """The JSON object in the data; empty where it is something else."""
        fields = self._object
        if fields is None:
            value = self.value
            fields = self._object = value if isinstance(value, dict) else {}
        return fields


class Parsed(Struct, frozen=True):
    """A registration of which something had to be left out."""

    registration: Registration
    left_out: tuple[BadData, ...]


class Format(Protocol):
    """A file of this folder."""

    RANK: int
    """Where `auto` asks it: lower first."""

    FOLDERS: frozenset[str]
    """Names of nodes below a service that hold its instances instead of being one."""

    QUIET: frozenset[str]
    """Names of nodes below a service that are neither; one that ends in `*` is the beginning of such."""

    KEPT: frozenset[str]
    """Names beside the services under which the format's own program keeps what is no instance."""

    def claims(self, node: Node, /) -> bool:
        """Whether this node is of its kind (for `auto`); never raises."""
        ...

    def parse(self, node: Node, /) -> Registration | Parsed | None:
        """What the node says; None: it is there, and no instance now. BadData where it can't be read."""
        ...


def names() -> tuple[str, ...]:
    """Every format there is."""
    return parts.names(parts.FORMATS)


@cache
def named(name: str) -> Format:
    """A format by its name."""
    return cast("Format", import_module(f"{__name__}.{name}"))


def some(name: str) -> tuple[Format, ...]:
    """The format alone, if there is one of that name."""
    return (named(name),) if name in names() else ()


@cache
def ranked() -> tuple[Format, ...]:
    """The formats that `auto` chooses from, in the order in which it asks them."""
    return tuple(map(named, _by_rank()))


@cache
def _by_rank() -> tuple[str, ...]:
    return tuple(sorted((name for name in names() if name != "auto"), key=lambda name: named(name).RANK))


def claimant(node: Node) -> str:
    """The name of the format that takes this for an instance of its kind; "" for none."""
    return next((name for name in _by_rank() if named(name).claims(node)), "")


def demand_object(node: Node, cure: str = WRITE_AGAIN) -> dict[str, Any]:
    """The JSON object in the node's data, or BadData."""
    value = node.value
    if not isinstance(value, dict):
        raise node.why_no_object(cure)
    return value


class Inherits(Protocol):
    """What a service's node gives to its instances; equal ones compare equal."""

    def complete(self, registration: Registration, /) -> Registration: ...
