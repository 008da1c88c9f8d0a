"""Files that bear in their names the moment at which they began: those of the journal, and those beside it.

Rules: what has such a name and is no regular file is left alone. The oldest are removed first; the newest
always stays. Two servers may do so in one directory: what is gone already is no error; what may not be
removed stays beside what is kept, and counts for nothing.
"""

from __future__ import annotations

import re
import stat
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from zkdns.files import MIB, read_bounded

MAX_BYTES = 1024 * MIB
"""What is read of one."""


def read_file(path: Path) -> tuple[bytes, bool]:
    """As much of it as was ever written, and whether that is all: a power cut may leave room at its end, and
    nothing in it. OSError."""
    data, mark = read_bounded(path, MAX_BYTES, may_have_holes=True)
    return data, len(data) >= mark.size


SUFFIX = ".zkdns"

_DIGITS = re.compile("[0-9]{1,15}")

SET_BACK = 1.0
"""Seconds by which a file may be ahead of the clock before that was set back."""


class Dated(Struct, frozen=True):
    """Those of a directory whose names begin so. Moments are seconds since the epoch."""

    prefix: str

    def path(self, directory: Path, began: float) -> Path:
        return directory / f"{self.prefix}{int(began * 1000):015d}{SUFFIX}"

    def began_at(self, path: Path) -> float:
        """ValueError where its name tells no moment: Python reads more as a number than `path` writes."""
        digits = path.name.removeprefix(self.prefix).removesuffix(SUFFIX)
        if not _DIGITS.fullmatch(digits):
            raise ValueError(path.name)
        return int(digits) / 1000

    def paths_in(self, directory: Path, now: float = float("inf")) -> list[Path]:
        """The files, oldest first. Those that are ahead of `now` are of a clock that was set back since:
        nobody knows when they were, and they stand before all others."""
        paths = []
        for path in directory.glob(f"{self.prefix}*{SUFFIX}"):
            try:
                self.began_at(path)
                if stat.S_ISREG(path.lstat().st_mode):
                    paths.append(path)
            except (ValueError, OSError):
                continue
        return sorted(paths, key=lambda path: (self.began_at(path) <= now + SET_BACK, self.began_at(path)))

    def remove_old(self, directory: Path, most: float, now: float, seconds: float, room: int = 0) -> int:
        """The oldest go while there are more than `most` bytes, or all that they hold is from more than so
        many seconds before `now`. `room`: so much less is kept, but for the last two. Returns the bytes that
        are left."""
        paths = self.paths_in(directory, now)
        sizes = [_size_of(path) for path in paths]
        total = sum(sizes)
        for n, (path, size, following) in enumerate(zip(paths, sizes, paths[1:], strict=False), 2):
            has_room = total <= (most if n == len(paths) else most - room)
            if has_room and self.began_at(path) > now + SET_BACK:
                continue
            if has_room and self.began_at(following) > now - seconds:
                break
            with suppress(OSError):
                path.unlink()
            total -= size
        return total


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
