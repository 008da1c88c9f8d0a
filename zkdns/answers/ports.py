"""The ports and tags of instances, as names spell them.

Rules: pure. Most instances of a service say the same, which is read once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from zkdns.model import Instance

MAX_READ: Final = 64
"""Characters that are looked at of a port's name or a tag: one more than a label has."""

_UNDERSCORED: Final = re.compile(r"[a-z0-9-]+(?:_+[a-z0-9-]+)+")
"""With an underscore within: those that begin with one are DNS's own (`_tcp`)."""


def ports_of(instance: Instance, name: str | None) -> tuple[int, ...]:
    """The main port, or the ports named so."""
    return ports_of_each((instance,), name)[0]


def ports_of_each(instances: Sequence[Instance], name: str | None) -> list[tuple[int, ...]]:
    """The same of each."""
    if name is None:
        return [(i.registration.port,) if i.registration.port else () for i in instances]
    return [named.get(name, ()) for named in _named_ports(instances)]


def by_port(instances: tuple[Instance, ...]) -> dict[str, tuple[Instance, ...]]:
    """Which instances have a port of each name; the same object where all have. Read once: port by port, the
    work would grow with the square of what a stranger registers."""
    ports: dict[str, list[Instance]] = {}
    for i, named in zip(instances, _named_ports(instances), strict=True):
        for label, numbers in named.items():
            having = ports.setdefault(label, [])
            if numbers:
                having.append(i)
    size = len(instances)
    return {port: instances if len(having) == size else tuple(having) for port, having in ports.items()}


def _named_ports(instances: Iterable[Instance]) -> list[Mapping[str, tuple[int, ...]]]:
    """Those of each by name, as it stands in `_name._tcp`."""
    read: dict[tuple[tuple[str, int], ...], dict[str, tuple[int, ...]]] = {}
    each: list[Mapping[str, tuple[int, ...]]] = []
    for i in instances:
        named = read.get(i.registration.ports)
        if named is None:
            named = read[i.registration.ports] = {}
            for own, number in i.registration.ports:
                for label in port_labels(own):
                    known = named.setdefault(label, ())
                    if number and number not in known:
                        named[label] = (*known, number)
        each.append(named)
    return each


def port_labels(name: str) -> tuple[str, ...]:
    """A port's name as it stands in `_name._tcp` (RFC 6335, section 5.1, made wide enough)."""
    return _labels(name[:MAX_READ], 62)


def tag_labels(tag: str) -> tuple[str, ...]:
    """A tag as it stands in a name: one label, 63 bytes at most."""
    return _labels(tag[:MAX_READ], 63)


@lru_cache(8192)  # a registry has few names of tags and ports, and each instance repeats them
def _labels(name: str, size: int) -> tuple[str, ...]:
    """Folded; and as it was written, where nothing but underscores keeps it from being a host's: who knows a
    listener as `SASL_SSL` asks for `_sasl_ssl`."""
    lower = name.lower()
    folded = "".join(c if c.isascii() and c.isalnum() else "-" for c in lower)[:size]
    return (folded, lower) if len(lower) <= size and _UNDERSCORED.fullmatch(lower) else (folded,)
