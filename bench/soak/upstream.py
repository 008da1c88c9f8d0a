"""Who is asked for names that are not ours: there are none, and of some it says nothing."""

from __future__ import annotations

import socket
import threading

MUTE = b"\x04mute\x07example\0"


class Upstream:
    """One thread; a name below mute.example never gets an answer."""

    def __init__(self, host: str) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind((host, 0))
        self._sock.settimeout(0.2)
        self.address = f"{host}:{self._sock.getsockname()[1]}"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="upstream", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._sock.close()

    def _work(self) -> None:
        while not self._over.is_set():
            try:
                query, client = self._sock.recvfrom(4096)
                if (reply := answer(query)) is not None:
                    self._sock.sendto(reply, client)
            except OSError:
                continue


def answer(query: bytes) -> bytes | None:
    """NXDOMAIN, with the question and nothing else."""
    end = query.find(b"\0", 12) + 5
    if end < 17 or MUTE in query.lower():
        return None
    return query[:2] + b"\x81\x83\0\1\0\0\0\0\0\0" + query[12:end]
