"""Who leads is decided by Curator's own LeaderLatch; the name follows, change by change.

Proves: over 200 changes the leader's name has one address at most at any moment, never that of one who
had not led since two changes ago, and each time that of the new leader in the end.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import zookeeper as real
from support.programs import Dialogue, find
from support.server import Zkdns
from support.waiting import eventually

pytestmark = pytest.mark.zookeeper

SMALL = ["-Xmx96m", "-XX:TieredStopAtLevel=1"]
JARS = Path("/usr/share/java")
CHANGES = 200
VOTERS = {f"10.8.0.{n}:6627": f"10.8.0.{n}" for n in range(1, 5)}


class Watcher(threading.Thread):
    """Asks for the leader all the time, and keeps what was not as it must be."""

    def __init__(self, server: Zkdns) -> None:
        super().__init__(daemon=True)
        self.allowed: list[frozenset[str]] = [frozenset()]
        """Who may be given, from each moment on: this thread may sleep through several."""
        self.wrong: list[tuple[list[str], frozenset[str]]] = []
        self.asked = 0
        self._server = server
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.wait(0.002):
            since = len(self.allowed) - 1
            found = self._server.answers("leader.storm-nimbus.svc.local", timeout=30)
            self.asked += 1
            allowed = frozenset().union(*self.allowed[since:])
            if len(found) > 1 or not set(found) <= allowed:
                self.wrong.append((found, allowed))

    def stop(self) -> None:
        self._stopping.set()
        self.join(10)


@pytest.fixture
def election(zookeeper: real.ZooKeeperServer, tmp_path: Path) -> Iterator[tuple[Zkdns, Dialogue]]:
    find("javac", "default-jdk-headless")
    jars = [JARS / "curator-recipes.jar", JARS / "curator-framework.jar", JARS / "curator-client.jar",
            JARS / "slf4j-simple.jar"]  # fmt: skip
    if not all(jar.exists() for jar in jars):
        pytest.fail("Curator is missing: apt-get install -y libcurator-recipes-java", pytrace=False)
    root = real.unique_root()
    client = zookeeper.client()
    try:
        for end in VOTERS:
            client.create(f"{root}/storm/nimbuses/{end}", ephemeral=True, makepath=True)
        program = Path(__file__).parent / "clients" / "Voter.java"
        command = [find("java", "default-jdk-headless"), *SMALL, "-cp", ":".join(map(str, jars)), program]
        latch = f"{root}/storm/leader-lock"
        with (
            Zkdns(registry=f"zk://{zookeeper.hosts}{root}?preset=storm") as server,
            Dialogue(*command, zookeeper.hosts, latch, log=tmp_path / "log") as voter,
        ):
            yield server, voter
    finally:
        real.finish(client)


def test_the_name_follows_every_change_that_curator_makes(election: tuple[Zkdns, Dialogue]) -> None:
    server, voter = election
    name = "leader.storm-nimbus.svc.local"

    def leads(end: str) -> bool:
        assert voter.ask("leader") == end
        assert server.answers(name) == [VOTERS[end]]
        return True

    line = list(VOTERS)
    watcher = Watcher(server)
    watcher.allowed.append(frozenset({VOTERS[line[0]]}))
    for end in line:
        assert voter.ask(f"join {end}") == "done"
        eventually(lambda: server.answers(name) == [VOTERS[line[0]]], 30)
    watcher.start()
    try:
        for _ in range(CHANGES):
            leader, *others = line
            watcher.allowed.append(frozenset({VOTERS[leader], VOTERS[others[0]]}))
            assert voter.ask(f"leave {leader}") == "done"
            eventually(lambda now=others[0]: leads(now), 30, 0.01)
            watcher.allowed.append(frozenset({VOTERS[others[0]]}))
            assert voter.ask(f"join {leader}") == "done"
            line = [*others, leader]
    finally:
        watcher.stop()
    assert watcher.asked > CHANGES
    assert watcher.wrong == []
