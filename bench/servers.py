"""How each server of the bench is started: a thousand names of four addresses, on one thread.

Rules: writes only into the folder that it is given; returns a command that stays in the foreground.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SERVICES, INSTANCES = 1000, 4
ANSWER = INSTANCES * 16
"""Bytes that an answer is longer than its query."""

NAMES = [f"s{n}.svc.local" for n in range(SERVICES)]


def addresses(n: int) -> list[str]:
    return [f"10.{n >> 8 & 255}.{n & 255}.{k + 1}" for k in range(INSTANCES)]


@dataclass(frozen=True)
class Engine:
    """How a server is started on a port with the bench's names; `needs` is its program."""

    name: str
    needs: str
    command: Callable[[Path, int], list[str]]


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def master_file(folder: Path) -> str:
    rows = [
        "$ORIGIN svc.local.",
        "$TTL 5",
        "@ SOA ns hostmaster 1 60 10 86400 2",
        "@ NS ns",
        "ns A 127.0.0.1",
    ]
    rows += [f"s{n} A {a}" for n in range(SERVICES) for a in addresses(n)]
    return write(folder / "svc.local", "\n".join(rows) + "\n")


def floor(folder: Path, port: int) -> list[str]:
    program = folder / "floor"
    subprocess.run(["cc", "-O2", "-o", str(program), str(HERE / "floor.c")], check=True)
    return [str(program), str(port), str(ANSWER)]


def zkdns(engine: str, workers: int = 1, settings: str = "") -> Callable[[Path, int], list[str]]:
    """`settings`: TOML beside the flags."""

    def command(folder: Path, port: int) -> list[str]:
        rows = []
        for n in range(SERVICES):
            for k, a in enumerate(addresses(n)):
                about = f'id = "i{k}"\naddress = "{a}"\nport = 80\nzone = "z{k % 2}"\n'
                rows.append(f"[[s{n}.instances]]\n{about}")
        registry = write(folder / "registry.toml", "\n".join(rows))
        return [
            sys.executable, "-m", "zkdns", "serve", "--registry", f"file:{registry}", "--http", "",
            "--listen", f"127.0.0.1:{port}", "--engine", engine, "--workers", str(workers),
            "--config", write(folder / "zkdns.toml", settings),
        ]  # fmt: skip

    return command


def nsd(folder: Path, port: int) -> list[str]:
    config = f"""server:
  server-count: 1
  tcp-count: 4000
  ip-address: 127.0.0.1@{port}
  username: ""
  zonesdir: "{folder}"
  zonelistfile: "{folder}/zone.list"
  database: ""
  xfrdfile: "{folder}/xfrd.state"
  pidfile: "{folder}/nsd.pid"
  hide-version: yes
remote-control:
  control-enable: no
zone:
  name: svc.local
  zonefile: "{master_file(folder)}"
"""
    return ["nsd", "-d", "-c", write(folder / "nsd.conf", config)]


def knot(folder: Path, port: int) -> list[str]:
    config = f"""server:
  rundir: "{folder}"
  listen: 127.0.0.1@{port}
  udp-workers: 1
  tcp-workers: 1
  tcp-max-clients: 1000
  background-workers: 1
database:
  storage: "{folder}"
zone:
  - domain: svc.local
    file: "{master_file(folder)}"
"""
    return ["knotd", "-c", write(folder / "knot.conf", config)]


def unbound(folder: Path, port: int) -> list[str]:
    rows = [f'  local-data: "s{n}.svc.local. 5 A {a}"' for n in range(SERVICES) for a in addresses(n)]
    zone = '  local-zone: "svc.local." static'
    return run_unbound(folder, port, "\n".join(("  incoming-num-tcp: 4000", zone, *rows)))


def run_unbound(folder: Path, port: int, more: str) -> list[str]:
    """In the foreground, with these lines of its `server` section and whatever sections follow."""
    config = f"""server:
  interface: 127.0.0.1
  port: {port}
  num-threads: 1
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  module-config: "iterator"
{more}
"""
    return ["unbound", "-d", "-c", write(folder / "unbound.conf", config)]


def gdnsd(folder: Path, port: int) -> list[str]:
    config = f"""options => {{
  listen => "127.0.0.1:{port}"
  run_dir => "{folder}/run"
  state_dir => "{folder}/state"
  udp_threads => 1
  tcp_threads => 1
  tcp_clients_per_thread => 4000
}}
"""
    write(folder / "config", config)
    shutil.copy(master_file(folder), write(folder / "zones" / "svc.local", ""))
    for name in ("run", "state"):
        (folder / name).mkdir(exist_ok=True)
    return ["gdnsd", "-c", str(folder), "start"]


def named(folder: Path, port: int) -> list[str]:
    config = f"""options {{
  directory "{folder}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
  recursion no; pid-file none; session-keyfile none;
}};
controls {{ }};
zone "svc.local" {{ type primary; file "{master_file(folder)}"; }};
"""
    return ["named", "-f", "-n", "1", "-c", write(folder / "named.conf", config)]


def dnsmasq(folder: Path, port: int) -> list[str]:
    hosts = "\n".join(f"{a} s{n}.svc.local" for n in range(SERVICES) for a in addresses(n))
    return [
        "dnsmasq", "-k", "--conf-file=/dev/null", f"--port={port}", "--listen-address=127.0.0.1", "-z",
        "--no-resolv", "--no-hosts", f"--addn-hosts={write(folder / 'hosts', hosts)}",
        "--local=/svc.local/", "--user=", "--pid-file=",
    ]  # fmt: skip


ENGINES = [
    Engine("floor", "cc", floor),
    Engine("zkdns native", "true", zkdns("native")),
    Engine("gdnsd", "gdnsd", gdnsd),
    Engine("knot", "knotd", knot),
    Engine("nsd", "nsd", nsd),
    Engine("unbound", "unbound", unbound),
    Engine("named", "named", named),
    Engine("dnsmasq", "dnsmasq", dnsmasq),
    Engine("zkdns python", "true", zkdns("python")),
]

MAP = '[topology]\n"127.0.0.0/8" = "z0"\n"10.0.0.0/8" = "z1"\n'
NEAR = 'near = "balanced"\n' + MAP
"""Each of the four addresses is given, in shares of their own: a reply is as long as without."""


def ours(engine: str) -> list[Engine]:
    """Our own engine as it is, and with one thing more or less: what that costs."""
    return [
        Engine(engine, "true", zkdns(engine)),
        Engine("no clients", "true", zkdns(engine, settings="client_table = false\n")),
        Engine("near, unused", "true", zkdns(engine, settings=MAP)),
        Engine("near", "true", zkdns(engine, settings=NEAR)),
    ]
