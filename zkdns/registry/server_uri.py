"""Names such as `serverUri=h:p;version=3.1.3;sequence=0000000001`: HiveServer2's, and Kyuubi's after it.

Rules: pure; `BadData` is the only error. A node whose name is of another kind is none of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from zkdns.model import Registration
from zkdns.registry.endpoints import host_port
from zkdns.registry.fields import share
from zkdns.registry.formats import Node
from zkdns.registry.places import Part, Read

MAX_PAIRS: Final = 64
_MARK: Final = "serverUri="
_META: Final = frozenset({"version", "refId", "hive.server2.transport.mode", "hive.server2.thrift.http.path"})


def reader(format: str) -> Read:
    """How a node of this kind is read."""

    def read(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
        if not node.name.startswith(_MARK):
            return
        pairs = _pairs(node.name)
        server = host_port(pairs["serverUri"], "serverUri")
        meta = _data(node.data) | pairs
        yield Registration(
            server.addresses,
            server.host,
            server.port,
            meta=share(tuple(sorted((key, value) for key, value in meta.items() if key in _META))),
            format=format,
        )

    return read


def _data(data: bytes) -> dict[str, str]:
    """The pairs of the data, which tell nothing that the name lacks: what can't be read is left."""
    try:
        return _pairs(data.decode())
    except UnicodeDecodeError:
        return {}


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.partition("=")[::2] for pair in text.split(";", MAX_PAIRS)[:MAX_PAIRS])
