"""Whether a directory is this process's alone, as far as other servers of ours go.

Rules: a lock on the directory itself (flock(2)), so that who is killed leaves nothing behind. May wait for a
file system: call it in a thread.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path


class Alone:
    """The claim on one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held: int | None = None

    def claim(self) -> bool:
        """Whether nobody else has it; True where that can't be told. To be called again and again: who has it
        may end, and the directory may be another one by now."""
        if self._held is not None and os.fstat(self._held).st_nlink:
            return True
        self.release()
        try:
            handle = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
        self._held = handle
        return True

    def release(self) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None
