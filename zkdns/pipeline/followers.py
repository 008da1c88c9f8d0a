"""The services whose host names lead to what has changed, each when its turn comes: thousands may lead there.

Rules: pure. They are found some at a time, and have their turns by who registered their names, so that who
has thousands of them delays nobody else's. One that waits is followed once, as all stands then, however often
that changes meanwhile.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from itertools import islice

from zkdns import steps
from zkdns.backlog import Accounts


class Followers:
    """`of`: those of a host name, or of a service of ours. `whose`: who registered what one of them has, None
    for nothing. `note`: is told of each, and what has changed, before its turn comes."""

    def __init__(
        self,
        of: Callable[[str], Collection[str]],
        whose: Callable[[str], str | None],
        note: Callable[[str, str], None],
    ) -> None:
        self._of = of
        self._whose = whose
        self._note = note
        self.sought: OrderedDict[str, Iterator[str]] = OrderedDict()
        """What has changed and not all of whose followers are found, whose turn is next first."""
        self._again: set[str] = set()
        """Of these, what has changed once more since."""
        self._waiting: Accounts[str] = Accounts(favours_newest=False)
        self._is_turn_to_find = False
        self.has_work = False
        """Whether `take_next` may be called. Asked for at each change, and mostly there is none."""

    def put(self, key: str) -> None:
        """This has changed. Where few follow they are found at once. Who is found is not looked for anew
        until all are: what changes faster than that would never be followed by the last of them."""
        if key in self.sought:
            self._again.add(key)
            return
        followers = self._of(key)
        if len(followers) <= steps.SLICE:
            self._find(key, followers)
        else:
            self.sought[key] = iter(tuple(followers))
            self.has_work = True

    def take_next(self) -> str | None:
        """Finds some more, or takes the one whose turn it is: these two have turns, for what changes at every
        moment is sought without end. None where some were looked for."""
        self._is_turn_to_find = not (self._is_turn_to_find and self._waiting)
        if self.sought and (self._is_turn_to_find or not self._waiting):
            key, left = self.sought.popitem(last=False)
            some = list(islice(left, steps.SLICE))
            self._find(key, some)
            if len(some) == steps.SLICE:
                self.sought[key] = left
            elif key in self._again:
                self._again.discard(key)
                self.put(key)
            name = None
        else:
            _, name = self._waiting.take_next()
        self.has_work = bool(self.sought or self._waiting)
        return name

    def _find(self, key: str, some: Collection[str]) -> None:
        for name in some:
            if (whose := self._whose(name)) is not None:
                self._note(name, key)
                self._waiting.put(whose, name)
                self.has_work = True
