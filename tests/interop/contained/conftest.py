"""The server at port 53 of a machine of our own; these files are run by `test_contained.py` alone."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from support import zookeeper as real
from support.server import Zkdns
from support.services import Registry

if not os.environ.get("ZKDNS_CONTAINED"):
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def registry(zookeeper: real.ZooKeeperServer) -> Iterator[Registry]:
    root = real.unique_root()
    client = zookeeper.client()
    try:
        server = Zkdns("--ttl", "1", "--listen", "127.0.0.1:53", registry=f"zk://{zookeeper.hosts}{root}")
        server.port = 53
        with server:
            yield Registry(client, zookeeper.hosts, root, server)
    finally:
        real.finish(client)
