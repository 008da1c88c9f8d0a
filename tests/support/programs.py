"""Programs that nobody here wrote: found or missed by name, started, asked line by line, ended.

A missing program fails the test and names what to install: a claim about a client is shown or it is not made.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.closing import Closing
from zkdns.ensemble import end

PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin"
"""Debian keeps servers out of a plain user's path; Go's own tarball is nobody's."""


def find(program: str, package: str) -> str:
    """Where `program` is. `package` is Debian's, or a whole command that installs it."""
    found = shutil.which(program, path=PATH)
    if found is None:
        line = package if " " in package else f"apt-get install -y {package}"
        pytest.fail(f"{program} is missing: {line}", pytrace=False)
    return found


@contextmanager
def running(
    log: Path, *command: str | Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server, until the block ends. What it said is in `log`, and is printed."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **(env or {})}
        )
    try:
        yield process
    finally:
        end(process)
        print(f"--- {' '.join(map(str, command))}\n{log.read_text(errors='replace')}---")


class Dialogue(Closing):
    """A program that reads a question a line and prints an answer a line."""

    def __init__(self, *command: str | Path, log: Path, env: Mapping[str, str] | None = None) -> None:
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **(env or {})},
            )
        self._read = b""

    def ask(self, *words: str, timeout: float = 100.0) -> str:
        """Its answer to these words. The time is for a first one, which may come after a compiler's work."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(" ".join(words).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise AssertionError(f"it ended: {self._log.read_text(errors='replace')}") from None
        return self.line(timeout)

    def line(self, timeout: float = 100.0) -> str:
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout
        while b"\n" not in self._read:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"no answer: {self._log.read_text(errors='replace')}"
            piece = os.read(self._process.stdout.fileno(), 65536)
            assert piece, f"it ended: {self._log.read_text(errors='replace')}"
            self._read += piece
        answer, _, self._read = self._read.partition(b"\n")
        return answer.decode().strip()

    def kill(self) -> None:
        """SIGKILL: it has no time to say goodbye to anybody."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """The end of its input is the end of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            end(self._process)
        self._process.stdout.close()
        print(f"--- {self._log.read_text(errors='replace')}---")
