"""Plain text: `10.0.0.5:8080`, `db.example:5432` or `[fd00::5]:8080`.

Rules: one address and port, with white space around it at most. Where this format is asked for, an
address alone is taken too; `auto` leaves such nodes alone, since Curator clients write their own
address into any node that they make without data.
"""

from __future__ import annotations

import re

from zkdns.model import Registration
from zkdns.registry.addresses import canonical, where
from zkdns.registry.fields import PORT, BadData, show
from zkdns.registry.formats import Node

RANK = 60
FOLDERS: frozenset[str] = frozenset()
QUIET: frozenset[str] = frozenset()
KEPT: frozenset[str] = frozenset()

_SHAPE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/\[\]{}\"]+)):([0-9]{1,9})")
_CURE = "write host:port such as 10.0.0.5:8080 or [fd00::5]:8080"


def claims(node: Node) -> bool:
    return _SHAPE.fullmatch(_text(node)) is not None


def parse(node: Node) -> Registration:
    text = _text(node)
    match = _SHAPE.fullmatch(text)
    if match is None:
        if canonical(text):
            return Registration(*where(text), format="hostport")
        if not text:
            raise BadData("its data is empty or no text", _CURE)
        raise BadData(f"its data is {show(text)}, not host:port", _CURE)
    bracketed, plain, port = match.groups()
    addresses, host = where(bracketed or plain, "the host")
    return Registration(addresses, host, PORT.take("the port", int(port)), format="hostport")


def _text(node: Node) -> str:
    try:
        return node.data[:400].decode("utf-8").strip() if len(node.data) <= 400 else ""
    except UnicodeDecodeError:
        return ""
