"""The session that holds a node, kept on this machine so that a restart knows its own node.

Rules: what may have been written by others is not believed, and what can't be kept costs the quick restart
alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from pathlib import Path


class Notes:
    """The file is locked while its holder lives: a second one for the same node gets none. It is no secret:
    a session is taken over by its password, which is not in it."""

    def __init__(self, hosts: str, path: str, directory: Path | None = None) -> None:
        self.session = 0
        self._file = -1
        name = hashlib.sha256(f"{','.join(sorted(hosts.split(',')))}{path}".encode()).hexdigest()[:32]
        try:
            folder = directory or _directory()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            there = folder.lstat()  # /tmp is everybody's: a link there may lead anywhere
            if not stat.S_ISDIR(there.st_mode) or there.st_uid != os.getuid() or there.st_mode & 0o022:
                return  # others could write there
            self._file = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.session = int(os.pread(self._file, 40, 0) or b"0")
        except (OSError, ValueError):
            self.close()

    def write(self, session: int) -> None:
        was, self.session = self.session, session
        if self._file >= 0 and session != was:
            try:
                os.ftruncate(self._file, 0)
                os.pwrite(self._file, str(session).encode(), 0)
            except OSError:
                self.session = was  # a full disk costs the quick restart alone, and may have room later

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _directory() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "zkdns" if runtime else Path("/tmp") / f"zkdns-{os.getuid()}"
