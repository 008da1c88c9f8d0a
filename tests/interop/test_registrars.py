"""Who registers is not one of us: Apache Curator's x-discovery, and an operator in ZooKeeper's own shell.

Proves: what they register, change and take back is what resolves; what they hold as ephemeral is gone when
their session ends, by its own close and by the death of the process.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.programs import Dialogue, find
from support.services import Registry
from support.waiting import eventually
from zkdns import ensemble
from zkdns.ensemble import end

pytestmark = pytest.mark.zookeeper

SMALL = ["-Xmx96m", "-XX:TieredStopAtLevel=1"]
JARS = Path("/usr/share/java")


def becomes(registry: Registry, name: str, *expected: str) -> None:
    def is_so() -> bool:
        assert registry.server.answers(name, "SRV") == sorted(expected)
        return True

    eventually(is_so, 60)


@pytest.fixture
def curator(registry: Registry, tmp_path: Path) -> Iterator[Dialogue]:
    find("javac", "default-jdk-headless")
    jars = [JARS / "curator-x-discovery.jar", JARS / "slf4j-simple.jar"]
    if not all(jar.exists() for jar in jars):
        pytest.fail("Curator is missing: apt-get install -y libcurator-discovery-java", pytrace=False)
    program = Path(__file__).parent / "clients" / "Registrar.java"
    classpath = ":".join(map(str, jars))
    command = [find("java", "default-jdk-headless"), *SMALL, "-cp", classpath, program]
    with Dialogue(*command, registry.hosts, registry.root, log=tmp_path / "log") as dialogue:
        yield dialogue


def test_what_curators_discovery_registers_resolves_until_its_process_dies(
    registry: Registry, curator: Dialogue
) -> None:
    def tell(words: str) -> None:
        assert curator.ask(words) == "done"

    tell("register curated one 10.7.0.1 8080")
    tell("register curated two 10.7.0.2 8081")
    name = "_curated._tcp.svc.local"
    becomes(registry, name, "0 1 8080 one.curated.svc.local.", "0 1 8081 two.curated.svc.local.")
    assert registry.server.answers("curated.svc.local") == ["10.7.0.1", "10.7.0.2"]
    found = registry.server.json("/api/v1/services/curated")["instances"]
    assert {instance["format"] for instance in found} == {"curator"}

    tell("update curated one 10.7.0.9 9090")
    becomes(registry, name, "0 1 9090 one.curated.svc.local.", "0 1 8081 two.curated.svc.local.")
    assert registry.server.answers("one.curated.svc.local") == ["10.7.0.9"]
    tell("unregister two")
    becomes(registry, name, "0 1 9090 one.curated.svc.local.")

    curator.kill()
    becomes(registry, name)
    registry.remove("curated")


@pytest.fixture
def shell(registry: Registry, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = ensemble.find().command(ensemble.SHELL, "-server", registry.hosts, options=SMALL)
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output)
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        end(process)
        print(f"--- zkCli\n{log.read_text()}---")


def test_what_an_operator_does_in_zookeepers_shell_resolves_until_he_leaves_it(
    registry: Registry, shell: subprocess.Popen[bytes]
) -> None:
    def type(line: str) -> None:
        assert shell.stdin is not None
        shell.stdin.write(line.encode() + b"\n")
        shell.stdin.flush()

    name, root = "_shell._tcp.svc.local", registry.root
    type(f"create {root}/shell")
    type(f'create -e {root}/shell/held {{"address":"10.8.0.1","port":80,"weight":7}}')
    type(f'create {root}/shell/kept {{"address":"10.8.0.2","port":81}}')
    becomes(registry, name, "0 7 80 held.shell.svc.local.", "0 1 81 kept.shell.svc.local.")
    type(f'set {root}/shell/held {{"address":"10.8.0.1","port":90,"priority":2}}')
    becomes(registry, name, "2 1 90 held.shell.svc.local.", "0 1 81 kept.shell.svc.local.")
    type("quit")
    becomes(registry, name, "0 1 81 kept.shell.svc.local.")
    registry.remove("shell")
    eventually(lambda: registry.server.ask("shell.svc.local").rcode() == 3)
