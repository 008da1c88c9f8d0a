"""The programs that `zkdns register` runs: the one that it registers, and the one that vouches for it.

Rules: never through a shell. The program keeps its place: our terminal, our process group, its exit
code; the check leads a group of its own, so that its end takes its children along. The program ends with
us, however we end; as a container's first process we bury what others leave behind.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from zkdns.cli import Failure
from zkdns.cli.signals import Signals
from zkdns.health.processes import kill_group
from zkdns.lack import is_local_lack, reason

ENDING: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
PASSED_ON: Final = (
    signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGWINCH, signal.SIGCONT,
)  # fmt: skip
FROM_THE_TERMINAL: Final = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH, signal.SIGCONT})

PR_SET_PDEATHSIG: Final = 1
"""prctl(2): the signal that the kernel sends to a child when its parent ends."""

SECRETS: Final = ("ZKDNS_ZOOKEEPER_AUTH",)


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """What a program that we run may see: it is no business of its how we log in."""
    return {name: value for name, value in environment.items() if name not in SECRETS}


class Program:
    """A running program, started before any thread of ours is. `wait` hands each signal that we get to
    `before`, and then to it; once it ends, each is `linger` seconds late where it asks for the end."""

    def __init__(self, words: Sequence[str], signals: Signals) -> None:
        self._signals = signals
        try:
            self._process = subprocess.Popen(
                words,
                env=without_secrets(os.environ),
                preexec_fn=_end_with_parent(),
            )
        except OSError as error:
            raise Failure(f"can't run {words[0]}: {error.strerror}") from None
        graves.own(self._process.pid)

    def wait(self, before: Callable[[signal.Signals], None], linger: float = 0.0) -> int:
        """Its exit code, as a shell tells it: 128 and the signal for one that a signal ended."""
        while (code := self._process.poll()) is None:
            number = self._signals.wait()
            if number is None or number is signal.SIGCHLD:
                graves.dig()
                continue
            before(number)
            if number in ENDING and linger and not (number in FROM_THE_TERMINAL and _in_foreground()):
                self._linger(linger)
                linger = 0.0
            if not (number in FROM_THE_TERMINAL and _in_foreground()):
                self._process.send_signal(number)
        return 128 - code if code < 0 else code

    def _linger(self, seconds: float) -> None:
        """Until they are over, it ends by itself, or we are asked for the end once more."""
        deadline = self._signals.clock() + seconds
        while self._process.poll() is None:
            number = self._signals.wait(deadline - self._signals.clock())
            if number is None or number in ENDING:
                return
            if number is signal.SIGCHLD:
                graves.dig()
            else:
                self._process.send_signal(number)


def _end_with_parent() -> Callable[[], None] | None:
    """What the child does before it becomes the program: it asks for SIGTERM at our end (Linux)."""
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (AttributeError, OSError):  # macOS
        return None
    parent = os.getpid()

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:  # it ended in between
            os._exit(128 + signal.SIGTERM)

    return ask


class Graves:
    """Buries orphans that became our children (as process 1 of a container), and never what is waited for
    elsewhere: a Popen whose child somebody else waited for believes that it ended well."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._own: set[int] = set()

    def own(self, pid: int) -> None:
        self._own.add(pid)

    def dig(self) -> None:
        """Where we are process 1: orphans go to no one else."""
        if os.getpid() != 1:
            return
        with self.lock:
            for pid in _children(os.getpid()) - self._own:
                try:
                    os.waitpid(pid, os.WNOHANG)
                except OSError:
                    pass


def _children(parent: int) -> set[int]:
    children = set()
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():  # noqa: PTH112, PTH208
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", encoding="latin-1") as file:  # noqa: PTH123
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent:
                children.add(int(name))
    return children


graves = Graves()


def _in_foreground() -> bool:
    """Whether the terminal sends its signals to us and the program alike."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def wait_for_the_end(signals: Signals, before: Callable[[signal.Signals], None], linger: float) -> None:
    """Until a signal asks us to end; then `linger` seconds more, or until we are asked again."""
    _wait_for_ending(signals, None)
    before(signal.SIGTERM)
    if linger:
        _wait_for_ending(signals, linger)


def _wait_for_ending(signals: Signals, seconds: float | None) -> None:
    deadline = None if seconds is None else signals.clock() + seconds
    while True:
        number = signals.wait(None if deadline is None else deadline - signals.clock())
        if number is None or number in ENDING or number is signal.SIGHUP:
            return
        graves.dig()


class Lacking(Exception):
    """The command could not be run for want of what this machine lacks, as the text says."""


class TtlCheck:
    """Runs a command every `interval` seconds and tells whether it succeeded in that time; None where it
    could not be run for a lack of ours, which says nothing of whom it vouches for."""

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        interval: float,
        tell: Callable[[bool | None, str], None],
    ) -> None:
        self._words = words
        self._environment = {**without_secrets(os.environ), **environment}
        self._interval = interval
        self._told = tell
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._work, name="zkdns-ttl-check", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._kill()
        self._thread.join(1.0)

    def _work(self) -> None:
        while not self._stopping.is_set():
            good: bool | None
            try:
                why = self._run()
                good = not why
            except Lacking as lacking:
                good, why = None, str(lacking)
            if not self._stopping.is_set():
                self._told(good, why)
                self._stopping.wait(self._interval)

    def _run(self) -> str:
        """What is wrong, or ""; Lacking."""
        late = f"not done within {self._interval:g} s"
        if self._process is not None and not self._has_ended(self._process):
            return late  # it is another user's, by sudo, or waits for a disk: so would the next one
        try:
            with graves.lock:
                self._process = subprocess.Popen(
                    self._words,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,  # stdout is the program's own
                    start_new_session=True,
                )
                graves.own(self._process.pid)
        except (OSError, MemoryError) as error:
            if is_local_lack(error):
                raise Lacking(reason(error)) from error
            why = error.strerror if isinstance(error, OSError) else ""
            return f"can't run {self._words[0]}: {why}"
        try:
            code = self._process.wait(self._interval)
        except subprocess.TimeoutExpired:
            kill_group(self._process.pid)
            return late
        kill_group(self._process.pid)  # what it left behind: at each turn that would be more
        if code:
            return f"exit code {code}" if code > 0 else f"killed by signal {-code}"
        return ""

    def _has_ended(self, process: subprocess.Popen[bytes]) -> bool:
        try:
            process.wait(self._interval)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _kill(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            kill_group(process.pid)
