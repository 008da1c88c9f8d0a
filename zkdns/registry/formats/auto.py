"""Decides by payload, node by node: each format says in turn whether it is its kind.

Rules: the order is that of RANK. A payload that nobody claims is read as `native`, whose words then
tell what is wrong with it. One whose fields are all native's is no other format's, whatever their marks
are; only a name can say otherwise.
"""

from __future__ import annotations

from zkdns.model import Registration
from zkdns.registry.fields import ABSENT, BadData, show
from zkdns.registry.formats import Node, Parsed, dubbo, native, ranked

RANK = 100
FOLDERS: frozenset[str] = frozenset().union(*(module.FOLDERS for module in ranked()))
QUIET: frozenset[str] = frozenset().union(*(module.QUIET for module in ranked()))
KEPT: frozenset[str] = frozenset().union(*(module.KEPT for module in ranked()))


def claims(node: Node) -> bool:
    return any(module.claims(node) for module in ranked())


def parse(node: Node) -> Registration | Parsed | None:
    if not dubbo.claims(node) and (plain := native.parse_plain(node.data)) is not None:
        return plain
    return ask_each(node)


def ask_each(node: Node) -> Registration | Parsed | None:
    """The same without the short cut that most nodes of a large registry take."""
    for module in ranked():
        if module.claims(node):
            return module.parse(node)
    if node.value is ABSENT and node.data.strip() and not node.data.lstrip().startswith((b"{", b"[")):
        error = node.why_no_object(native.CURE)
        if "no JSON" not in error.what:
            raise error
        text = node.data[:200].decode("utf-8", "replace")
        raise BadData(
            f"its data is {show(text)}, of no format that is known",
            f"{native.CURE}, or plain host:port",
        )
    return native.parse(node)
