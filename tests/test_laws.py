"""DESIGN's laws on imports, I/O and size, read from the source of every module.

A law is broken by a line of code; the failure names it as file:line.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from support.sources import MODULES, PACKAGE, nodes, parsed, text_of

ROOT = Path(__file__).parents[1]

LONGEST = 400
MOST_GIVEN = 6
"""Arguments that a function takes by place; where there are more, some of them are one value."""

ROOMS = {
    "dns": {"dns"},
    "registry": {"registry"},
    "health": {"health"},
    "answers": {"answers", "dns"},
    "forward": {"forward", "dns"},
    "serve": {"serve", "answers", "dns", "forward"},
    "pipeline": {"pipeline", "registry", "health", "answers", "dns", "forward"},
    "explain": {"explain", "answers", "dns", "health", "serve"},
}
"""The rooms with walls: what each may import from. All but `dns` may import VALUES; web, cli and server
see all."""

VALUES = {
    "arrivals", "backlog", "client_map", "descriptors", "identity", "lack", "line", "lists", "model", "order",
    "named", "overrides", "parts", "persistent", "piecemeal", "polling", "printable", "problems", "roots",
    "rounds", "routes", "steps", "toml", "topology", "transports", "turn", "wall",
}  # fmt: skip

FILES = {"registry", "answers", "forward", "pipeline"}
"""The rooms that read or write files, all of them through `files`."""

SETTINGS = {"forward", "serve", "pipeline"}
"""The rooms that may import `config`, which holds the settings' values."""

SAYS_PURE = re.compile(r"\bRules: (pure|no I/O)\b")
"""What a file says at its head that is pure: it is held to that. A folder's `__init__` speaks for the
parts in it where it says so of itself."""

MUST_BE_PURE = (
    "model.py", "named.py", "overrides.py", "dns/*.py", "registry/service_tree.py", "registry/root.py",
    "registry/reading.py", "registry/labels.py",
    "registry/formats/*.py", "registry/presets/*.py", "registry/zk/reads.py", "health/thresholds.py",
    "health/guard.py", "health/judge.py", "answers/*.py", "answers/policies/*.py", "pipeline/pipeline.py",
    "pipeline/publisher.py", "explain/*.py", "serve/request.py", "serve/respond.py", "serve/again.py",
    "serve/wordings.py", "serve/clients.py", "forward/cache.py", "forward/stored.py",
)  # fmt: skip
"""What no one may make impure by taking the word out."""

OUTSIDE = {
    "asyncio", "concurrent", "http", "logging", "multiprocessing", "os", "pathlib", "queue", "random",
    "secrets", "select", "selectors", "shutil", "signal", "socket", "socketserver", "ssl", "subprocess",
    "tempfile", "threading", "time", "urllib.request", "uuid",
}  # fmt: skip
"""I/O, clocks and chance: what a pure module may not import."""

IMPURE_BUILTINS = {"open", "print", "input", "breakpoint"}
IMPURE_METHODS = {"now", "utcnow", "today", "read_text", "read_bytes", "write_text", "write_bytes", "iterdir"}
"""What needs no import of those: built in, or of a module that is pure otherwise (datetime, paths)."""

LIBRARIES = {
    "kazoo": ("registry/zk/",),
    "puresasl": ("registry/zk/",),
    "dnslib": ("dns/",),
    "dns": ("answers/zonefiles/", "explain/"),
    "cachetools": ("forward/",),
    "aiohttp": ("web/",),
    "click": ("cli/",),
    "rich": ("cli/",),
    "prometheus_client": ("web/",),
    "msgspec": (
        *(f"{room}/" for room in (*ROOMS, "cli", "server", "web") if room != "dns"),
        *(f"{value}.py" for value in (*VALUES, "ensemble")),
    ),
}
"""The home of each library, so that it can be replaced in one place. dnspython (`dns`) reads zone files, and
spells in `explain` what we answer; msgspec has the Structs that values are, and reads and writes JSON
wherever data crosses our walls."""


@dataclass(frozen=True)
class Import:
    """One imported name: `module` whole, `name` what is taken from it, "" for the module itself."""

    file: str
    line: int
    module: str
    name: str
    at_runtime: bool

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]

    @property
    def room(self) -> str:
        """The room of ours that it reaches into; for `zkdns.x` and `from zkdns import x` alike, x."""
        if self.top != "zkdns":
            return ""
        inside = f"{self.module}.{self.name}".split(".")[1:]
        return inside[0] if inside else ""

    def __str__(self) -> str:
        what = f"from {self.module} import {self.name}" if self.name else f"import {self.module}"
        return f"zkdns/{self.file}:{self.line}: {what}"


def read_imports(path: Path) -> Iterator[Import]:
    file = path.relative_to(PACKAGE).as_posix()
    for_types_only = {
        inner
        for node in nodes(path)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    for node in nodes(path):
        runtime = node not in for_types_only
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name, "", runtime)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = ["zkdns", *path.relative_to(PACKAGE).parts[:-1]]
                base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
            for alias in node.names:
                yield Import(file, node.lineno, base, alias.name, runtime)


@cache
def imports() -> list[Import]:
    """All of them. Read when a law asks: each worker of a run collects these laws, and one holds them."""
    return [one for path in MODULES for one in read_imports(path)]


def broken(imports: list[Import]) -> str:
    return "\n".join(map(str, imports))


def test_there_is_something_to_hold_to_the_laws() -> None:
    assert len(MODULES) > 10
    assert len([one for one in imports() if one.room]) > 20
    for room in ROOMS:
        assert (PACKAGE / room).is_dir(), room


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_the_picture_shows(room: str) -> None:
    allowed = (VALUES if room != "dns" else set()) | ROOMS[room] | ({"config"} if room in SETTINGS else set())
    allowed |= {"files"} if room in FILES else set()
    ours = [one for one in imports() if one.file.startswith(f"{room}/") and one.room]
    assert ours, f"no import was read in {room}"
    wrong = [one for one in ours if one.room not in allowed and one.name != "__version__"]
    assert not wrong, broken(wrong)


def test_the_values_import_no_room() -> None:
    wrong = [one for one in imports() if one.file == "model.py" and one.room not in ("", "routes")]
    wrong += [
        one
        for one in imports()
        if one.file == "config.py"
        and one.room not in ("", "model", "files", "lists", "toml", "topology")
        and one.module not in ("zkdns.registry.url", "zkdns.registry.access")
    ]
    assert not wrong, broken(wrong)


def test_no_module_takes_a_private_name_of_another() -> None:
    wrong = [
        one
        for one in imports()
        if one.room
        and any(
            part.startswith("_") and not (part.startswith("__") or part == "_native")
            for part in f"{one.module}.{one.name}".split(".")
        )
    ]
    assert not wrong, broken(wrong)


def says_pure(path: Path) -> bool:
    """Read from the words that the file opens with: each worker of a run asks all files, and parses none."""
    before, _, rest = text_of(path).partition('"""')
    return not before and bool(SAYS_PURE.search(" ".join(rest.partition('"""')[0].split())))


def read_pure() -> list[str]:
    """The files that say they are pure, and the parts of a folder that says so."""
    parts = {"registry/formats", "registry/presets", "answers/policies", "explain"}
    kept = [path for path in MODULES if says_pure(path)]
    kept += [
        path
        for folder in parts
        if says_pure(PACKAGE / folder / "__init__.py")
        for path in (PACKAGE / folder).glob("*.py")
    ]
    return sorted({path.relative_to(PACKAGE).as_posix() for path in kept})


PURE = read_pure()


def test_what_a_file_opens_with_is_its_docstring() -> None:
    said = {path: ast.get_docstring(parsed(path)) or "" for path in MODULES}
    pure = [path for path in MODULES if SAYS_PURE.search(" ".join(said[path].split()))]
    assert pure == [path for path in MODULES if says_pure(path)]


@pytest.mark.parametrize("pattern", MUST_BE_PURE)
def test_what_decides_says_that_it_is_pure(pattern: str) -> None:
    files = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.glob(pattern)} - {
        f"{room}/__init__.py" for room in ROOMS
    }
    assert files, f"there is no zkdns/{pattern}: was it renamed?"
    assert not files - set(PURE), "does its head say `Rules: pure`?"


@pytest.mark.parametrize("file", PURE)
def test_io_clocks_and_chance_come_in_as_arguments(file: str) -> None:
    wrong = [
        one
        for one in imports()
        if one.file == file
        and one.at_runtime
        and {one.top, one.module} & OUTSIDE
        and not one.name.startswith("Pure")  # a path that touches nothing
    ]
    assert not wrong, broken(wrong)


def impure_calls(among: Iterable[ast.AST]) -> list[str]:
    return [
        f"{node.lineno}: {ast.unparse(node.func)}()"
        for node in among
        if isinstance(node, ast.Call)
        and (
            (isinstance(node.func, ast.Name) and node.func.id in IMPURE_BUILTINS)
            or (isinstance(node.func, ast.Attribute) and node.func.attr in IMPURE_METHODS)
        )
    ]


@pytest.mark.parametrize("file", PURE)
def test_a_pure_module_opens_no_file_and_asks_no_clock(file: str) -> None:
    assert not impure_calls(nodes(PACKAGE / file)), file


@pytest.mark.parametrize("line", ["open('x')", "print(1)", "datetime.now()", "path.read_text()"])
def test_the_law_of_pure_modules_bites(line: str) -> None:
    assert impure_calls(ast.walk(ast.parse(line)))


def cycles(imports: list[Import]) -> list[list[str]]:
    """Modules that import each other, in whatever number of steps, at run time or for their types alone."""
    names = {name_of(path.relative_to(PACKAGE).as_posix()) for path in MODULES}
    edges: dict[str, set[str]] = {}
    for one in imports:
        whole = f"{one.module}.{one.name}"
        target = whole if whole in names else one.module
        if target != name_of(one.file):
            edges.setdefault(name_of(one.file), set()).add(target)
    while leaves := {name for name in edges if not edges[name] & set(edges)}:
        for name in leaves:
            del edges[name]
    return [[name, *sorted(targets & set(edges))] for name, targets in sorted(edges.items())]


def name_of(file: str) -> str:
    return "zkdns." + file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def test_no_module_imports_itself_by_way_of_others_not_even_for_its_types() -> None:
    assert not cycles([one for one in imports() if one.top == "zkdns"])


def test_a_circle_under_type_checking_is_seen() -> None:
    there = Import("serve/respond.py", 1, "zkdns.answers", "table", True)
    back = Import("answers/table.py", 1, "zkdns.serve.respond", "respond", False)
    assert cycles([there]) == []
    assert cycles([there, back]) == [
        ["zkdns.answers.table", "zkdns.serve.respond"],
        ["zkdns.serve.respond", "zkdns.answers.table"],
    ]


def test_nobody_imports_the_server_but_the_command_that_serves() -> None:
    wrong = [
        one
        for one in imports()
        if one.room == "server" and not one.file.startswith("server/") and one.file != "cli/serve.py"
    ]
    assert not wrong, broken(wrong)


def test_numbers_of_types_and_rcodes_stand_in_one_place() -> None:
    tree = parsed(PACKAGE / "dns/types.py")
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id.isupper()}
    assert {"A", "AAAA", "SRV", "NXDOMAIN", "OPT", "IN"} <= names
    again = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in (*MODULES, *(ROOT / "tests").rglob("*.py"))
        if path != PACKAGE / "dns/types.py"
        for line in numbered(path.read_text(), names)
    ]
    assert not again, "\n".join(again)


def numbered(source: str, names: set[str]) -> list[str]:
    """Where it gives a number to one of these names. The few files with a "=" and a digit behind one are
    parsed."""
    if not _before_number(frozenset(names)).search(source):
        return []
    return [
        f"{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assign)
        and {t.id.lstrip("_") for t in ast.walk(node.targets[0]) if isinstance(t, ast.Name)} & names
        and re.fullmatch(r"\(?\d+(, \d+)*\)?", ast.unparse(node.value))
    ]


@cache
def _before_number(names: frozenset[str]) -> re.Pattern[str]:
    """Of a target that goes over several lines the name may stand in one, and the "=" in another; and there
    may be other targets before the number."""
    others = r"(?:[^\n=]*=(?!=))*"
    target = rf"(?<![A-Za-z0-9])(?:{'|'.join(names)})\b(?:[^\n=]*|[\s\w,)\]]*)=(?!=)"
    return re.compile(rf"{target}{others}[\s(\\]*\d")


@pytest.mark.parametrize(
    "source",
    [
        "A = 1",
        "_A = 1",
        "x = 2\nA, SRV = 1, 33",
        "(\n    SRV,\n    A,\n) = 33, 1",
        "if x:\n    A = y = (1, 2)",
        "x[A + 1] = 7",
    ],
)
def test_the_law_of_numbers_bites(source: str) -> None:
    assert numbered(source, {"A", "SRV"})


def test_the_law_of_numbers_bites_nothing_else() -> None:
    assert not numbered("A == 1\nBA = 1\nA = f(1)\nf(A, x=1)\nAB = 2\nx = A", {"A", "SRV"})


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_stays_in_its_room(library: str) -> None:
    wrong = [one for one in imports() if one.top == library and not one.file.startswith(LIBRARIES[library])]
    assert not wrong, broken(wrong)


def test_each_library_has_a_home() -> None:
    known = sys.stdlib_module_names | LIBRARIES.keys() | {"zkdns"}
    strangers = [one for one in imports() if one.top not in known]
    assert not strangers, broken(strangers)


def test_a_file_is_short_enough_to_be_read_in_one_go() -> None:
    long = {path.name: n for path in MODULES if (n := len(text_of(path).splitlines())) > LONGEST}
    assert not long, f"more than {LONGEST} lines: {long}"


def test_what_a_function_is_given_by_place_can_be_kept_in_mind() -> None:
    """Click gives a command its options by name."""
    crowded = []
    for path in MODULES:
        for node in nodes(path):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            given = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args)]
            is_command = any("click.command" in ast.unparse(one) for one in node.decorator_list)
            if not is_command and len(given) - (given[:1] in (["self"], ["cls"])) > MOST_GIVEN:
                crowded.append(f"zkdns/{path.relative_to(PACKAGE)}:{node.lineno}: {node.name}")
    assert not crowded, f"more than {MOST_GIVEN} arguments by place: {crowded}"


def test_a_file_opens_with_its_purpose() -> None:
    silent = [str(path) for path in MODULES if not ast.get_docstring(parsed(path))]
    assert not silent, silent


@pytest.mark.parametrize(
    ("line", "room"),
    [
        ("import zkdns.serve.udp", "serve"),
        ("from zkdns import serve", "serve"),
        ("from zkdns.serve import udp", "serve"),
        ("from zkdns.serve.udp import listen", "serve"),
        ("from .udp import listen", "web"),
        ("from ..serve import udp", "serve"),
        ("from .. import serve", "serve"),
        ("def f():\n    import zkdns.serve", "serve"),
        ("import socket", ""),
    ],
)
def test_every_spelling_of_an_import_is_understood(line: str, room: str, tmp_path: Path) -> None:
    where = tmp_path / "web"
    where.mkdir()
    (where / "x.py").write_text(line)
    global PACKAGE
    kept, PACKAGE = PACKAGE, tmp_path
    try:
        assert [one.room for one in read_imports(where / "x.py")] == [room]
    finally:
        PACKAGE = kept
