"""Apache Dubbo's interface registry: provider URLs, percent-encoded, as node names below `providers`.

    /dubbo/com.example.Greeter/providers/dubbo%3A%2F%2F10.0.0.5%3A20880%2Fcom.example.Greeter%3Fweight%3D50%26...

Schema: dubbo-registry-zookeeper (`toUrlPath`: root, interface, category, `URL.encode(toFullString())`) and
org.apache.dubbo.common.URL: its parameters, and `getAddress`, which writes an IPv6 host as Java spells it,
all eight groups and no brackets, with ":" and the port behind. Rules: group and version are tags; the name
says it all, and the data counts for nothing; a weight that is not given is 100 (Dubbo's DEFAULT_WEIGHT);
`disabled=true` keeps an instance out for good, so it is read as draining, which fail_open does not bring
back. `consumers`, `routers` and `configurators` are no instances. Dubbo 3's application registry writes
Curator's JSON: see `curator`.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from zkdns.model import Registration
from zkdns.registry.addresses import where
from zkdns.registry.fields import PORT, BadData, digits, share, show
from zkdns.registry.formats import Node

RANK = 10
FOLDERS: frozenset[str] = frozenset({"providers"})
QUIET: frozenset[str] = frozenset({"consumers", "configurators", "routers", "metadata"})
KEPT: frozenset[str] = frozenset({"config", "mapping", "metadata"})
"""Beside the interfaces: Dubbo's configuration center, service mapping and metadata report."""

DEFAULT_WEIGHT: Final = 100
META: Final = ("application", "dubbo", "group", "interface", "release", "revision", "version")
"""The parameters that are handed on; `methods` alone can be kilobytes."""

DEFAULTED: Final = ("disabled", "enabled", "group", "version", "weight")
"""What a default of the provider may stand for: `default.weight` to Dubbo 2.6 (its URL.getParameter)."""

MAX_NAME_CHARACTERS: Final = 64 * 1024
MAX_PARAMETERS: Final = 1024
"""What a node's name may hold to be read: a provider's has some twenty, and its methods at most kilobytes."""

TAGS: Final = ("dubbo.tag", "group", "version")

_WEIGHT = digits(0, 65535)
_SHAPE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?:://|%3[Aa]%2[Ff]%2[Ff])")
_CURE = "let a Dubbo provider register itself, or name the node dubbo%3A%2F%2F10.0.0.5%3A20880%2F..."


def claims(node: Node) -> bool:
    return _SHAPE.match(node.name) is not None


def parse(node: Node) -> Registration:
    try:
        if len(node.name) > MAX_NAME_CHARACTERS:
            raise ValueError(f"it has more than {MAX_NAME_CHARACTERS} characters")
        scheme, host, port, query = _split(unquote_plus(node.name, errors="strict"))
        parameters = dict(
            parse_qsl(query, keep_blank_values=True, errors="replace", max_num_fields=MAX_PARAMETERS)
        )
        for key in DEFAULTED:
            if not parameters.get(key) and parameters.get(f"default.{key}"):
                parameters[key] = parameters[f"default.{key}"]
    except ValueError as error:
        raise BadData(f"its name {show(node.name)} is no provider URL: {str(error)[:80]}", _CURE) from None
    if not scheme or not host:
        raise BadData(f"its name {show(node.name)} is no provider URL", _CURE)
    addresses, name = where(host, "the URL's host")
    scheme = share(scheme)
    tags = dict.fromkeys(tag for key in TAGS if (tag := parameters.get(key)))
    meta = {key: parameters[key] for key in META if parameters.get(key)}
    return Registration(
        addresses,
        name,
        PORT.take("the URL's port", port),
        _weight(parameters.get("weight")),
        status="draining" if _is_out(parameters) else "up",
        tags=share(tuple(tags)),
        ports=share(((scheme, port),)) if port else (),
        meta=share(tuple(sorted((*meta.items(), ("protocol", scheme))))),
        format="dubbo",
    )


def _split(text: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and query of a URL; ValueError where they can't be told apart."""
    head, _, _ = text.partition("?")
    scheme, _, rest = head.partition("://")
    authority = rest.partition("/")[0].rpartition("@")[2]
    if authority.startswith("[") or authority.count(":") < 2:
        url = urlsplit(text)
        return url.scheme, url.hostname or "", url.port or 0, url.query
    query = text.partition("?")[2]
    host, _, port = authority.rpartition(":")
    groups = authority.count(":") + 1
    # No group of an IPv6 address has five digits, and none of them has nine groups.
    if groups == 9 or (len(port) == 5 and port.isdigit()):
        if not (port.isascii() and port.isdigit()) or len(port) > 5:
            raise ValueError("its port is no number")
        return scheme.lower(), host, int(port), query
    if groups == 8 and "::" not in authority:
        return scheme.lower(), authority, 0, query
    raise ValueError("an IPv6 address that is cut short stands in brackets")


def _is_out(parameters: dict[str, str]) -> bool:
    return parameters.get("disabled") == "true" or parameters.get("enabled") == "false"


def _weight(text: str | None) -> int:
    if not text:
        return DEFAULT_WEIGHT
    if text.startswith("-") and text[1:].isdigit():
        return 0  # AbstractLoadBalance.getWeight: never below
    weight: int = _WEIGHT.take("weight", text)
    return weight
