"""How the command line behaves whatever the command: version, help, failures, pipes, completion."""

from __future__ import annotations

import ast
import gc
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from support.server import Ran, run
from zkdns import __version__, cli
from zkdns.cli import commands
from zkdns.serve import native

ENGINES = ("native", "python (the native one was not built)")
"""As `--version` names them."""

FOUND = [
    path.stem
    for path in sorted(Path(cli.__file__).parent.glob("[a-z]*.py"))
    for node in ast.parse(path.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name == "command"
]
"""The files in zkdns/cli that define a command."""


def test_version_is_one_line_and_loads_no_command() -> None:
    ran = run("--version")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out in (f"zkdns {__version__}, engine {engine}\n" for engine in ENGINES)
    source = "import sys; from zkdns.cli import main\ntry: main(['--version'])\nfinally: print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", source], text=True).split()
    assert "click" in loaded
    assert not {"kazoo", "aiohttp", "dnslib", "rich", "asyncio", "zkdns.server"} & set(loaded)


def test_the_installed_program_is_the_module() -> None:
    program = Path(sys.executable).with_name("zkdns")
    assert subprocess.check_output([program, "--version"], text=True).startswith(f"zkdns {__version__}, ")


def test_version_tells_the_engine_that_this_install_has() -> None:
    without = "import sys; sys.modules['zkdns._native'] = None; from zkdns.cli import main; main()"
    told = subprocess.check_output([sys.executable, "-c", without, "--version"], text=True)
    assert told == f"zkdns {__version__}, engine {ENGINES[1]}\n"
    assert ("native," if native.WHY_NOT else "engine native") in run("--version").out


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("serv", "serve or services"), ("regsiter", "register"), ("orders", "serve, demo, register")],
)
def test_a_command_that_is_none_is_told_with_those_that_may_be_meant(typed: str, meant: str) -> None:
    run(typed).fails(2, typed, meant)


@pytest.mark.parametrize("name", FOUND)
def test_every_command_has_a_help_that_opens_with_a_sentence(name: str) -> None:
    ran = run(name, "--help")
    assert ran.code == 0, ran
    assert ran.out.startswith(f"Usage: zkdns {name}")
    assert len(ran.out.split("\n\n")[1].strip()) > 15, ran


def test_help_names_every_command_and_each_has_its_file() -> None:
    assert set(FOUND) <= set(cli.COMMANDS)
    listed = re.findall(r"^  ([a-z]+)  ", run("--help").out.partition("Commands:")[2], re.MULTILINE)
    assert listed == [name for name in cli.COMMANDS if name in FOUND]
    assert "serve" in listed


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["serv"], ["serv", "--help"]),
        (["--bogus"], ["--bogus"]),
        (["serve", "--bogus"], ["--bogus", "zkdns serve"]),
        (["serve", "extra"], ["extra"]),
        (["serve", "--ttl", "soon"], ["--ttl", "soon"]),
        (["serve", "--listen", "nowhere"], ["--listen", "nowhere"]),
        (["serve", "--registry", "http://x/"], ["--registry", "http://x/"]),
        (["serve", "--registry", "zk://127.0.0.1:2181/s?format=x"], ["--registry", "'x'"]),
        (["serve", "--config", "/no/such.toml"], ["/no/such.toml", "No such file"]),
        (["serve", "--engine", "steam"], ["--engine", "steam"]),
        (["serve", "--ttl"], ["--ttl"]),
        (["completion", "tcsh"], ["tcsh", "bash"]),
        (["demo", "--for", "-1"], ["--for", "-1"]),
        (["weight", "a", "x"], ["'a'", "SERVICE/ID", "zkdns instances SERVICE"]),
        (["weight", "web/a", "x"], ["'x'", "whole number from 0 to 65535"]),
        (["weight", "web/a", "70000"], ["70000", "0 to 65535"]),
        (["serve", "--advertise", "0.0.0.0"], ["--advertise", "0.0.0.0"]),
        (["serve", "--advertise", "here"], ["--advertise", "here", "ADDR[:PORT]"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_wrong_usage_is_one_line_that_names_it_and_exit_code_2(words: list[str], named: list[str]) -> None:
    run(*words).fails(2, *named)


def test_a_wrong_environment_variable_is_named() -> None:
    run("serve", env={"ZKDNS_REGISTRY": "zk:/typo"}).fails(2, "ZKDNS_REGISTRY", "zk:/typo")


def test_a_wrong_settings_file_is_named_with_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "zkdns.toml"
    path.write_text("tttl = 5\n")
    run("serve", "--config", str(path)).fails(2, str(path), "tttl")
    path.write_text("ttl = \n")
    run("serve", "--config", str(path)).fails(2, str(path), "line 1")


def test_without_a_command_the_help_is_shown_as_wrong_usage() -> None:
    ran = run()
    assert ran.code == 2
    assert "Usage: zkdns" in ran.err


# --- one command that fails as it is told, run by the real main ----------------------------------


SOURCE = """
import sys, os, click
from zkdns import cli
from zkdns.cli import Failure
from zkdns.model import ConfigError
@cli.commands.command("fail")
def fail():
    {body}
cli.COMMANDS = ("fail",)
cli.Commands.get_command = click.Group.get_command
cli.main(["fail"])
"""


def fail(body: str, **env: str) -> Ran:
    done = subprocess.run(
        [sys.executable, "-c", SOURCE.format(body=body)],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        timeout=60,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("raise Failure('ZooKeeper at 127.0.0.1:1 is out of reach')", 1, "127.0.0.1:1 is out of reach"),
        ("raise ConfigError('--zone', 'is no name')", 2, "--zone: is no name"),
        ("open('/no/such/file')", 1, "/no/such/file: No such file"),
        ("raise ValueError('one\\ntwo')", 1, "ValueError: one two"),
        ("click.get_current_context().exit(1)", 1, ""),
        ("raise click.UsageError('what?')", 2, "what?"),
    ],
)
def test_a_failure_is_one_line_and_its_exit_code(body: str, code: int, said: str) -> None:
    ran = fail(body)
    assert ran.code == code, ran
    assert said in ran.err
    assert len(ran.err.splitlines()) == bool(said), ran


def test_debugging_shows_where_it_failed() -> None:
    ran = fail("raise ValueError('x')", ZKDNS_DEBUG="1")
    assert "Traceback" in ran.err
    assert ran.code == 1


def test_ctrl_c_is_quiet_and_exit_code_130() -> None:
    ran = fail("os.kill(os.getpid(), 2); import time; time.sleep(30)")
    assert ran.code == 130, ran
    assert ran.err.strip() == ""


@pytest.mark.parametrize(
    "body", ["print('x' * 300000)", "[click.echo('x' * 99) for _ in range(9999)]", "print(1)"]
)
def test_a_closed_pipe_is_met_in_silence(body: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SOURCE.format(body=f"sys.stdin.read(); {body}")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stdin is not None
    process.stdin.close()
    assert process.stderr is not None
    with process.stderr as errors:
        assert errors.read() == b""
    assert process.wait(60) == 1


def test_what_an_encoding_can_not_spell_is_escaped() -> None:
    ran = fail("print('s\u00fc\u00df'); raise Failure('\u00fc')", PYTHONIOENCODING="ascii")
    assert (ran.out, ran.err) == ("s\\xfc\\xdf\n", "zkdns: \\xfc\n")


def test_streams_that_are_closed_are_no_failure() -> None:
    body = "print(1, file=sys.stderr); print(1); os.write(3, b'%d %d' % (sys.stdout.fileno(), os.dup(0)))"
    shell = '"$0" -c "$1" 3>&1 <&- >&- 2>&-'
    command = ["sh", "-c", shell, sys.executable, SOURCE.format(body=body)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "1 4"), "nothing else was opened as 0, 1 or 2"


# --- completion ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_printed(shell: str) -> None:
    ran = run("completion", shell)
    assert ran.code == 0
    assert "_ZKDNS_COMPLETE" in ran.out


def test_bash_completes_commands_and_flags() -> None:
    assert shutil.which("bash")
    script = (
        f'PATH="{Path(sys.executable).parent}:$PATH"; {run("completion", "bash").out}\n'
        "COMP_WORDS=(zkdns se); COMP_CWORD=1; _zkdns_completion zkdns; echo ${COMPREPLY[@]}\n"
        "COMPREPLY=(); COMP_WORDS=(zkdns serve --eng); "
        "COMP_CWORD=2; _zkdns_completion zkdns; echo ${COMPREPLY[@]}\n"
    )
    said = subprocess.check_output(["bash", "-c", script], text=True, timeout=60).splitlines()
    assert said[0].split()[0] == "serve"
    assert said[1] == "--engine"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("instances REGISTRY w", ["web"]),
        ("instances REGISTRY ", ["db", "web"]),
        ("watch REGISTRY d", ["db"]),
        ("drain REGISTRY w", ["web/"]),
        ("drain REGISTRY web/", ["web/a", "web/b"]),
        ("weight REGISTRY web/b", ["web/b"]),
        ("undrain REGISTRY nope/", []),
        ("explain REGISTRY we", ["web.svc.local"]),
    ],
)
def test_services_and_instances_are_completed(
    words: str, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "services.toml"
    rows = (("web", "a"), ("web", "b"), ("db", "main"))
    file.write_text("".join(f'[[{s}.instances]]\nid = "{id}"\naddress = "10.0.0.1"\n' for s, id in rows))
    assert complete(words.replace("REGISTRY", f"--registry file:{file}"), monkeypatch) == found


@pytest.mark.parametrize(
    "name",
    [
        "web$(reboot)", "web`reboot`", "web;reboot", "web|sh", "web&", "web>file", "web*", "web?", "web[a]",
        "web{a,b}", "web a", "web'", 'web"', "web\\", "web!1", "web#", "web~", "web^x", "web=(", "web\t",
        "web\n",
    ],
)  # fmt: skip
def test_nothing_that_means_something_to_a_shell_is_completed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would stand on the command line as it was registered."""
    file = tmp_path / "services.toml"
    rows = ((name, "a"), ("--web", "a"), ("web.é_1", name), ("web.é_1", "10.0.0.1:80%2Fx@dc2,1"))
    file.write_text(
        "".join(
            f"[[{json.dumps(s)}.instances]]\nid = {json.dumps(id)}\naddress = '10.0.0.1'\n" for s, id in rows
        )
    )
    assert complete(f"instances --registry file:{file} ", monkeypatch) == ["web.é_1"]
    found = complete(f"drain --registry file:{file} web.é_1/", monkeypatch)
    assert found == ["web.é_1/10.0.0.1:80%2Fx@dc2,1"]


def test_a_registry_that_is_not_there_completes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete("instances --registry file:/nowhere ", monkeypatch) == []


def complete(words: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What bash is told of these words."""
    monkeypatch.setenv("COMP_WORDS", f"zkdns {words}")
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ") + 1))
    monkeypatch.setenv("_ZKDNS_COMPLETE", "bash_complete")
    done = run()
    assert done.err == ""
    return [line.removeprefix("plain,") for line in done.out.split()]


def test_a_command_that_is_not_there_is_not_made_up() -> None:
    assert commands.get_command(click.Context(commands), "options") is None


def test_what_a_command_imports_is_never_walked_by_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as it may look again it would: a tenth of the time that a start takes."""
    imported: list[list[int]] = []
    monkeypatch.setattr(importlib, "import_module", lambda name: imported.extend([n] for n in range(10_000)))
    gc.unfreeze()
    try:
        cli._load("zkdns.cli.serve")
        assert gc.get_freeze_count() >= len(imported)
        assert gc.isenabled()
    finally:
        gc.unfreeze()


HUNG_UP = """
import os, signal, sys
from zkdns import cli
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as it is, unless nohup(1) runs us
load = cli._load
def hang_up(module):
    os.kill(os.getpid(), signal.SIGHUP)
    return load(module)
cli._load = hang_up
cli.main(sys.argv[1:])
"""


def test_a_hangup_while_a_server_is_imported_has_it_read_its_settings_again(tmp_path: Path) -> None:
    """It ended the start, silently: who deploys writes a file and sends it, be the server up or not."""
    registry = tmp_path / "registry.toml"
    registry.write_text("")
    serve = (
        sys.executable,
        "-c",
        HUNG_UP,
        "serve",
        "--registry",
        f"file:{registry}",
        "--listen",
        "127.0.0.1:0",
        "--http",
        "",
    )
    with subprocess.Popen(serve, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            assert any("reload: done" in line for line in server.stderr)
        finally:
            server.terminate()
            server.stderr.read()
    assert server.returncode == 0


def test_a_hangup_ends_other_commands() -> None:
    ran = subprocess.run([sys.executable, "-c", HUNG_UP, "check"], capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (-signal.SIGHUP, b"")
