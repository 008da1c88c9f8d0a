"""`zkdns watch` as a process, while a test changes what it watches."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from support import loaded
from support.server import REPOSITORY
from support.waiting import eventually


class Watch:
    """`lines`: what it printed; `told`: what it said beside that."""

    def __init__(self, *words: str, folder: Path) -> None:
        self._out = folder / "watched.txt"
        self._err = folder / "told.txt"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = loaded.start(
                [sys.executable, "-m", "zkdns", "watch", *words],
                {**os.environ, "PYTHONPATH": str(REPOSITORY)},
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
            )
        eventually(lambda: "watching" in self.told)

    @property
    def told(self) -> str:
        return self._err.read_text()

    @property
    def lines(self) -> list[str]:
        return self._out.read_text().splitlines()

    def end(self) -> int:
        """Ctrl-C, and its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)
