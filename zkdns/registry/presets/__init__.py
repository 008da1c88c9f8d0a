"""What other systems keep in ZooKeeper, by name: one file a system; the file's name is the option's value.

Rules: pure. A file has `PRESET`, a `places.Preset`: its places, each with the function that reads a node
there, and its header names the source of each field (project, file or class, version). What several need
is beside this folder: `endpoints` (host:port, URLs, election sequences), `protobuf`, `layout`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from zkdns import parts
from zkdns.model import Registration
from zkdns.registry.fields import BadData
from zkdns.registry.formats import Node
from zkdns.registry.places import Member, Preset


def names() -> tuple[str, ...]:
    """Every preset there is."""
    return parts.names(parts.PRESETS)


@cache
def named(name: str) -> Preset:
    """The preset of that name."""
    preset: Preset = import_module(f"{__name__}.{name}").PRESET
    return preset


def parse(preset: Preset, node: Node) -> Registration:
    """A node of a layout of one's own, read as the preset's members are (`format=kafka`)."""
    refusal: BadData | None = None
    for place in preset.places:
        parts, error = place.parts(node, {"id": node.name}) if place.members else ((), None)
        for part in parts:
            registration = part.registration if isinstance(part, Member) else part
            if isinstance(registration, Registration):
                return registration
        refusal = refusal or error
    raise refusal or BadData(f"its name is none of {preset.name}'s", "narrow the layout")
