"""What was written into the journal by a clock that nobody had set yet, dated once somebody sets it.

Rules: a machine without a clock of its own begins in 1970, and has the time from the network some seconds or
hours later. What it wrote until then is not of that year: else the journal would seem to reach back so far,
and who asks for the last hour would not be told of it. By how much the clock was behind is known as long as
the process lives.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from zkdns.files import create_aside, sync_directory
from zkdns.pipeline import journal_lines
from zkdns.pipeline.journal_dated import Dated, read_file

FIRST: Final = 1_767_225_600.0
"""2026, when the first journal was written: a clock that tells an earlier time was not set."""


def is_first_set(now: float, by: float) -> bool:
    """Whether the clock, which was set by that much, tells a time since then and did not before."""
    return now - by < FIRST <= now


def dated(at: float, by: float) -> float:
    return at + by if at < FIRST else at


def date_lines(data: bytes, by: float) -> bytes:
    """The same lines, those of such a clock as of moments that are so much later."""
    lines = []
    for kind, fields in journal_lines.read_lines(data):
        if kind == journal_lines.DAMAGED:
            lines.append(b"\n")  # it stays one
            continue
        for one in (fields, fields.get("c", {})):
            if "at" in one:
                one["at"] = dated(one["at"], by)
        lines.append(journal_lines.spell(kind, fields))
    return b"".join(lines)


def date_files(of: Dated, paths: Sequence[Path], by: float) -> None:
    """These are followed by the same with other names. OSError where that is not possible: those that are
    left stay as they are."""
    for path in paths:
        data = read_file(path)[0]
        after = of.path(path.parent, of.began_at(path) + by)
        try:
            with create_aside(after) as file:
                file.write(date_lines(data, by))
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                after.unlink(missing_ok=True)
            raise
        path.unlink(missing_ok=True)
        sync_directory(path.parent)
