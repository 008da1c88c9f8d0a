"""How each forwarder of the bench is started: all ask one upstream on loopback, on one thread, and cache.

Rules: writes only into the folder that it is given; returns a command that stays in the foreground.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import dns.message

from bench.servers import Engine, floor, run_unbound, write

OUTSIDE = [f"n{n}.example.org" for n in range(1000)]


def question(name: str) -> bytes:
    return dns.message.make_query(name, "A", use_edns=0).to_wire()


_UNKNOWN = question("0" * 20 + ".example.org")


def unknown(n: int) -> bytes:
    """A question for a name that no other number has."""
    return (n & 0xFFFF).to_bytes(2, "big") + _UNKNOWN[2:13] + b"%020d" % n + _UNKNOWN[33:]


def zkdns(engine: str, upstream: int) -> Callable[[Path, int], list[str]]:
    def command(folder: Path, port: int) -> list[str]:
        registry = write(
            folder / "registry.toml", '[web]\n[[web.instances]]\nid = "a"\naddress = "10.0.0.1"\n'
        )
        return [
            sys.executable, "-m", "zkdns", "serve", "--registry", f"file:{registry}", "--http", "",
            "--listen", f"127.0.0.1:{port}", "--engine", engine, "--workers", "1",
            "--forward", f"127.0.0.1:{upstream}",
        ]  # fmt: skip

    return command


def unbound(upstream: int) -> Callable[[Path, int], list[str]]:
    def command(folder: Path, port: int) -> list[str]:
        more = f"""  do-not-query-localhost: no
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@{upstream}"""
        return run_unbound(folder, port, more)

    return command


def dnsmasq(upstream: int) -> Callable[[Path, int], list[str]]:
    def command(folder: Path, port: int) -> list[str]:
        return [
            "dnsmasq", "-k", "--conf-file=/dev/null", f"--port={port}", "--listen-address=127.0.0.1", "-z",
            "--no-resolv", "--no-hosts", f"--server=127.0.0.1#{upstream}", "--cache-size=10000",
            "--user=", "--pid-file=",
        ]  # fmt: skip

    return command


def recursor(upstream: int) -> Callable[[Path, int], list[str]]:
    def command(folder: Path, port: int) -> list[str]:
        config = f"""local-address=127.0.0.1
local-port={port}
forward-zones-recurse=.=127.0.0.1:{upstream}
dont-query=
threads=1
dnssec=off
security-poll-suffix=
socket-dir={folder}
daemon=no
disable-syslog=yes
quiet=yes
config-dir={folder}
setuid=
setgid=
"""
        write(folder / "recursor.conf", config)
        return ["pdns_recursor", f"--config-dir={folder}"]

    return command


def knot_resolver(upstream: int) -> Callable[[Path, int], list[str]]:
    def command(folder: Path, port: int) -> list[str]:
        config = f"""net.listen('127.0.0.1', {port}, {{ kind = 'dns' }})
trust_anchors.remove('.')
policy.add(policy.all(policy.STUB({{'127.0.0.1@{upstream}'}})))
cache.size = 100 * MB
"""
        return ["kresd", "-n", "-c", write(folder / "kresd.conf", config), str(folder)]

    return command


def dnsdist(upstream: int) -> Callable[[Path, int], list[str]]:
    def command(folder: Path, port: int) -> list[str]:
        config = f"""setLocal('127.0.0.1:{port}')
newServer({{address='127.0.0.1:{upstream}', healthCheckMode='up'}})
getPool(''):setCache(newPacketCache(10000))
setSecurityPollSuffix('')
"""
        return ["dnsdist", "--supervised", "-C", write(folder / "dnsdist.conf", config)]

    return command


def forwarders(upstream: int) -> list[Engine]:
    """`upstream`: the port on loopback that all of them ask."""
    return [
        Engine("floor", "cc", floor),
        Engine("zkdns native", "true", zkdns("native", upstream)),
        Engine("unbound", "unbound", unbound(upstream)),
        Engine("dnsdist", "dnsdist", dnsdist(upstream)),
        Engine("recursor", "pdns_recursor", recursor(upstream)),
        Engine("dnsmasq", "dnsmasq", dnsmasq(upstream)),
        Engine("knot-resolver", "kresd", knot_resolver(upstream)),
        Engine("zkdns python", "true", zkdns("python", upstream)),
    ]
