"""The file registry."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdns.files import MAX_UNSETTLED, Mark
from zkdns.model import Catalog, ConfigError, Problem, Registration, State
from zkdns.registry import file
from zkdns.registry.file import FileSource, parse

TEXT = b"""
[web]
ttl = 7
policy = "first"
check = { type = "tcp" }

[[web.instances]]
id = "b"
address = "10.0.0.2"
port = 80
weight = 0

[[web.instances]]
id = "a"
address = ["10.0.0.1", "fd00::1"]
tags = ["canary"]
ports = { http = 8080 }
meta = { version = 1.4 }

[empty]
"""


def test_services_and_instances() -> None:
    catalog = parse(TEXT, 1700000000.5, "services.toml")
    assert catalog.problems == ()
    assert (catalog.serial, catalog.complete, catalog.stale_since) == (1700000000, True, None)
    web = catalog.services["web"]
    assert (web.settings.ttl, web.settings.policy) == (7, "first")
    assert web.settings.check is not None
    a, b = web.instances
    assert (a.id, a.path, a.since) == ("a", "services.toml: web/a", 1700000000.5)
    assert a.registration == Registration(
        ("10.0.0.1", "fd00::1"), tags=("canary",), ports=(("http", 8080),), meta=(("version", "1.4"),)
    )
    assert (b.weight, b.registration.port) == (0, 80)
    assert catalog.services["empty"].instances == ()


def beside_a_good_one(*lines: str) -> tuple[dict[str, tuple[State, bool]], Problem]:
    """How the instance with these lines stands, and what is told of it; the one beside it is well."""
    text = '[[web.instances]]\nid = "good"\naddress = "10.0.0.1"\n[[web.instances]]\n' + "\n".join(lines)
    catalog = parse(text.encode(), 1.0, "f")
    states = {i.id: (i.state, i.answered) for i in catalog.services["web"].instances}
    assert states.pop("good") == (State.HEALTHY, True)
    (problem,) = catalog.problems
    assert problem.cure
    return states, problem


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("", "no id"),
        ("id = 7", "id is 7"),
        ('id = ""', "id"),
        ('id = "a/b"', "a/b"),
        ('id = "good"', "twice"),
    ],
)
def test_an_instance_that_no_id_tells_from_others_costs_itself_alone(line: str, what: str) -> None:
    states, problem = beside_a_good_one(line, 'address = "10.0.0.9"')
    assert (states, problem.path) == ({}, "f: web/instances[1]")
    assert what in problem.what


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ([], "no address"),
        (['address = "10.0.0.900"'], "10.0.0.900"),
        (['address = "10.0.0.9"', 'port = "80"'], "port"),
        (['address = "10.0.0.9"', "port = 1979-05-27"], "port"),
        (['address = "10.0.0.9"', "weight = 1e3"], "weight"),
        (['address = "10.0.0.9"', "meta = { a = 1979-05-27 }"], "meta"),
        (['address = "10.0.0.9"', "weight = nan"], "weight"),
    ],
)
def test_a_bad_instance_whose_id_is_known_is_counted_and_told_and_never_answered(
    lines: list[str], what: str
) -> None:
    states, problem = beside_a_good_one('id = "bad"', *lines)
    assert (states, problem.path) == ({"bad": (State.UNREADABLE, False)}, "f: web/bad")
    assert what in problem.what


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("x = 1", "f: x"),
        ("[web]\nttl = -1", "f: web"),
        ("[web]\ninstances = 3", "f: web"),
        ("[web]\ninstances = [3]", "f: web/instances[0]"),
        ('["a/b"]', "f: a/b"),
        ('[""]', "f: "),
    ],
)
def test_other_mistakes_are_problems_too(text: str, path: str) -> None:
    assert [p.path for p in parse(text.encode(), 1.0, "f").problems] == [path]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"[web]\nttl 7\n", "line 2"),
        (b"[web]\n\n\xff", "line 3"),
        (b"[a]\n[a]\n", "line 2"),
        (b"a = [", "end of"),
    ],
)
def test_what_is_no_toml_is_an_error_with_its_line(text: bytes, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, 1.0, "services.toml")
    assert caught.value.where == "services.toml"
    assert line in caught.value.why


def test_nesting_without_end_is_an_error_and_no_crash() -> None:
    with pytest.raises(ConfigError):
        parse(b"a = " + b"[" * 100_000, 1.0, "f")


@given(st.binary(max_size=80) | st.text(alphabet='[]web.="\n1{}', max_size=60).map(str.encode))
def test_no_text_makes_it_raise_anything_else(text: bytes) -> None:
    try:
        parse(text, 1.0, "f")
    except ConfigError:
        pass


def test_an_id_that_folds_to_another_gets_a_hash() -> None:
    text = "".join(f'[[web.instances]]\nid = "{id}"\naddress = "10.0.0.1"\n' for id in ("A", "a"))
    catalog = parse(text.encode(), 1.0, "f")
    labels = {i.id: i.label for i in catalog.services["web"].instances}
    assert labels["a"] == "a"
    assert labels["A"].startswith("a-")
    assert [p.path for p in catalog.problems] == ["f: web/A"]


def test_what_stays_is_the_same_object_and_keeps_its_age() -> None:
    first = parse(TEXT, 100.0, "f")
    text = TEXT.replace(b'"10.0.0.2"', b'"10.0.0.3"') + b'[[web.instances]]\nid = "c"\naddress = "10.0.0.4"\n'
    second = parse(text.replace(b"[empty]", b"").replace(b"ttl = 7", b"ttl = 8"), 200.0, "f", first)
    assert [(i.id, i.since) for i in second.services["web"].instances] == [("a", 100), ("b", 100), ("c", 200)]
    assert second.services["web"].instances[0] is first.services["web"].instances[0]
    assert parse(TEXT, 300.0, "f", first).services["web"] is first.services["web"]
    assert parse(TEXT, 300.0, "f", first).serial == 300


# --- following ----------------------------------------------------------------------------------


class Followed:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: list[Catalog] = []
        self._news = asyncio.Event()
        self.source = FileSource(path, self._take, poll=0.02)

    def _take(self) -> None:
        self.seen.append(self.source.catalog)
        self._news.set()

    async def until(self, count: int) -> Catalog:
        async with asyncio.timeout(20):
            while len(self.seen) < count:
                self._news.clear()
                await self._news.wait()
        return self.seen[-1]

    def write(self, text: bytes) -> None:
        """As an editor or a deployment does: aside, then renamed."""
        aside = self.path.with_suffix(".new")
        aside.write_bytes(text)
        aside.replace(self.path)


@pytest.fixture
async def followed(tmp_path: Path) -> AsyncIterator[Followed]:
    path = tmp_path / "services.toml"
    path.write_bytes(TEXT)
    followed = Followed(path)
    followed.source.load()
    followed.source.start()
    yield followed
    await followed.source.stop()


async def test_a_change_is_taken_up(followed: Followed) -> None:
    assert set(followed.source.catalog.services) == {"web", "empty"}
    followed.write(b"[other]\n")
    assert set((await followed.until(1)).services) == {"other"}


async def test_a_file_that_cannot_be_read_leaves_the_last_good_one_in_force(followed: Followed) -> None:
    good = followed.source.catalog
    followed.write(b"[web]\nttl 7\n")
    bad = await followed.until(1)
    assert bad.services is good.services
    assert [p.path for p in bad.problems] == [str(followed.path)]
    assert "line 2" in bad.problems[0].what
    followed.path.unlink()
    gone = await followed.until(2)
    assert gone.services is good.services
    assert len(gone.problems) == 1
    followed.write(TEXT)
    back = await followed.until(3)
    assert back.problems == ()
    assert back.services["web"] is good.services["web"]
    assert len(followed.seen) == 3


async def test_a_file_that_is_written_to_while_it_is_read_is_read_again_and_no_part_of_it_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "services.toml"
    path.write_bytes(TEXT)
    source = FileSource(path, lambda: None, poll=0.01)
    good = source.load()
    read = file.read_file
    later = [b"[more]\n"]

    def read_while_it_grows(path: Path) -> tuple[bytes, Mark]:
        found = read(path)
        if later:
            path.write_bytes(path.read_bytes() + later.pop())
        return found

    monkeypatch.setattr(file, "read_file", read_while_it_grows)
    path.write_bytes(b"[first]\n")
    await source.look()
    assert source.catalog is good
    await source.look()
    assert set(source.catalog.services) == {"first", "more"}


async def test_a_file_that_is_written_to_all_the_time_is_told_and_read_once_it_rests(tmp_path: Path) -> None:
    path = tmp_path / "services.toml"
    path.write_bytes(TEXT)
    source = FileSource(path, lambda: None, poll=0.001)
    good = source.load()
    before = path.stat().st_mtime_ns
    for n in range(MAX_UNSETTLED):
        assert not source.catalog.problems, n
        os.utime(path, ns=(0, n + 1))
        look = asyncio.ensure_future(source.look())
        while not look.done():
            os.utime(path, ns=(0, path.stat().st_mtime_ns + 1000))
            await asyncio.sleep(0.0002)
    assert source.catalog.services is good.services
    assert ["written to all the time" in p.what for p in source.catalog.problems] == [True]
    os.utime(path, ns=(0, before))
    await source.look()
    assert source.catalog.problems == ()


async def test_a_file_that_is_being_written_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "services.toml"
    path.write_bytes(TEXT)
    followed = Followed(path)
    good = followed.source.load()
    look = asyncio.ensure_future(followed.source.look())
    path.write_bytes(b"")
    await asyncio.sleep(0)
    while not look.done():
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
        await asyncio.sleep(0.001)
    assert followed.source.catalog is good


def test_the_first_reading_raises(tmp_path: Path) -> None:
    source = FileSource(tmp_path / "none.toml", lambda: None)
    with pytest.raises(ConfigError) as caught:
        source.load()
    assert "none.toml" in caught.value.where
    assert "No such file" in caught.value.why
    with pytest.raises(ConfigError):
        FileSource(tmp_path, lambda: None).load()


@pytest.mark.parametrize("at", ["_read_service", "bounded"])
def test_an_error_of_ours_costs_one_service_or_instance_of_the_file(
    at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = getattr(file, at)

    def breaking(*args: object) -> object:
        if "hostile" in repr(args):
            raise RuntimeError("planted")
        return real(*args)

    monkeypatch.setattr(file, at, breaking)
    text = b"""
        [[bad.instances]]
        id = "a"
        address = "10.0.0.1"
        meta = { hostile = "1" }
        [[web.instances]]
        id = "b"
        address = "10.0.0.2"
    """
    catalog = parse(text, 1.0, "f")
    assert [i.id for i in catalog.services["web"].instances] == ["b"]
    (problem,) = catalog.problems
    assert problem.ours
    assert problem.path.startswith("f: bad")
    assert all(not i.answered for i in catalog.services["bad"].instances) if at == "bounded" else True
