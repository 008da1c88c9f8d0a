"""Sockets toward upstreams, and what their errors mean.

Rules: sockets never block; OSError is left to who called.
"""

from __future__ import annotations

import asyncio
import resource
import socket

from zkdns.config import Address
from zkdns.descriptors import UPSTREAMS, open_socket
from zkdns.forward.upstream import Upstream

WANTED_FILES = 8192
"""Descriptors of this process: the soft limit that it sets itself, where the hard one allows it."""


def allow_many_sockets() -> int:
    """A socket for each question under way may be more than the usual soft limit of 1,024 files. Returns how
    many there may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return WANTED_FILES if soft == resource.RLIM_INFINITY else soft


def family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def sockaddr(address: Address) -> tuple[str, int] | tuple[str, int, int, int]:
    """What `connect` and `bind` want; an IPv6 scope (`fe80::1%eth0`) is its interface's number."""
    if ":" not in address.host:
        return address.host, address.port
    host, _, scope = address.host.partition("%")
    number = int(scope) if scope.isdigit() else socket.if_nametoindex(scope) if scope else 0
    return host, address.port, 0, number


def connect(upstream: Upstream) -> socket.socket:
    """A fresh UDP socket, its source port the kernel's random choice, that hears this upstream only."""
    sock = open_socket(family_of(upstream.address.host), socket.SOCK_DGRAM, UPSTREAMS)
    try:
        sock.connect(sockaddr(upstream.address))
    except BaseException:
        sock.close()
        raise
    return sock


async def begin_stream(upstream: Upstream, packet: bytes) -> socket.socket:
    """A connection over which a query was sent (RFC 7766). OSError where there is none."""
    loop = asyncio.get_running_loop()
    sock = open_socket(family_of(upstream.address.host), socket.SOCK_STREAM, UPSTREAMS)
    try:
        await loop.sock_connect(sock, sockaddr(upstream.address))
        await loop.sock_sendall(sock, len(packet).to_bytes(2, "big") + packet)
    except BaseException:
        sock.close()
        raise
    return sock


class Stream:
    """What comes over one: a reply behind its length. No more is read than that says."""

    __slots__ = ("_came", "_sock", "_whole")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._came = bytearray()
        self._whole = 2

    def read(self) -> bytes | None:
        """The reply; None for as long as it is not whole. OSError, or EOFError where it ends early."""
        while len(self._came) < self._whole:
            try:
                part = self._sock.recv(self._whole - len(self._came))
            except (BlockingIOError, InterruptedError):
                return None
            if not part:
                raise EOFError
            self._came += part
            if len(self._came) == self._whole == 2:
                self._whole += int.from_bytes(self._came, "big")
        return bytes(self._came[2:])
