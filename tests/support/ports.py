"""Free ports on loopback for servers that are started, stopped and started again on the same one."""

from __future__ import annotations

import random
import socket

_draw = random.SystemRandom()


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free for UDP and TCP. Taken from below the ephemeral range (32768 on Linux): no
    outgoing connection can take it while a server that is to come back on it is down."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(1000):
        port = _draw.randrange(10_240, 32_000)
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(family, kind) as probe:
                    if kind == socket.SOCK_STREAM:
                        # As servers do: a port with connections in TIME_WAIT is free for them.
                        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((host, port))
        except OSError:
            continue
        return port
    raise RuntimeError(f"no free port on {host}")
