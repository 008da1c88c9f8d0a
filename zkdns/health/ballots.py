"""What the replicas have seen of the checks, as their nodes tell it, and whose word counts.

Rules: pure. Anybody who may write there chooses how many nodes there are, what they hold and how often that
changes: so many are read and no more, live replicas' first, each when its turn comes (`read_one`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from zkdns.health.thresholds import CheckState

MAX_REPLICAS: Final = 64
"""Replicas whose ballots count."""

Votes = Mapping[str, CheckState]


class Ballots:
    """`me`: our id; our own node counts for what we have not probed since our start. `checked`: by the paths
    that votes count for. `moved`: is told those whose votes may be others now. `live`: the replicas that say
    that they live. `voters`: those of them that have a ballot, and we: a node that only says that it is a
    replica takes nobody's probes."""

    def __init__(
        self,
        me: str,
        read: Callable[[str, bytes], Votes],
        checked: Mapping[str, object],
        moved: Callable[[Iterable[str]], None],
    ) -> None:
        self.live: frozenset[str] = frozenset({me})
        self.voters: frozenset[str] = frozenset({me})
        self.left_out = 0
        """How many nodes are beyond those that are read."""
        self._me = me
        self._read = read
        self._checked = checked
        self._moved = moved
        self._nodes: Mapping[str, bytes] = {}
        self._known: dict[str, tuple[bytes, Votes]] = {}
        self._unread: dict[str, None] = {}
        self._counting: list[Votes] = []

    @property
    def has_unread(self) -> bool:
        return bool(self._unread)

    def see(self, ids: Iterable[str]) -> None:
        """The live replicas. We are one of them, whatever it says."""
        before, self.live = self.live, frozenset(ids) | {self._me}
        for replica in (before ^ self.live) & self._known.keys():
            self._moved(self._known[replica][1].keys() & self._checked.keys())
        self._choose()

    def take(self, nodes: Mapping[str, bytes]) -> None:
        """All the replicas' nodes."""
        self._nodes = nodes
        self._choose()

    def _choose(self) -> None:
        ranked = sorted(self._nodes, key=lambda replica: (replica not in self.live, replica))
        chosen = dict.fromkeys(ranked[:MAX_REPLICAS])
        self.left_out = len(ranked) - len(chosen)
        self.voters = (self.live & chosen.keys()) | {self._me}
        for replica in self._known.keys() - chosen.keys():
            self._moved(self._known.pop(replica)[1].keys() & self._checked.keys())
        self._unread = {
            r: None for r in chosen if r not in self._known or self._known[r][0] != self._nodes[r]
        }
        self._count()

    def _count(self) -> None:
        self._counting = [votes for r, (_, votes) in self._known.items() if r in self.live and r != self._me]

    def read_one(self) -> None:
        """Read the next of those that are others than they were."""
        replica = next(iter(self._unread))
        del self._unread[replica]
        data = self._nodes[replica]
        before, after = self._known.get(replica, (b"", _NONE))[1], self._read(replica, data)
        self._known[replica] = data, after
        # Of many paths that nobody here checks nothing is compared.
        paths = (before.keys() & self._checked.keys()) | (after.keys() & self._checked.keys())
        self._moved([path for path in paths if before.get(path) != after.get(path)])
        self._count()

    def votes(self, path: str, is_met: bool) -> list[CheckState]:
        """What is said of one instance. `is_met`: whether we have probed it ourselves since our start."""
        votes = [votes[path] for votes in self._counting if path in votes]
        own = self._known.get(self._me)
        if own is not None and not is_met and path in own[1]:
            votes.append(own[1][path])
        return votes


_NONE: Votes = {}
