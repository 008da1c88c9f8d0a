"""What stands at the checked instances' addresses: listeners that are shut and opened again."""

from __future__ import annotations

import selectors
import socket
import threading

from bench.soak.model import Key


class Doors:
    """One thread takes every connection and ends it at once, which is all that a tcp check wants."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._open: dict[Key, socket.socket] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="doors", daemon=True)
        self._thread.start()

    def open(self, key: Key, address: str, port: int) -> None:
        with self._lock:
            if key in self._open:
                return
            door = socket.socket()
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.bind((address, port))
            door.listen(64)
            door.setblocking(False)
            self._open[key] = door
            self._selector.register(door, selectors.EVENT_READ)

    def shut(self, key: Key) -> None:
        with self._lock:
            door = self._open.pop(key, None)
            if door is not None:
                self._selector.unregister(door)
                door.close()

    def is_open(self, key: Key) -> bool:
        return key in self._open

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        for key in list(self._open):
            self.shut(key)
        self._selector.close()

    def _work(self) -> None:
        while not self._stopping.is_set():
            for ready, _ in self._selector.select(0.1):
                with self._lock:  # it may have been shut since
                    try:
                        ready.fileobj.accept()[0].close()  # type: ignore[union-attr]
                    except OSError:
                        pass
