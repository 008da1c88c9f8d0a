"""Apache Dubbo's interface registry: provider URLs, percent-encoded, as node names below `providers`.

    /dubbo/com.example.Greeter/providers/dubbo%3A%2F%2F10.0.0.5%3A20880%2Fcom.example.Greeter%3Fweight%3D50%26...

Schema: dubbo-registry-zookeeper (`toUrlPath`: root, interface, category, `URL.encode(toFullString())`)
and the parameters of org.apache.dubbo.common.URL. Rules: the name says it all, and the data counts for
nothing; a weight that is not given is 100 (Dubbo's DEFAULT_WEIGHT); `disabled=true` keeps an instance
out for good, so it is read as draining, which fail_open does not bring back. `consumers`, `routers` and
`configurators` are no instances. Dubbo 3's application registry writes Curator's JSON: see `curator`.
"""

from __future__ import annotations

import re
import sys
from typing import Final
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from zkdns.model import Registration
from zkdns.registry.fields import PORT, WEIGHT, BadData, share, show, where
from zkdns.registry.formats import Node

RANK = 10
FOLDERS: frozenset[str] = frozenset({"providers"})
QUIET: frozenset[str] = frozenset({"consumers", "configurators", "routers"})

DEFAULT_WEIGHT: Final = 100
META: Final = ("application", "dubbo", "group", "interface", "release", "revision", "version")
"""The parameters that are handed on; `methods` alone can be kilobytes."""

_SHAPE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?:://|%3[Aa]%2[Ff]%2[Ff])")
_CURE = "let a Dubbo provider register itself, or name the node dubbo%3A%2F%2F10.0.0.5%3A20880%2F..."


def claims(node: Node) -> bool:
    return _SHAPE.match(node.name) is not None


def parse(node: Node) -> Registration:
    try:
        url = urlsplit(unquote_plus(node.name, errors="strict"))
        port = url.port or 0
        # Without brackets an IPv6 address and its port can't be told apart, and urlsplit says nothing.
        host = url.hostname or ""
        parameters = dict(parse_qsl(url.query, keep_blank_values=True, errors="replace"))
    except ValueError as error:
        raise BadData(f"its name {show(node.name)} is no provider URL: {str(error)[:80]}", _CURE) from None
    if not url.scheme or not host:
        raise BadData(f"its name {show(node.name)} is no provider URL", _CURE)
    addresses, name = where(host, "the URL's host")
    scheme = sys.intern(url.scheme)
    tag = parameters.get("dubbo.tag", "")
    meta = {key: parameters[key] for key in META if parameters.get(key)}
    return Registration(
        addresses,
        name,
        PORT.take("the URL's port", port),
        _weight(parameters.get("weight")),
        status="draining" if _is_out(parameters) else "up",
        tags=share((tag,)) if tag else (),
        ports=share(((scheme, port),)) if port else (),
        meta=share(tuple(sorted((*meta.items(), ("protocol", scheme))))),
        format="dubbo",
    )


def _is_out(parameters: dict[str, str]) -> bool:
    return parameters.get("disabled") == "true" or parameters.get("enabled") == "false"


def _weight(text: str | None) -> int:
    if not text:
        return DEFAULT_WEIGHT
    digits = text.isascii() and text.isdigit() and len(text) < 10
    weight: int = WEIGHT.take("weight", int(text) if digits else text)
    return weight
