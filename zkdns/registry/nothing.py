"""What is said where no service is registered: where was looked, and whether there is such a node.

Rules: pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zkdns.model import Problem
from zkdns.registry.readers import reader_of
from zkdns.registry.scope import scopes
from zkdns.registry.url import RegistryURL


def nothing_in(urls: Iterable[RegistryURL], missing: Sequence[RegistryURL]) -> str:
    """That no service is registered in these. `missing`: those where there is no such node."""
    where = f"none is registered in {', '.join(url.text for url in urls)}"
    if not missing:
        return where
    nodes = " nor ".join(dict.fromkeys(root for url in missing for root in _roots(url)))
    return f"{where}: there is no node {nodes}; {_look(missing[0])}"


def tell_missing(url: RegistryURL) -> Problem:
    """That nothing stands where a registry is said to be: for those who read what is wrong."""
    what = f"there is no node {' nor '.join(_roots(url))}: nothing is registered there"
    return Problem(url.text, what, f"name where services register; {_look(url)}")


def _roots(url: RegistryURL) -> list[str]:
    """Where it looks: a layout and a preset have their nodes below the URL's path, which may be there."""
    return [scope.root for scope in scopes(url.root, reader_of(url).layouts)]


def _look(url: RegistryURL) -> str:
    return f"`zkdns discover zk://{url.hosts}` tells what is there"
