"""Where we listen: sockets bound so that another server may share their address, whatever the transport.

Rules: OSError is left to who called.
"""

from __future__ import annotations

import errno
import socket

from zkdns.config import Address

BUFFER_BYTES = 4 << 20
"""Asked for, both ways. The kernel's usual 212,992 hold fewer than 256 queries, one slow moment of a busy
server: a burst waits there instead of being dropped. As few replies to neighbours that the kernel looks for
would take all room there is."""

KERNEL_UNSENT_BYTES = 128 << 10
"""Bytes that the kernel takes of us beyond what a client's window has room for. It would take megabytes for
one that reads nothing, and there may be hundreds of those."""


def open_socket(address: Address, kind: socket.SocketKind) -> socket.socket:
    """One of the family of `address`, bound to nothing yet; IPv6 is no IPv4 as well."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, kind)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return sock


def here(host: str) -> str:
    """Where on this machine one is reached who listens there."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def bind(address: Address, kind: socket.SocketKind) -> socket.socket:
    """A socket on `address` that other processes may share (SO_REUSEPORT). OSError where not."""
    sock = open_socket(address, kind)
    try:
        if hasattr(socket, "SO_REUSEPORT"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            for room in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                sock.setsockopt(socket.SOL_SOCKET, room, BUFFER_BYTES)
        sock.bind((address.host, address.port))
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def keep_little_unsent(listening: socket.socket) -> None:
    """What is accepted there inherits it."""
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, KERNEL_UNSENT_BYTES)


def is_shared(address: Address) -> bool:
    """Whether another server that shares its address stands there already. Asked of TCP, since a UDP
    socket is given queries from the moment it is bound."""
    with open_socket(address, socket.SOCK_STREAM) as alone:
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            alone.bind((address.host, address.port))
            return False
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return False
    try:
        bind(address, socket.SOCK_STREAM).close()
    except OSError:
        return False  # someone who doesn't share: whoever listens there is told
    return True


def reached_at(listen: tuple[Address, ...]) -> tuple[str, ...]:
    """The addresses that the zone's NS name has: where we listen, or where this machine is reached."""
    addresses = [a.host for a in listen if not a.wildcard]
    for a in listen:
        if a.wildcard:
            v6 = ":" in a.host
            with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    probe.connect(
                        ("2001:db8::1" if v6 else "192.0.2.1", 53)
                    )  # asks for a route, sends nothing
                    addresses.append(probe.getsockname()[0])
                except OSError:
                    addresses.append("::1" if v6 else "127.0.0.1")
    return tuple(dict.fromkeys(addresses)) or ("127.0.0.1",)
