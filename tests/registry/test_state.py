"""The last known Catalog on disk."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.ensemble import Ensemble
from support.trees import open_root
from zkdns.model import Catalog, Override, Problem, State
from zkdns.registry import state
from zkdns.registry.state import NAME, Loaded, load, save
from zkdns.registry.state_items import FINGERPRINT


def catalog(instances: int = 3) -> Catalog:
    ensemble = Ensemble(zxid=5 << 32)
    ensemble.create("web", b'{"ttl": 3, "check": {"type": "http", "port": "http"}}')
    for at in range(instances):
        data = (
            b'{"address": ["10.0.0.1", "fd00::1"], "tags": ["x"], "ports": {"http": 80}, "meta": {"a": "b"}}'
        )
        ensemble.create(f"web/i{at:05}", data)
    ensemble.create("db", b"junk")
    ensemble.create("db/a", b'{"address": "db.example"}')
    ensemble.create("db/bad", b"")
    tree = open_root("/services")
    for event in ensemble.reading():
        tree.apply(event)
    return tree.catalog()


@pytest.mark.parametrize("instances", [0, 1, 100, 101, 250])
def test_what_is_saved_is_loaded(tmp_path: Path, instances: int) -> None:
    saved = catalog(instances)
    assert len(saved.problems) == 2
    save(tmp_path / "new" / "folder", saved)
    assert load(tmp_path / "new" / "folder") == Loaded(saved, None)


def test_states_and_resolved_addresses_are_kept(tmp_path: Path) -> None:
    saved = catalog()
    service = saved.services["db"]
    known = replace(
        service.instances[0],
        state=State.FAILING,
        reason="r",
        answered=False,
        resolved=("10.0.0.9",),
        weight=7,
    )
    saved = replace(
        saved, services={"db": replace(service, instances=(known,), note="n", offices=("leader",))}
    )
    save(tmp_path, saved)
    loaded = load(tmp_path).catalog
    assert loaded == saved
    assert loaded is not None
    assert loaded.services["db"].instances[0].state is State.FAILING


def test_overrides_are_kept(tmp_path: Path) -> None:
    weight = Override(weight=7, until=5.5, who="o")
    overrides = {("web", "i00000"): Override(drain=True, why="disk", under=weight), ("db", "ä/b"): weight}
    save(tmp_path, catalog(), overrides)
    assert load(tmp_path) == Loaded(catalog(), None, overrides)


def test_a_loaded_catalog_is_complete_and_as_old_as_it_was_when_it_was_saved(tmp_path: Path) -> None:
    save(tmp_path, replace(catalog(), stale_since=5.0))
    loaded = load(tmp_path).catalog
    assert loaded is not None
    assert (loaded.complete, loaded.stale_since) == (True, 5.0)


def test_no_file_is_no_problem(tmp_path: Path) -> None:
    assert load(tmp_path) == load(tmp_path / "none") == Loaded(None, None)


def test_a_second_saving_replaces_the_first_and_leaves_nothing_else(tmp_path: Path) -> None:
    save(tmp_path, catalog(1))
    save(tmp_path, catalog(2))
    assert load(tmp_path).catalog == catalog(2)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def spoil(data: bytes, how: str) -> bytes:
    if how == "cut":
        return data[: len(data) // 2]
    if how == "empty":
        return b""
    if how == "corrupt":
        return data[:200] + bytes([data[200] ^ 1]) + data[201:]
    if how == "newer":
        return data.replace(state.MAGIC + b"\0\1", state.MAGIC + b"\0\2")
    if how == "another":
        at = len(state.MAGIC) + 2
        return data[:at] + b"........" + data[at + 8 :]
    return b"\x7fELF" + data


@pytest.mark.parametrize(
    ("how", "word"),
    [("cut", "cut"), ("empty", "empty"), ("corrupt", "corrupt"), ("newer", "newer"),
     ("another", "another version"), ("foreign", "not a file of zkdns")],
)  # fmt: skip
def test_a_bad_file_is_reported_and_left_alone_and_kept_aside_by_the_next_saving(
    tmp_path: Path, how: str, word: str
) -> None:
    save(tmp_path, catalog())
    path = tmp_path / NAME
    bad = spoil(path.read_bytes(), how)
    aside = tmp_path / "x"
    aside.write_bytes(bad)
    aside.replace(path)
    loaded = load(tmp_path)
    assert loaded.catalog is None
    assert loaded.problem is not None
    assert loaded.problem.path == str(path)
    assert word in loaded.problem.what
    assert path.read_bytes() == bad
    told = save(tmp_path, catalog())
    assert told == f"{path}: {loaded.problem.what}; kept as {NAME}.aside-1"
    assert load(tmp_path) == Loaded(catalog(), None)
    assert (tmp_path / f"{NAME}.aside-1").read_bytes() == bad
    assert save(tmp_path, catalog(5)) == ""
    assert len(list(tmp_path.iterdir())) == 2


def test_what_was_kept_aside_is_never_written_over(tmp_path: Path) -> None:
    for n in range(1, 4):
        (tmp_path / "x").write_bytes(b"foreign %d" % n)
        (tmp_path / "x").replace(tmp_path / NAME)
        save(tmp_path, catalog())
        assert (tmp_path / f"{NAME}.aside-{n}").read_bytes() == b"foreign %d" % n
    assert len(list(tmp_path.iterdir())) == 4


def test_two_versions_that_share_a_folder_do_not_fill_the_disk(tmp_path: Path) -> None:
    """Each puts aside what the other wrote, every five seconds."""
    for n in range(state.MAX_ASIDE + 3):
        save(tmp_path, catalog(n + 1))
        (tmp_path / "x").write_bytes(spoil((tmp_path / NAME).read_bytes(), "another"))
        (tmp_path / "x").replace(tmp_path / NAME)
    told = save(tmp_path, catalog(3))
    assert "written by another version of zkdns; written over" in told
    assert load(tmp_path).catalog == catalog(3)
    assert len(list(tmp_path.iterdir())) == state.MAX_ASIDE + 1
    (tmp_path / "x").write_bytes(b"foreign")
    (tmp_path / "x").replace(tmp_path / NAME)
    assert "kept as" in save(tmp_path, catalog()), "what is none of ours is"


@pytest.mark.parametrize("begins", [b"", state.MAGIC + b"\0\2"], ids=["zeros", "of another version"])
def test_of_what_is_none_of_ours_nothing_more_is_read_however_large_it_is(
    tmp_path: Path, begins: bytes
) -> None:
    with (tmp_path / NAME).open("wb") as file:
        file.write(begins)
        file.truncate(256 << 20)  # a sparse file takes no room
    tracemalloc.start()
    try:
        loaded = load(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert loaded.problem is not None
    assert peak < 1 << 20


@given(st.data())
def test_any_cut_and_any_changed_byte_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("state")
    save(directory, catalog(2))
    path = directory / NAME
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    bad = data.draw(st.sampled_from([whole[:at], whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :]]))
    path.write_bytes(bad)
    loaded = load(directory)
    assert loaded.catalog is None
    assert loaded.problem is not None


def test_a_file_with_a_checksum_that_fits_and_no_sense_is_a_problem(tmp_path: Path) -> None:
    import hashlib

    head = state.MAGIC + b"\0\1" + FINGERPRINT
    for body in (
        b"",
        b"\0\0\0\0",
        b"\0\0\0\1\xc0\0\0\0\0",
        b"\0\0\0\4\x93\x05\x05\x90\0\0\0\0",
        b"\xff\xff\xff\xff",
    ):
        data = head + body
        (tmp_path / NAME).write_bytes(data + hashlib.sha256(data).digest())
        loaded = load(tmp_path)
        assert loaded.catalog is None
        assert loaded.problem is not None


def test_a_file_that_may_not_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    loaded = load(tmp_path)
    assert loaded.problem is not None
    assert "can't be read" in loaded.problem.what


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from registry.test_state import catalog
from zkdns.registry.state import save
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    save(Path(sys.argv[1]), catalog(1000))
except OSError as error:
    print(error.errno)
"""


def test_a_full_disk_is_an_oserror_and_the_old_file_stays_whole(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: write fails in the same place."""
    save(tmp_path, catalog(1))
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        timeout=60,
    )
    assert done.stdout.strip() == str(errno.EFBIG), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert load(tmp_path) == Loaded(catalog(1), None)


def test_a_folder_that_is_none_is_an_oserror(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        save(tmp_path / "file", catalog())


def test_problems_are_kept(tmp_path: Path) -> None:
    saved = Catalog({}, (Problem("/a", "w", "c"),), 7, True)
    save(tmp_path, saved)
    assert load(tmp_path).catalog == saved


def test_two_writers_with_the_same_process_id_never_mix_their_files(tmp_path: Path) -> None:
    """As containers have it that share a folder: the second begins and ends while the first one writes."""
    first, second = catalog(250), catalog(3)
    spell = state._spell

    def interrupted(*args: Any) -> Iterator[bytes]:
        pieces = spell(*args)
        yield next(pieces)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(state, "_spell", spell)
            save(tmp_path, second)
        assert load(tmp_path) == Loaded(second, None)
        yield from pieces

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "_spell", interrupted)
        save(tmp_path, first)
    assert load(tmp_path) == Loaded(first, None)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_what_a_killed_writer_left_is_removed_once_it_is_old(tmp_path: Path) -> None:
    old, fresh = tmp_path / f".{NAME}.1.tmp", tmp_path / f".{NAME}.2.tmp"
    for left in (old, fresh):
        left.write_bytes(b"half")
    os.utime(old, (0, 0))
    save(tmp_path, catalog())
    assert {path.name for path in tmp_path.iterdir()} == {NAME, fresh.name}


def test_it_is_on_the_disk_before_it_has_its_name_and_then_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut at any moment leaves the file before, or this one whole (POSIX fsync, rename)."""
    done: list[str] = []
    sync, rename = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        done.append("folder" if path == tmp_path else f"file of {path.stat().st_size} bytes")
        sync(handle)

    def replace(self: Path, target: Path) -> Path:
        assert self.parent == target.parent, "only within one folder a rename is one step"
        assert self.name.startswith("."), "what looks for state files must not find half of one"
        done.append("named")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    save(tmp_path, catalog())
    size = (tmp_path / NAME).stat().st_size
    assert done == [f"file of {size} bytes", "named", "folder"]
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_two_processes_that_save_at_once_write_files_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    real = state.create_aside

    def create(path: Path) -> Any:
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(state, "create_aside", create)
    for process in (1, 2):
        monkeypatch.setattr(os, "getpid", lambda process=process: process)
        save(tmp_path, catalog())
        save(tmp_path, catalog(), name="catalog-r2.zkdns")
    assert len(set(names)) == 4


ODD = cast("str", object())
"""What no word of msgpack stands for."""


@pytest.mark.parametrize("what", ["an instance", "its settings", "a problem", "an override"])
def test_what_can_not_be_spelled_costs_itself_and_is_named(tmp_path: Path, what: str) -> None:
    """The state of all others was not written any more."""
    saved, overrides = (
        catalog(250),
        {("web", "i00001"): Override(drain=True), ("web", "x"): Override(drain=True)},
    )
    web, db = saved.services["web"], saved.services["db"]
    first, *rest = web.instances
    faults: list[Problem] = []
    if what == "an instance":
        web = replace(web, instances=(*rest[:120], replace(first, reason=ODD), *rest[120:]))
        left, path = (
            replace(saved, services={"web": replace(web, instances=tuple(rest)), "db": db}),
            first.path,
        )
    elif what == "its settings":
        web = replace(web, note=ODD)
        left, path = replace(saved, services={"db": db}), web.path
    elif what == "a problem":
        left, path = saved, "/x"
    else:
        left, path = saved, "web/x"
    problems = (*saved.problems, Problem("/x", ODD, "")) if what == "a problem" else saved.problems
    if what == "an override":
        overrides["web", "x"] = Override(drain=True, why=ODD)
    save(
        tmp_path, replace(saved, services={"web": web, "db": db}, problems=problems), overrides, faults=faults
    )
    loaded = load(tmp_path)
    assert loaded.problem is None
    assert loaded.catalog == left
    assert len(loaded.overrides) == 2 - (what == "an override")
    assert [(one.path, one.ours) for one in faults] == [(path, True)]
