"""A ZooKeeper as it was before 3.6: what it knows since then is refused, and the connection ends with that.

Rules: it stands in front of a real one, and hands on all else frame by frame. So does a real 3.5: see
UnimplementedRequestProcessor. `refused` counts what it did not know.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

from support.closing import Closing
from zkdns.registry.zk.wire import ADD_WATCH, MULTI_READ, UNIMPLEMENTED

_LENGTH = struct.Struct("!i")
_HEAD = struct.Struct("!ii")
_REFUSAL = struct.Struct("!iiqi")


class OldZooKeeper(Closing):
    """`hosts`: where it is reached."""

    def __init__(self, real_port: int) -> None:
        self.refused = 0
        self._real_port = real_port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.hosts = f"127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                real = socket.create_connection(("127.0.0.1", self._real_port))
                threading.Thread(target=self._hand_on, args=(client, real), daemon=True).start()
                threading.Thread(target=_copy, args=(real, client), daemon=True).start()

    def _hand_on(self, client: socket.socket, real: socket.socket) -> None:
        with client, real, suppress(OSError):
            real.sendall(_frame(client))  # how a session begins: neither a number nor a type
            while frame := _frame(client):
                xid, kind = _HEAD.unpack_from(frame, _LENGTH.size)
                if kind in (MULTI_READ, ADD_WATCH):
                    self.refused += 1
                    client.sendall(_REFUSAL.pack(16, xid, 0, UNIMPLEMENTED))
                    client.shutdown(socket.SHUT_RDWR)
                    return
                real.sendall(frame)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while frame := _frame(source):
            target.sendall(frame)


def _frame(source: socket.socket) -> bytes:
    """One frame with its length; b"" at the end."""
    head = _exactly(source, _LENGTH.size)
    return head and head + _exactly(source, _LENGTH.unpack(head)[0])


def _exactly(source: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size:
        part = source.recv(size - len(read))
        if not part:
            return b""
        read += part
    return read
