"""What is shared by the tests of what people install: a bare Debian, a container engine, and what was built.

Run by `make packages`, which builds the wheel first; not a part of the suite, for it takes minutes and root.
Nothing is pulled: Debian's packages make the base that the image is built on.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from packages.debian import Machine, make_base
from packages.engines import Engine, Image, Steps, find_engine
from support.server import REPOSITORY

FOLDER = REPOSITORY / "build/packages"
SUITE = "trixie"
"""The release whose cargo builds the engine, and that of the image."""

USED: list[str] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in USED:
        terminalreporter.write_line(f"packages: {line}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session", autouse=True)
def root() -> None:
    if os.getuid() != 0 or platform.system() != "Linux" or not Path("/etc/debian_version").exists():
        pytest.skip("what people install is tried on Debian, as root", allow_module_level=True)


@pytest.fixture(scope="session")
def wheel() -> Path:
    (found,) = (REPOSITORY / "dist").glob("zkdns-*manylinux*.whl")
    return found


@pytest.fixture(scope="session")
def musl_wheel() -> Path:
    """The one for Alpine, which not every Rust can build."""
    found = list((REPOSITORY / "dist").glob("zkdns-*musllinux*.whl"))
    if not found:
        pytest.skip("this Rust has no library for musl")
    return found[0]


@pytest.fixture(scope="session")
def base() -> Path:
    """A bare Debian as a tar file."""
    return make_base(FOLDER, SUITE)


@pytest.fixture(scope="session")
def engine(base: Path) -> Engine:
    found = find_engine(FOLDER, base)
    USED.append(
        f"the image was built and run by {found.name}"
        if found is not None
        else "no container engine runs here: the Dockerfile's steps were taken one by one in a chroot"
    )
    return found or Steps(FOLDER, base)


@pytest.fixture(scope="session")
def image(engine: Engine) -> Image:
    """The image of the Dockerfile."""
    return engine.build(REPOSITORY, "zkdns")


@pytest.fixture(scope="session")
def machine(wheel: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A Debian that has booted with systemd; its package, made there, is /root/zkdns.deb."""
    machine = Machine(tmp_path_factory.mktemp("machine"), base)
    machine.prepare(REPOSITORY, "/usr/bin/python3", "/src/deploy/deb.py", f"/src/dist/{wheel.name}", "/root")
    (package,) = (machine.root / "root").glob("*.deb")
    package.rename(package.with_name("zkdns.deb"))
    with machine as running:
        USED.append(
            f"the Debian package ran under {running.shell('systemctl --version').split('(')[0].strip()}"
        )
        yield running


def pythons() -> dict[str, str]:
    """The Pythons of this machine that the wheel is for, by version."""
    found: dict[str, str] = {}
    places = [*os.environ.get("PATH", "").split(":"), *map(str, Path("/root/.pyenv/versions").glob("*/bin"))]
    for place in places:
        for minor in range(11, 16):
            program = Path(place) / f"python3.{minor}"
            if f"3.{minor}" in found or not program.exists():
                continue
            asked = [program, "-c", "import ensurepip, sys; print(*sys.version_info[:2], sep='.')"]
            told = subprocess.run(asked, capture_output=True, text=True)
            if told.returncode == 0 and told.stdout.strip() == f"3.{minor}":
                found[f"3.{minor}"] = str(program)
    return found
