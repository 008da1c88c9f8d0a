"""Which upstreams the settings mean: addresses in text, and the machine's own resolv.conf.

Rules: reads one file and, to know our own addresses, tries them; mistakes are ConfigError.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

from zkdns.config import MAX_UPSTREAMS, Address
from zkdns.forward.sockets import family_of, sockaddr
from zkdns.model import ConfigError

RESOLV_CONF = "resolv.conf"
PATH = Path("/etc/resolv.conf")
DNS_PORT = 53
_BRACKETS = re.compile(r"\[(?P<host>[^\]]+)\](?::(?P<port>[0-9]{1,5}))?")
_PLAIN = re.compile(r"(?P<host>[^:]+)(?::(?P<port>[0-9]{1,5}))?")


def parse_upstream(text: str, setting: str = "--forward") -> Address:
    """`ADDR`, `ADDR:PORT` or `[ADDR]:PORT`; the port is 53 where none is given. `setting`: whose."""
    where = f"{setting} {text}"
    if text.count(":") > 1 and not text.startswith("["):
        host, port = text, DNS_PORT
    else:
        match = _BRACKETS.fullmatch(text) or _PLAIN.fullmatch(text)
        if match is None:
            raise ConfigError(where, "it is no ADDR, ADDR:PORT, [IPV6]:PORT or resolv.conf")
        host, port = match["host"], int(match["port"] or DNS_PORT)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ConfigError(where, "an upstream is named by its IP address, not by a name") from None
    if not 0 < port < 65536:
        raise ConfigError(where, "a port is 1 to 65535")
    return Address(host, port)


def nameservers(text: str) -> list[str]:
    """The addresses of resolv.conf's `nameserver` lines, in order, without repeats (resolv.conf(5)); the
    first so many."""
    servers: list[str] = []
    for line in text.splitlines():
        if len(servers) >= MAX_UPSTREAMS:
            break
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                ipaddress.ip_address(words[1])
            except ValueError:
                continue
            if words[1] not in servers:
                servers.append(words[1])
    return servers


def upstreams_of(forward: Sequence[str], listen: Iterable[Address], text: str) -> list[Address]:
    """The upstreams in order. resolv.conf's (`text`) stand where it is named, our own left out."""
    listen = tuple(listen)
    upstreams: list[Address] = []
    for each in forward:
        if each == RESOLV_CONF:
            taken = [Address(host, DNS_PORT) for host in nameservers(text)]
            taken = [address for address in taken if not is_ours(address, listen)]
        else:
            taken = [parse_upstream(each)]
        upstreams += [address for address in taken if address not in upstreams]
    return upstreams


def is_ours(address: Address, listen: Sequence[Address]) -> bool:
    """Whether we answer on this address ourselves."""
    for own in listen:
        if own.port != address.port:
            continue
        if own.wildcard:
            if is_local(address.host):
                return True
        elif ipaddress.ip_address(own.host) == ipaddress.ip_address(address.host):
            return True
    return False


def is_local(host: str) -> bool:
    """Whether an address is this machine's: only such a one can be bound to."""
    try:
        with socket.socket(family_of(host), socket.SOCK_DGRAM) as sock:
            sock.bind(sockaddr(Address(host, 0)))
    except OSError:
        return False
    return True
