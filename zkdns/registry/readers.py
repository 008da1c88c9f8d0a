"""What a registry's URL says -> how its nodes are read.

Rules: pure.
"""

from __future__ import annotations

from zkdns.registry.format_reader import FormatReader
from zkdns.registry.preset_reader import PresetReader
from zkdns.registry.reading import Reader
from zkdns.registry.service_tree import ServiceTree
from zkdns.registry.url import RegistryURL


def reader_of(url: RegistryURL) -> Reader:
    return FormatReader(url) if url.preset is None else PresetReader(url.preset)


def open_tree(url: RegistryURL) -> ServiceTree:
    """Nothing is read yet."""
    return ServiceTree(url.root, reader_of(url))


def open_root(root: str, format: str = "auto") -> ServiceTree:
    """That of a root of services in the usual layout."""
    return open_tree(RegistryURL(f"zk://{root}", "zk", root=root, format=format))
