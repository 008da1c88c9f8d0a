"""`zkdns register` as a process of its own, against a real ZooKeeper."""

from __future__ import annotations

import errno
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from types import SimpleNamespace

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import BadArgumentsError, NoNodeError

from support import loaded
from support.server import REPOSITORY
from support.zookeeper import ZooKeeperServer, finish
from zkdns import cli
from zkdns.cli import running
from zkdns.cli.found_as import dns_names, loopback_warning
from zkdns.cli.keeper import Keeper
from zkdns.cli.register import Vouched
from zkdns.cli.running import TtlCheck
from zkdns.registry.access import ZooKeeperSettings
from zkdns.registry.url import is_node_name
from zkdns.registry.zk.notes import Notes

pytestmark = pytest.mark.zookeeper

PYTHON = sys.executable


def until(condition: Callable[[], object], what: str = "", seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


class Bench:
    """Starts `zkdns register` and looks at what stands in ZooKeeper."""

    def __init__(self, zk: KazooClient, hosts: str, root: str, directory: Path) -> None:
        self.zk = zk
        self.root = root
        self.url = f"zk://{hosts}{root}"
        self.directory = directory
        self.started: list[subprocess.Popen[bytes]] = []
        self.times_out(4)
        here = {"XDG_RUNTIME_DIR": str(directory), "PYTHONPATH": str(REPOSITORY)}
        self.environment = {**os.environ, **here}

    def times_out(self, seconds: int) -> None:
        """How long the sessions of those that are started from now on outlive them."""
        (self.directory / "settings.toml").write_text(f"[zookeeper]\nsession_timeout = {seconds}\n")

    def register(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        name = f"said-{len(self.started)}"
        with (self.directory / name).open("wb") as said:
            process = loaded.start(
                [PYTHON, "-m", "zkdns", "register", "--registry", self.url,
                 "--config", str(self.directory / "settings.toml"), *words],
                {**self.environment, **environment},
                stdout=subprocess.PIPE, stderr=said, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self.started.append(process)
        return process

    def said(self, process: subprocess.Popen[bytes]) -> str:
        return (self.directory / f"said-{self.started.index(process)}").read_text()

    def owner(self, name: str = "web/a") -> int:
        """The session that holds it, 0 where nothing stands."""
        stat = self.zk.exists(f"{self.root}/{name}")
        return stat.ephemeralOwner if stat is not None else 0

    def payload(self, name: str = "web/a") -> dict[str, object]:
        try:
            found: dict[str, object] = json.loads(self.zk.get(f"{self.root}/{name}")[0])
        except NoNodeError:
            return {}
        return found

    def end(self, process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> int:
        process.send_signal(number)
        return process.wait(30)

    def clean(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()


@pytest.fixture
def bench(zookeeper: ZooKeeperServer, zk: KazooClient, zk_root: str, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(zk, zookeeper.hosts, zk_root, tmp_path)
    yield bench
    bench.clean()


WEB_A = ("web", "--id", "a", "--address", "10.0.0.1", "--port", "80")


def test_every_flag_is_in_the_registration(bench: Bench) -> None:
    bench.register(
        "web", "--id", "a", "--address", "10.0.0.1", "--address", "fd00::1", "--port", "80", "--weight", "0",
        "--priority", "2", "--tag", "canary", "--tag", "eu", "--port-name", "http=8080",
        "--meta", "version=1.4", "--zone", "eu/eu-1a", "--protocol", "udp", "--status", "draining",
    )  # fmt: skip
    until(bench.owner)
    assert bench.payload() == {
        "address": ["10.0.0.1", "fd00::1"], "port": 80, "weight": 0, "priority": 2, "tags": ["canary", "eu"],
        "ports": {"http": 8080}, "meta": {"version": "1.4"}, "zone": "eu/eu-1a", "protocol": "udp",
        "status": "draining",
    }  # fmt: skip


def test_address_and_id_have_defaults(bench: Bench) -> None:
    bench.register("web", "--port", "80")
    name = f"web/{socket.gethostname()}-80"
    until(lambda: bench.owner(name))
    assert bench.payload(name) == {"address": "127.0.0.1", "port": 80}


def test_sigterm_removes_the_node_at_once_and_exits_0(bench: Bench) -> None:
    process = bench.register(*WEB_A)
    until(lambda: "found as" in bench.said(process))
    assert bench.end(process) == 0
    assert bench.owner() == 0
    assert bench.said(process).splitlines() == [
        f"zkdns register: registered {bench.root}/web/a",
        "zkdns register: found as web.svc.local, _web._tcp.svc.local, a.web.svc.local",
        f"zkdns register: removed {bench.root}/web/a",
    ]


def test_a_deleted_node_is_made_again(bench: Bench) -> None:
    bench.register(*WEB_A)
    until(bench.owner)
    for _ in range(3):
        created = bench.zk.exists(f"{bench.root}/web/a").czxid
        bench.zk.delete(f"{bench.root}/web/a")
        until(lambda created=created: (s := bench.zk.exists(f"{bench.root}/web/a")) and s.czxid > created)
    bench.zk.delete(bench.root, recursive=True)  # its parents too
    until(bench.owner)


def test_after_the_session_expired_the_node_is_made_again(bench: Bench) -> None:
    process = bench.register(*WEB_A)
    until(bench.owner)
    first = bench.owner()
    process.send_signal(signal.SIGSTOP)
    until(lambda: not bench.owner(), "the session expires")
    process.send_signal(signal.SIGCONT)
    until(bench.owner)
    assert bench.owner() != first


def test_a_killed_one_is_taken_back_by_a_quick_restart_without_a_gap(bench: Bench) -> None:
    bench.times_out(40)  # a busy machine may take seconds for the restart
    before = bench.register(*WEB_A)
    until(bench.owner)
    first = bench.owner()
    before.kill()
    before.wait()
    seen: list[int] = []
    bench.register(*WEB_A, "--weight", "7")
    until(lambda: seen.append(bench.owner()) or seen[-1] != first)  # type: ignore[func-returns-value]
    # The old session goes on for its timeout: who sees another owner before 0 saw it taken over.
    assert 0 not in seen
    assert bench.payload()["weight"] == 7


def test_two_on_one_machine_do_not_fight_and_the_second_follows_the_first(bench: Bench) -> None:
    first = bench.register(*WEB_A)
    until(bench.owner)
    owner = bench.owner()
    second = bench.register(*WEB_A)
    until(lambda: "standing by" in bench.said(second))
    assert bench.owner() == owner
    bench.end(first)
    until(bench.owner)
    assert bench.owner() != owner
    assert bench.said(first).count("registered ") == 1


def test_two_on_two_machines_do_not_fight_even_with_equal_data(bench: Bench) -> None:
    bench.register(*WEB_A)
    until(bench.owner)
    owner = bench.owner()
    elsewhere = bench.directory / "elsewhere"
    elsewhere.mkdir()
    second = bench.register(*WEB_A, XDG_RUNTIME_DIR=str(elsewhere))
    until(lambda: "standing by" in bench.said(second))
    assert bench.owner() == owner
    bench.end(second)
    assert bench.owner() == owner


def test_a_lasting_node_that_another_made_is_left_alone(bench: Bench) -> None:
    bench.zk.create(f"{bench.root}/web/a", b"theirs", makepath=True)
    process = bench.register(*WEB_A)
    until(lambda: "held by nobody's session; standing by" in bench.said(process))
    bench.end(process)
    assert bench.zk.get(f"{bench.root}/web/a")[0] == b"theirs"


def test_ttl_check_keeps_it_registered_only_while_it_succeeds(bench: Bench) -> None:
    flag = bench.directory / "well"
    process = bench.register(*WEB_A, "--ttl-check", f"test -e '{flag}'", "--ttl-interval", "0.2")
    until(lambda: "the ttl check fails (exit code 1)" in bench.said(process))
    assert bench.owner() == 0
    flag.touch()
    until(bench.owner)
    flag.unlink()
    until(lambda: not bench.owner())
    flag.touch()
    until(bench.owner)
    assert bench.end(process) == 0


def test_a_ttl_check_that_hangs_counts_as_failed_and_its_children_end(bench: Bench) -> None:
    pid_file = bench.directory / "pid"
    code = (
        "import subprocess, time; child = subprocess.Popen(['sleep', '600']); "
        f"open({str(pid_file)!r}, 'w').write(str(child.pid)); time.sleep(600)"
    )
    process = bench.register(*WEB_A, "--ttl-check", f'{PYTHON} -c "{code}"', "--ttl-interval", "2")
    until(lambda: "not done within 2 s" in bench.said(process))
    assert bench.owner() == 0
    bench.end(process)
    until(lambda: _is_gone(int(pid_file.read_text())), "the check's child ends")


def test_what_a_ttl_check_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    words = ("sh", "-c", f"sleep 600 & echo $! > '{pid_file}'")
    assert TtlCheck(words, {}, 5.0, lambda good, why: None)._run() == ""
    until(lambda: _is_gone(int(pid_file.read_text())), "the check's child ends")


@pytest.mark.parametrize("error", [OSError(errno.EAGAIN, "x"), OSError(errno.EMFILE, "x"), MemoryError()])
def test_a_ttl_check_that_this_machine_can_not_run_leaves_all_as_it_was(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That there is no process more says nothing of the instance: it was unregistered."""
    wanted: list[bool] = []
    vouched = Vouched(SimpleNamespace(want=wanted.append))  # type: ignore[arg-type]
    told = Queue[bool | None]()

    def tell(good: bool | None, why: str) -> None:
        vouched(good, why)
        told.put(good)

    check = TtlCheck(("true",), {}, 0.01, tell)
    check.start()
    assert told.get(timeout=10) is True

    def fail(*_: object, **__: object) -> None:
        raise error

    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", fail)
    assert any(told.get(timeout=10) is None for _ in range(200))
    monkeypatch.setattr(subprocess, "Popen", popen)
    assert any(told.get(timeout=10) for _ in range(200))
    check.stop()
    assert wanted == [True]
    assert capsys.readouterr().err.count("the ttl check can't be run (") == 1


def test_a_ttl_check_that_can_not_be_ended_fails_in_time_and_is_not_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of another user, or one that waits for a disk: it was never told that it fails."""
    monkeypatch.setattr(running, "kill_group", lambda leader: None)
    check = TtlCheck(("sleep", "600"), {}, 0.1, lambda good, why: None)
    begun = []
    for _ in range(3):
        assert check._run() == "not done within 0.1 s"
        begun.append(check._process)
    assert begun == [begun[0]] * 3
    assert begun[0] is not None
    begun[0].kill()
    assert check._run() == "not done within 0.1 s"
    assert check._process is not None
    assert check._process is not begun[0]
    check._process.kill()
    check._process.wait()


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_ttl_check_never_reaches_a_shell(bench: Bench) -> None:
    mark = bench.directory / "mark"
    bench.register(*WEB_A, "--ttl-check", f"echo '; touch {mark}' $(touch {mark}) > /dev/null")
    until(bench.owner)
    assert not mark.exists()


# --- with a program ---------------------------------------------------------------------------------


def test_a_program_that_a_signal_ends_gives_the_code_that_a_shell_gives(bench: Bench) -> None:
    process = bench.register(*WEB_A, "--", "sleep", "600")
    until(bench.owner)
    assert bench.end(process) == 128 + signal.SIGTERM
    assert bench.owner() == 0


def test_the_program_gets_the_signal_after_the_node_is_gone_and_its_exit_code_counts(bench: Bench) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit(42)))\n"
        "signal.signal(signal.SIGHUP, lambda *_: print('hup', flush=True))\n"
        "print('up', flush=True)\n"
        "while True: time.sleep(600)\n"
    )
    process = bench.register(*WEB_A, "--", PYTHON, "-c", code)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    until(bench.owner)
    process.send_signal(signal.SIGHUP)
    assert process.stdout.readline() == b"hup\n"
    assert bench.owner()
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == b"bye\n"
    assert bench.owner() == 0
    assert process.wait(30) == 42
    assert process.stdout.read() == b""


def test_ctrl_c_on_a_terminal_reaches_the_program_once(bench: Bench) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, lambda *_: print('interrupted', flush=True))\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        "print('up', flush=True)\n"
        "while True: time.sleep(0.1)\n"
    )
    # A session of its own takes the terminal that its stdin is for its controlling one.
    take = (
        "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        [PYTHON, "-c", take, PYTHON, "-m", "zkdns", "register", "--registry", bench.url, *WEB_A,
         "--", PYTHON, "-c", code],
        stdin=inside, stdout=inside, stderr=inside, start_new_session=True, env=bench.environment,
    )  # fmt: skip
    os.close(inside)
    seen = b""
    try:
        while b"registered" not in seen or b"up" not in seen:
            seen += os.read(terminal, 4096)
        os.write(terminal, b"\x03")
        while b"interrupted" not in seen:
            seen += os.read(terminal, 4096)
        until(lambda: bench.owner() == 0)
        process.send_signal(signal.SIGTERM)
        while chunk := _read(terminal):
            seen += chunk
    finally:
        os.close(terminal)
        code_kept = process.wait(30)
    assert code_kept == 5
    assert seen.count(b"interrupted") == 1  # two programs write there: its line end may come later


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # EIO: the other side is closed
        return b""


@pytest.mark.parametrize(
    ("words", "code"), [(["true"], 0), (["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -9 $$"], 137)]
)
def test_when_the_program_ends_so_does_the_registration(bench: Bench, words: list[str], code: int) -> None:
    process = bench.register(*WEB_A, "--", *words)
    assert process.wait(30) == code
    assert bench.owner() == 0


def test_the_programs_own_flags_are_not_ours(bench: Bench) -> None:
    process = bench.register(*WEB_A, "--", "echo", "--id", "x", "--version")
    assert process.stdout is not None
    assert process.stdout.read() == b"--id x --version\n"
    assert process.wait(30) == 0


def test_a_program_that_is_not_there_is_one_line(bench: Bench) -> None:
    process = bench.register(*WEB_A, "--", "/nonexistent/program")
    assert process.wait(30) == 1
    assert bench.said(process) == "zkdns: can't run /nonexistent/program: No such file or directory\n"


def test_a_program_runs_whether_zookeeper_is_there_or_not(bench: Bench) -> None:
    bench.url = "zk://127.0.0.1:1/services"
    process = bench.register(*WEB_A, "--", "sh", "-c", "exit 3")
    assert process.wait(30) == 3


# --- signals and children -----------------------------------------------------------------------------


def test_a_signal_that_comes_around_a_stop_and_a_continue_is_never_lost(bench: Bench) -> None:
    for n in range(8):
        process = bench.register("web", "--id", f"a{n}", "--address", "10.0.0.1")
        until(lambda n=n: bench.owner(f"web/a{n}"))
        process.send_signal(signal.SIGSTOP)
        if n % 2:
            process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        if not n % 2:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert bench.owner(f"web/a{n}") == 0


@pytest.mark.parametrize("wrapped", [True, False], ids=["program", "alone"])
def test_a_linger_keeps_the_program_for_a_while_after_the_registration(bench: Bench, wrapped: bool) -> None:
    program = ("--", "sleep", "600") if wrapped else ()
    process = bench.register(*WEB_A, "--linger", "10m", *program)
    until(bench.owner)
    process.send_signal(signal.SIGTERM)
    until(lambda: not bench.owner(), "it is not registered any more")
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)  # a second one: now
    assert process.wait(30) == (128 + signal.SIGTERM if wrapped else 0)


def test_a_program_that_ends_while_it_lingers_ends_it(bench: Bench) -> None:
    script = "trap 'exit 9' HUP; while :; do sleep 0.1; done"
    process = bench.register(*WEB_A, "--linger", "10m", "--", "sh", "-c", script)
    until(bench.owner)
    process.send_signal(signal.SIGTERM)
    until(lambda: not bench.owner())
    process.send_signal(signal.SIGHUP)
    assert process.wait(30) == 9


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own (prctl)")
def test_killed_it_takes_its_program_along(bench: Bench) -> None:
    process = bench.register(*WEB_A, "--", "sh", "-c", "echo $$; exec sleep 600")
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.kill()
    process.wait()
    until(lambda: _is_gone(pid), "the program ends with it")


@pytest.mark.skipif(
    subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True).returncode != 0,
    reason="no namespaces for this user",
)
def test_as_process_1_it_buries_orphans_and_tells_the_codes_of_its_own(bench: Bench) -> None:
    code = (
        "import os, subprocess, sys, time\n"
        "for _ in range(3): subprocess.run(['sh', '-c', 'sleep 0.1 & exit 0'])\n"
        "def zombies():\n"
        "    states = [open(f'/proc/{p}/stat').read().rpartition(')')[2].split()[0]\n"
        "              for p in os.listdir('/proc') if p.isdecimal() and p != str(os.getpid())]\n"
        "    return states.count('Z')\n"
        "time.sleep(0.5)\n"
        "while zombies(): time.sleep(0.05)\n"
        "print('buried', os.getppid(), flush=True)\n"
        "sys.exit(7)\n"
    )
    words = [
        "unshare", "--pid", "--fork", "--mount-proc", PYTHON, "-m", "zkdns", "register", "--registry",
        bench.url, *WEB_A, "--ttl-check", "false", "--ttl-interval", "0.2", "--", PYTHON, "-c", code,
    ]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=bench.environment)
    assert done.stdout == "buried 1\n", done.stderr
    assert done.returncode == 7
    assert "the ttl check fails (exit code 1)" in done.stderr


@pytest.mark.parametrize(
    ("addresses", "hosts", "warned"),
    [
        ("127.0.0.1", "zk1:2181", True),
        ("127.0.0.1", "127.0.0.1:2181,localhost:2182", False),
        ("127.0.0.1", "127.0.0.1:2181,10.0.0.1:2181", True),
        (["10.0.0.5", "::1"], "[fd00::1]:2181", True),
        ("localhost", "10.0.0.1:2181", True),
        ("10.0.0.5", "zk1:2181", False),
        ("::1", "[::1]:2181", False),
        ("web.example", "zk1:2181", False),
    ],
)
def test_loopback_in_an_ensemble_that_others_read_is_warned_of(
    addresses: str | list[str], hosts: str, warned: bool
) -> None:
    warning = loopback_warning(addresses, hosts)
    assert bool(warning) == warned
    assert not warned or "--address" in warning


def test_it_says_the_names_under_which_it_is_found() -> None:
    payload = {"port": 80, "ports": {"http": 8080}, "tags": ["canary"], "protocol": "udp"}
    assert dns_names("Web_API", "A1", payload, "example.test") == [
        "web-api.example.test", "_web-api._udp.example.test", "_http._udp.web-api.example.test",
        "a1.web-api.example.test", "canary.web-api.example.test",
    ]  # fmt: skip
    assert dns_names("web", "a", {}, "svc.local") == ["web.svc.local", "a.web.svc.local"]


# --- without the ensemble -----------------------------------------------------------------------------


def test_it_waits_for_an_ensemble_that_comes_late_goes_and_comes_back(
    own_zookeeper: ZooKeeperServer, zk_root: str, tmp_path: Path
) -> None:
    own_zookeeper.stop()
    probe: list[KazooClient] = []
    bench = Bench(None, own_zookeeper.hosts, zk_root, tmp_path)
    try:
        process = bench.register(*WEB_A)
        until(lambda: "is out of reach, trying on" in bench.said(process))
        own_zookeeper.start()
        probe.append(own_zookeeper.client())
        bench.zk = probe[0]
        until(bench.owner, "it registers when the ensemble is there")
        own_zookeeper.kill()
        time.sleep(1)
        own_zookeeper.start()
        until(lambda: bench.zk.connected)
        until(bench.owner, "it is there after the ensemble came back")
        own_zookeeper.wipe()
        finish(probe.pop())
        probe.append(own_zookeeper.client())
        bench.zk = probe[0]
        until(bench.owner, "it is there in an ensemble that lost everything", 90)
        own_zookeeper.freeze()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        own_zookeeper.thaw()
    finally:
        for client in probe:
            finish(client)
        bench.clean()


def test_an_ensemble_with_smaller_zxids_has_the_node_again_without_the_watchdog(
    own_zookeeper: ZooKeeperServer, tmp_path: Path
) -> None:
    path = "/services/web/a"
    notes = Notes(own_zookeeper.hosts, path, tmp_path / "notes")
    settings = ZooKeeperSettings(session_timeout=2.0)
    held = Keeper(
        own_zookeeper.hosts, settings,
        path=path, data=b"1", say=lambda line: None, notes=notes, watchdog=1e9,
    )  # fmt: skip
    held.start()
    held.want(True)
    try:
        for _ in range(2):
            zk = own_zookeeper.client()
            try:
                until(lambda zk=zk: zk.exists(path))  # type: ignore[misc]
                for _ in range(20):
                    zk.set("/services", b"")  # zxids that the wiped server does not reach by itself
            finally:
                finish(zk)
            own_zookeeper.wipe()
    finally:
        held.stop()


# --- usage ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--port", "0"], "--port"),
        (["--weight", "65536"], "--weight"),
        (["--port-name", "http"], "'http' is no NAME=N"),
        (["--port-name", "http=x"], "ports"),
        (["--address", "10.0.0.300"], "address"),
        (["--ttl-check", "'"], "No closing quotation"),
        (["--id", "a/b"], "'a/b' can't be a znode's name"),
        (["--id", "a\nb"], "'a\\nb' can't be a znode's name"),
        (["--id", "\N{PARTY POPPER}"], "'\N{PARTY POPPER}' can't be a znode's name"),
        (["--address", "10.0.0.1", "--zone", "eu/a/b"], "'eu/a/b' is no [REGION/]ZONE"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(words: list[str], what: str) -> None:
    code, line = cli._run(["register", "web", *words])
    assert code == 2
    assert what in line


def test_what_can_be_no_name_is_what_zookeeper_refuses(zk: KazooClient, zk_root: str) -> None:
    edges = (0x1F, 0x7F, 0x9F, 0xE000, 0xF8FF, 0xFFF0, 0xFFFF, 0x1_0000, 0x10_FFFF)
    names = {chr(code + n) for code in edges for n in (-1, 0, 1) if code + n <= sys.maxunicode}
    for name in names | {"a", "ü", "%", "-", "...", "a.."}:
        if 0xD800 <= ord(name[0]) <= 0xDFFF:
            continue  # of them no text is made
        try:
            zk.create(f"{zk_root}/{name}", makepath=True)
        except BadArgumentsError:
            taken = False
        else:
            taken = True
        assert is_node_name(name) is taken, ascii(name)


# --- the notes of a machine -----------------------------------------------------------------------------


def test_notes_are_for_one_holder_at_a_time_and_outlive_it(tmp_path: Path) -> None:
    first = Notes("h1:2181,h2:2181", "/services/web/a", tmp_path)
    first.write(7)
    assert Notes("h1:2181,h2:2181", "/services/web/a", tmp_path).session == 0
    other = Notes("h1:2181", "/services/web/a", tmp_path)
    assert other.session == 0
    first.close()
    again = Notes("h2:2181,h1:2181", "/services/web/a", tmp_path)
    assert again.session == 7
    again.close()
    other.close()


def test_notes_hold_the_latest_session_alone_however_long_the_one_before_was(tmp_path: Path) -> None:
    notes = Notes("h", "/p", tmp_path)
    for session in (0x1000_0000_0000_0000, 7):
        notes.write(session)
    notes.close()
    again = Notes("h", "/p", tmp_path)
    assert again.session == 7
    again.close()


def test_notes_in_a_folder_where_others_may_write_are_not_believed(tmp_path: Path) -> None:
    mine = Notes("h", "/p", tmp_path)
    mine.write(7)
    mine.close()
    tmp_path.chmod(0o777)
    assert Notes("h", "/p", tmp_path).session == 0


def test_spoiled_notes_are_no_notes(tmp_path: Path) -> None:
    notes = Notes("h", "/p", tmp_path)
    notes.close()
    (file,) = tmp_path.iterdir()
    file.write_text("garbage")
    assert Notes("h", "/p", tmp_path).session == 0


def test_neither_the_program_nor_its_check_sees_how_we_log_in(bench: Bench, tmp_path: Path) -> None:
    seen = [tmp_path / "program", tmp_path / "check"]
    write = (
        "import json, os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(json.dumps(dict(os.environ)))"
    )
    for path in seen:
        (tmp_path / f"{path.name}.py").write_text(write)
    process = bench.register(
        *WEB_A, "--ttl-check", f"{PYTHON} {tmp_path}/check.py {seen[1]}",
        "--", PYTHON, "-c", write + "; import time; time.sleep(60)", str(seen[0]),
        ZKDNS_ZOOKEEPER_AUTH="digest:u:SECRET", KEPT="kept",
    )  # fmt: skip
    until(lambda: all(path.exists() and path.read_text() for path in seen), "both ran")
    for path in seen:
        assert "SECRET" not in path.read_text()
        assert json.loads(path.read_text())["KEPT"] == "kept"
    bench.end(process)
