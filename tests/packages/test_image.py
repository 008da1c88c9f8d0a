"""The image of the Dockerfile, built and run as people run it: without root, rights, or a file to write."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from packages.engines import Container, Engine, Image
from support.ports import free_port
from support.waiting import eventually
from zkdns import __version__

REGISTRY = '[web]\n[[web.instances]]\nid = "a"\naddress = "192.0.2.1"\nport = 80\n'
LOCKED = ("--cap-drop=ALL", "--security-opt", "no-new-privileges", "--read-only")
LOW_PORTS = ("--sysctl", "net.ipv4.ip_unprivileged_port_start=0")


def lay_registry(folder: Path) -> None:
    """For a user who is not ours."""
    folder.chmod(0o755)
    (folder / "services.toml").write_text(REGISTRY)


@contextmanager
def serving(
    image: Image, folder: Path, *words: str, flags: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[str]]:
    lay_registry(folder)
    process = image.start("serve", "--registry", "file:/registry/services.toml", *words, flags=flags)
    with process:
        try:
            yield process
        finally:
            process.terminate()
            code = process.wait(30)
    assert code == 0


def until_ready(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    told = ""
    for line in process.stdout:
        told += line
        if "ready" in line:
            return line
    raise AssertionError(f"it ended: {told}")


def ask(port: int, name: str = "web.svc.local") -> list[str]:
    words = ["dig", "@127.0.0.1", "-p", str(port), "+short", "+tries=1", "+time=2", name]
    return subprocess.run(words, capture_output=True, text=True).stdout.splitlines()


def test_the_image_has_the_compiled_engine(image: Image) -> None:
    ran = image.run("--version")
    assert (ran.returncode, ran.stdout) == (0, f"zkdns {__version__}, engine native\n"), ran.stderr


def test_the_image_is_small_and_holds_nothing_to_install_or_to_log_in_with(image: Image) -> None:
    assert image.megabytes < 110
    for path in ("/bin/sh", "/usr/bin/apt-get", "/opt/zkdns/bin/pip", "/usr/bin/perl", "/usr/bin/su"):
        assert not image.has(path), path
    assert image.settings["User"] == "65532:65532"


def test_port_53_is_served_without_a_right_and_without_a_file_to_write(
    image: Image, engine: Engine, tmp_path: Path
) -> None:
    port = free_port()
    listen = "0.0.0.0:53" if engine.runs_containers else f"127.0.0.1:{port}"
    flags = (*LOCKED, *LOW_PORTS, "-p", f"127.0.0.1:{port}:53/udp", "-v", f"{tmp_path}:/registry:ro")
    if not engine.runs_containers:
        (image.root / "registry").mkdir(exist_ok=True)  # type: ignore[attr-defined]
        (image.root / "registry/services.toml").write_text(REGISTRY)  # type: ignore[attr-defined]
    with serving(image, tmp_path, "--listen", listen, "--http", "", flags=flags) as process:
        assert "engine native" in until_ready(process)
        eventually(lambda: ask(port) == ["192.0.2.1"])


def test_where_port_53_is_refused_one_line_tells_the_cure(
    image: Image, engine: Engine, tmp_path: Path
) -> None:
    if not engine.runs_containers:
        pytest.skip("a chroot has this machine's ports")
    lay_registry(tmp_path)
    refused = ("--sysctl", "net.ipv4.ip_unprivileged_port_start=1024")
    flags = (*LOCKED, *refused, "-v", f"{tmp_path}:/registry:ro")
    ran = image.run(
        "serve", "--registry", "file:/registry/services.toml", "--listen", "0.0.0.0:53", flags=flags
    )
    assert ran.returncode == 1
    (line,) = ran.stderr.strip().splitlines()
    assert "0.0.0.0:53" in line
    assert "ip_unprivileged_port_start=0" in line


def test_the_images_own_question_for_health_is_answered(image: Image, engine: Engine, tmp_path: Path) -> None:
    if not isinstance(image, Container):
        pytest.skip("a chroot has no health")
    lay_registry(tmp_path)
    test = image.settings["Healthcheck"]["Test"]  # type: ignore[index]
    name = f"zkdns-health-{free_port()}"
    flags = (*LOCKED, "--name", name, "-v", f"{tmp_path}:/registry:ro")
    words = ("--listen", "0.0.0.0:5300", "--http", "0.0.0.0:8053", "--state", "/var/lib/zkdns")
    with serving(image, tmp_path, *words, flags=flags) as process:
        until_ready(process)
        assert test[0] == "CMD"
        asked = image.engine.command("exec", name, *test[1:])
        assert asked.returncode == 0, asked.stderr
        told = image.engine.check(
            "exec", name, "zkdns", "services", "--registry", "file:/registry/services.toml"
        )
        assert "web" in told


def test_sigterm_reaches_the_server_which_is_the_first_process(
    image: Image, engine: Engine, tmp_path: Path
) -> None:
    if not isinstance(image, Container):
        pytest.skip("a chroot has this machine's processes")
    name = f"zkdns-stop-{free_port()}"
    with serving(image, tmp_path, "--listen", "0.0.0.0:5300", "--http", "",
                 flags=(*LOCKED, "--name", name, "-v", f"{tmp_path}:/registry:ro")) as process:  # fmt: skip
        until_ready(process)
        image.engine.check("kill", "--signal", str(int(signal.SIGTERM)), name)
        assert process.wait(30) == 0
