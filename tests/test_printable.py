"""Nothing that others wrote begins a line or moves a terminal's cursor, wherever it is shown."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

import zkdns
from support.server import run
from support.steps import steps
from zkdns.cli import show
from zkdns.cli.say import say, say_json
from zkdns.dns import ede
from zkdns.log import MAX_ERROR, MAX_LINES, JournalLines, JsonLines, TextLines
from zkdns.printable import _ESCAPED, MAX_KNOWN, MAX_LINE, json_printable, line, printable
from zkdns.web.page.words import esc
from zkdns.web.spelling import spell

EVIL = (
    "two\nlines", "\r", "\x1b[2J\x1b[1;1H", "\x9b2J", "\x1b]0;title\x07", "\x00", "\x7f", "\b\b\b",
    "\u202eright to left", "\u2066", "\u2028", "\u2029", "\x85", "\ud800", "\ufeff", "\U000e0001",
    "\n2026-01-01T00:00:00Z INFO    ready", "x" * 100_000, "\n" * 100_000,
)  # fmt: skip
texts = st.text() | st.sampled_from(EVIL) | st.lists(st.sampled_from(EVIL[:-2])).map("".join)
ENOUGH = 12 * MAX_LINE
"""Characters of a line, the longest that there may be: each may be escaped."""


@given(texts)
def test_what_is_shown_is_printable_and_what_was_printable_is_as_it_was(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown == text or not text.isprintable()
    assert len(line(text)) < ENOUGH


@given(
    st.recursive(texts | st.integers(), lambda one: st.lists(one) | st.dictionaries(texts, one), max_leaves=5)
)
def test_json_says_the_same_in_characters_that_print(document: object) -> None:
    for indent in (None, 1):
        shown = json_printable(json.dumps(document, ensure_ascii=False, indent=indent))
        assert json.loads(shown) == document
        assert shown.replace("\n", "").isprintable()


def record(message: str, argument: str, error: Exception | None) -> logging.LogRecord:
    exc_info = None
    if error is not None:
        try:
            raise error
        except Exception:
            exc_info = sys.exc_info()
    return logging.LogRecord("zkdns", logging.WARNING, "", 0, message + "%s", (argument,), exc_info)


@given(texts.map(lambda text: text.replace("%", "%%")), texts, texts | st.none(), st.booleans())
def test_a_record_is_one_line_and_what_belongs_to_it_is_set_in(
    message: str, argument: str, said: str | None, in_journal: bool
) -> None:
    formatter = JournalLines(TextLines("")) if in_journal else TextLines()
    error = None if said is None else ValueError(said)
    lines = formatter.format(record(message, argument, error)).split("\n")
    begin = r"<4>" if in_journal else r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ WARNING "
    assert re.match(begin, lines[0])
    assert all(one.startswith("<4>  " if in_journal else "  ") for one in lines[1:])
    assert bool(lines[1:]) == (error is not None)
    assert all(one.isprintable() and len(one) < ENOUGH for one in lines)
    assert len(lines) <= 1 + MAX_LINES


@given(texts.map(lambda text: text.replace("%", "%%")), texts, texts)
def test_a_record_for_machines_is_one_line_that_says_it_all(message: str, argument: str, said: str) -> None:
    shown = JsonLines().format(record(message, argument, ValueError(said)))
    assert shown.isprintable()
    assert len(shown) < 12 * (MAX_LINE + MAX_ERROR)
    whole = message.replace("%%", "%") + argument
    assert json.loads(shown)["message"][:MAX_LINE] == whole[:MAX_LINE]


@given(texts, texts)
def test_what_a_command_says_is_as_many_lines_as_it_says(one: str, other: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        out = io.TextIOWrapper(io.BytesIO(), "utf-8", newline="")
        patch.setattr(sys, "stdout", out)
        say(one, other)
        say_json({one: other})
        out.flush()
        lines = out.buffer.getvalue().decode().split("\n")  # type: ignore[attr-defined]
    assert len(lines) == 4
    assert all(map(str.isprintable, lines))
    assert json.loads(lines[2]) == {one: other}


# Of a hundred thousand lines a table says no more than of a thousand.
@given(texts.map(lambda text: text[:1000]), st.booleans())
def test_nothing_that_is_drawn_acts_on_the_terminal_but_colours(text: str, is_terminal: bool) -> None:
    console = show.open_console()
    console.file, console._force_terminal = io.StringIO(newline=""), is_terminal
    table = Table("NAME")
    table.add_row(text)
    show.print_table(console, (show.Column("NAME"), show.Column("STATE")), [(text, "healthy"), ("b", text)])
    console.print(table)
    console.print(text, style="red")
    drawn = re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue())
    assert drawn.replace("\n", "").isprintable()


@given(texts)
def test_the_page_shows_what_would_turn_its_text_around(text: str) -> None:
    assert re.sub(r"[\n\r\t]", "", esc(text)).isprintable()


@given(st.recursive(st.text() | st.integers(), lambda one: st.lists(one), max_leaves=5))
def test_the_api_says_the_same_in_characters_that_print(document: object) -> None:
    shown = spell(document)
    assert shown.decode().isprintable()
    assert json.loads(shown) == document


@given(texts, st.integers(0, 30))
def test_an_error_in_a_reply_is_printable_whoever_wrote_it(text: str, code: int) -> None:
    text = text.replace("\ud800", "")
    ((told, shown),) = ede.read(ede.option(code, text))
    assert told == code
    assert shown.isprintable()
    sent = b"\0\x0f" + (2 + len(text.encode()[:500])).to_bytes(2, "big") + b"\0\0" + text.encode()[:500]
    assert all(shown.isprintable() for _, shown in ede.read(ede.among(sent)))


def test_commands_print_by_one_door() -> None:
    """But for what click and the shell say themselves."""
    doors = {("say.py", "echo"), ("completion.py", "echo"), ("__init__.py", "echo"), ("__init__.py", "print")}
    for path in (Path(zkdns.__file__).parent / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called in ("print", "click.echo", "click.secho", "Console", "sys.stdout.write"):
                is_plain = (path.name, called.rpartition(".")[2]) in doors or "printable(" in ast.unparse(
                    node
                )
                assert is_plain, f"{path.name}:{node.lineno}: {called}"


HOSTILE = """
["evil\\u001b[2J\\nforged line\\u202e"]
hold = 5
"un\\u001bknown" = 1
[["evil\\u001b[2J\\nforged line\\u202e".instances]]
id = "id\\u001b[H\\nforged line\\u009b"
address = "10.0.0.1"
tags = ["tag\\u001b\\nforged line"]
zone = "zone\\u001b\\nforged line"
[["evil\\u001b[2J\\nforged line\\u202e".instances]]
id = "bad"
address = "\\u001b[2J\\nforged line"
"""


@pytest.mark.parametrize("words", [
    ["services"], ["instances", "evil--2j-forged-line"], ["check"], ["explain", "evil.svc.local"], ["route"],
    ["instances", "\x1b[2J\nforged line"], ["explain", "\x1b[2J\nforged line"],
    ["explain", "web.svc.local", "--if", "drain=\x1b[2J\nforged line"], ["\x1b[2J\nforged line"],
    ["services", "--registry", "file:/\x1b[2J\nforged line"], ["services", "--zone", "\x1b\nforged line"],
])  # fmt: skip
@pytest.mark.parametrize("as_json", [False, True])
def test_no_command_lets_a_registry_or_a_flag_forge_a_line(
    words: list[str], as_json: bool, tmp_path: Path
) -> None:
    path = tmp_path / "services.toml"
    path.write_text(HOSTILE)
    ran = run(*words, *(["--json"] if as_json else []), env={"ZKDNS_REGISTRY": f"file:{path}"})
    assert ran.out + ran.err
    for text in (ran.out, ran.err):
        assert text.replace("\n", "").isprintable(), text
        assert not [one for one in text.splitlines() if one.startswith("forged")]


def test_a_megabyte_of_odd_characters_is_no_walk_over_each() -> None:
    text = "\u200b\u00e9" * (1 << 18)
    for escape in (printable, json_printable):
        shown: list[str] = []
        assert steps(lambda escape=escape, shown=shown: shown.append(escape(text))) < 1000  # type: ignore[misc]
        assert shown == ["\\u200b\u00e9" * (1 << 18)]


def test_of_few_characters_it_is_remembered_how_they_are_shown() -> None:
    every = "".join(map(chr, range(0x30000)))
    shown = printable(every)
    assert shown == "".join(map(printable, every))
    assert shown.isprintable()
    assert len(_ESCAPED) <= MAX_KNOWN
