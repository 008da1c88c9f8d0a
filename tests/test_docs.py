"""What README.md and docs/ say is true: examples are run, tables are compared with the code."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields
from pathlib import Path

import click
import pytest
import yaml

from support import zookeeper as real
from support.documents import DOCUMENTS, WORDS, Block, Session, all_blocks, blocks, find, fits, rows, slug
from support.ports import free_port
from support.server import REPOSITORY, Zkdns, serving
from support.waiting import eventually
from zkdns import config
from zkdns.cli import COMMANDS, commands
from zkdns.cli.route import THEN
from zkdns.config import RESTART_ONLY
from zkdns.dns import ede
from zkdns.registry import file, formats
from zkdns.registry import settings as service_settings
from zkdns.registry.access import ZooKeeperSettings

BLOCKS = all_blocks()
NAMES = [path.name for path in DOCUMENTS]


def of_kind(kind: str) -> list[Block]:
    return [block for block in BLOCKS if block.kind == kind]


def test_there_are_documents_and_examples_in_them() -> None:
    assert {"README.md", "clients.md", "formats.md", "operations.md", "scaling.md", "security.md"} <= set(
        NAMES
    )
    assert sum(block.language == "console" and block.kind != "not run" for block in BLOCKS) > 5


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_each_block_is_run_or_checked_or_marked_as_not_run(block: Block) -> None:
    if block.kind == "not run":
        assert block.about, "say why"
        return
    known = {"file", "payload", "service", "settings", "check", "run", "node"}
    assert block.kind in known or block.language in ("console", "text"), "neither run nor marked"


@pytest.mark.zookeeper
@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_the_commands_of_a_document_print_what_it_shows(path: Path, tmp_path: Path) -> None:
    real.demand()
    with Session(tmp_path) as session:
        for block in blocks(path):
            session.play(block)


def test_what_is_printed_fits_only_what_is_shown() -> None:
    assert fits("a ... c\n...\nend\n", "a b c\n1\n2\nend\n")
    assert fits(";; id: 7\n", ";;  id: 65000\n")
    assert not fits("a\n", "a\nb\n")
    assert not fits("192.0.2.1\n", "192.0.2.2\n")
    assert not fits("...\nend\n", "end\nmore\n")


# --- names of flags, commands and settings ------------------------------------------------------------


def command_named(name: str) -> click.Command:
    command = commands.get_command(click.Context(commands), name)
    assert command is not None, f"there is no command `zkdns {name}`"
    return command


def flags_of(name: str) -> set[str]:
    return {flag for p in command_named(name).params for flag in (*p.opts, *p.secondary_opts)} | {"--help"}


def spoken() -> Iterator[tuple[str, str]]:
    """Each piece of code in the documents: where it stands, and the code."""
    for block in BLOCKS:
        for line in block.text.replace("\\\n", " ").splitlines():
            yield str(block), line.removeprefix("$ ").strip()
    for path, text in WORDS.items():
        for code in re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)):
            yield path.name, code


def test_each_command_and_flag_that_is_named_exists() -> None:
    existing = set().union(
        *(flags_of(name) for name in COMMANDS if commands.get_command(click.Context(commands), name))
    )
    existing |= {"--version", "--help"}
    seen = 0
    for where, code in spoken():
        if found := re.match(r"(?:\.venv/bin/)?zkdns (\w+)( .*)?$", code):
            known = flags_of(found[1])
            named = re.findall(r"(?:^|[\s\[])(--[a-z][a-z-]*)", (found[2] or "").partition(" -- ")[0])
        elif code.startswith("--"):
            known, named = existing, [re.split(r"[ =]", code)[0]]
        else:
            continue
        seen += 1
        known = known | {THEN}  # it stands between arguments, and is no option
        assert set(named) <= known, f"{where}: {code}"
    assert seen > 20


@pytest.mark.parametrize(
    "block", [b for b in of_kind("not run") if re.search(r"^zkdns serve", b.text, re.M)], ids=str
)
def test_a_server_command_that_is_not_run_is_understood(block: Block) -> None:
    for line in block.text.replace("\\\n", " ").splitlines():
        if line.startswith("zkdns serve"):
            words = shlex.split(line.removesuffix("&"), comments=True)[2:]
            config.load(command_named("serve").make_context("serve", words).params, environ={})


OPERATIONS = REPOSITORY / "docs/operations.md"


def spell(value: object) -> str:
    """A default as the table says it."""
    if value in ((), "", None, 0, 0.0, False):
        return ""
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


SETTINGS = [one for one in fields(config.Settings) if one.name != "file"]
"""All but where they stand."""


def test_the_table_of_settings_has_each_setting_its_flag_and_its_default() -> None:
    told = {row[0]: row[1:] for row in rows(OPERATIONS, "Every setting")}
    serving = flags_of("serve")
    expected = {}
    for one in SETTINGS:
        if one.name != "zookeeper":
            flag = "--" + one.name.replace("_", "-")
            default = (
                config.DEFAULT_REGISTRY
                if one.name == "registry"
                else spell(() if one.default is MISSING else one.default)
            )
            expected[one.name] = [flag if flag in serving else "", default]
    for one in fields(ZooKeeperSettings):
        expected[f"zookeeper.{one.name}"] = ["", spell(one.default)]
    assert {name: row[:2] for name, row in told.items()} == expected
    assert all(len(row) == 3 and row[2] for row in told.values())


def test_the_settings_that_a_reload_is_said_to_change_are_those() -> None:
    (row,) = (cells for cells in rows(OPERATIONS, "Signals") if "SIGHUP" in cells[0])
    told = set(re.findall(r"`([a-z_]+)`", row[1].partition("change at once")[0]))
    assert told == {one.name for one in SETTINGS} - set(RESTART_ONLY)


@pytest.mark.parametrize("block", of_kind("settings"), ids=str)
def test_a_settings_file_is_read(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "zkdns.toml"
    path.write_text(block.text)
    settings = config.load({"config": str(path)}, environ={})
    assert settings != config.load({}, environ={})


def test_the_table_of_errors_has_each_code_that_is_sent() -> None:
    told = {int(row[0].split("`")[0]) for row in rows(OPERATIONS, "Extended DNS Errors")}
    codes = {
        value
        for name, value in vars(ede).items()
        if name.isupper() and not name.startswith(("MIN_", "MAX_")) and isinstance(value, int)
    }
    assert told == codes


@pytest.mark.zookeeper
def test_the_table_of_metrics_has_each_one_that_a_server_gives(
    serve: Callable[..., Zkdns], zookeeper: real.ZooKeeperServer, zk_root: str
) -> None:
    server = serve("--forward", "127.0.0.1:9", registry=f"zk://{zookeeper.hosts}{zk_root}")
    told = {row[0] for row in rows(OPERATIONS, "Metrics")}

    def given() -> set[str]:
        return set(re.findall(r"^# TYPE (zkdns_\w+)", server.http("/metrics")[1], re.M))

    eventually(lambda: "zkdns_replica_lag_seconds" in given())
    assert given() == told


# --- formats ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [*of_kind("payload"), *of_kind("node")], ids=str)
def test_a_payload_is_read_as_the_format_that_it_is_shown_for(block: Block) -> None:
    name, _, status = block.about.partition(" ")
    if block.kind == "node":
        node = formats.Node(block.text.strip(), b"")
    else:
        node = formats.Node("a", block.text.strip().encode())
    registration = formats.named(name).parse(node)
    assert registration.format == name
    assert formats.named("auto").parse(node) == registration
    assert registration.addresses or registration.host
    assert registration.port
    assert registration.status == (status or "up")


def test_each_format_has_a_payload() -> None:
    shown = {block.about.split()[0] for block in [*of_kind("payload"), *of_kind("node")]}
    assert shown == set(formats.names()) - {"auto"}


@pytest.mark.parametrize("block", of_kind("service"), ids=str)
def test_the_settings_of_a_service_are_read_without_a_complaint(block: Block) -> None:
    _, wrong, _ = service_settings.read("auto", block.text.encode())
    assert not wrong
    json.loads(block.text)


@pytest.mark.parametrize(
    "block", [b for b in of_kind("file") if "instances" in b.text and "wrong" not in b.about], ids=str
)
def test_a_registry_file_is_read_without_a_complaint(block: Block) -> None:
    catalog = file.parse(block.text.encode(), 0.0, block.about)
    assert catalog.services
    assert not catalog.problems


# --- links ----------------------------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", path.read_text(), re.M)}


@pytest.mark.parametrize(
    "path",
    [*DOCUMENTS, REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "CHANGELOG.md"],
    ids=lambda path: path.name,
)
def test_each_link_within_the_repository_leads_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if link.startswith(("http://", "https://")):
            continue
        target, _, anchor = link.partition("#")
        there = (path.parent / target).resolve() if target else path
        assert there.exists(), link
        if anchor:
            assert anchor in anchors(there), link


# --- other programs' settings -----------------------------------------------------------------------

PACKAGES = {
    "haproxy": "haproxy",
    "nginx": "nginx-light",
    "dnsmasq": "dnsmasq-base",
    "unbound": "unbound",
    "unbound-checkconf": "unbound",
    "promtool": "prometheus",
}


CHECKS = set(PACKAGES) - {"unbound"}


def demand(program: str) -> str:
    """The program. Without it the test fails in CI, where the Makefile installs it, and is skipped else."""
    found = find(program)
    if found is None:
        line = f"no {program} here: apt-get install {PACKAGES[program]}"
        pytest.fail(line) if os.environ.get("CI") else pytest.skip(line)
    return found


def check(program: str, path: Path) -> list[str]:
    where = demand(program)
    return {
        "haproxy": [where, "-c", "-f", str(path)],
        "nginx": [
            where,
            "-t",
            "-e",
            "stderr",
            "-p",
            str(path.parent),
            "-c",
            str(path),
            "-g",
            f"pid {path.parent}/pid;",
        ],
        "dnsmasq": [where, "--test", "-C", str(path)],
        "unbound-checkconf": [where, str(path)],
        "promtool": [where, "check", "config", str(path)],
    }[program]


@pytest.mark.parametrize("block", of_kind("check"), ids=str)
def test_a_program_s_own_check_takes_the_settings_that_we_show(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "settings"
    path.write_text(("events {}\n" if block.about == "nginx" else "") + block.text)
    done = subprocess.run(check(block.about, path), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_checks_know_a_wrong_setting(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    path.write_text("this is no setting {{{\n")
    for program in CHECKS:
        if find(program) or os.environ.get("CI"):
            assert subprocess.run(check(program, path), capture_output=True, timeout=60).returncode, program


def test_each_program_that_checks_is_installed_by_the_makefile() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    assert {block.about for block in of_kind("check")} == set(CHECKS)
    for package in PACKAGES.values():
        assert re.search(rf"\b{package}\b", makefile), package


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language in ("yaml", "toml", "json")], ids=str)
def test_a_file_for_others_is_well_formed(block: Block) -> None:
    read = {"yaml": yaml.safe_load, "toml": tomllib.loads, "json": json.loads}[block.language]
    assert read(block.text)


# --- other programs, alive ------------------------------------------------------------------------------

REGISTRY = """[web]
srv_scale = 256
answers = 40
""" + "".join(
    f"""[[web.instances]]
id = "instance-{n}"
address = "10.0.0.{n}"
port = 8080
weight = {10 if n % 2 else 30}
"""
    for n in range(1, 41)
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zkdns]:
    with serving(REGISTRY, tmp_path_factory.mktemp("registry")) as running:
        yield running


@contextmanager
def started(
    program: str, folder: Path, port: int, server: Zkdns, *, first: str = "", last: str = ""
) -> Iterator[None]:
    """The program with the settings of clients.md, where zkdns is at `server` and it listens on `port`."""
    where = demand(program)
    (block,) = (b for b in of_kind("check") if b.about == program.replace("unbound", "unbound-checkconf"))
    text = first + block.text.replace("5300", str(server.port)).replace("8080\n", f"{port}\n") + last
    path = folder / "settings"
    path.write_text(text)
    command = {
        "haproxy": [where, "-db", "-f", str(path)],
        "unbound": [where, "-d", "-c", str(path)],
        "dnsmasq": [where, "-k", "-C", str(path)],
    }[program]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)
        print((folder / "log").read_text(errors="replace"))


@pytest.mark.parametrize("program", ["unbound", "dnsmasq"])
def test_a_resolver_with_our_settings_finds_services(program: str, server: Zkdns, tmp_path: Path) -> None:
    port = free_port()
    more = {
        "unbound": f"""server:
    interface: 127.0.0.1
    port: {port}
    username: ""
    chroot: ""
    directory: "{tmp_path}"
    pidfile: ""
    use-syslog: no
    private-address: 10.0.0.0/8
    module-config: "validator iterator"
""",
        "dnsmasq": f"""port={port}
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
stop-dns-rebind
user=
pid-file=
""",
    }[program]

    def asked(*words: str) -> list[str]:
        command = ["dig", "@127.0.0.1", "-p", str(port), "+short", "+tries=1", "+time=2", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout.splitlines()

    with started(program, tmp_path, port, server, last=more):
        everyone = {f"10.0.0.{n}" for n in range(1, 41)}
        eventually(lambda: set(asked("web.svc.local")) == everyone)
        assert len(asked("_web._tcp.svc.local", "SRV")) == 40
        if program == "dnsmasq":
            assert asked("-x", "10.0.0.7") == ["instance-7.web.svc.local."]


def test_haproxy_with_our_settings_has_every_instance_with_its_weight(server: Zkdns, tmp_path: Path) -> None:
    port, control = free_port(), tmp_path / "control"
    with started("haproxy", tmp_path, port, server, first=f"global\n    stats socket {control}\n"):

        def slots() -> dict[str, str]:
            with socket.socket(socket.AF_UNIX) as connection:
                try:
                    connection.connect(str(control))
                except OSError:
                    return {}
                connection.sendall(b"show servers state web\n")
                said = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
            cells = [line.split() for line in said.splitlines()[2:] if line.strip()]
            return {row[4]: row[7] for row in cells if row[4] != "-"}

        taken = eventually(lambda: found if len(found := slots()) == 20 else {}, 60)
        assert all(
            weight == ("10" if int(address.split(".")[-1]) % 2 else "30") for address, weight in taken.items()
        )


def test_each_path_that_the_guide_for_contributors_names_is_there() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    _, _, table = text.partition("## Where things are\n")
    named = re.findall(r"`((?:zkdns|tests|bench)/[\w/.]*)`", table.partition("\n## ")[0])
    assert len(named) > 20
    named += [path for path in re.findall(r"`((?:zkdns|tests|bench)/[\w/.]*)`", text) if "NAME" not in path]
    assert not [path for path in named if not (REPOSITORY / path).exists()]
