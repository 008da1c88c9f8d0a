"""What is said where nothing is registered: the nodes that were looked for, not those above them."""

from __future__ import annotations

import pytest

from zkdns.registry.nothing import nothing_in, tell_missing
from zkdns.registry.url import parse_registry


@pytest.mark.parametrize(
    ("url", "nodes"),
    [
        ("zk://h", "/services"),
        ("zk://h/a/b", "/a/b"),
        ("zk://h/a?layout=/x/y/{id}&as=q", "/a/x/y"),
        ("zk://h/?layout=/x/{service}/y/{id}", "/x"),
        ("zk://h/?preset=patroni", "/service"),
        ("zk://h/k?preset=kafka", "/k/brokers/ids nor /k/controller"),
    ],
)
def test_the_nodes_are_named_where_a_url_looks(url: str, nodes: str) -> None:
    parsed = parse_registry(url)
    assert tell_missing(parsed).what == f"there is no node {nodes}: nothing is registered there"
    assert nothing_in([parsed], [parsed]).startswith(
        f"none is registered in {url}: there is no node {nodes}; `zkdns discover zk://"
    )
