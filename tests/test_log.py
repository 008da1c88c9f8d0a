"""Log lines where the journal reads them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from zkdns.log import is_journal

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
    assert lines[3] == "<3>Traceback (most recent call last):"
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
