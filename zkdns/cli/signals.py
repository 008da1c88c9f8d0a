"""Signals as a queue: each one that comes can be taken, whatever Python was doing when it came.

Rules: the main thread's. C's own handler writes the number to a pipe (signal.set_wakeup_fd), so none is lost
between a look and a wait, nor where a stop and a continue interrupt a wait (a queue of Python's lost some
there). What a child runs starts with the kernel's own handling: a handler of ours ends with exec.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable

MAX_WAIT_SECONDS = 3600.0
"""Seconds of one wait: poll(2) counts milliseconds in an int."""


class Signals:
    """`wait` gives the next of `numbers` that came, or SIGCHLD."""

    def __init__(
        self, numbers: Iterable[signal.Signals], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.clock = clock
        self._waiting: deque[int] = deque()
        self._read, write = os.pipe()
        for end in (self._read, write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self._numbers = {*numbers, signal.SIGCHLD}
        for number in self._numbers:
            signal.signal(number, lambda number, frame: None)
            signal.siginterrupt(number, False)
        self._poll = select.poll()
        self._poll.register(self._read, select.POLLIN)

    def wait(self, seconds: float | None = None) -> signal.Signals | None:
        """The next one; None where none came in that time."""
        deadline = None if seconds is None else self.clock() + seconds
        while True:
            self._take()
            while self._waiting:
                number = self._waiting.popleft()
                if number in self._numbers:
                    return signal.Signals(number)
            left = MAX_WAIT_SECONDS if deadline is None else deadline - self.clock()
            if left <= 0:
                return None
            self._poll.poll(min(left, MAX_WAIT_SECONDS) * 1000)

    def _take(self) -> None:
        try:
            self._waiting += os.read(self._read, 4096)
        except BlockingIOError:
            pass
