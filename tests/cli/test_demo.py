"""`zkdns demo` as a newcomer runs it: a process, and the questions that it says to try."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import zookeeper as real
from support.waiting import eventually
from zkdns.cli.sample_services import (
    INSTANCES,
    LEADER,
    QUESTIONS,
    QUESTIONS_OF_THE_CLUSTER,
    ROUND,
    SCOPE,
)


class Demo:
    """A running demo: what it printed, and its processes."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process = process
        self._output = output

    @property
    def said(self) -> str:
        return self._output.read_text()

    def ready(self) -> None:
        def shown() -> bool:
            assert self.process.poll() is None, self.said
            return "Ctrl-C" in self.said

        eventually(shown, 60)

    def questions(self) -> list[str]:
        return re.findall(r"^  (dig .*)$", self.said, re.MULTILINE)

    def ask(self, question: str) -> list[str]:
        command = next(line for line in self.questions() if line.endswith(f" {question}"))
        return sorted(subprocess.check_output(shlex.split(command), text=True, timeout=30).splitlines())

    def descendants(self) -> list[Path]:
        """The processes that it started, as their folders in /proc."""
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
            found += [Path(f"/proc/{child}") for child in children]
            todo += children
        return found


@contextmanager
def demo(tmp_path: Path, *flags: str, env: dict[str, str] | None = None) -> Iterator[Demo]:
    output = tmp_path / "said"
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "zkdns", "demo", *flags],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={"PATH": "/usr/bin:/bin", **(env or {}), "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"},
        )
    try:
        yield Demo(process, output)
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()
            process.wait()
            print(output.read_text())
    assert not list(temporary.iterdir())


@pytest.mark.zookeeper
def test_every_dig_line_that_the_demo_prints_works(tmp_path: Path) -> None:
    real.demand()
    with demo(tmp_path, "--every", "1000") as running:
        running.ready()
        assert "zk://127.0.0.1:" in running.said
        assert len(running.questions()) == len(QUESTIONS) + len(QUESTIONS_OF_THE_CLUSTER)
        for question in (*QUESTIONS, *QUESTIONS_OF_THE_CLUSTER):
            assert running.ask(question), question
        assert running.ask("primary.pg1.svc.local") == ["192.0.2.51"]
        assert running.ask("web.svc.local") == ["192.0.2.11", "192.0.2.12"]
        assert "10 1 8080 spare.web.svc.local." in running.ask("_web._tcp.svc.local SRV")
        assert running.ask("db.svc.local AAAA") == ["2001:db8:2::31"]
        assert running.ask("-x 192.0.2.11") == ["a.web.svc.local."]


@pytest.mark.zookeeper
def test_services_come_and_go_and_the_answers_with_them(tmp_path: Path) -> None:
    real.demand()
    with demo(tmp_path, "--every", "1") as running:
        running.ready()
        eventually(lambda: "192.0.2.13" in running.ask("web.svc.local"))  # the third has come
        eventually(lambda: running.ask("primary.pg1.svc.local") == ["192.0.2.52"])  # another leads
        eventually(lambda: running.ask("db.svc.local AAAA") == ["2001:db8:2::32"])  # the standby
        eventually(lambda: running.ask("primary.pg1.svc.local") == [])  # nobody does
        eventually(lambda: running.ask("web.svc.local") == ["192.0.2.99"])  # only the spare is left
        eventually(lambda: running.ask("web.svc.local") == ["192.0.2.11", "192.0.2.12"])


@pytest.mark.zookeeper
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_every_process_that_the_demo_started(tmp_path: Path, how: signal.Signals) -> None:
    real.demand()
    with demo(tmp_path) as running:
        running.ready()
        started = running.descendants()
        assert len(started) == 2  # ZooKeeper and the server
        running.process.send_signal(how)
        assert running.process.wait(30) == 0
        assert not [process for process in started if process.exists()]
        assert "Traceback" not in running.said


@pytest.mark.zookeeper
def test_a_killed_demo_leaves_no_process_behind(tmp_path: Path) -> None:
    real.demand()
    with demo(tmp_path) as running:
        running.ready()
        started = running.descendants()
        running.process.kill()
        eventually(lambda: not [process for process in started if is_running(process)])
        for leftover in (tmp_path / "tmp").iterdir():  # nobody was left to remove the files
            subprocess.run(["rm", "-r", leftover], check=True)


def is_running(process: Path) -> bool:
    """A zombie that nobody has waited for yet (a container without an init) has ended, too."""
    try:
        return ") Z " not in (process / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_without_zookeeper_it_says_so_and_the_file_registry_serves(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    with demo(tmp_path, "--every", "1", env={"PATH": str(tmp_path / "bin")}) as running:
        running.ready()
        assert "apt-get install" in running.said.splitlines()[0]
        assert "file:" in running.said
        eventually(lambda: "192.0.2.13" in running.ask("web.svc.local"))
        eventually(lambda: running.ask("web.svc.local") == ["192.0.2.99"])


def test_for_ends_it_by_itself(tmp_path: Path) -> None:
    with demo(tmp_path, "--file", "--for", "0.5") as running:
        assert running.process.wait(60) == 0
        assert "ended" in running.said


def test_a_round_of_changes_ends_where_it_began() -> None:
    start: dict[tuple[str, str], object] = {**INSTANCES, (SCOPE, "leader"): LEADER}
    state = dict(start)
    for change in ROUND:
        key = change.service, change.id
        if change.payload is None:
            del state[key]
        else:
            assert state.get(key) != change.payload, f"{key} changes nothing"
            state[key] = change.payload
    assert state == start
