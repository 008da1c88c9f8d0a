"""Node's own resolver (c-ares) asks zkdns directly.

Proves: addresses, SRV, TXT and reverse names are read; the first place goes to the instances by their
weights, exactly, as c-ares keeps the order; no such name (ENOTFOUND) and no such data (ENODATA) stay apart;
an answer too long for UDP comes over TCP; each question sees the registry as it is then.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.programs import Dialogue, find
from support.services import Registry
from support.waiting import eventually

pytestmark = pytest.mark.zookeeper

Ask = Callable[[str, str], Any]


@pytest.fixture
def node(registry: Registry, tmp_path: Path) -> Iterator[Ask]:
    program = Path(__file__).parent / "clients" / "node.js"
    command = [find("node", "nodejs"), program, f"127.0.0.1:{registry.server.port}"]
    with Dialogue(*command, log=tmp_path / "log") as dialogue:
        yield lambda how, name: json.loads(dialogue.ask(how, name))


def test_node_resolves_services_and_follows_changes(registry: Registry, node: Ask) -> None:
    name = "node.svc.local"
    assert node("resolve4", name) == "ENOTFOUND"
    registry.put("node/a", address="10.4.0.1", port=80, weight=1, priority=5)
    registry.put("node/b", address=["10.4.0.2", "fd00::4:2"], port=81, weight=3, priority=5)
    eventually(lambda: sorted(node("resolve4", name)) == ["10.4.0.1", "10.4.0.2"])
    assert node("resolve6", name) == ["fd00::4:2"]
    firsts = Counter(node("resolve4", name)[0] for _ in range(40))
    assert firsts == {"10.4.0.1": 10, "10.4.0.2": 30}
    servers = [
        {"name": "a.node.svc.local", "port": 80, "priority": 5, "weight": 1},
        {"name": "b.node.svc.local", "port": 81, "priority": 5, "weight": 3},
    ]
    found = node("resolveSrv", "_node._tcp.svc.local")
    assert sorted(({k: s[k] for k in servers[0]} for s in found), key=lambda s: s["port"]) == servers
    assert ["instances=2"] in [strings[:1] for strings in node("resolveTxt", name)]
    assert node("reverse", "10.4.0.2") == ["b.node.svc.local"]
    assert node("resolve6", "a.node.svc.local") == "ENODATA"
    assert node("resolve4", "nope.node.svc.local") == "ENOTFOUND"

    registry.put("node/a", address="10.4.0.9", port=80)
    registry.put("node/b", address="10.4.0.2", status="draining")
    eventually(lambda: node("resolve4", name) == ["10.4.0.9"])
    registry.remove("node/a")
    eventually(lambda: node("resolve4", name) == "ENODATA")

    registry.fill("node", "10.4.1")
    eventually(lambda: len(node("resolve4", name)) == 120)
    assert len(node("resolveSrv", "_node._tcp.svc.local")) == 120
