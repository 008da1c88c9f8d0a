"""Tells systemd how the server stands (sd_notify(3)), in its protocol: one datagram, `NAME=value` a line.

Rules: without NOTIFY_SOCKET nobody listens, and nothing is said. Never waits, never fails: a server that
can't tell how it is goes on.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, MutableMapping

PATIENCE = 30.0
"""Seconds after which a start counts as done though the registry was not read: what there is is served, names
outside are forwarded, and systemd must not end that."""

EXTENSION = 60.0
"""Seconds by which a start is prolonged, each time."""


class Notifier:
    """One for a process. The variable is taken out of the environment: it is not for our children."""

    def __init__(
        self,
        environ: MutableMapping[str, str] = os.environ,
        clock: Callable[[], int] = lambda: time.clock_gettime_ns(time.CLOCK_MONOTONIC),
    ) -> None:
        place = environ.pop("NOTIFY_SOCKET", "")
        self._place = "\0" + place[1:] if place.startswith("@") else place
        self._clock = clock
        self._started = clock()
        self._is_ready = False
        self._status = ""

    def ready(self, status: str) -> None:
        """Serves, after a start or after a reload."""
        self._is_ready, self._status = True, status
        self._say("READY=1", f"STATUS={status}")

    def wait(self, status: str, *, prolongs: bool) -> None:
        """Not ready yet; called again and again. `prolongs`: it takes as long as it takes, since files are
        read or another server answers until we do."""
        if self._is_ready:
            return
        if prolongs:
            self._say(f"EXTEND_TIMEOUT_USEC={int(EXTENSION * 1e6)}", f"STATUS={status}")
        elif self._clock() - self._started >= PATIENCE * 1e9:
            self.ready(status)
        else:
            self._say(f"STATUS={status}")

    def reloading(self) -> None:
        # The time is the protocol's for Type=notify-reload: systemd tells by it which READY is the answer.
        self._say("RELOADING=1", f"MONOTONIC_USEC={self._clock() // 1000}")

    def reloaded(self, complaint: str = "") -> None:
        """`complaint`: why the old settings stay in force."""
        self._say("READY=1", f"STATUS={complaint or self._status}")

    def stopping(self, status: str) -> None:
        self._say("STOPPING=1", f"STATUS={status}")

    def _say(self, *lines: str) -> None:
        if not self._place:
            return
        text = "\n".join(" ".join(line.split()) for line in lines)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto(text.encode(errors="backslashreplace"), self._place)
        except OSError:
            pass
