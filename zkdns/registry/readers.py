"""What a registry's URL says -> how its nodes are read.

Rules: pure.
"""

from __future__ import annotations

from zkdns.registry.format_reader import FormatReader
from zkdns.registry.preset_reader import PresetReader
from zkdns.registry.reading import Reader
from zkdns.registry.service_tree import ServiceTree
from zkdns.registry.url import RegistryURL


def reader_of(url: RegistryURL, label: str = "") -> Reader:
    return FormatReader(url, label) if url.preset is None else PresetReader(url.preset)


def open_tree(url: RegistryURL, label: str = "") -> ServiceTree:
    """Nothing is read yet. `label`: what instances are marked with as they are read, "" for nothing."""
    return ServiceTree(url.root, reader_of(url, label))
