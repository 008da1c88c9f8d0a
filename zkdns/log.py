"""Log lines for people, or one JSON object a line for machines; on stderr.

Rules: what a caller gives as `extra={"fields": {...}}` is in the object, each by its own name. Where stderr
is the journal, each line bears its priority (sd-daemon(3)), and no time: the journal has its own. What others
wrote stands in many lines: none of it begins one. A record is one line of bounded length, printable; what
belongs to it (a traceback) is indented. Only so much is written of what one place in the source logs: whoever
can provoke such a line could fill a disk with it. The query log has a bound of its own.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping

from zkdns.printable import cut, line

log = logging.getLogger("zkdns")

MAX_LINES = 200
MAX_ERROR = 65_536
"""Lines and characters of a traceback."""

MAX_BURST = 20
SECONDS_EACH = 5.0
"""Lines that one place in the source may write at once, and seconds until it may write one more."""

PRIORITIES = {
    logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2,
}  # fmt: skip
"""Of syslog(3)."""


def set_up(format: str) -> None:
    """Once, at start. kazoo speaks at WARNING: its DEBUG slows its own reading."""
    handler = logging.StreamHandler()
    lines: logging.Formatter = JsonLines() if format == "json" else TextLines()
    if is_journal(os.environ, sys.stderr.fileno()):
        lines = JournalLines(lines if format == "json" else TextLines(""))
    handler.setFormatter(lines)
    handler.addFilter(shorten)
    handler.addFilter(Share().admit)
    threading.excepthook = tell_thread
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("kazoo").setLevel(logging.ERROR)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def shorten(record: logging.LogRecord) -> bool:
    """What kazoo says of an ensemble that sends garbage is a line, and no traceback: it connects anew."""
    if "kazoo" in record.name and record.exc_info:
        record.msg, record.args = "%s: %r", (record.getMessage(), record.exc_info[1])
        record.exc_info = record.exc_text = None
    return True


def tell_thread(ended: threading.ExceptHookArgs) -> None:
    """The same of kazoo's threads that end so; others' errors are ours."""
    name = ended.thread.name if ended.thread is not None else "a thread"
    if name.endswith("(zk_loop)"):
        log.warning("the connection to ZooKeeper ended: %r", ended.exc_value)
    elif ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
        log.error("%s ended: %r", name, ended.exc_value, exc_info=ended.exc_value)


class Share:
    """How much of the log each place in the source has written. What was left out is told with the next."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spent: dict[tuple[str, int], tuple[float, int]] = {}
        """By place: until when what it wrote counts, and how many were left out since it wrote last."""

    def admit(self, record: logging.LogRecord) -> bool:
        """Whether it is written."""
        if record.name == "zkdns.query":
            return True
        place, now = (record.pathname, record.lineno), self._clock()
        until, left_out = self._spent.get(place, (0.0, 0))
        until = max(until, now) + SECONDS_EACH
        if until - now > MAX_BURST * SECONDS_EACH:
            self._spent[place] = until - SECONDS_EACH, left_out + 1
            return False
        self._spent[place] = until, 0
        if left_out:
            record.msg, record.args = "%s (%d more like it were left out)", (record.getMessage(), left_out)
        return True


class TextLines(logging.Formatter):
    """`head`: what each begins with."""

    def __init__(self, head: str = "%(asctime)s %(levelname)-7s ") -> None:
        super().__init__(head + "%(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        record.message = line(record.getMessage())
        if self.usesTime():
            record.asctime = self.formatTime(record, self.datefmt)
        return "\n".join([self.formatMessage(record), *(f"  {one}" for one in self.trace(record))])

    def trace(self, record: logging.LogRecord) -> list[str]:
        """The traceback's lines: the end of it, where it is long."""
        if not record.exc_info:
            return []
        text = self.formatException(record.exc_info)[-MAX_ERROR:]
        return [line(one) for one in text.split("\n")[-MAX_LINES:]]


class JournalLines(logging.Formatter):
    """Those of another formatter, each with its priority in front: also those of a traceback."""

    def __init__(self, lines: logging.Formatter) -> None:
        super().__init__()
        self._lines = lines

    def format(self, record: logging.LogRecord) -> str:
        priority = PRIORITIES.get(record.levelno, 6)
        return "\n".join(f"<{priority}>{line}" for line in self._lines.format(record).split("\n"))


def is_journal(environ: Mapping[str, str], fd: int) -> bool:
    """Whether what is written to `fd` goes to the journal: JOURNAL_STREAM names its device and inode
    (systemd.exec(5)). The variable alone says nothing: a child's output may lead elsewhere."""
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        there = os.fstat(fd)
        return (int(device), int(inode)) == (there.st_dev, there.st_ino)
    except (ValueError, OSError):
        return False


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": cut(record.getMessage()),
        }
        document |= getattr(record, "fields", {})
        if record.exc_info:
            document["error"] = cut(self.formatException(record.exc_info), MAX_ERROR)
        return json.dumps(document)
