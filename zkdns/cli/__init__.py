"""The command line: one file a command, and one way to fail.

Rules: a mistake or a failure is one line on stderr that names what is wrong, never a traceback
(ZKDNS_DEBUG=1 shows it). Exit codes: 0 done; 1 failed at run time; 2 wrong usage or settings;
130 ended by Ctrl-C. A command is imported when it is called, so that the others cost it nothing.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any, NoReturn

import click

from zkdns import __version__
from zkdns.lack import is_local_lack, reason
from zkdns.model import ConfigError, ListenError
from zkdns.printable import printable

COMMANDS = (
    "serve",
    "demo",
    "register",
    "services",
    "instances",
    "watch",
    "explain",
    "history",
    "clients",
    "asks",
    "drain",
    "undrain",
    "weight",
    "route",
    "check",
    "replicas",
    "discover",
    "completion",
)
"""In the order of the help. Each one is `command` in the file of its name."""


class Failure(click.ClickException):
    """The command could not do what it was asked to do: one line, exit code 1."""

    exit_code = 1


class Commands(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = f"{__name__}.{cmd_name}"
        try:
            command: click.Command = _load(module).command
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            return None
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; a name that is none is told with those that are meant, perhaps."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib  # what is right needs none

            near = difflib.get_close_matches(args[0], COMMANDS, 3, 0.6)
            near += [name for name in COMMANDS if name.startswith(args[0]) and name not in near]
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(COMMANDS)}"
            ctx.fail(f"no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)


def _load(module: str) -> Any:
    """Import it. What comes by that stays for good: the collector would walk it again and again, a tenth of
    all the time that it takes, and all of it at once as soon as it may again."""
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        gc.freeze()
        gc.enable()


def _version(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        engine = "native" if _has_engine() else "python (the native one was not built)"
        click.echo(f"zkdns {__version__}, engine {engine}")
        ctx.exit()


def _has_engine() -> bool:
    """Whether the compiled engine is there and loads. Found first: what is not there costs no traceback."""
    if importlib.util.find_spec("zkdns._native") is None:
        return False
    try:
        importlib.import_module("zkdns._native")
    except ImportError:
        return False
    return True


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version,
    help="Show the version and the engine that this install has, and exit.",
)  # fmt: skip
def commands() -> None:
    """Makes what is registered in ZooKeeper resolvable by any program, through DNS."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit."""
    _mend_streams()
    if [*(sys.argv[1:] if args is None else args)][:1] == ["serve"]:
        _keep_hangups()
    code, line = _run(args)
    if line:
        try:
            print(line, file=sys.stderr, flush=True)
        except OSError:
            pass
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = _leave_the_pipe()
    sys.exit(code)


def _keep_hangups() -> None:
    """SIGHUP has a server read its settings again, and would end it before it says so: the kernel keeps one
    that comes while it is imported."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def _mend_streams() -> None:
    """What was closed before we began (`>&-`) goes nowhere, and nothing else is opened in its place; what an
    encoding can't spell is escaped."""
    for name in ("stdin", "stdout", "stderr"):  # in the order of their descriptors
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: PTH123, SIM115
        elif name != "stdin" and isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run(args: Sequence[str] | None) -> tuple[int, str]:
    """The exit code, and the line to leave behind."""
    try:
        result = commands.main(args, prog_name="zkdns", standalone_mode=False)
        return (result if isinstance(result, int) else 0), ""
    except (click.Abort, KeyboardInterrupt):
        return 130, ""
    except BrokenPipeError:
        return _leave_the_pipe(), ""
    except Exception as error:
        if os.environ.get("ZKDNS_DEBUG"):
            traceback.print_exc()
        return _explain(error, sys.argv[1:] if args is None else args)


def _explain(error: Exception, args: Sequence[str]) -> tuple[int, str]:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return 2, error.format_message()
    if isinstance(error, click.ClickException):
        path = f"zkdns {args[0]}" if args and args[0] in COMMANDS else "zkdns"
        path = path if isinstance(error, click.UsageError) else "zkdns"
        help = f" (see {path} --help)" if isinstance(error, click.UsageError) else ""
        return error.exit_code, f"{path}: {_one_line(error.format_message())}{help}"
    if isinstance(error, ConfigError):
        return (1 if isinstance(error, ListenError) else 2), f"zkdns: {_one_line(str(error))}"
    if type(error).__module__.startswith("zkdns."):  # our own errors are written for people
        return 1, f"zkdns: {_one_line(str(error))}"
    if isinstance(error, UnicodeEncodeError) and (word := _no_text(args)):
        encoding = sys.getfilesystemencoding()
        return 2, f"zkdns: {word!r} is no text in {encoding}, the encoding of this locale"
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return 1, f"zkdns: {where}{_one_line(error.strerror)}"
    if is_local_lack(error):
        return 1, f"zkdns: {reason(error)}"
    fault = _one_line(f"{type(error).__name__}: {error}")
    return 1, f"zkdns: a fault of its own: {fault} (ZKDNS_DEBUG=1 shows where)"


def _no_text(args: Sequence[str]) -> str:
    """The first argument with bytes that the locale's encoding doesn't know, "" where there is none: such are
    kept as surrogates (PEP 383), may name a file, and stand in nothing that is sent."""
    for word in args:
        try:
            word.encode()
        except UnicodeEncodeError:
            return word
    return ""


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))


def _leave_the_pipe() -> int:
    """Whoever read our output has gone. What is still in the buffer must go nowhere, or Python
    complains of it at exit (Python's own advice, library/signal, "Note on SIGPIPE")."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
