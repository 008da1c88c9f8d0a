"""A zkdns that is forked from a process that loaded it is one that was started, as far as one can tell."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support import loaded
from support.process import descriptors
from support.server import REPOSITORY, Zkdns, run

ENV = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
FILE = '[[web.instances]]\nid = "a"\naddress = "10.0.0.1"\n'


def both(
    *words: str, env: dict[str, str] | None = None, cwd: Path | None = None
) -> list[tuple[int, str, str]]:
    """What comes of it when it is forked, and when the interpreter starts it."""
    command, ended = [sys.executable, "-m", "zkdns", *words], []
    for start in (loaded.start, subprocess.Popen):
        pipe = subprocess.PIPE
        with start(
            command, env={**ENV, **(env or {})}, cwd=cwd, stdin=pipe, stdout=pipe, stderr=pipe
        ) as process:  # type: ignore[operator]
            out, err = process.communicate(b"", 60)
        ended.append((process.returncode, out.decode(), err.decode()))
    return ended


@pytest.mark.parametrize(
    "words",
    [["--version"], ["services", "--help"], ["nonsense"], ["check", "--registry", "file:services.toml"]],
)
def test_it_says_the_same_and_ends_alike(words: list[str], file: Path) -> None:
    forked, started = both(*words, cwd=file.parent)
    assert forked == started
    assert forked[1] or forked[2]


def test_its_environment_is_its_own(file: Path) -> None:
    forked, started = both("check", env={"ZKDNS_REGISTRY": f"file:{file}"})
    assert forked == started
    assert both("check")[0] != forked


def test_each_is_a_process_of_its_own_that_a_signal_ends(file: Path) -> None:
    with Zkdns(registry=f"file:{file}") as one, Zkdns(registry=f"file:{file}") as other:
        assert one.pid != other.pid
        assert [s.answers("web.svc.local") for s in (one, other)] == [["10.0.0.1"]] * 2
        other.kill()
        assert other.process is not None
        assert other.process.returncode == -signal.SIGKILL
        assert one.terminate() == 0


def test_it_holds_no_file_of_others(file: Path) -> None:
    counts = []
    for is_fresh in (False, True):
        with Zkdns(registry=f"file:{file}", is_fresh=is_fresh) as server:
            server.answers("web.svc.local")
            counts.append(descriptors(server.pid))
    assert counts[0] == counts[1]


def test_it_may_open_as_many_files_as_who_started_it(file: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 7, hard))
    try:
        with Zkdns(registry=f"file:{file}") as server:
            assert resource.prlimit(server.pid, resource.RLIMIT_NOFILE) == (soft - 7, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_one_that_does_not_end_in_time_is_told_as_any_other() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        run("watch", "--registry", "zk://127.0.0.1:1", timeout=0.5)


def test_where_the_interpreter_itself_is_told_something_it_is_started() -> None:
    env = {**ENV, "PYTHONOPTIMIZE": "1"}
    with loaded.start([sys.executable, "-m", "zkdns", "--version"], env, stdout=subprocess.PIPE) as process:
        assert type(process) is subprocess.Popen
        process.communicate()


def test_one_that_is_shared_forks_for_whoever_was_started_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded, "_known", {})
    monkeypatch.setenv(loaded.SHARED, "")  # to be set back
    end = loaded.share()
    try:
        folder = loaded._shared_folder()
        assert folder is not None
        one, other = (loaded._Shared(folder / "0") for _ in range(2))
        one.close()
        monkeypatch.setattr(loaded, "_known", {0: other})
        assert both("--version")[0] == both("--version")[1]
        other.close()
        monkeypatch.setattr(loaded, "_network", lambda: "net:[1]")
        assert loaded._shared_folder() is None, "what starts in another network is to be there"
    finally:
        end()
