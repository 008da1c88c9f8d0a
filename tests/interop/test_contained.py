"""Programs that ask the machine's resolver have zkdns as the only name server of their machine.

Proves what `contained/` says, one file a group. The machine is a network and a mount namespace: loopback and
/etc/resolv.conf are its own, and nothing of the real one is touched. Tests run there as they do elsewhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.programs import find
from support.server import REPOSITORY

pytestmark = [pytest.mark.zookeeper, pytest.mark.timeout(300)]

SCRIPT = """
set -e
ip link set lo up
ip addr add 198.51.100.1/32 dev lo  # IPv4 is asked for only where there is some (AI_ADDRCONFIG)
mount --bind "$1" /etc/resolv.conf
shift
exec "$@"
"""


def test_programs_of_a_machine_whose_name_server_we_are(tmp_path: Path) -> None:
    unshare = [find("unshare", "util-linux"), "-r", "-n", "-m"]
    find("ip", "iproute2")
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("this kernel gives no network namespaces to this user")
    (tmp_path / "resolv.conf").write_text(
        "search svc.local\nnameserver 127.0.0.1\noptions timeout:10 attempts:3\n"
    )
    pytest_there = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'there'}",
        "tests/interop/contained",
    ]  # fmt: skip
    without_proxies = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    ran = subprocess.run(
        [*unshare, "sh", "-c", SCRIPT, "sh", tmp_path / "resolv.conf", *pytest_there],
        cwd=REPOSITORY,
        env={**without_proxies, "ZKDNS_CONTAINED": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    print(ran.stdout, ran.stderr)
    assert ran.returncode == 0
    assert " passed" in ran.stdout
    assert "skipped" not in ran.stdout
