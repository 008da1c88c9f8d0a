"""Whatever lies where a setting names a path: it is refused by its kind or its size, and not waited for."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import pytest

from support.server import Zkdns, run
from support.waiting import eventually
from zkdns.answers.zonefiles.master_file import Wrong
from zkdns.answers.zonefiles.reader import ZoneFolder, read_zone
from zkdns.config import Settings, load
from zkdns.forward.upstreams import Upstreams
from zkdns.model import ConfigError
from zkdns.pipeline import journal_files
from zkdns.pipeline.journal import Query
from zkdns.pipeline.journal_reading import read_changes
from zkdns.registry import state
from zkdns.registry.access import ZooKeeperSettings
from zkdns.registry.file import FileSource
from zkdns.registry.zk.connect import open_client

# --- what may lie there -----------------------------------------------------------------------------------


def large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def unix_socket(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # its address may be no longer than 107 bytes (unix(7))
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(before)


def unreadable(path: Path) -> None:
    path.write_bytes(b"x")
    path.chmod(0)


KINDS: dict[str, Callable[[Path], None]] = {
    "a FIFO": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/null"),
    "an endless file": lambda path: path.symlink_to("/dev/zero"),
    "a directory": Path.mkdir,
    "a file of a tebibyte": large,
    "a socket": unix_socket,
    "a link to nothing": lambda path: path.symlink_to(path.parent / "nothing"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a file without rights": unreadable,
}


def lay(kind: str, path: Path) -> None:
    """In the place of what is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    KINDS[kind](path)


@contextmanager
def without_rights(kind: str) -> Iterator[None]:
    """Root may read everything: not as this user."""
    if kind != "a file without rights" or os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def in_time(read: Callable[[], str]) -> str:
    """What it says; where it hangs the test fails, and its thread is left."""
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(read()), daemon=True)
    thread.start()
    thread.join(20)
    assert said, "it waits for the file, or it raised"
    return said[0]


# --- who reads it -----------------------------------------------------------------------------------------

ZONE = "$TTL 60\n@ SOA ns h 1 60 60 60 60\n@ NS ns\nns A 10.0.0.1\n"
GOOD = '[web]\n[[web.instances]]\nid = "a"\naddress = "10.0.0.1"\n'


def told(work: Callable[[], object]) -> str:
    try:
        work()
    except (ConfigError, OSError) as error:
        return str(error) or repr(error)
    return ""


def read_config(path: Path) -> Callable[[], str]:
    path.write_text("ttl = 5\n")
    return lambda: told(lambda: load({"config": str(path)}))


def read_registry(path: Path) -> Callable[[], str]:
    path.write_text(GOOD)
    return lambda: told(lambda: FileSource(path, lambda: None).load())


def read_zone_folder(path: Path) -> Callable[[], str]:
    path.mkdir()
    folder = ZoneFolder(path)
    return lambda: " ".join(f"{p.path}: {p.what}" for p in folder.load().problems)


def read_zone_file(path: Path) -> Callable[[], str]:
    path.write_text(ZONE)

    def read() -> str:
        try:
            read_zone(path, path.parent)
        except Wrong as wrong:
            return f"{wrong.where}: {wrong.what}"
        return ""

    return read


def read_state(path: Path) -> Callable[[], str]:
    path.write_bytes(b"")

    def read() -> str:
        problem = state.load(path.parent, path.name).problem
        return f"{problem.path}: {problem.what}" if problem is not None else ""

    return read


def read_resolv_conf(path: Path) -> Callable[[], str]:
    path.write_text("nameserver 10.0.0.53\n")
    settings = Settings(forward=("resolv.conf",))

    def read() -> str:
        upstreams = Upstreams(settings, path, lambda: 0.0, random.Random(1), lambda: None)
        return told(lambda: upstreams.configure(settings)) or upstreams.problem

    return read


def read_tls(name: str) -> Callable[[Path], Callable[[], str]]:
    def prepare(path: Path) -> Callable[[], str]:
        beside = {"tls_cert": str(path)} if name == "tls_key" else {}
        settings = ZooKeeperSettings(**{name: str(path), **beside})
        return lambda: told(lambda: open_client("127.0.0.1:1", settings))

    return prepare


PATHS: dict[str, Callable[[Path], Callable[[], str]]] = {
    "file": read_config,
    "registry": read_registry,
    "zones": read_zone_folder,
    "zones, in it": read_zone_file,
    "state, in it": read_state,
    "forward": read_resolv_conf,
    "zookeeper.tls_ca": read_tls("tls_ca"),
    "zookeeper.tls_cert": read_tls("tls_cert"),
    "zookeeper.tls_key": read_tls("tls_key"),
}
"""By setting: puts a good file in place, and gives who reads it and says what is wrong."""

NO_PATHS = {
    "failover", "zone", "engine", "forward_allow", "forward_private", "forward_trusted", "check_targets",
    "log_format", "http_hosts", "near", "location", "topology", "topology_clients", "ecs_from",
    "service_defaults", "zookeeper.auth", "zookeeper.acl",
}  # fmt: skip
GOOD_ENOUGH = {("zones", "a directory"), ("state, in it", "a link to nothing")}
"""What that setting takes."""


def texts() -> set[str]:
    """The settings that hold text, which may be a path."""
    own = {f.name for f in fields(Settings) if any(word in str(f.type) for word in ("str", "URL", "Any"))}
    zookeeper = {f"zookeeper.{f.name}" for f in fields(ZooKeeperSettings) if "str" in str(f.type)}
    return own | zookeeper


def test_each_setting_that_is_text_is_among_the_paths_or_is_none() -> None:
    named = {name.partition(",")[0] for name in PATHS}
    assert texts() == named | NO_PATHS
    assert not named & NO_PATHS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("setting", PATHS)
def test_what_lies_there_is_refused_and_nothing_waits_for_it(tmp_path: Path, setting: str, kind: str) -> None:
    if (setting, kind) in GOOD_ENOUGH:
        return
    path = tmp_path / "x"
    read = PATHS[setting](path)
    lay(kind, path)
    with without_rights(kind):
        assert "x" in in_time(read), "the complaint names the file"


@pytest.mark.parametrize("kind", KINDS)
async def test_what_a_registry_file_becomes_costs_nothing_that_was_read_of_it(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "x"
    path.write_text(GOOD)
    source = FileSource(path, lambda: None, poll=0.01)
    source.load()
    lay(kind, path)
    with without_rights(kind):
        await source.look()
    assert [problem.path for problem in source.catalog.problems] == [str(path)]
    assert "web" in source.catalog.services
    lay("a FIFO", path)
    path.unlink()
    path.write_text(GOOD.replace("web", "db"))
    await source.look()
    assert source.catalog.problems == ()
    assert "db" in source.catalog.services


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_zone_file_becomes_costs_nothing_that_was_read_of_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.zone"
    path.write_text(ZONE)
    folder = ZoneFolder(tmp_path)
    zones = folder.load().zones
    lay(kind, path)
    if kind == "a file without rights":
        return  # a folder without rights is another test's
    assert in_time(lambda: str(folder.changed())) == "True"
    assert "x.zone" in in_time(lambda: folder.load().problems[0].path)
    assert folder.loaded.zones == zones


@pytest.mark.parametrize("kind", KINDS)
def test_what_resolv_conf_becomes_is_told_once_and_its_upstreams_stay(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x"
    path.write_text("nameserver 10.0.0.53\n")
    settings = Settings(forward=("resolv.conf",))
    upstreams = Upstreams(settings, path, lambda: 0.0, random.Random(1), lambda: None)
    upstreams.configure(settings)
    lay(kind, path)
    with without_rights(kind):
        for _ in range(3):
            in_time(lambda: str(upstreams._look()))
        in_time(lambda: str(upstreams.configure(settings)))  # a reload
    assert [str(upstream.address) for upstream in upstreams.all] == ["10.0.0.53:53"]
    assert "can't be read" in caplog.text
    assert caplog.text.count("can't be read") <= 2, "by what looked, and by the reload"


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_key_becomes_is_not_waited_for_when_a_connection_is_made_anew(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kazoo reads the files again for each connection."""
    path = tmp_path / "x"
    path.write_bytes(certificate_authority())
    client, _ = open_client("127.0.0.1:1", ZooKeeperSettings(tls_ca=str(path)))
    lay(kind, path)
    with without_rights(kind):
        said = in_time(lambda: told(lambda: client.handler.create_connection(("127.0.0.1", 1), use_ssl=True)))
    assert "zookeeper.tls_ca" in said


def certificate_authority() -> bytes:
    import ssl

    (path,) = {ssl.get_default_verify_paths().cafile, "/etc/ssl/certs/ca-certificates.crt"} - {None}
    assert path is not None
    return Path(path).read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_the_name_of_a_segment_costs_no_other(tmp_path: Path, kind: str) -> None:
    if kind in ("a file without rights", "a file of a tebibyte"):
        return  # a segment that can't be read is an error, and told
    lay(kind, journal_files.SEGMENTS.path(tmp_path, 0.001))
    assert in_time(lambda: str(read_changes(tmp_path, Query()))) == str(
        read_changes(tmp_path / "no", Query())
    )


# --- a whole server ---------------------------------------------------------------------------------------


@contextmanager
def a_server(folder: Path) -> Iterator[tuple[Zkdns, dict[str, Path]]]:
    paths = {
        "config": folder / "c.toml", "registry": folder / "r.toml", "zones": folder / "zones" / "x.zone",
    }  # fmt: skip
    (folder / "zones").mkdir()
    restore(paths)
    flags = ("--config", str(paths["config"]), "--zones", str(folder / "zones"))
    with Zkdns(*flags, "--state", str(folder / "state"), registry=f"file:{paths['registry']}") as server:
        yield server, paths


def restore(paths: dict[str, Path]) -> None:
    for name, text in (("config", "ttl = 5\n"), ("registry", GOOD), ("zones", ZONE)):
        lay("a FIFO", paths[name])
        paths[name].unlink()
        paths[name].write_text(text)


def test_whatever_files_become_a_reload_says_so_and_the_server_goes_on(tmp_path: Path) -> None:
    with a_server(tmp_path) as (server, paths):

        def rows() -> set[str]:
            return {Path(row["path"]).name for row in server.json("/api/v1/problems")["problems"]}

        def reloaded() -> float:
            return server.metrics()["zkdns_config_reload_success"]

        for kind in KINDS:
            if kind == "a file without rights" and os.geteuid() == 0:
                continue
            for path in paths.values():
                lay(kind, path)
            server.process.send_signal(signal.SIGHUP)
            eventually(lambda: rows() == {"r.toml", "x.zone"}, 20)
            eventually(lambda: reloaded() == 0)
            assert server.answers("web.svc.local") == ["10.0.0.1"]
            assert server.answers("ns.x") == ["10.0.0.1"]
            restore(paths)
            server.process.send_signal(signal.SIGHUP)
            eventually(lambda: not rows(), 20)
            eventually(lambda: reloaded() == 1)


@pytest.mark.parametrize("setting", ["config", "registry", "state", "zones"])
def test_a_start_with_what_is_no_file_or_folder_ends_at_once(tmp_path: Path, setting: str) -> None:
    for kind in ("a FIFO", "an endless file", "a link to itself"):
        path = tmp_path / "x"
        lay(kind, path)
        good = tmp_path / "r.toml"
        good.write_text(GOOD)
        registry = path if setting == "registry" else good
        flags = [] if setting == "registry" else [f"--{setting}", str(path)]
        ran = run("serve", "--registry", f"file:{registry}", *flags, "--listen", "127.0.0.1:1", timeout=30)
        assert ran.code == 2
        assert str(path) in ran.err
        assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("kind", ["a FIFO", "an endless file", "a directory"])
def test_what_lies_in_the_state_directory_keeps_no_server_from_its_work(tmp_path: Path, kind: str) -> None:
    registry, folder = tmp_path / "r.toml", tmp_path / "state"
    registry.write_text(GOOD)
    folder.mkdir()
    segment = journal_files.SEGMENTS.path(folder, 0.001).name
    for name in (state.NAME, segment, "topology.zkdns"):
        lay(kind, folder / name)
    with Zkdns("--state", str(folder), registry=f"file:{registry}") as server:
        assert server.answers("web.svc.local") == ["10.0.0.1"]
        eventually(
            lambda: [c["service"] for c in server.json("/api/v1/history")["changes"]] == ["web", "web"]
        )
        eventually(lambda: len(read_changes(folder, Query()).changes) == 2)
        eventually(lambda: server.json("/api/v1/problems")["problems"] == [])
        eventually(lambda: state.load(folder).catalog is not None)
        assert (folder / f"{state.NAME}.aside-1").exists(), "what lay there is kept"
    assert run("history", "--state", str(folder)).code == 0
