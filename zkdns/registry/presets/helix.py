"""Apache Helix and what is built on it (Pinot): `/<cluster>/LIVEINSTANCES/<instance>` and its config.

Source: helix 1.4, PropertyPathBuilder (the paths), InstanceConfig (simpleFields HELIX_HOST, HELIX_PORT,
HELIX_ENABLED), ZNRecordSerializer (the JSON); pinot 1.2, CommonConstants.Helix (the names' prefixes
Broker_, Server_, Controller_, Minion_). Rules: who has a live node is registered; HELIX_HOST and HELIX_PORT
of the config win over what the name says; a disabled instance drains; the kind before a Pinot name is a tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from zkdns.model import Registration
from zkdns.registry.endpoints import at
from zkdns.registry.fields import BadData, Rule, from_digits, share, show, text
from zkdns.registry.formats import Node, demand_object
from zkdns.registry.places import Detail, Member, Part, Preset, place

_NAME = re.compile(r"(?:([A-Z][a-z]+)_)?(.+)[_:]([0-9]{1,5})", re.DOTALL)
_KIND = re.compile(r"^[A-Z][a-z]+_")
_TEXT = Rule("a text", text)
_CURE = "set HELIX_HOST and HELIX_PORT in its instance config"


def _read_live(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    yield Member(node.name, _by_name(node.name))


def _by_name(name: str) -> Registration | None:
    """What the name says by itself; None where only the config can tell."""
    parts = _NAME.fullmatch(name)
    if parts is None:
        return None
    kind, host, port = parts.groups()
    try:
        server = at(host, int(port), "the name")
    except BadData:
        return None
    tags = share((kind.lower(),)) if kind else ()
    return Registration(server.addresses, server.host, server.port, tags=tags, format="helix")


def _read_config(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    fields = demand_object(node).get("simpleFields")
    if not isinstance(fields, dict):
        raise BadData(f"simpleFields is {show(fields)}, not an object", _CURE)
    words = {
        key: _TEXT.take(key, fields[key])
        for key in ("HELIX_HOST", "HELIX_PORT", "HELIX_ENABLED")
        if fields.get(key) not in (None, "")
    }
    yield Detail(node.name, words)


def _finish(registration: Registration | None, held: tuple[str, ...], detail: object) -> Registration:
    words = detail if isinstance(detail, dict) else {}
    host: str | None = words.get("HELIX_HOST")
    port: str | None = words.get("HELIX_PORT")
    if registration is None and (host is None or port is None):
        raise BadData("its name is not host_port, and no config tells how it is reached", _CURE)
    if host is not None or port is not None:
        before = registration or Registration(())
        number = before.port if port is None else from_digits(port)
        known = host or before.host or before.addresses[0]
        # Pinot's HELIX_HOST was once the start of the name: Server_10.0.0.5.
        server = at(_KIND.sub("", known, count=1), number, "HELIX_HOST and HELIX_PORT")
        registration = replace(
            before, addresses=server.addresses, host=server.host, port=server.port, format="helix"
        )
    assert registration is not None  # noqa: S101
    return replace(registration, status="draining") if words.get("HELIX_ENABLED") == "false" else registration


PRESET = Preset(
    "helix",
    (
        place("/{service}/LIVEINSTANCES/{id}", "{service}", _read_live),
        place("/{service}/CONFIGS/PARTICIPANT/{id}", "{service}", _read_config, members=False),
    ),
    _finish,
)
