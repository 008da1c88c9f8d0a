"""The wheel: one for every Python, tried on those that there are."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

from packages.conftest import pythons
from packages.debian import unpack
from support.server import REPOSITORY
from zkdns import __version__

PYTHONS = pythons()
CONSTRAINTS = ("-c", str(REPOSITORY / "constraints.txt"), "--disable-pip-version-check", "--quiet")


def metadata(wheel: Path) -> dict[str, list[str]]:
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        parsed = HeaderParser().parsestr(file.read(name).decode())
    found: dict[str, list[str]] = {"text": [str(parsed.get_payload())]}
    for key, value in parsed.items():
        found.setdefault(key, []).append(str(value))
    return found


def test_the_wheel_is_for_every_python_and_every_linux_of_ten_years(wheel: Path) -> None:
    name, version, python, abi, machine = wheel.name.removesuffix(".whl").split("-")
    assert (name, version, python, abi) == ("zkdns", __version__, "cp311", "abi3")
    assert "manylinux_2_17" in machine
    with zipfile.ZipFile(wheel) as file:
        assert "zkdns/_native.abi3.so" in file.namelist()


def test_that_for_alpine_needs_musl_alone_and_all_that_it_is_installed_with_is_there_for_musl(
    musl_wheel: Path, tmp_path: Path
) -> None:
    machine = platform.machine()
    assert musl_wheel.name == f"zkdns-{__version__}-cp311-abi3-musllinux_1_2_{machine}.whl"
    with zipfile.ZipFile(musl_wheel) as file:
        library = Path(file.extract("zkdns/_native.abi3.so", tmp_path))
    dynamic = subprocess.check_output(["readelf", "-d", library], text=True)
    assert re.findall(r"NEEDED.*\[(.*)\]", dynamic) == [f"libc.musl-{machine}.so.1"]
    for minor in (11, 13):
        subprocess.run(
            [sys.executable, "-m", "pip", "download", *CONSTRAINTS, "--dest", tmp_path / "all",
             "--only-binary=:all:", f"--platform=musllinux_1_2_{machine}", f"--python-version=3.{minor}",
             musl_wheel],
            check=True, cwd=tmp_path,
        )  # fmt: skip


def test_musls_own_loader_finds_all_that_it_asks_for_but_pythons_part(
    musl_wheel: Path, tmp_path: Path
) -> None:
    """Where Debian's musl is: it is older than any Alpine that has a Python of ours."""
    loader = Path(f"/lib/ld-musl-{platform.machine()}.so.1")
    if not loader.exists():
        pytest.skip("no musl here")
    with zipfile.ZipFile(musl_wheel) as file:
        library = Path(file.extract("zkdns/_native.abi3.so", tmp_path))
    told = subprocess.run([loader, "--list", library], capture_output=True, text=True)
    missing = re.findall(r": (\w+): symbol not found", told.stdout + told.stderr)
    assert missing
    assert [name for name in missing if not name.startswith(("Py", "_Py"))] == []


def test_an_index_that_shows_it_has_what_people_look_for(wheel: Path) -> None:
    found = metadata(wheel)
    assert found["Requires-Python"] == [">=3.11"]
    assert {"dns", "zookeeper"} <= set(found["Keywords"][0].split(","))
    assert any(
        classifier.startswith("Topic :: Internet :: Name Service") for classifier in found["Classifier"]
    )
    # An index shows the text alone: a link into the repository would lead nowhere.
    assert "](docs/" not in found["text"][0]
    assert "```console" in found["text"][0]


@pytest.mark.parametrize("version", PYTHONS)
def test_it_installs_and_its_engine_loads(version: str, wheel: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([PYTHONS[version], "-m", "venv", venv], check=True)
    subprocess.run([venv / "bin/pip", "install", *CONSTRAINTS, wheel], check=True, cwd=tmp_path)
    told = subprocess.check_output([venv / "bin/zkdns", "--version"], text=True, cwd=tmp_path)
    assert told == f"zkdns {__version__}, engine native\n"


def test_it_installs_on_a_python_that_is_not_this_machines(wheel: Path, base: Path, tmp_path: Path) -> None:
    unpack(base, tmp_path / "root")
    pip = f"/venv/bin/pip install -c /src/constraints.txt --quiet /src/dist/{wheel.name}"
    script = f"python3 --version && python3 -m venv /venv && {pip} && /venv/bin/zkdns --version"
    nspawn = ["systemd-nspawn", "--quiet", "-D", tmp_path / "root", "--register=no", "--keep-unit"]
    told = subprocess.check_output(
        [*nspawn, "--resolv-conf=copy-host", f"--bind-ro={REPOSITORY}:/src", "--", "sh", "-c", script],
        stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    version, engine = told.strip().splitlines()
    assert version.startswith("Python 3.13")
    assert engine == f"zkdns {__version__}, engine native"


def test_a_build_without_rust_says_so_and_is_named_for_what_it_is(tmp_path: Path) -> None:
    for name in ("zkdns", "native"):
        ignore = shutil.ignore_patterns("target", "__pycache__", "*.so")
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=ignore)
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(REPOSITORY / name, tmp_path)
    shutil.copy(REPOSITORY / "constraints.txt", tmp_path)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("CARGO", "RUST"))}
    pip = REPOSITORY / "build/tools/bin/pip"
    done = subprocess.run(
        [pip, "wheel", "-v", "--no-deps", "-w", tmp_path / "wheels", "."],
        cwd=tmp_path, env=environ | {"PATH": "/nowhere"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "the native engine was LEFT OUT of this build" in done.stdout + done.stderr
    (made,) = (tmp_path / "wheels").iterdir()
    assert made.name == f"zkdns-{__version__}-py3-none-any.whl"
