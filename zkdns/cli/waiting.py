"""What a person at a terminal is told while a command takes its time: a bar, once a second has passed.

Rules: on stderr, and only where that is a terminal; gone before the result is printed. A phase that
holds up the loop (a large file is parsed) is told by a thread of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from zkdns.cli import show
from zkdns.model import Children, Data, Event

T = TypeVar("T")

SOON: Final = 1.0
"""Seconds after which something is told."""

STEPS: Final = 200
"""How often a bar moves at most: a step costs more than compiling a small service."""


class Phase:
    """One thing that is waited for."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def tell(self, what: str, done: float | None = None) -> None:
        """`done`: how much of it, 0 to 1; None where nobody knows."""
        total = None if done is None else 1.0
        self._progress.update(self._task, description=what, completed=done or 0.0, total=total)

    def complain(self, what: str, why: str) -> None:
        """What is waited for, and why it is not there: at a terminal alone."""
        self._progress.update(self._task, description=show.clean(f"{what}: {why}"))


class Waiting:
    """Begins with the command."""

    def __init__(self) -> None:
        self._console = show.open_console(stderr=True)
        self._soon = time.monotonic() + SOON

    @contextmanager
    def phase(self, what: str) -> Iterator[Phase]:
        """Something that may take long."""
        progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        phase = Phase(progress, progress.add_task(what, total=None))
        if not self._console.is_terminal or self._console.is_dumb_terminal:
            yield phase
            return
        starting = threading.Timer(max(0.0, self._soon - time.monotonic()), progress.start)
        starting.daemon = True
        starting.start()
        try:
            yield phase
        finally:
            starting.cancel()
            starting.join()
            progress.stop()

    def each(self, every: Sequence[T], what: str) -> Iterator[T]:
        """The same, one by one."""
        step = max(1, len(every) // STEPS)
        with self.phase(what) as phase:
            for n, one in enumerate(every):
                if not n % step:
                    phase.tell(f"{what}: {n:,} of {len(every):,}", n / len(every))
                yield one


class Headway:
    """How much of a registry was read, guessed from what came: of the services that are listed, how many
    have told their instances, and of these how many were read; whichever is less."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._services = 0
        self._listed = 0
        self._known = 0
        self.read = 0

    def take(self, root: str, events: Sequence[Event]) -> None:
        if root != self._root:
            return
        for event in events:
            if isinstance(event, Children):
                self._known += len(event.names)
                if event.path == self._root:
                    self._services = len(event.names)
                else:
                    self._listed += 1
            elif isinstance(event, Data) and event.path != self._root:
                self.read += 1

    @property
    def share(self) -> float | None:
        if not self._services:
            return None
        return min(1.0, self._listed / self._services, self.read / max(1, self._known))
