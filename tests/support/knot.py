"""A real Knot DNS on a free port of loopback, serving zone files: the judge of our own answers.

Rules: installed by `apt-get install knot`; ended by whoever started it.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dns.message
import dns.query

from support.ports import free_port
from zkdns.ensemble import end

INSTALL = "apt-get install -y knot"


def binary() -> str | None:
    return shutil.which("knotd", path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin")


@contextmanager
def serve(folder: Path, zones: Mapping[str, str]) -> Iterator[int]:
    """Its port, while it serves these zones (name -> text of the file; it knows no $GENERATE)."""
    program = binary()
    assert program is not None, f"knotd is missing: {INSTALL}"
    port = free_port()
    for each in ("run", "db", "zones"):
        (folder / each).mkdir()
    config = [
        f"server:\n    rundir: {folder}/run\n    listen: 127.0.0.1@{port}\n",
        "    udp-workers: 1\n    tcp-workers: 1\n",
        f"log:\n  - target: stderr\n    any: warning\ndatabase:\n    storage: {folder}/db\nzone:\n",
    ]
    for number, (name, text) in enumerate(zones.items()):
        (folder / "zones" / f"{number}").write_text(text)
        config.append(f"  - domain: {name}\n    file: {folder}/zones/{number}\n    zonefile-sync: -1\n")
    (folder / "knot.conf").write_text("".join(config))
    log = (folder / "log").open("wb")
    process = subprocess.Popen([program, "-c", str(folder / "knot.conf")], stdout=log, stderr=log)
    try:
        until = time.monotonic() + 30
        for name in zones:
            while True:
                assert process.poll() is None, (folder / "log").read_text()
                try:
                    if dns.query.udp(dns.message.make_query(name, "SOA"), "127.0.0.1", 1, port).answer:
                        break
                except (OSError, dns.exception.DNSException):
                    pass
                assert time.monotonic() < until, (folder / "log").read_text()
                time.sleep(0.05)
        yield port
    finally:
        end(process)
        log.close()
