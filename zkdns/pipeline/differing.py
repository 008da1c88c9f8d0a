"""Two values of what a node says, and how they differ: in words, as a change tells it.

Rules: pure.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Final, TypeVar

from zkdns.model import (
    NONE_HEALTHY,
    Instance,
    Registration,
    ServiceSettings,
)

Said = TypeVar("Said", Registration, ServiceSettings)
"""What a node says."""

MAX_VALUE_CHARS: Final = 80
"""Of a list of tags, ports or meta data in one line."""


def tell_place(i: Instance) -> str:
    """Where an instance is, as people read it; never "", which is for one that was not there."""
    where = ", ".join(i.addresses) or i.registration.host or "no address"
    return f"{where} port {i.registration.port}" if i.registration.port else where


def is_set_otherwise(was: ServiceSettings, now: ServiceSettings) -> bool:
    return was is not now and was != now and _but_route(was) != _but_route(now)


def are_defaults_others(was: ServiceSettings, now: ServiceSettings) -> bool:
    """Whether all that has another value is what the server's own settings say for services that don't."""
    written = {*was.given, *now.given}
    return was.given == now.given and written.isdisjoint(_fields_apart(was, now))


def _but_route(settings: ServiceSettings) -> ServiceSettings:
    given = tuple(name for name in settings.given if name != "route")
    return replace(settings, route=None, given=given)


def differing_settings(was: ServiceSettings, now: ServiceSettings) -> tuple[str, str]:
    """Each that has another value, or that only one of the two says itself."""
    others = _fields_apart(was, now)
    names = ({*others} | ({*was.given} ^ {*now.given})) - {"given", "route"}
    ordered = [field.name for field in fields(was) if field.name in names]

    def spell(one: ServiceSettings) -> str:
        own = {*others, *one.given}
        return ", ".join(f"{name} {_setting(one, name) if name in own else 'unset'}" for name in ordered)

    return spell(was), spell(now)


def _setting(settings: ServiceSettings, name: str) -> str:
    value = getattr(settings, name)
    if name == "fail_open" and value in (0, NONE_HEALTHY):
        return "true" if value else "false"
    return _value(value)


def differing_fields(was: Registration, now: Registration) -> tuple[str, str]:
    """Each of its fields that says something else."""
    others = _fields_apart(was, now)

    def spell(one: Registration) -> str:
        return ", ".join(f"{name} {_value(getattr(one, name))}" for name in others)

    return spell(was), spell(now)


def _fields_apart(was: Said, now: Said) -> list[str]:
    """The names of those that have another value."""
    return [f.name for f in fields(was) if getattr(was, f.name) != getattr(now, f.name)]


def _value(value: object) -> str:
    if isinstance(value, tuple):
        text = " ".join("=".join(map(str, one)) if isinstance(one, tuple) else str(one) for one in value)
        return _cut(text) or "none"
    kind = getattr(value, "type", None)
    return _cut(str(value if kind is None else kind)) if value is not None else "unset"


def _cut(text: str) -> str:
    return f"{text[:MAX_VALUE_CHARS]}…" if len(text) > MAX_VALUE_CHARS else text
