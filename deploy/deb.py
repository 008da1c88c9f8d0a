"""Makes the Debian package: `python3 deploy/deb.py WHEEL FOLDER`, for the release that this machine runs.

Rules: with the system's own Python, whose version the libraries in the package are compiled for, so that
the package asks for that one. All of it stands in /usr/lib/zkdns; nothing is shared with Debian's Python.
"""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
LIBRARY = "usr/lib/zkdns"

PROGRAM = f"""#!/usr/bin/python3 -I
import sys

sys.path.insert(0, "/{LIBRARY}")

from zkdns.cli import main

main()
"""

CONTROL = """Package: zkdns
Version: {version}
Architecture: {architecture}
Maintainer: The zkdns authors <root@localhost>
Installed-Size: {size}
Depends: python3 (>= {python}), python3 (<< {next}), libc6 (>= 2.17), passwd
Recommends: systemd
Section: net
Priority: optional
Description: DNS server for what is registered in ZooKeeper
 Services register in ZooKeeper as they always did, and any program finds them by name: web.svc.local for
 addresses, _web._tcp.svc.local for ports, priorities and weights. Who is listed and healthy is answered.
"""

COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: zkdns

Files: *
Copyright: the zkdns authors
License: Apache-2.0
 The text is in /usr/share/common-licenses/Apache-2.0. The libraries in /usr/lib/zkdns have licenses of their
 own, each in its .dist-info folder.
"""


def main(wheel: Path, folder: Path) -> Path:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "root"
        install(wheel, root / LIBRARY, Path(place))
        write(root / "usr/bin/zkdns", PROGRAM, 0o755)
        for name in ("zkdns.service", "zkdns@.service"):
            write(root / "usr/lib/systemd/system" / name, unit((HERE / name).read_text(), systemd_version()))
        write(root / "etc/zkdns/zkdns.toml", (HERE / "debian/zkdns.toml").read_text())
        documents(root / "usr/share/doc/zkdns")
        version = f"{wheel.name.split('-')[1]}-1~{release()}"
        control(root, version)
        folder.mkdir(parents=True, exist_ok=True)
        package = folder / f"zkdns_{version}_{architecture()}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "--build", root, package], check=True)
    return package


def install(wheel: Path, library: Path, place: Path) -> None:
    """zkdns and its libraries, in the versions that are tested."""
    subprocess.run(["/usr/bin/python3", "-m", "venv", place / "pip"], check=True)
    subprocess.run(
        [
            place / "pip/bin/pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile",
            "-c", REPOSITORY / "constraints.txt", "--target", library, wheel,
        ],
        check=True,
    )  # fmt: skip
    shutil.rmtree(library / "bin", ignore_errors=True)  # scripts that name a Python of the build's


def unit(text: str, systemd: int) -> str:
    """As deploy/ has it, for the package's paths, and for an older systemd as the unit itself says."""
    opening = "# /etc/zkdns/zkdns.toml tells how to begin; zkdns@.service is for restarts by overlap.\n"
    text = re.sub(r"\A(#.*\n)+", opening, text).replace("/opt/zkdns/bin/zkdns", "/usr/bin/zkdns")
    if systemd < 253:
        text = text.replace("Type=notify-reload", "Type=notify")
        text = re.sub(
            r"^(ExecReload=.*)$", r"\1\nExecReload=/bin/kill -HUP $MAINPID", text, flags=re.MULTILINE
        )
    return text


def documents(folder: Path) -> None:
    write(folder / "copyright", COPYRIGHT)
    write(folder / "README.md", (REPOSITORY / "README.md").read_text())
    for path in filter(Path.is_file, (REPOSITORY / "docs").iterdir()):
        write(folder / path.name, path.read_text())
    changes = gzip.compress((REPOSITORY / "CHANGELOG.md").read_bytes(), 9, mtime=0)
    (folder / "changelog.gz").write_bytes(changes)


def control(root: Path, version: str) -> None:
    major, minor = sys.version_info[:2]
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) // 1024
    text = CONTROL.format(
        version=version, architecture=architecture(), size=size,
        python=f"{major}.{minor}~", next=f"{major}.{minor + 1}~",
    )  # fmt: skip
    write(root / "DEBIAN/control", text)
    write(root / "DEBIAN/conffiles", "/etc/zkdns/zkdns.toml\n")
    for name in ("postinst", "prerm", "postrm"):
        write(root / "DEBIAN" / name, (HERE / "debian" / name).read_text(), 0o755)


def write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def architecture() -> str:
    return subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()


def release() -> str:
    """deb12, ubuntu24.04: two releases' packages are not the same."""
    values = dict(re.findall(r'^(\w+)="?([^"\n]*)', Path("/etc/os-release").read_text(), re.MULTILINE))
    return f"{'deb' if values['ID'] == 'debian' else values['ID']}{values.get('VERSION_ID', '0')}"


def systemd_version() -> int:
    """Of the release; a machine without systemd is taken for a new one."""
    try:
        return int(subprocess.check_output(["systemctl", "--version"], text=True).split()[1])
    except (OSError, ValueError):
        return 253


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), Path(sys.argv[2])))
