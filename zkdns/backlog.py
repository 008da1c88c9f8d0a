"""What waits, and which of it is next: what came first; where much waits, the newest in every second turn.

Rules: pure. Whoever has thousands of things waiting delays one thing of somebody else's by no more than a few
of them; the oldest have their turns all the same. (What is told from others in several ways: `rounds`.)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, KeysView
from itertools import chain
from typing import Final, Generic, TypeVar

K = TypeVar("K")
T = TypeVar("T")

FEW: Final = 64
"""So many keep the order in which they came: it is that of the world."""


class Backlog(OrderedDict[K, None]):
    """Each thing once. A dict would look through all that was taken from it for its first."""

    def __init__(self) -> None:
        super().__init__()
        self._is_turn_of_newest = False

    def take_next(self) -> K:
        """Takes what is next; KeyError where nothing waits."""
        self._is_turn_of_newest = len(self) > FEW and not self._is_turn_of_newest
        return self.popitem(last=self._is_turn_of_newest)[0]


class Backlogs(Generic[K]):
    """Two backlogs, each thing in one of them: `own`, what came for a reason of its own, and `many`, what
    came with thousands of others. A few things keep the order in which they came; with more, the two take
    turns."""

    def __init__(self) -> None:
        self.own: Backlog[K] = Backlog()
        self.many: Backlog[K] = Backlog()
        self._came: dict[K, int] = {}
        self._count = 0
        self._is_turn_of_many = False

    def __len__(self) -> int:
        return len(self._came)

    def __iter__(self) -> Iterator[K]:
        return chain(self.own, self.many)

    def __contains__(self, key: object) -> bool:
        return key in self._came

    def put(self, key: K, is_one_of_many: bool) -> None:
        """It waits from now on; one of many that has a reason of its own is no more one of them."""
        if is_one_of_many and key in self.own:
            return
        (self.many if is_one_of_many else self.own)[key] = None
        if not is_one_of_many:
            self.many.pop(key, None)
        if key not in self._came:
            self._came[key] = self._count = self._count + 1

    def take_out(self, key: K) -> None:
        """It waits no more; KeyError where it did not."""
        del self._came[key]
        self.own.pop(key, None)
        self.many.pop(key, None)

    def take_next(self) -> tuple[K, bool]:
        """Takes what is next, and whether it was one of many; KeyError where nothing waits."""
        if not (self.own and self.many):
            is_one_of_many = bool(self.many)
        elif len(self) <= FEW:
            is_one_of_many = self._came[next(iter(self.many))] < self._came[next(iter(self.own))]
        else:
            is_one_of_many = self._is_turn_of_many
        self._is_turn_of_many = not is_one_of_many
        key = (self.many if is_one_of_many else self.own).take_next()
        del self._came[key]
        return key, is_one_of_many


class Accounts(Generic[T]):
    """What waits, by whose account it is, each thing once: accounts take turns (round robin; Nagle, RFC 970),
    and in each what came first is first. Among many accounts that had no turn yet the newest has every second
    one, except without `favours_newest`: where the same ones come again and again, all are to be equally
    late. `are_long`: accounts may have many things waiting, whose newest has every second of its turns.
    `few`: so many keep the order in which they came; less where each turn of theirs is one of many."""

    def __init__(self, *, favours_newest: bool = True, are_long: bool = False, few: int = FEW) -> None:
        self._lines: OrderedDict[str, OrderedDict[T, None]] = OrderedDict()
        """By account, whose turn is next first."""
        self._held_back: dict[str, OrderedDict[T, None]] = {}
        """Those that have no turn for now."""
        self._fresh: OrderedDict[str, None] = OrderedDict()
        """Accounts that had no turn yet."""
        self._favours_newest = favours_newest
        self._few = few
        self._new_line: type[OrderedDict[T, None]] = Backlog if are_long else OrderedDict
        self._is_turn_of_newest = False

    def __bool__(self) -> bool:
        """Whether an account waits for its turn."""
        return bool(self._lines)

    def accounts(self) -> KeysView[str]:
        """Those that wait for a turn."""
        return self._lines.keys()

    def put(self, account: str, item: T) -> None:
        line = self._held_back.get(account, self._lines.get(account))
        if line is None:
            line = self._lines[account] = self._new_line()
            if self._favours_newest:
                self._fresh[account] = None
        line[item] = None

    def put_back(self, account: str, item: T) -> None:
        """It was taken, and is to come again: behind the others, and not as one that had no turn yet."""
        if account not in self._lines:
            self._lines[account] = self._new_line()
        self._lines[account][item] = None

    def take_next(self) -> tuple[str, T]:
        """Whose turn it is, and what of it is next; KeyError where nothing waits."""
        self._is_turn_of_newest = len(self._fresh) > self._few and not self._is_turn_of_newest
        if self._is_turn_of_newest:
            account, _ = self._fresh.popitem()
            line = self._lines.pop(account)
        else:
            account, line = self._lines.popitem(last=False)
            self._fresh.pop(account, None)
        item = line.take_next() if isinstance(line, Backlog) else line.popitem(last=False)[0]
        if line:
            self._lines[account] = line  # behind the others
        return account, item

    def remove(self, account: str, item: T) -> None:
        """It waits no more; KeyError where it did not wait for a turn."""
        del self._lines[account][item]
        if not self._lines[account]:
            self.take_out(account)

    def take_out(self, account: str) -> Collection[T]:
        """All that waits of one that was not held back, in order."""
        self._fresh.pop(account, None)
        return self._lines.pop(account, ())

    def hold_back(self, account: str) -> None:
        """It has no turn until it is let go on, whatever waits of it."""
        self._held_back.setdefault(account, self._lines.pop(account, OrderedDict()))
        self._fresh.pop(account, None)

    def let_go_on(self, account: str) -> None:
        """It takes its turn again, behind the others; nothing where it was not held back."""
        if line := self._held_back.pop(account, None):
            self._lines[account] = line

    def clear(self) -> None:
        self._lines.clear()
        self._held_back.clear()
        self._fresh.clear()
