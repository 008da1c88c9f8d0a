"""TOML with a bound on dots: a key is counted, and what stands in text or beside it is not."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdns import toml
from zkdns.toml import MAX_DOTS, NotTOML

LONG = ".".join("k" * (MAX_DOTS + 2))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"{LONG} = 1", 1),
        (f"a = 1\n[{LONG}]\n", 2),
        (f"\n\n[[{LONG}]]", 3),
        (f"a = {{ {LONG} = 1 }}", 1),
        (f'a = """\n{LONG}\n"""\n{LONG} = 1', 4),
        (" . ".join("k" * 50_000) + " = 1", 1),
        ('"a"' + ".'b'" * 50_000 + " = 1", 1),
    ],
)
def test_a_key_of_too_many_dots_is_refused_before_it_is_read(text: str, line: int) -> None:
    with pytest.raises(NotTOML, match=f"^line {line}: a key of more than {MAX_DOTS} dots$"):
        toml.parse(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        f'a = "{LONG}"',
        f"a = '{LONG}'",
        f'a = """\n{LONG}\n""\\"{LONG}"""',
        f"a = '''\n{LONG}''{LONG}'''",
        f"a = 1 # {LONG} = 1",
        f"# it's {LONG}\na = 1",
        "a = [" + "1.5, " * 100 + "]",
        f'"{LONG}" = 1',
        "a = { " + ", ".join(f"b{n}.c = 1.5" for n in range(100)) + " }",
        f"a = {'.'.join('k' * (MAX_DOTS + 1))}".replace("a = ", "") + " = 1",
    ],
)
def test_dots_elsewhere_are_as_many_as_one_likes(text: str) -> None:
    assert toml.parse(text.encode()) == tomllib.loads(text)


@given(st.text(alphabet="ab.\"'\\#\n= []{},", max_size=200))
def test_counting_changes_nothing_of_what_is_read(text: str) -> None:
    """A file that is TOML, with no long key, is read as tomllib reads it."""
    try:
        wanted = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    assert toml.parse(text.encode()) == wanted


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"a = 1\n\xff", "line 2: not UTF-8"),
        (b"a = 1\nb 2\n", "line 2, column 3"),
        (b"a = " + b"[" * 100_000, "nested too deep"),
        (b"a = " + b"9" * 5000, "thousands of digits"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(data: bytes, why: str) -> None:
    with pytest.raises(NotTOML) as error:
        toml.parse(data)
    assert why in str(error.value)
    assert "\n" not in str(error.value)
