"""What a person is told while a command takes its time: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

import io
import re
import socket
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.ports import free_port
from support.server import run
from support.terminal import HIDDEN, SHOWN, OnTerminal
from support.zookeeper import ZooKeeperServer
from zkdns.cli import waiting
from zkdns.cli.waiting import Headway
from zkdns.model import Children, Data, Stat

AT_ONCE = "from zkdns.cli import waiting; waiting.SOON = 0.0"
"""A test has no second to wait for, and a fast machine might not need one."""

SLOWLY = """
import time
def take(headway, root, events, real=waiting.Headway.take):
    time.sleep(0.02)
    real(headway, root, events)
def update(progress, *args, real=waiting.Progress.update, **words):
    real(progress, *args, **words)
    progress.refresh()
waiting.Headway.take, waiting.Progress.update = take, update
"""
"""Thousands of nodes are read in less time than there is between two drawings."""

FILE = "".join(
    f'[s{s}]\n[[s{s}.instances]]\nid = "a"\naddress = "10.0.{s // 250}.{s % 250}"\nport = 80\n'
    for s in range(800)
)


def told(terminal: OnTerminal) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.sent)


def test_check_of_a_large_file_shows_how_far_it_is(file: Path) -> None:
    with OnTerminal("check", "--registry", f"file:{file}", before=AT_ONCE) as terminal:
        assert terminal.wait() == 0
    said = told(terminal)
    assert re.search(r"\breading +━", said)
    for what in ("compiling", "checking"):
        assert re.search(rf"{what}: [\d,]+ of 800 +━", said), what
    assert terminal.sent.rfind(SHOWN) > terminal.sent.rfind(HIDDEN) >= 0
    result = said[said.index("800 services, 800 instances, 0 problems, 1 note") :]
    assert "━" not in result, "the bar is gone when the result comes"
    assert "s799" in result


def test_nothing_is_shown_where_a_second_does_not_pass(file: Path) -> None:
    late = AT_ONCE.replace("0.0", "1000.0")
    with OnTerminal("check", "--registry", f"file:{file}", before=late) as terminal:
        assert terminal.wait() == 0
    assert "━" not in terminal.sent


@pytest.mark.parametrize(
    "words", [("replicas",), ("drain", "web/a"), ("services",)], ids=lambda words: words[0]
)
def test_a_zookeeper_that_does_not_answer_is_waited_for_in_sight(words: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hosts = f"127.0.0.1:{silent.getsockname()[1]}"
        sooner = "from zkdns.cli import registries; registries.CONNECT = 2.0\n"
        sooner += "from zkdns.registry.zk import connect\n"
        sooner += "connect.connect.__defaults__ = (2.0,)"
        with OnTerminal(
            *words, "--registry", f"zk://{hosts}/services", before=f"{AT_ONCE}\n{sooner}"
        ) as terminal:
            assert terminal.wait() == 1
    assert re.search(r"\bconnecting .*━", told(terminal))
    assert hosts in told(terminal).splitlines()[-1]
    assert terminal.sent.rfind(SHOWN) > terminal.sent.rfind(HIDDEN) >= 0


def test_why_a_zookeeper_is_waited_for_is_told_meanwhile() -> None:
    hosts = f"127.0.0.1:{free_port()}"
    sooner = "from zkdns.cli import registries\nregistries.CONNECT = 3.0"
    with OnTerminal(
        "services", "--registry", f"zk://{hosts}/services", before=f"{AT_ONCE}\n{sooner}"
    ) as terminal:
        assert terminal.wait() == 1
    said = " ".join(told(terminal).split())
    assert f"connecting to {hosts}: no connection: Connection refused" in said
    assert f"zkdns: ZooKeeper at {hosts}: no connection: Connection refused" in said


def test_nothing_is_shown_where_nobody_looks(file: Path) -> None:
    done = run("check", "--registry", f"file:{file}")
    assert done.code == 0
    assert not done.err
    assert "━" not in done.out


@pytest.mark.zookeeper
def test_check_of_a_large_tree_shows_how_much_was_read(
    zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str
) -> None:
    for s in range(20):
        zk.ensure_path(f"{zk_root}/s{s}")
    made = [
        zk.create_async(f"{zk_root}/s{s}/i{n}", b'{"address": "10.0.0.1", "port": 80}')
        for s in range(20)
        for n in range(200)
    ]
    for each in made:
        each.get(timeout=60)
    url = f"zk://{zookeeper.hosts}{zk_root}"
    with OnTerminal("check", "--registry", url, before=AT_ONCE + SLOWLY) as terminal:
        assert terminal.wait() == 0
    said = told(terminal)
    assert "connecting" in said
    assert re.search(r"reading: [\d,]+ nodes +━", said)
    assert "20 services, 4,000 instances" in said


def test_the_share_that_was_read_grows_to_one_and_begins_at_nothing() -> None:
    headway = Headway("/s")
    assert headway.share is None
    shares = []
    stat = Stat(1, 1, 0.0, True)
    headway.take("/s", [Data("/s", b"", stat), Children("/s", tuple("abcd"), 1)])
    for service in "abcd":
        kids = tuple(f"i{n}" for n in range(3 if service == "d" else 1))
        headway.take("/s", [Data(f"/s/{service}", b"", stat), Children(f"/s/{service}", kids, 1)])
        for kid in kids:
            headway.take("/s", [Data(f"/s/{service}/{kid}", b"", stat)])
            assert headway.share is not None
            shares.append(headway.share)
    headway.take("/zkdns/servers", [Children("/zkdns/servers", ("x",), 1)])
    assert shares == sorted(shares)
    assert shares[0] == 0.25
    assert shares[-1] == 1.0


def test_one_large_service_is_measured_by_its_instances() -> None:
    headway = Headway("/s")
    headway.take("/s", [Children("/s", ("web",), 1), Children("/s/web", tuple(map(str, range(99))), 1)])
    assert headway.share == 0.0
    headway.take("/s", [Data(f"/s/web/{n}", b"", Stat(1, 1, 0.0, True)) for n in range(50)])
    assert headway.share == 0.5


def test_each_gives_all_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    for many in (0, 1, 7, 999):
        assert list(waiting.Waiting().each(list(range(many)), "counting")) == list(range(many))
