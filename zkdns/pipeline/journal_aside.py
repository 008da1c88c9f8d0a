"""Files beside the journal for the changes of whoever has more than its share: the newest of them alone.

Rules: a change is a line, as in the journal, and nothing else stands here. Writing is done in a thread; what
can't be written is lost.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from zkdns.files import MIB, create_aside
from zkdns.model import Change
from zkdns.pipeline import journal_lines
from zkdns.pipeline.journal_dated import SET_BACK, Dated, read_file

OFTEN = Dated("often-")
FILES = 4
"""So many make up all that is kept: the oldest of them goes."""
MAX_WAITING_BYTES = 4 * MIB
"""What waits to be written."""


class Aside:
    """`most`: bytes of all files; `days`: how old they may be."""

    def __init__(self, directory: Path, most: float, days: float) -> None:
        self._directory = directory
        self._most = most
        self._days = days
        self._max_waiting_bytes = min(MAX_WAITING_BYTES, most / FILES)
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._file: int | None = None
        self._size = 0
        self._began_at = 0.0

    @property
    def waits(self) -> bool:
        """Whether there is something to write."""
        return bool(self._waiting)

    def put(self, line: bytes) -> None:
        if self._waiting_bytes + len(line) <= self._max_waiting_bytes:
            self._waiting.append(line)
            self._waiting_bytes += len(line)

    def take(self) -> bytes:
        """What is to be written now."""
        text, self._waiting, self._waiting_bytes = b"".join(self._waiting), [], 0
        return text

    def write(self, text: bytes, now: float) -> None:
        """Append it. OSError: it is lost."""
        is_ahead = self._began_at > now + SET_BACK
        if self._file is None or is_ahead or self._size > self._most / FILES:
            self.close()
            with create_aside(OFTEN.path(self._directory, now)) as file:
                self._file, self._size, self._began_at = os.dup(file.fileno()), 0, now
        try:
            view = memoryview(text)
            while view:
                view = view[os.write(self._file, view) :]
            os.fsync(self._file)
        except OSError:
            self.close()  # half a line ends a file
            raise
        self._size += len(text)

    def remove_old(self, now: float) -> int:
        """What is too much or too old goes; returns the bytes that are left."""
        return OFTEN.remove_old(self._directory, self._most, now, self._days * 86_400)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def changes_of(path: Path) -> Iterator[Change]:
    """What is in a file. OSError where it can't be read."""
    return journal_lines.changes_in(journal_lines.read_lines(read_file(path)[0]))
