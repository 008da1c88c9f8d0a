"""Files that others may have put in our way: read with a bound, and written aside without following a link.

Rules: OSError is the caller's. A FIFO, a device or an endless file is refused before a byte is read; a link
under the name that we are about to write is never followed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

MIB = 1 << 20

LOOK_BYTES = 64

SETTLE = 0.05
"""Seconds for which what changed must stay as it is before it is read."""

MAX_UNSETTLED = 10
"""Looks in a row that find it being written; then that is told."""


class Mark(NamedTuple):
    """What tells whether a file is still the one that was read. Who copies or unpacks files may give them
    whatever modification time they had elsewhere; what tells when they were changed here nobody can set."""

    mtime_ns: int
    size: int
    inode: int
    ctime_ns: int


def mark_of(status: os.stat_result) -> Mark:
    """What changes when a file does."""
    return Mark(status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns)


def read_bounded(
    path: Path,
    max_bytes: int,
    look: Callable[[bytes], None] | None = None,
    *,
    may_have_holes: bool = False,
) -> tuple[bytes, Mark]:
    """All of a regular file, and its mark as of before the reading: a change after it is seen next time.
    `look`: is shown how it begins, and may raise: of what is none of ours nothing more is read.
    `may_have_holes`: it is read as far as anything was written; else it is refused."""
    # O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        if look is not None:
            look(os.pread(handle, LOOK_BYTES, 0))
        end = _first_hole(handle, status.st_size)
        if end < status.st_size and not may_have_holes:
            raise OSError(errno.EINVAL, "a part of it was never written", str(path))
        most = max_bytes + 1 if end >= status.st_size else end
        data = b"" if status.st_size > max_bytes else file.read(most)
        if data is None:  # it would wait, as /proc/kmsg does, which is a regular file
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        if status.st_size > max_bytes or len(data) > max_bytes:
            raise OSError(errno.EFBIG, f"larger than {max_bytes // MIB} MiB", str(path))
        return data, mark_of(status)


def _first_hole(handle: int, size: int) -> int:
    """Where nothing was ever written (lseek(2)), as after a power cut: it reads as zeros, and a file that has
    no more than its name may be as large as anything. What can't be told has none."""
    if not size:
        return size  # /proc, and the like
    try:
        return os.lseek(handle, 0, os.SEEK_HOLE)
    except OSError:
        return size
    finally:
        os.lseek(handle, 0, os.SEEK_SET)


def create_aside(path: Path) -> BinaryIO:
    """A new file to write to, readable by us alone. Something under that name already (what a former
    process left, or a link that somebody laid) is removed, and never written through (O_EXCL: open(2))."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        handle = os.open(path, flags, 0o600)
    except FileExistsError:
        path.unlink()
        handle = os.open(path, flags, 0o600)
    return os.fdopen(handle, "wb")


def sync_directory(directory: Path) -> None:
    """Have a name that was made or changed in a folder survive a power cut (fsync(2))."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
