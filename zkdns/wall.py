"""A wall round each item: an error of ours costs the one node, instance, service or ballot that met it.

Rules: pure. What was kept out is a Problem for as long as the item stands as it is; each error is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Final, TypeVar

from zkdns.model import Problem, fault
from zkdns.problems import ours_of

T = TypeVar("T")
R = TypeVar("R")

MAX_TRIALS: Final = 128
"""To find one that is to blame among thousands takes two dozen."""


def walk(items: Iterable[T], make: Callable[[T], R], instead: Callable[[T, str], R]) -> Iterator[R]:
    """What is made of each; of one that we fall over what is there instead, which says so."""
    for item in items:
        try:
            row = make(item)
        except Exception as error:
            row = instead(item, fault("", error).what)
        yield row


def each(items: Iterable[T], make: Callable[[T], R], instead: Callable[[T, str], R]) -> list[R]:
    """All of them."""
    return list(walk(items, make, instead))


def blame(items: Sequence[T], attempt: Callable[[Sequence[T]], object]) -> dict[int, Exception]:
    """Those with which alone it fails, by their place, with the error: found by halving, as many as so many
    trials find."""
    blamed: dict[int, Exception] = {}
    spans, trials = [(0, len(items))] if items else [], 0
    while spans and trials < MAX_TRIALS:
        start, end = spans.pop()
        trials += 1
        error = error_of(attempt, items[start:end])
        if error is None:
            continue
        if end - start == 1:
            blamed[start] = error
        else:
            half = (start + end) // 2
            spans += [(half, end), (start, half)]
    return blamed


def error_of(attempt: Callable[[T], object], item: T) -> Exception | None:
    try:
        attempt(item)
    except Exception as error:
        return error
    return None


class Wall:
    """`problems`: what met an error of ours, by path and by what was done with it ("" for the judge and the
    compiler). `errors`: how many there were."""

    def __init__(self) -> None:
        self.problems: dict[tuple[str, str], Problem] = {}
        self.errors = 0
        self._shut_out: dict[str, object] = {}
        self._counted: dict[str, frozenset[Problem]] = {}

    def attempt(self, path: str, work: Callable[[], T], otherwise: T, doing: str = "") -> T:
        """What the work gives, or `otherwise` where it fails."""
        try:
            done = work()
        except Exception as error:
            self.note(path, error, doing)
            return otherwise
        self.problems.pop((path, doing), None)
        return done

    def around(self, path: str, doing: str) -> Around:
        """The same for a `with`: an error ends what is done with this item, and goes no further."""
        return Around(self, path, doing)

    def note(self, path: str, error: BaseException, doing: str = "") -> None:
        self.errors += 1
        self.problems[path, doing] = fault(path, error)

    def count(self, doing: str, problems: Sequence[Problem]) -> None:
        """Errors that were kept elsewhere: each counts once, for as long as it stands."""
        ours = frozenset(ours_of(problems))
        self.errors += len(ours - self._counted.pop(doing, frozenset()))
        if ours:
            self._counted[doing] = ours

    def shut_out(self, path: str, item: object, error: Exception) -> None:
        """This item goes without, for as long as it is the same object."""
        self.note(path, error)
        self._shut_out[path] = item

    @property
    def has_shut_out(self) -> bool:
        """Whether there is anything that `lets` may refuse."""
        return bool(self._shut_out)

    def lets(self, path: str, item: object) -> bool:
        """Whether this item may try."""
        if not self._shut_out or path not in self._shut_out:
            return True
        if self._shut_out[path] is item:
            return False
        self.forget((path,))
        return True

    def forget(self, paths: Iterable[str]) -> None:
        """These have gone, or have changed."""
        for path in paths:
            self._shut_out.pop(path, None)
            self.problems.pop((path, ""), None)

    def forgive(self, path: str, doing: str) -> None:
        """Nothing of the kind is done with this one any more."""
        if self.problems:
            self.problems.pop((path, doing), None)

    def forget_below(self, path: str, doing: str, kept: Callable[[str], bool]) -> None:
        """The same of all that stand below and are not kept."""
        for where, what in [*self.problems]:
            if what == doing and where.startswith(path) and not kept(where):
                del self.problems[where, what]


class Around:
    """One item, while something is done with it."""

    __slots__ = ("_doing", "_path", "_wall")

    def __init__(self, wall: Wall, path: str, doing: str) -> None:
        self._wall = wall
        self._path = path
        self._doing = doing

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            if self._wall.problems:
                self._wall.problems.pop((self._path, self._doing), None)
            return False
        if not isinstance(error, Exception):
            return False
        self._wall.note(self._path, error, self._doing)
        return True
