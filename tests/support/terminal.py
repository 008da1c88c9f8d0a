"""A program on a terminal of our own (a pty): what stands on its screen, and what is left behind.

Rules: it understands what a program that draws whole screens sends, and no more: each begins at the
top left corner, and the rest are colours.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import threading
from collections.abc import Mapping

from support import loaded
from support.closing import Closing
from support.server import REPOSITORY

HOME = "\x1b[H"
ALTERNATE = "\x1b[?1049h"
BACK = "\x1b[?1049l"
HIDDEN = "\x1b[?25l"
SHOWN = "\x1b[?25h"

_CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class OnTerminal(Closing):
    """`zkdns WORDS` with stdin, stdout and stderr on a terminal of `width` and `height`. `before`: lines
    of Python that are run first."""

    def __init__(
        self,
        *words: str,
        width: int = 80,
        height: int = 24,
        env: Mapping[str, str] | None = None,
        before: str = "",
    ) -> None:
        self._controller, terminal = pty.openpty()
        self.resize(width, height, terminal)
        kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        program = ["-c", f"{before}\nfrom zkdns.cli import main\nmain()"] if before else ["-m", "zkdns"]
        self.process = loaded.start(
            [sys.executable, *program, *words],
            {**kept, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm", **(env or {})},
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        self._sent = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def resize(self, width: int, height: int, terminal: int | None = None) -> None:
        size = struct.pack("HHHH", height, width, 0, 0)
        fcntl.ioctl(self._controller if terminal is None else terminal, termios.TIOCSWINSZ, size)

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._controller, 65536)
            except OSError:  # the last one that had the terminal open has gone (EIO)
                return
            if not piece:
                return
            self._sent += piece

    @property
    def sent(self) -> str:
        """All that was written to the terminal so far."""
        return self._sent.decode(errors="replace")

    @property
    def screen(self) -> list[str]:
        """Where it draws whole screens: the lines of the last one but one, which is complete, without
        colours and ends of blanks."""
        drawn = ["", *self.sent.split(HOME)]
        return [_CODES.sub("", line).rstrip() for line in drawn[-2].split("\r\n")]

    def signal(self, number: int) -> int:
        """The exit code of the program, which this signal has to end."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self, timeout: float = 60.0) -> int:
        code = self.process.wait(timeout)
        self._reader.join(timeout)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(10)
        os.close(self._controller)
