"""What the black-box tests share: both engines, and registrations written as an operator would."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kazoo.client import KazooClient

from support import zookeeper as real
from support.missing import ENGINES
from support.pair import Pair
from support.zookeeper import ZooKeeperServer


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each test once for each engine that is there."""
    name: str = request.param
    return name


Put = Callable[..., None]


@pytest.fixture
def put(zk: KazooClient, zk_root: str) -> Put:
    """Writes a node below this test's root: `put("web/a", address="10.0.0.1")`, or `data=b"..."`."""

    def write(path: str, data: bytes | None = None, **fields: Any) -> None:
        write_node(zk, f"{zk_root}/{path}", data, fields)

    return write


def write_node(zk: KazooClient, path: str, data: bytes | None, fields: dict[str, Any]) -> None:
    data = json.dumps(fields).encode() if data is None else data
    zk.ensure_path(path.rpartition("/")[0])
    if zk.exists(path):
        zk.set(path, data)
    else:
        zk.create(path, data)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[ZooKeeperServer, ZooKeeperServer]]:
    real.demand()
    with ZooKeeperServer() as here, ZooKeeperServer() as there:
        yield here, there


@pytest.fixture
def pair(servers: tuple[ZooKeeperServer, ZooKeeperServer]) -> Iterator[Pair]:
    """`web` has an instance in each of them, `mine` stands here alone, and `theirs` there."""
    pair = Pair(*servers, real.unique_root())
    pair.put("here", "web/a", address="10.1.0.1", port=80)
    pair.put("here", "mine/m", address="10.1.0.9", port=81)
    pair.put("there", "web/b", address="10.2.0.2", port=80)
    pair.put("there", "theirs/t", address="10.2.0.9", port=82)
    yield pair
    for server in servers:
        if server.running:
            server.thaw()
        else:
            server.start()
