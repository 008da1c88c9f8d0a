"""Log lines where the journal reads them."""

from __future__ import annotations

import json
import logging
import os
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from zkdns.log import MAX_BURST, SECONDS_EACH, Share, TextLines, is_journal, shorten, tell_thread

SOURCE = """
import logging, sys
from zkdns import log
log.set_up(sys.argv[1])
logging.getLogger("zkdns").info("one")
logging.getLogger("zkdns").warning("two")
try:
    raise ValueError("x")
except ValueError:
    logging.getLogger("zkdns").exception("three")
"""


def said(path: Path, format: str, *, journal: bool) -> list[str]:
    with path.open("wb") as file:
        there = os.fstat(file.fileno())
        stream = f"{there.st_dev}:{there.st_ino}" if journal else f"{there.st_dev}:1"
        environ = {**os.environ, "JOURNAL_STREAM": stream}
        subprocess.run([sys.executable, "-c", SOURCE, format], stderr=file, env=environ, check=True)
    return path.read_text().splitlines()


def test_the_journal_is_given_priorities_and_no_second_time(tmp_path: Path) -> None:
    lines = said(tmp_path / "journal", "text", journal=True)
    assert lines[:3] == ["<6>one", "<4>two", "<3>three"]
    assert lines[3] == "<3>  Traceback (most recent call last):"
    assert all(line.startswith("<3>") for line in lines[3:])


def test_elsewhere_lines_have_their_time_though_the_variable_is_set(tmp_path: Path) -> None:
    lines = said(tmp_path / "log", "text", journal=False)
    assert lines[0].endswith("INFO    one")
    assert lines[0].startswith("20")


def test_machines_lines_in_the_journal_are_json_behind_the_priority(tmp_path: Path) -> None:
    lines = said(tmp_path / "journal", "json", journal=True)
    assert [line[:3] for line in lines] == ["<6>", "<4>", "<3>"]
    assert json.loads(lines[2][3:])["message"] == "three"


@pytest.mark.parametrize("stream", ["", "x", "1:x", ":", "1"])
def test_a_variable_that_is_no_stream_is_none(stream: str) -> None:
    assert not is_journal({"JOURNAL_STREAM": stream}, 2)
    assert not is_journal({}, 99)


def test_what_kazoo_says_of_garbage_is_one_line_and_an_error_of_ours_has_its_traceback() -> None:
    def said(name: str) -> str:
        try:
            raise struct.error("too short")
        except struct.error:
            record = logging.LogRecord(name, logging.ERROR, "", 0, "in %s", ("the loop",), sys.exc_info())
        assert shorten(record)
        return TextLines().format(record)

    assert said("zkdns.registry.zk.kazoo").endswith("ERROR   in the loop: error('too short')")
    assert "Traceback" in said("zkdns.pipeline")


@pytest.mark.parametrize(("name", "has_trace"), [("Thread-3 (zk_loop)", False), ("zkdns-names", True)])
def test_a_thread_of_kazoos_that_ends_is_a_line(
    name: str, has_trace: bool, caplog: pytest.LogCaptureFixture
) -> None:
    error = RuntimeError("xids do not match")
    tell_thread(threading.ExceptHookArgs((RuntimeError, error, None, threading.Thread(name=name))))
    (record,) = caplog.records
    assert "xids do not match" in record.getMessage()
    assert bool(record.exc_info) is has_trace


def record(lineno: int, name: str = "zkdns") -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "file.py", lineno, "it failed: %s", ("x",), None)


def test_one_place_writes_so_much_and_no_more_and_the_rest_is_counted() -> None:
    now = [100.0]
    share = Share(lambda: now[0])
    assert [share.admit(record(1)) for _ in range(1000)] == [True] * MAX_BURST + [False] * (1000 - MAX_BURST)
    assert share.admit(record(2)), "another one has a share of its own"
    now[0] += SECONDS_EACH
    after = record(1)
    assert share.admit(after)
    assert after.getMessage() == f"it failed: x ({1000 - MAX_BURST} more like it were left out)"
    assert not share.admit(record(1))
    now[0] += 2 * MAX_BURST * SECONDS_EACH
    assert [share.admit(record(1)) for _ in range(1000)].count(True) == MAX_BURST, "it saves up no more"


def test_the_query_log_has_a_bound_of_its_own() -> None:
    share = Share()
    assert all(share.admit(record(1, "zkdns.query")) for _ in range(1000))
