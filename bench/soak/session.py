"""Ends somebody else's ZooKeeper session, as an ensemble does that has lost it.

ZooKeeper takes whoever knows a session's id and password for its owner, and makes the password from the
id (SessionTrackerImpl and ZooKeeperServer.generatePasswd: java.util.Random seeded with the id and a
constant that is called superSecret). The id stands at every ephemeral node.
"""

from __future__ import annotations

import socket

from support.zookeeper import connect, finish

SUPER_SECRET = 0xB3415C00
MASK = (1 << 48) - 1


def password(session: int) -> bytes:
    """The 16 bytes that ZooKeeper gave the session's owner."""
    state = (session ^ SUPER_SECRET ^ 0x5DEECE66D) & MASK
    made = b""
    for _ in range(4):
        state = (state * 0x5DEECE66D + 0xB) & MASK
        made += ((state >> 16) & 0xFFFFFFFF).to_bytes(4, "little")
    return made


def end(hosts: str, session: int) -> None:
    finish(connect(hosts, client_id=(session, password(session))))


def end_of_server(hosts: str, pid: int) -> None:
    """End the session of the server with this process id. One that holds no node now has none to end."""
    client = connect(hosts)
    try:
        stat = client.exists(f"/zkdns/servers/{socket.gethostname()}-{pid}")
    finally:
        finish(client)
    if stat is not None:
        end(hosts, stat.ephemeralOwner)
