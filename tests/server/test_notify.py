"""What systemd is told, and in which order."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.ports import free_port
from support.waiting import eventually
from zkdns.server.notify import PATIENCE, Notifier


class Manager:
    """Stands where systemd does: the socket that is told."""

    def __init__(self, path: str) -> None:
        self.place = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + path[1:] if path.startswith("@") else path)
        self._socket.setblocking(False)
        self.lines: list[str] = []

    def read(self) -> list[str]:
        """All that was said up to now."""
        while True:
            try:
                self.lines += self._socket.recv(4096).decode().split("\n")
            except BlockingIOError:
                return self.lines

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    path = str(tmp_path / "notify") if request.param == "path" else f"@zkdns-{os.getpid()}"
    manager = Manager(path)
    yield manager
    manager.close()


def test_the_variable_is_not_for_our_children(manager: Manager) -> None:
    environ = {"NOTIFY_SOCKET": manager.place}
    Notifier(environ).ready("all is well")
    assert environ == {}
    assert manager.read() == ["READY=1", "STATUS=all is well"]


def test_without_systemd_nothing_is_said_and_nothing_fails(tmp_path: Path) -> None:
    for environ in ({}, {"NOTIFY_SOCKET": str(tmp_path / "nobody")}):
        notifier = Notifier(environ)
        notifier.ready("x")
        notifier.reloading()
        notifier.stopping("x")


def test_a_start_whose_registry_is_away_counts_as_done_after_a_while(manager: Manager) -> None:
    now = [0]
    notifier = Notifier({"NOTIFY_SOCKET": manager.place}, lambda: now[0])
    notifier.wait("waits", prolongs=False)
    assert manager.read() == ["STATUS=waits"]
    now[0] = int(PATIENCE * 1e9)
    notifier.wait("waits", prolongs=False)
    assert manager.read()[1:] == ["READY=1", "STATUS=waits"]
    notifier.wait("waits", prolongs=False)
    assert len(manager.read()) == 3


def test_a_start_beside_another_server_is_prolonged_and_never_called_done(manager: Manager) -> None:
    now = [0]
    notifier = Notifier({"NOTIFY_SOCKET": manager.place}, lambda: now[0])
    for _ in range(3):
        now[0] += int(PATIENCE * 1e9)
        notifier.wait("waits", prolongs=True)
    assert manager.read() == ["EXTEND_TIMEOUT_USEC=60000000", "STATUS=waits"] * 3


def test_a_reload_tells_its_moment_and_what_became_of_it(manager: Manager) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.place}, lambda: 5_000_000)
    notifier.ready("serves")
    notifier.reloading()
    notifier.reloaded("bad\nsetting")
    notifier.reloading()
    notifier.reloaded()
    assert manager.read()[2:] == [
        "RELOADING=1", "MONOTONIC_USEC=5000", "READY=1", "STATUS=bad setting",
        "RELOADING=1", "MONOTONIC_USEC=5000", "READY=1", "STATUS=serves",
    ]  # fmt: skip


def test_a_complaint_about_a_file_whose_name_is_no_text_is_told(manager: Manager) -> None:
    Notifier({"NOTIFY_SOCKET": manager.place}).reloaded(os.fsdecode(b"/zones/\xff.zone: cut"))
    assert manager.read()[-1] == r"STATUS=/zones/\udcff.zone: cut"


def test_a_server_tells_its_start_its_reloads_and_its_end(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    registry, settings = tmp_path / "services.toml", tmp_path / "zkdns.toml"
    registry.write_text('[[web.instances]]\nid = "a"\naddress = "10.0.0.1"\n')
    settings.write_text("ttl = 5\n")
    words = [
        "serve", "--registry", f"file:{registry}", "--listen", f"127.0.0.1:{free_port()}", "--http", "",
        "--config", str(settings),
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "zkdns", *words],
        env={**os.environ, "NOTIFY_SOCKET": manager.place},
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: "READY=1" in manager.read())
        assert "STATUS=ready: engine" in manager.lines[-1]
        settings.write_text("ttl = what\n")
        process.send_signal(1)
        eventually(lambda: manager.read().count("READY=1") == 2)
        assert "STATUS=the last reload failed" in manager.lines[-1]
        assert str(settings) in manager.lines[-1]
        settings.write_text("ttl = 6\n")
        process.send_signal(1)
        eventually(lambda: manager.read().count("READY=1") == 3)
        assert "STATUS=ready: engine" in manager.lines[-1]
        process.terminate()
        assert process.wait(20) == 0
        assert "STOPPING=1" in manager.read()
    finally:
        process.kill()
        process.wait()
        manager.close()
