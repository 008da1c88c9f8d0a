"""What stands at each name of a zone file, and how it is let go of once another file stands for it.

Rules: pure. Nodes are built once, and never written after. Nobody says when the last question of a zone ends;
so what its nodes are is held until nobody looks them up any more, and then freed some at a time.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias
from weakref import ref

from zkdns.dns import names
from zkdns.dns.rdata import Parts
from zkdns.piecemeal import empty

MANY: Final = 1000
"""Records of one RRset that are freed some at a time as well."""


class RRset(NamedTuple):
    """Records of one type at one name. `where`: `FILE:LINE` of the first."""

    rtype: int
    ttl: int
    rdatas: tuple[Parts, ...]
    where: str = ""


Node: TypeAlias = Mapping[int, RRset]


class Nodes:
    """By owner. An empty non-terminal is a node without records."""

    __slots__ = ("__weakref__", "_held", "get", "items")

    def __init__(self, held: dict[bytes, Node]) -> None:
        self._held = held
        self.get: Callable[[bytes], Node | None] = held.get
        self.items: Callable[[], ItemsView[bytes, Node]] = held.items

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)


class Built:
    """All nodes that were built in one place. `drop` is called again and again, in a thread."""

    def __init__(self) -> None:
        self._built: list[tuple[ref[Nodes], dict[bytes, Node]]] = []

    def keep(self, held: dict[bytes, Node]) -> Nodes:
        nodes = Nodes(held)
        self._built.append((ref(nodes), held))
        return nodes

    def drop(self) -> None:
        """Free those that nobody looks up any more."""
        built, self._built = self._built, []
        while built:
            nodes, held = built.pop()
            if nodes() is not None:
                self._built.append((nodes, held))
                continue
            while held:
                _free(held.popitem()[1])


def _free(node: Node) -> None:
    long = [[*rrset.rdatas] for rrset in node.values() if len(rrset.rdatas) > MANY]
    del node
    empty(*long)


def add_between(apex: bytes, nodes: dict[bytes, Node]) -> None:
    """The empty non-terminals between the owners of a zone and its apex."""
    for owner in [*nodes]:
        for above in names.suffixes(owner):
            if above in nodes or len(above) < len(apex):
                break
            nodes[above] = {}
