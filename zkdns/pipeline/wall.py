"""A wall round each item: an error of ours costs the one node, instance, service or ballot that met it.

Rules: pure. What was kept out is a Problem for as long as the item stands as it is; each error is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from zkdns.model import Problem, fault

T = TypeVar("T")


class Wall:
    """`problems`: by path, what met an error of ours. `errors`: how many there were."""

    def __init__(self) -> None:
        self.problems: dict[str, Problem] = {}
        self.errors = 0
        self._shut_out: dict[str, object] = {}

    def attempt(self, path: str, work: Callable[[], T], otherwise: T) -> T:
        """What the work gives, or `otherwise` where it fails."""
        try:
            done = work()
        except Exception as error:
            self.note(path, error)
            return otherwise
        self.problems.pop(path, None)
        return done

    def note(self, path: str, error: Exception) -> None:
        self.errors += 1
        self.problems[path] = fault(path, error)

    def shut_out(self, path: str, item: object, error: Exception) -> None:
        """This item goes without, for as long as it is the same object."""
        self.note(path, error)
        self._shut_out[path] = item

    def lets(self, path: str, item: object) -> bool:
        """Whether this item may try."""
        if not self._shut_out or path not in self._shut_out:
            return True
        if self._shut_out[path] is item:
            return False
        self.forget((path,))
        return True

    def forget(self, paths: Iterable[str]) -> None:
        """These are there no more, or are others now."""
        for path in paths:
            self._shut_out.pop(path, None)
            self.problems.pop(path, None)
