"""What the black-box tests share: both engines, and registrations written as an operator would."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from kazoo.client import KazooClient

from support.missing import ENGINES


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
