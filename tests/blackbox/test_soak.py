"""The short form of `make soak`, and two of its parts beside a real ZooKeeper."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.protocol.states import KazooState

from support.server import REPOSITORY
from support.waiting import eventually
from support.zookeeper import ZooKeeperServer, finish

sys.path.insert(0, str(REPOSITORY))  # bench/ is no part of the package

from bench.soak import agreement, session, truth
from bench.soak.model import HOME, Model

NAME = "s0.svc.local"


@pytest.mark.zookeeper
@pytest.mark.timeout(240)
def test_no_wrong_answer_is_given_while_members_are_frozen_killed_and_cut_off() -> None:
    words = ("--seconds", "16", "--calm", "4", "--replicas", "2", "--seed", "168")
    faults = "freeze,kill,cut-member,cut-server,cut-peer,freeze-all,expire,kill-far,cut-far,freeze-far"
    done = subprocess.run(
        [sys.executable, "-m", "bench.soak", *words, "--faults", faults],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=220,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "all held" in done.stdout


@pytest.fixture
def zk(own_zookeeper: ZooKeeperServer) -> Iterator[KazooClient]:
    client = own_zookeeper.client()
    yield client
    finish(client)


@pytest.mark.zookeeper
def test_servers_are_compared_with_zookeeper_and_the_report_shows_what_each_holds(
    own_zookeeper: ZooKeeperServer, zk: KazooClient, serve: Callable[..., Any]
) -> None:
    zk.create("/services/s0", b"{}", makepath=True)
    data = b'{"address": ["10.0.0.1"], "port": 7000, "weight": 1, "priority": 0, "status": "up"}'
    zk.create("/services/s0/i1", data)
    server = serve(registry=f"zk://{own_zookeeper.hosts}/services")

    def differences() -> list[str]:
        now = truth.read({HOME: zk}, bool, time.time())
        return [found.what for found in agreement.compare([server], now, Model())]

    eventually(lambda: differences() == [])
    zk.set("/services/s0", b'{"answers": 3}')
    eventually(lambda: differences() == [])
    held = truth.read({HOME: zk}, bool, time.time())
    zk.create("/services/s0/i2", data.replace(b".1", b".2"))
    eventually(lambda: server.answers(NAME) == ["10.0.0.1", "10.0.0.2"])
    found = list(agreement.compare([server], held, Model()))
    assert "serial" in found[0].what
    assert "['10.0.0.2'] besides" in found[1].what
    report = agreement.report([server], held, found[1], 30.0)
    for told in (
        found[1].what,
        "/services/s0/i1: mzxid",
        "so i1 is in",
        "i2: healthy, in",
        "serial",
        "log: ",
    ):
        assert told in report, report


@pytest.mark.zookeeper
def test_a_session_is_ended_behind_its_owners_back(zookeeper: ZooKeeperServer) -> None:
    states: list[str] = []
    victim = zookeeper.client()
    try:
        victim.add_listener(states.append)
        id, secret = victim.client_id
        assert session.password(id) == secret
        session.end(zookeeper.hosts, id)
        eventually(lambda: KazooState.LOST in states)
    finally:
        finish(victim)
