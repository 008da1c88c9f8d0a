"""Go's own resolver asks zkdns directly.

Proves: what Go's strict parser reads (hosts, SRV with its own order by priority, TXT, reverse names); a
missing name is told as such; an answer too long for UDP comes over TCP; each question sees the registry as it
is then.
"""

from __future__ import annotations

import json
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
def go(registry: Registry, tmp_path: Path) -> Iterator[Ask]:
    program = Path(__file__).parent / "clients" / "client.go"
    command = [find("go", "golang-go"), "run", program, f"127.0.0.1:{registry.server.port}"]
    env = {"CGO_ENABLED": "0", "GOFLAGS": "", "GO111MODULE": "off", "GODEBUG": "netdns=go"}
    with Dialogue(*command, log=tmp_path / "log", env=env) as dialogue:
        yield lambda how, name: json.loads(dialogue.ask(how, name))


def test_go_resolves_services_and_follows_changes(registry: Registry, go: Ask) -> None:
    name = "go.svc.local"
    assert go("LookupHost", name) == "not found"
    registry.put("go/a", address="10.5.0.1", port=80, priority=2, ports={"http": 8080})
    registry.put("go/b", address=["10.5.0.2", "fd00::5:2"], port=81, weight=3, priority=1)
    eventually(lambda: sorted(go("LookupHost", name)) == ["10.5.0.2", "fd00::5:2"])
    first, second = go("LookupSRV", "_go._tcp.svc.local")
    assert first == {"Target": "b.go.svc.local.", "Port": 81, "Priority": 1, "Weight": 3}
    assert second == {"Target": "a.go.svc.local.", "Port": 80, "Priority": 2, "Weight": 1}
    assert [s["Port"] for s in go("LookupSRV", "_http._tcp.go.svc.local")] == [8080]
    assert any(text.startswith("instances=2") for text in go("LookupTXT", name))
    assert go("LookupAddr", "10.5.0.2") == ["b.go.svc.local."]
    assert go("LookupHost", "nope.go.svc.local") == "not found"

    registry.remove("go/b")
    eventually(lambda: go("LookupHost", name) == ["10.5.0.1"])

    registry.fill("go", "10.5.1")
    eventually(lambda: len(go("LookupHost", name)) == 120)
    assert len(go("LookupSRV", "_go._tcp.svc.local")) == 120
