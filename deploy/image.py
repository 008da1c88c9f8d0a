"""Lays out the image: `python3 image.py VENV ROOT` copies one Python and the venv made of it to ROOT, and
of the system what these two load.

Rules: runs in the build stage alone, with the standard library alone; each file stands where it stood, so
that any base with a Python will do. No shell, no package manager, no pip: what isn't there needs no patch.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

UNUSED = re.compile(
    r"test|tests|idlelib|tkinter|turtledemo|ensurepip|lib2to3|pydoc_data|venv|config-.*|site-packages"
    r"|dist-packages|turtle\.py|(_tkinter|_sqlite3|_curses.*|_dbm|_gdbm|readline|_test.*|xx.*)\..*\.so|sqlite3"
    r"|curses|dbm"
)
"""What of the standard library no server needs; some of it leads to libraries of megabytes."""

LOADED_LATE = ("libgcc_s.so.1",)
"""What glibc itself loads, unnamed in any file: a thread's end needs it."""

SYSTEM = ("/etc/ssl", "/usr/lib/ssl", "/etc/os-release", "/usr/lib/os-release", "/usr/share/ca-certificates")

FILES = {
    "/etc/passwd": "root:x:0:0:root:/:/bin/false\nzkdns:x:65532:65532::/var/lib/zkdns:/bin/false\n",
    "/etc/group": "root:x:0:\nzkdns:x:65532:\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


def main(venv: Path, root: Path) -> None:
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        if (merged := Path("/", name)).is_symlink():  # into /usr, where the loader looks all the same
            root.mkdir(parents=True, exist_ok=True)
            (root / name).symlink_to(merged.readlink())
            (root / str(merged.readlink()).lstrip("/")).mkdir(parents=True, exist_ok=True)
    python = Path(sys.executable)  # a link perhaps, which the venv leads to
    stdlib = Path(sysconfig.get_path("stdlib"))
    for path in (python, stdlib, venv, *map(Path, SYSTEM)):
        if path.is_dir():
            lay_folder(path, root, UNUSED if path == stdlib else None)
        elif path.exists():
            lay(path, root)
    for path in dict.fromkeys(libraries([python, *stdlib.glob("lib-dynload/*.so"), *venv.rglob("*.so*")])):
        lay(path, root)
    for name, text in FILES.items():
        place(root, name).write_text(text)
    for name, mode, owner in (("tmp", 0o1777, 0), ("var/lib/zkdns", 0o750, 65532), ("etc/zkdns", 0o755, 0)):
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name).chmod(mode)
        os.chown(root / name, owner, owner)


def place(root: Path, path: str | Path) -> Path:
    """Where it stands in the image; its folder is made."""
    there = root / str(path).lstrip("/")
    there.parent.mkdir(parents=True, exist_ok=True)
    return there


def lay(path: Path, root: Path) -> None:
    """One file, and where it is a link what it leads to as well."""
    there = place(root, path)
    if path.is_symlink():
        if not there.is_symlink():
            there.symlink_to(path.readlink())
        lay(path.parent.resolve() / path.readlink(), root)
    elif not there.exists():
        shutil.copy2(path, there)


def lay_folder(folder: Path, root: Path, unused: re.Pattern[str] | None) -> None:
    def ignore(_: str, names: list[str]) -> list[str]:
        return [name for name in names if unused is not None and unused.fullmatch(name)]

    shutil.copytree(folder, place(root, folder), symlinks=True, ignore=ignore, dirs_exist_ok=True)


def libraries(files: Iterable[Path]) -> Iterator[Path]:
    """The shared libraries that these load, as the system's own loader finds them."""
    names = [str(f) for f in files if not UNUSED.fullmatch(f.name)]
    told = subprocess.run(["ldd", *names], stdout=subprocess.PIPE, text=True, check=True).stdout
    paths = [Path(path) for path in re.findall(r"(/\S+) \(0x", told)]
    yield from paths
    for name in LOADED_LATE:
        yield from {path.with_name(name) for path in paths if path.with_name(name).exists()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
