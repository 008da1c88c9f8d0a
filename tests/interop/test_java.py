"""Java's own DNS client, the JNDI provider, asks zkdns directly.

Proves: A, AAAA, SRV, TXT and PTR records are read; a missing name is NameNotFoundException and missing data
is none; an answer too long for UDP comes over TCP; each question sees the registry as it is then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.programs import Dialogue, find
from support.services import Registry
from support.waiting import eventually

pytestmark = pytest.mark.zookeeper

Ask = Callable[[str, str], list[str]]


@pytest.fixture
def java(registry: Registry, tmp_path: Path) -> Iterator[Ask]:
    find("javac", "default-jdk-headless")
    program = Path(__file__).parent / "clients" / "Client.java"
    options = ["-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xmx128m"]
    command = [
        find("java", "default-jdk-headless"),
        *options,
        program,
        f"127.0.0.1:{registry.server.port}",
    ]
    with Dialogue(*command, log=tmp_path / "log") as dialogue:
        yield lambda type, name: [item for item in dialogue.ask(type, name).split(";") if item]


def test_java_reads_services_by_jndi_and_follows_changes(registry: Registry, java: Ask) -> None:
    name = "java.svc.local"
    assert java("A", name) == ["NameNotFoundException"]
    registry.put("java/a", address="10.6.0.1", port=80, weight=10)
    registry.put("java/b", address=["10.6.0.2", "fd00::6:2"], port=81, weight=30)
    eventually(lambda: java("A", name) == ["10.6.0.1", "10.6.0.2"])
    assert java("AAAA", name) == ["fd00::6:2"]
    assert java("SRV", "_java._tcp.svc.local") == ["0 10 80 a.java.svc.local.", "0 30 81 b.java.svc.local."]
    assert "instances=2" in java("TXT", name)[0]
    assert java("PTR", "2.0.6.10.in-addr.arpa") == ["b.java.svc.local."]
    assert java("AAAA", "a.java.svc.local") == []
    assert java("A", "nope.java.svc.local") == ["NameNotFoundException"]

    registry.put("java/a", address="10.6.0.9", port=80)
    registry.remove("java/b")
    eventually(lambda: java("A", name) == ["10.6.0.9"])

    registry.fill("java", "10.6.1")
    eventually(lambda: len(java("A", name)) == 120)
    assert len(java("SRV", "_java._tcp.svc.local")) == 120
