"""Who uses what, asked from either side: services, and the host names or the targets that they need.

Rules: pure. What nobody uses any more is not kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Set

NOBODY: Set[str] = frozenset()


class Users:
    """`of`: who uses something; `needs`: what somebody uses; `names`: all who use anything."""

    def __init__(self) -> None:
        self._users: dict[str, set[str]] = {}
        self._needs: dict[str, frozenset[str]] = {}

    def __iter__(self) -> Iterator[str]:
        """All that is used, what was used first before."""
        return iter(self._users)

    def names(self) -> Set[str]:
        return self._needs.keys()

    def of(self, key: str) -> Set[str]:
        return self._users.get(key, NOBODY)

    def needs(self, name: str) -> Set[str]:
        return self._needs.get(name, NOBODY)

    def put(self, name: str, needs: frozenset[str]) -> bool:
        """From now on it needs these. Returns whether that is a change."""
        before = self.needs(name)
        if before == needs:
            return False
        for key in before - needs:
            users = self._users[key]
            users.discard(name)
            if not users:
                del self._users[key]
        for key in needs - before:
            self._users.setdefault(key, set()).add(name)
        if needs:
            self._needs[name] = needs
        else:
            del self._needs[name]
        return True
