"""The programs that `zkdns register` runs: the one that it registers, and the one that vouches for it.

Rules: never through a shell. The program keeps its place: our terminal, our process group, its exit
code; the check leads a group of its own, so that its end takes its children along.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from typing import Final

from zkdns.cli import Failure

ENDING: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
PASSED_ON: Final = (
    signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGWINCH, signal.SIGCONT,
)  # fmt: skip
FROM_THE_TERMINAL: Final = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH, signal.SIGCONT})


SECRETS: Final = ("ZKDNS_ZOOKEEPER_AUTH",)


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """What a program that we run may see: it is no business of its how we log in."""
    return {name: value for name, value in environment.items() if name not in SECRETS}


class Program:
    """A running program. `wait` hands each signal that we get to `before`, and then to it."""

    def __init__(self, words: Sequence[str]) -> None:
        self._notes: SimpleQueue[signal.Signals | None] = SimpleQueue()
        # SimpleQueue.put may be called from a signal's handler (its documentation says so).
        for number in PASSED_ON:
            signal.signal(number, lambda n, frame: self._notes.put(signal.Signals(n)))
        try:
            self._process = subprocess.Popen(words, env=without_secrets(os.environ))
        except OSError as error:
            raise Failure(f"can't run {words[0]}: {error.strerror}") from None
        threading.Thread(target=self._wait, name="zkdns-program", daemon=True).start()

    def wait(self, before: Callable[[signal.Signals], None]) -> int:
        """Its exit code, as a shell tells it: 128 and the signal for one that a signal ended."""
        while (number := self._notes.get()) is not None:
            before(number)
            if not (number in FROM_THE_TERMINAL and _in_foreground()):
                self._process.send_signal(number)
        code = self._process.wait()
        return 128 - code if code < 0 else code

    def _wait(self) -> None:
        self._process.wait()
        self._notes.put(None)


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


def wait_for_the_end() -> None:
    """Until a signal asks us to end."""
    asked: SimpleQueue[int] = SimpleQueue()
    for number in ENDING | {signal.SIGHUP}:
        signal.signal(number, lambda n, frame: asked.put(n))
    asked.get()


class TtlCheck:
    """Runs a command every `interval` seconds and tells whether it succeeded in that time."""

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        interval: float,
        told: Callable[[bool, str], None],
    ) -> None:
        self._words = words
        self._environment = {**without_secrets(os.environ), **environment}
        self._interval = interval
        self._told = told
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
            why = self._run()
            if not self._stopping.is_set():
                self._told(not why, why)
                self._stopping.wait(self._interval)

    def _run(self) -> str:
        """What is wrong, or ""."""
        try:
            self._process = subprocess.Popen(
                self._words,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # stdout is the program's own
                start_new_session=True,
            )
        except OSError as error:
            return f"can't run {self._words[0]}: {error.strerror}"
        try:
            code = self._process.wait(self._interval)
        except subprocess.TimeoutExpired:
            self._kill()
            self._process.wait()
            return f"not done within {self._interval:g} s"
        if code:
            return f"exit code {code}" if code > 0 else f"killed by signal {-code}"
        return ""

    def _kill(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except OSError:
                pass
