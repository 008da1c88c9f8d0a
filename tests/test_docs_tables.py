"""What tables and lists of the documents name is what there is: commands, states, presets, libraries."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest

import zkdns
from support.documents import DOCUMENTS, WORDS, rows, slug
from support.server import REPOSITORY
from support.values import a_service, an_instance
from zkdns.cli import COMMANDS, commands
from zkdns.health.guard import Kept
from zkdns.health.judge import ServiceView, judge
from zkdns.health.thresholds import CheckState
from zkdns.model import Check, Override, ServiceSettings, State
from zkdns.registry import presets
from zkdns.registry import settings as service_settings

OPERATIONS, SECURITY, FORMATS, PRESETS = (
    REPOSITORY / f"docs/{name}.md" for name in ("operations", "security", "formats", "presets")
)
CONTRIBUTING = (REPOSITORY / "CONTRIBUTING.md").read_text()
GUIDES = [
    *DOCUMENTS, *(REPOSITORY / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "native/README.md"))
]  # fmt: skip
NOW = 1_700_000_000.0

STATES: dict[str, dict[str, Any]] = {
    "unreadable": {"state": State.UNREADABLE},
    "drained": {"override": Override(drain=True)},
    "draining": {"status": "draining"},
    "down": {"status": "down"},
    "starting": {"status": "starting"},
    "failing": {"check": CheckState(good=False)},
    "suspect": {"is_gone": True},
    "warming": {"since": NOW - 5},
    "healthy": {},
}
"""What makes an instance one."""


@pytest.mark.parametrize("state", STATES)
def test_the_states_are_told_in_the_order_in_which_they_hold(state: str) -> None:
    told = [row[0] for row in rows(OPERATIONS, "States")]
    assert set(told) == set(STATES) == {str(one) for one in State}
    holds: dict[str, Any] = {}
    for name in reversed(told[told.index(state) :]):  # it, and all that stand below it
        holds |= STATES[name]
    about = {key: holds[key] for key in ("state", "status", "since") if key in holds}
    one = an_instance("a", weight=100, **about)
    view = ServiceView(
        {"a": holds["override"]} if "override" in holds else {},
        "check" in holds,
        {one.path: holds["check"]} if "check" in holds else {},
        (Kept(one, NOW + 60),) if "is_gone" in holds else (),
    )
    service = a_service(*(() if "is_gone" in holds else (one,)), warm=60.0)
    (judged,) = judge(service, view, NOW)[0].instances
    assert str(judged.state) == state


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_and_each_of_its_flags_is_told_somewhere(name: str) -> None:
    command = commands.get_command(click.Context(commands), name)
    assert command is not None
    flags = {flag for each in command.params for flag in each.opts if flag.startswith("--")}
    text = "\n".join(WORDS.values())
    assert f"zkdns {name}" in text
    assert not flags - set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_contents_of_a_document_are_its_headings(path: Path) -> None:
    headings = [slug(heading) for heading in re.findall(r"^## (.*)$", WORDS[path], re.M)]
    listed = re.search(r"^Contents: (.*?)\n\n", WORDS[path], re.M | re.S)
    if listed is None:
        assert len(WORDS[path].splitlines()) < 160, "it is long enough for contents"
    else:
        named = re.findall(r"\]\(#([^)]+)\)", listed[1])
        assert [name for name in named if name in headings] == headings


def test_the_table_of_a_services_settings_has_each_one() -> None:
    told = {key.strip("` ") for row in rows(FORMATS, "A service's settings") for key in row[0].split(",")}
    known = {*service_settings.SETTINGS, *service_settings.ROUTE}
    assert told == known | {f"check.{key}" for key in service_settings.CHECK}


def test_the_defaults_of_a_services_settings_are_those_of_the_code() -> None:
    told: dict[str, str] = {}
    for row in rows(FORMATS, "A service's settings"):
        keys = [key.strip("` ") for key in row[0].split(",")]
        told |= dict(zip(keys, (row[2].replace("`", "").split(", ") + [""] * len(keys)), strict=False))
    settings, check = ServiceSettings(), Check("tcp")
    for key, default in told.items():
        there = getattr(check if key.startswith("check.") else settings, key.removeprefix("check."), None)
        if re.fullmatch(r"[\d.]+|/|weighted", default):
            assert default == (f"{there:g}" if isinstance(there, int | float) else there), key
        elif isinstance(there, int | float | tuple) or there is None:
            assert not there, key


def test_the_table_of_presets_has_each_one_and_those_with_leaders_are_named() -> None:
    assert sorted(row[0] for row in rows(PRESETS, "Presets")) == sorted(presets.names())
    told = re.search(r"know who leads are ([^.]*)\.", WORDS[PRESETS])
    assert told
    leading = {n for n in presets.names() if any(place.offices for place in presets.named(n).places)}
    assert set(re.findall(r"`(\w+)`", told[1])) == leading


@pytest.mark.parametrize("name", presets.names())
def test_the_table_of_presets_says_where_each_one_looks(name: str) -> None:
    (row,) = (row for row in rows(PRESETS, "Presets") if row[0] == name)
    for place in presets.named(name).places:
        fixed = [segment.literal for segment in place.layout.segments if segment.literal]
        assert not place.members or all(literal in row[1] for literal in fixed)


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_each_path_bench_and_make_target_that_is_named_is_there(path: Path) -> None:
    text = path.read_text()
    named = re.findall(r"`((?:zkdns|tests|bench|deploy|native|docs)/[\w/.-]*)`", text)
    assert not [name for name in named if not (REPOSITORY / name).exists() and "NAME" not in name]
    for name, flags in re.findall(r"\bbench\.(\w+)((?: --[a-z]+(?: [\w.]+)?)*)", text):
        (source,) = (
            there.read_text()
            for there in (REPOSITORY / f"bench/{name}.py", REPOSITORY / f"bench/{name}/__main__.py")
            if there.exists()
        )
        assert not [flag for flag in re.findall(r"--[a-z]+", flags) if f'"{flag}"' not in source], name
    targets = re.findall(r"^([a-z-]+)(?: [a-z-]+)*:(?!=)", (REPOSITORY / "Makefile").read_text(), re.M)
    assert not set(re.findall(r"`make ([a-z-]+)", text)) - set(targets)


def test_the_guide_for_contributors_says_why_each_dependency_is_there() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    every = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    wanted = {re.split(r"[><=\[]", one)[0].lower() for one in every}
    _, _, table = CONTRIBUTING.partition("## Why each dependency is there\n")
    told = [line.split("|")[1] for line in table.partition("\n## ")[0].splitlines() if "|" in line]
    words = set(re.findall(r"\w[\w-]*", " ".join(told).lower()))
    plugins = {name for name in wanted if name.startswith("pytest-")}
    assert not (wanted - plugins) - words
    assert {name.removeprefix("pytest-") for name in plugins} <= words


def test_the_reading_order_is_one() -> None:
    _, _, order = (zkdns.__doc__ or "").partition("Reading order:")
    modules = re.findall(r"[\w/]+", order.partition(". ")[0].replace("->", " "))
    _, _, guide = CONTRIBUTING.partition("Read in this order")
    told = re.findall(r"`zkdns/([\w/]+)\.py`", guide.partition("See the answer first")[0])
    assert told == ["__init__", *modules]
