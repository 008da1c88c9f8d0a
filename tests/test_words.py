"""The words of the code: few of our own, all in the glossary of the map, and none that was given up.

A law is broken by a line of code; the failure names it as file:line.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator

import pytest

import zkdns
from support.sources import MODULES, PACKAGE, nodes, parsed, text_of

MAP = zkdns.__doc__ or ""
LARGEST_GLOSSARY = 15

GIVEN_UP = {
    "odd": "Responder",
    "respond_oddly": "respond_general",
    "respond_plainly": "respond_fast",
    "kid": "InstanceAddresses; for znodes, child",
    "kids": "children",
    "piece": "record",
    "deal": "Rotation, give",
    "dealt": "Rotation",
    "draws": "counter",
    "tally": "FirstPlaces",
    "Placing": "shares",
    "mount": "overlay",
    "lay_under": "put_beneath",
    "fold": "to_label; reduce",
    "Fold": "reducer",
    "hold": "retain; keep",
    "holds": "ephemerals",
    "settle": "the act: assign, rebuild, count_votes, drain_queue",
    "settled": "the state: resolved, unchanged",
    "Want": "ReadRequest",
    "Age": "Staleness",
    "Memory": "StateDirectory",
    "hosting": "hostnames",
    "Hosting": "Hostnames",
    "flight": "transport",
    "inquiry": "resolution",
    "take_off": "start",
    "note_lost": "search_misses",
    "suppose": "what_if",
    "AT_ONCE": "MAX_CONNECTIONS and its like",
    "FIXED": "RESTART_ONLY",
    "GLANCE": "STATE_WAIT",
    "DEEPEST": "MAX_ and what, in which unit",
    "FEWEST": "MIN_ and what, in which unit",
    "LARGEST": "MAX_ and what, in which unit",
    "LEAST": "MIN_ and what, in which unit",
    "LONGEST": "MAX_ and what, in which unit",
    "MOST": "MAX_ and what, in which unit",
    "SHORTEST": "MIN_ and what, in which unit",
}
"""Words of an earlier vocabulary, and what the field says. Those of limits begin no constant either."""

SETTINGS = {"hold"}
"""Fields that operators set by these names."""

PARTICIPLES = {"found", "made", "said", "told"}
"""A participle says when, not what: no local name where a noun will do."""

NOUNS = (
    "answers", "cli", "dns", "explain", "forward", "health", "pipeline", "registry", "serve", "server",
    "web", "",
)  # fmt: skip
"""The rooms; "": the modules beside them."""

NO_NOUNS = re.compile(r"\w*(Manager|Handler|Helper|Utils?|Base)")
"""Names of classes that say nothing of what they are."""


def names_of(among: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
    """What the code gives a name to, with its line: variables, arguments, fields, functions, classes."""
    for node in among:
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.arg(arg=name):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name


QUOTED = r"`(\w+)`"


def quoted(source: str) -> Iterator[tuple[int, str]]:
    """Names that comments and docstrings speak of: those in backticks."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            for name in re.findall(QUOTED, token.string):
                yield token.start[0], name


def given_up(source: str, among: Iterable[ast.AST]) -> list[str]:
    every = {*names_of(among)}
    if any(word_of(name) in GIVEN_UP for name in re.findall(QUOTED, source)):
        every |= {*quoted(source)}  # reading its tokens takes four times as long as parsing it
    return [
        f"{line}: {name}: say {GIVEN_UP[word]}"
        for line, name in sorted(every)
        if (word := word_of(name)) in GIVEN_UP and name not in SETTINGS
    ]


def word_of(name: str) -> str:
    """Of a constant the first word, else the whole."""
    bare = name.lstrip("_")
    return bare.partition("_")[0] if bare.isupper() and bare not in GIVEN_UP else bare


def test_a_word_that_was_given_up_names_nothing() -> None:
    again = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in MODULES
        for line in given_up(text_of(path), nodes(path))
    ]
    assert not again, "\n".join(again)


@pytest.mark.parametrize(
    "source",
    [
        "kid = 1",
        "def _settle(): ...",
        "class Placing: ...",
        "def f(tally): ...",
        "self._mount = 1",
        '"""`Fold`: what it is."""',
        "# `LONGEST` seconds",
        "_MOST_RECORDS = 4096",
        "async def suppose(): ...",
    ],
)
def test_the_law_of_words_bites(source: str) -> None:
    assert given_up(source, ast.walk(ast.parse(source)))


def locals_of(tree: ast.AST) -> set[tuple[int, str]]:
    """Variables and arguments of functions, with their lines."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {
        (node.lineno, node.id if isinstance(node, ast.Name) else node.arg)
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.arg) or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    }


@pytest.mark.parametrize("room", NOUNS)
def test_a_local_is_named_by_what_it_is(room: str) -> None:
    files = (PACKAGE / room).rglob("*.py") if room else PACKAGE.glob("*.py")
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line}: {name}"
        for path in files
        for line, name in sorted(locals_of(parsed(path)))
        if name in PARTICIPLES
    ]
    assert not wrong, "\n".join(wrong)


def test_no_class_is_named_for_being_a_class() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}: {node.name}"
        for path in MODULES
        for node in nodes(path)
        if isinstance(node, ast.ClassDef) and NO_NOUNS.fullmatch(node.name)
    ]
    assert not wrong, wrong


def glossary() -> dict[str, str]:
    """Our own words with what they mean."""
    _, _, text = MAP.partition("no more than these:\n")
    return dict(re.findall(r"^ {4}(\w+) {2,}(.+)$", text, re.MULTILINE))


def test_our_own_words_are_few_and_each_is_in_use() -> None:
    words = glossary()
    assert 5 < len(words) <= LARGEST_GLOSSARY
    assert not words.keys() & GIVEN_UP.keys()
    names = {name.lower() for path in MODULES for _, name in names_of(nodes(path))}
    folders = {part for path in MODULES for part in path.relative_to(PACKAGE).with_suffix("").parts}
    used = {
        form for name in names | folders for part in (name, *name.split("_")) for form in (part, part[:-1])
    }
    assert not {word for word in words if word.lower() not in used}


def test_the_map_names_each_room_and_each_module_beside_the_rooms() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    beside = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert len(rooms) > 8
    named = set(re.findall(r"`([\w/]+)`", MAP))
    assert not (rooms | beside) - named
    inside = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.glob("*/*/*.py")}
    assert not inside - named, "a folder in a room is a place to look for something"


def test_what_the_map_names_is_there() -> None:
    _, _, order = MAP.partition("Reading order: ")
    read = re.findall(r"[\w/]+", order.partition(". See")[0].replace("->", " "))
    assert len(read) > 5
    rooms = re.findall(r"^ {4}`([\w/]+)` ", MAP, re.MULTILINE)
    missing = [
        name
        for name in {*read, *rooms}
        if not (PACKAGE / name).is_dir() and not (PACKAGE / f"{name}.py").is_file()
    ]
    assert not missing
