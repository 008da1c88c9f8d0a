"""The compose file, started: two replicas, a service that registers, and a client that knows nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from packages.engines import Docker, Engine, Image, Podman
from support.server import REPOSITORY
from support.waiting import eventually

ZOOKEEPER = """ARG BASE
FROM ${BASE}
RUN apt-get update -q && apt-get install -qy --no-install-recommends zookeeper >/dev/null
RUN printf 'tickTime=2000\\ndataDir=/data\\nclientPort=2181\\nadmin.enableServer=false\\n' > /etc/zoo.cfg
CMD ["java", "-cp", "/etc/zookeeper/conf:/usr/share/java/*", \
     "org.apache.zookeeper.server.quorum.QuorumPeerMain", "/etc/zoo.cfg"]
"""
"""Debian's, by the name of the image that the compose file asks for: none is pulled here."""


class Composed:
    def __init__(self, engine: Docker) -> None:
        self.engine = engine
        self._words = ["docker", "compose"]
        if isinstance(engine, Podman):
            compose = REPOSITORY / "build/tools/bin/podman-compose"
            self._words = [str(compose), f"--podman-args={' '.join(engine.globals)}"]

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._words, "-f", str(REPOSITORY / "deploy/compose.yaml"), *words],
            env=self.engine.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def name(self, service: str) -> str:
        """Compose says zkdns-client-1, podman-compose zkdns_client_1."""
        names = self.engine.check("ps", "-a", "--format", "{{.Names}}").split()
        (found,) = [name for name in names if name in (f"zkdns-{service}-1", f"zkdns_{service}_1")]
        return found

    def log(self, service: str) -> str:
        done = self.engine.command("logs", self.name(service))
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def composed(engine: Engine, image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    if not isinstance(engine, Docker):
        pytest.skip("no container engine runs here")
    folder = tmp_path_factory.mktemp("zookeeper")
    (folder / "Dockerfile").write_text(ZOOKEEPER)
    engine.build(folder, "docker.io/library/zookeeper:3.9")
    running = Composed(engine)
    up = running.command("up", "-d", "--no-build")
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        yield running
    finally:
        running.command("down", "-v", "-t", "5")


def ask(port: int, name: str) -> list[str]:
    words = ["dig", "@127.0.0.1", "-p", str(port), "+short", "+tries=1", "+time=2", name]
    return subprocess.run(words, capture_output=True, text=True).stdout.splitlines()


def test_both_replicas_answer_on_the_ports_that_are_published(composed: Composed) -> None:
    for port in (5300, 5301):
        eventually(
            lambda port=port: sorted(ask(port, "web.svc.local")) == ["172.30.53.11", "172.30.53.12"], 90, 0.3
        )


def test_a_client_finds_the_service_by_the_containers_own_resolver(composed: Composed) -> None:
    def says(address: str) -> bool:
        told = composed.log("client")
        assert f"web.svc.local is {address}, and says 200" in told, told + composed.log("zkdns-1")
        return True

    for address in ("172.30.53.11", "172.30.53.12"):
        eventually(lambda address=address: says(address), 90, 0.5)


def test_the_replicas_tell_addresses_that_reach_them_and_are_two(composed: Composed) -> None:
    words = ("zkdns", "replicas", "--registry", "zk://zookeeper:2181/services")

    def rows() -> list[str]:
        return composed.engine.check("exec", composed.name("zkdns-1"), *words).splitlines()[1:]

    def says() -> bool:
        assert sorted(row.split()[1] for row in rows()) == ["172.30.53.2:53", "172.30.53.3:53"]
        return True

    eventually(says, 60, 0.5)


def test_a_service_that_is_stopped_leaves_the_answers_at_once(composed: Composed) -> None:
    composed.engine.check("stop", "-t", "5", composed.name("web-b"))
    eventually(lambda: ask(5300, "web.svc.local") == ["172.30.53.11"], 20, 0.2)
