"""Replies to neighbours that nobody finds: the kernel keeps those for seconds, and they take others' room."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from zkdns.serve import native

pytestmark = pytest.mark.skipif(native.WHY_NOT != "", reason="the native engine is not built")

REPOSITORY = Path(__file__).parents[2]

SCRIPT = """
import socket, subprocess, sys, time
from support.native import APEX, WEB, ask, entry, small
from support.tables import opt, query
from zkdns.answers.table import Name
from zkdns.serve import native

def ip(*words):
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout

native.BUFFER_BYTES = int(sys.argv[1])
engine = native.Native()
engine.apply(small(entry(3), {APEX: Name(0), WEB: Name(0)}))
at = engine.start([("10.9.0.1", 5300)])[0]
asked = query(WEB, 1, opt())
there = bytes.fromhex(ip("-o", "link", "show", "ours").split("link/ether ")[1].split()[0].replace(":", ""))

def word(n):
    return n.to_bytes(2, "big")

def frame(host):
    datagram = word(4000) + word(at[1]) + word(8 + len(asked)) + word(0) + asked
    head = bytearray(bytes((0x45, 0)) + word(20 + len(datagram)) + bytes((0, 1, 0, 0, 64, 17, 0, 0)))
    head += socket.inet_aton(host) + socket.inet_aton(at[0])
    total = sum(head[k] << 8 | head[k + 1] for k in range(0, 20, 2))
    total = (total & 0xFFFF) + (total >> 16)
    head[10:12] = word(~(total + (total >> 16)) & 0xFFFF)
    return there + bytes((2, 0, 0, 0, 0, 1)) + word(0x0800) + head + datagram

wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("theirs", 0))
hosts = [f"10.9.1.{host}" for host in range(1, 41)] * 10
for sent, host in enumerate(hosts, 1):
    wire.send(frame(host))
    while sum(engine.replies().values()) + engine.totals()["missed"] < sent:
        time.sleep(0.001)
if sys.argv[2] == "whole":
    assert ask(at, asked), "another client"
    assert engine.totals()["unsent"] == 0
    assert sum(engine.replies().values()) == len(hosts) + 1
else:
    assert 0 < engine.totals()["unsent"] < len(hosts), engine.totals()
engine.close()
"""

LINK = """
set -e
ip link set lo up
ip link add ours type veth peer name theirs
# The kernel looks for a neighbour for a minute: whoever waits for it is found out.
echo 20000 > /proc/sys/net/ipv4/neigh/ours/retrans_time_ms
ip addr add 10.9.0.1/16 dev ours
ip link set ours up
ip link set theirs up
exec "$@"
"""


@pytest.mark.parametrize(("buffer", "told"), [(native.BUFFER_BYTES, "whole"), (1 << 16, "cut")])
def test_replies_that_wait_for_neighbours_keep_no_thread_and_take_not_all_room(
    buffer: int, told: str
) -> None:
    """Four hundred of them, where the kernel's usual room has place for less than three hundred."""
    unshare = ["unshare", "-r", "-n"]
    if shutil.which("ip") is None or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("this kernel gives no network namespaces to this user")
    env = {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"}
    ran = subprocess.run(
        [*unshare, "sh", "-c", LINK, "sh", sys.executable, "-c", SCRIPT, str(buffer), told],
        env=env, capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
