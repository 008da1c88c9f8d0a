"""DESIGN's laws on imports, I/O and size, read from the source of every module.

A law is broken by a line of code; the failure names it as file:line.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "zkdns"
MODULES = sorted(PACKAGE.rglob("*.py"))

LONGEST = 400

ROOMS = {
    "dns": {"dns"},
    "registry": {"registry"},
    "health": {"health"},
    "answers": {"answers", "dns"},
    "forward": {"forward", "dns"},
    "serve": {"serve", "answers", "dns", "forward"},
    "pipeline": {"pipeline", "registry", "health", "answers", "dns", "forward"},
    "explain": {"explain", "answers", "dns", "registry", "health", "serve"},
}
"""The rooms with walls: what each may import from. All but `dns` may import VALUES; web, cli and server
see all."""

VALUES = {"client_map", "lack", "model", "overrides", "persistent", "routes", "topology"}

FILES = {"registry", "answers", "forward"}
"""The rooms that read or write files, all of them through `files`."""

SETTINGS = {"registry", "health", "forward", "serve", "pipeline"}
"""The rooms that may import `config`, which holds the settings' values."""

PURE = (
    "model.py",
    "lack.py",
    "overrides.py",
    "persistent.py",
    "routes.py",
    "topology.py",
    "client_map.py",
    "dns/names.py",
    "dns/subnet.py",
    "dns/rdata.py",
    "dns/ede.py",
    "serve/request.py",
    "forward/load.py",
    "forward/failures.py",
    "forward/believe.py",
    "forward/addresses.py",
    "dns/message.py",
    "dns/reply.py",
    "dns/packet.py",
    "pipeline/changes.py",
    "pipeline/defaults.py",
    "pipeline/hostnames.py",
    "pipeline/inputs.py",
    "pipeline/outages.py",
    "pipeline/pipeline.py",
    "pipeline/publisher.py",
    "pipeline/registries.py",
    "pipeline/replica.py",
    "pipeline/staleness.py",
    "pipeline/start.py",
    "pipeline/wall.py",
    "registry/service_tree.py",
    "registry/labels.py",
    "registry/merge.py",
    "registry/znodes.py",
    "registry/fields.py",
    "registry/overrides.py",
    "pipeline/gather.py",
    "pipeline/routes.py",
    "pipeline/views.py",
    "registry/format_reader.py",
    "registry/preset_reader.py",
    "registry/readers.py",
    "registry/formats/*.py",
    "registry/layout.py",
    "registry/scope.py",
    "registry/zk/wire.py",
    "registry/zk/read_plan.py",
    "registry/zk/root_reads.py",
    "registry/zk/reads.py",
    "registry/zk/ephemerals.py",
    "registry/places.py",
    "registry/arrange.py",
    "registry/endpoints.py",
    "registry/protobuf.py",
    "registry/elections.py",
    "registry/server_uri.py",
    "registry/json_fields.py",
    "registry/survey.py",
    "registry/unread.py",
    "registry/presets/*.py",
    "health/health.py",
    "health/consensus.py",
    "health/targets.py",
    "health/thresholds.py",
    "health/guard.py",
    "health/judge.py",
    "answers/records.py",
    "answers/near.py",
    "answers/spliced.py",
    "answers/proportions.py",
    "answers/owners.py",
    "answers/routed.py",
    "answers/routes.py",
    "answers/policies/*.py",
    "answers/service.py",
    "answers/entries.py",
    "answers/variants.py",
    "answers/zone_names.py",
    "answers/table.py",
    "answers/builder.py",
    "answers/on_demand.py",
    "answers/first_places.py",
    "answers/zonefiles/lookup.py",
    "answers/zonefiles/services.py",
    "explain/*.py",
    "dns/types.py",
    "forward/cache.py",
    "forward/eviction.py",
    "serve/respond.py",
    "web/page/*.py",
    "web/shapes.py",
)
OUTSIDE = {
    "asyncio", "concurrent", "http", "logging", "multiprocessing", "os", "pathlib", "queue", "random",
    "secrets", "select", "selectors", "shutil", "signal", "socket", "socketserver", "ssl", "subprocess",
    "tempfile", "threading", "time", "urllib.request", "uuid",
}  # fmt: skip
"""I/O, clocks and chance: what a pure module may not import."""

IMPURE_CALLS = {"open", "print", "input", "now", "utcnow", "today", "read_text", "read_bytes"}
"""What needs no import of those: built in, or of a module that is pure otherwise (datetime)."""

LIBRARIES = {
    "kazoo": ("registry/", "cli/", "ensemble.py"),
    "dnslib": ("dns/", "answers/", "forward/", "serve/"),
    "cachetools": ("forward/",),
    "aiohttp": ("web/", "health/", "server/"),
    "click": ("cli/", "__main__.py"),
    "rich": ("cli/",),
    "prometheus_client": ("web/", "server/"),
}
"""Where a library may be imported, so that it can be replaced in one place."""


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
    tree = ast.parse(path.read_text(), str(path))
    for_types_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
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


IMPORTS = [one for path in MODULES for one in read_imports(path)]


def broken(imports: list[Import]) -> str:
    return "\n".join(map(str, imports))


def test_there_is_something_to_hold_to_the_laws() -> None:
    assert len(MODULES) > 10
    assert len([one for one in IMPORTS if one.room]) > 20
    for room in ROOMS:
        assert (PACKAGE / room).is_dir(), room


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_the_picture_shows(room: str) -> None:
    allowed = (VALUES if room != "dns" else set()) | ROOMS[room] | ({"config"} if room in SETTINGS else set())
    allowed |= {"files"} if room in FILES else set()
    ours = [one for one in IMPORTS if one.file.startswith(f"{room}/") and one.room]
    assert ours, f"no import was read in {room}"
    wrong = [one for one in ours if one.room not in allowed and one.name != "__version__"]
    assert not wrong, broken(wrong)


def test_the_values_import_no_room() -> None:
    wrong = [one for one in IMPORTS if one.file == "model.py" and one.room not in ("", "routes")]
    wrong += [
        one
        for one in IMPORTS
        if one.file == "config.py"
        and one.room not in ("", "model", "files", "topology")
        and one.module != "zkdns.registry.url"
    ]
    assert not wrong, broken(wrong)


def test_no_module_takes_a_private_name_of_another() -> None:
    wrong = [
        one
        for one in IMPORTS
        if one.room
        and any(
            part.startswith("_") and not (part.startswith("__") or part == "_native")
            for part in f"{one.module}.{one.name}".split(".")
        )
    ]
    assert not wrong, broken(wrong)


@pytest.mark.parametrize("pattern", PURE)
def test_io_clocks_and_chance_come_in_as_arguments(pattern: str) -> None:
    files = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.glob(pattern)}
    assert files, f"there is no zkdns/{pattern}: was it renamed?"
    wrong = [
        one for one in IMPORTS if one.file in files and one.at_runtime and {one.top, one.module} & OUTSIDE
    ]
    assert not wrong, broken(wrong)


@pytest.mark.parametrize("pattern", PURE)
def test_a_pure_module_opens_no_file(pattern: str) -> None:
    calls = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}: {node.func.id}()"
        for path in PACKAGE.glob(pattern)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("open", "print")
    ]
    assert not calls, calls


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_stays_in_its_room(library: str) -> None:
    wrong = [one for one in IMPORTS if one.top == library and not one.file.startswith(LIBRARIES[library])]
    assert not wrong, broken(wrong)


def test_a_file_is_short_enough_to_be_read_in_one_go() -> None:
    long = {path.name: n for path in MODULES if (n := len(path.read_text().splitlines())) > LONGEST}
    assert not long, f"more than {LONGEST} lines: {long}"


def test_a_file_opens_with_its_purpose() -> None:
    silent = [str(path) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text()))]
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
