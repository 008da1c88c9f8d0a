"""What every unbound of a test has in its settings: it stays in front, and in its own folder."""

from __future__ import annotations

import shutil
from pathlib import Path

INSTALL = "apt-get install -y unbound"


def find_unbound() -> str:
    program = shutil.which("unbound", path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin")
    assert program is not None, f"unbound is missing: {INSTALL}"
    return program


def settings(port: int, folder: Path, rest: str, verbosity: int = 0) -> str:
    """`rest`: more lines of its server, indented, and clauses of their own."""
    return f"""server:
    interface: 127.0.0.1
    port: {port}
    num-threads: 1
    do-daemonize: no
    username: ""
    chroot: ""
    directory: "{folder}"
    pidfile: ""
    use-syslog: no
    verbosity: {verbosity}
{rest}remote-control:
    control-enable: no
"""
