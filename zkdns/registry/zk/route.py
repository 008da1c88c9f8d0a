"""This machine's address toward an ensemble: the one by which others that use the ensemble can reach it.

Rules: nothing is sent. A name among the hosts is resolved, which may take its seconds: not for the loop.
"""

from __future__ import annotations

import socket


def own_address(hosts: str) -> str:
    """Toward the first of `hosts` (HOST:PORT,…) to which there is a way. OSError where there is none."""
    mistake: OSError | None = None
    for host in hosts.split(","):
        try:
            return _toward(host)
        except OSError as error:
            mistake = mistake or error
    raise mistake or OSError("no host")


def _toward(text: str) -> str:
    host, _, port = text.rpartition(":")
    family, _, _, _, there = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(there)  # sends nothing: it asks the kernel for a route
        return str(probe.getsockname()[0])
