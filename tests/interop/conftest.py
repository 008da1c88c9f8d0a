"""One ZooKeeper and one `zkdns serve` for all programs, and backends that say who they are.

Both stay while a worker has any of these files before it, and others' in between: on the shared ZooKeeper the
server would be a replica of theirs.

Each test has a service of its own there. The TTL is 1, so that programs that cache ask again soon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from support import zookeeper as real
from support.ports import free_port
from support.server import Zkdns
from support.services import Backend, Registry


@pytest.fixture(scope="package")
def registry() -> Iterator[Registry]:
    real.demand()
    root = real.unique_root()
    with real.ZooKeeperServer() as zookeeper:
        client = zookeeper.client()
        try:
            with Zkdns("--ttl", "1", registry=f"zk://{zookeeper.hosts}{root}") as server:
                yield Registry(client, zookeeper.hosts, root, server)
        finally:
            real.finish(client)


@pytest.fixture
def backend() -> Iterator[Callable[..., Backend]]:
    """Starts backends: `backend("a", "127.0.1.1")`, with a port of its own unless told."""
    with ExitStack() as started:

        def start(name: str, host: str, port: int = 0) -> Backend:
            one = Backend(name, host, port or free_port(host))
            started.callback(one.server_close)
            started.callback(one.shutdown)
            return one

        yield start
