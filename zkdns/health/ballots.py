"""What the replicas have seen of the checks, as their nodes tell it, and whose word counts.

Rules: pure. Anybody who may write there chooses how many nodes there are, what they hold and how often that
changes: so many are read and no more, live replicas' first, of these the oldest, each when its turn comes and
in steps (`read_some`): one that changes all the time goes behind those that wait, and is read as it stood. Of
large ones those are kept for which there is room, by age as well. ZooKeeper keeps a ballot through an outage
in which its writer could put nothing right: once the ensemble was out of reach, a replica is doubted until
its node under /zkdns/servers is written again, which each does when it is back.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from heapq import nsmallest
from itertools import filterfalse, islice, repeat
from types import MappingProxyType
from typing import Final

from zkdns.health.thresholds import CheckState
from zkdns.steps import Steps, glance

MAX_REPLICAS: Final = 64
"""Replicas whose ballots count."""

RESERVE: Final = 16 * MAX_REPLICAS
"""Of the oldest so many are known: where one of these goes, not all are looked through."""

MAX_CAME: Final = 8192
"""Those that came and are put among these one by one."""

SESSION: Final = 12.0
"""Seconds after our return by which the sessions of those that stay away have ended, and their nodes are
gone: 10 by default, and a tick of ZooKeeper's (2 s). Whoever still stands there has been in touch."""

SMALL: Final = 1 << 20
"""Bytes of memory that any ballot may take: some 6,000 votes."""

ROOM: Final = 64 << 20
"""Bytes that those may take together that take more: some 350,000 votes."""

OF_A_VOTE: Final = 100
"""Bytes that a vote takes beside its path and its reason."""

NO_NODES: Final[Mapping[str, int]] = MappingProxyType({})

Votes = Mapping[str, CheckState]


class Ballots:
    """`me`: our id, a new one at each start: a node of that name tells us nothing. `checked`: by the paths
    that votes count for. `moved`: is told those whose votes may have changed. `live`: the replicas that say
    that they live. `voters`: those of them that have a ballot, and we: a node that only says that it is a
    replica takes over no probes. `believed_at`: when nobody is doubted any more, None where nobody is, or
    while the ensemble is out of reach."""

    def __init__(
        self,
        me: str,
        read: Callable[[str, bytes], Steps[Votes]],
        checked: Mapping[str, object],
        moved: Callable[[Iterable[str]], None],
    ) -> None:
        self.live: Set[str] = frozenset({me})
        self.voters: frozenset[str] = frozenset({me})
        self.left_out = 0
        """How many nodes are beyond those that are read."""
        self.crowded: list[str] = []
        """Those that say nothing for want of room."""
        self._sizes: dict[str, int] = {}
        """Bytes that those would take that take more than a little."""
        self.believed_at: float | None = None
        self._me = me
        self._read = read
        self._checked = checked
        self._moved = moved
        self._nodes: dict[str, bytes] = {}
        self._oldest: list[tuple[int, str]] = []
        """Of those that live and have a ballot, by which transactions they were made, the oldest first."""
        self._are_more = False
        """Whether there are younger ones."""
        self._chosen: list[str] = []
        """Those of them that are read."""
        self._known: dict[str, tuple[bytes, Votes]] = {}
        self._unread: dict[str, None] = {}
        """Those of them that are to be read, who waits the longest first."""
        self._reading: tuple[str, bytes, Steps[None]] | None = None
        """The first of these, while it is read."""
        self._written: Mapping[str, float] = {}
        self._made_by: Mapping[str, int] = {}
        self._is_within = False
        self._before: dict[str, float] | None = None
        """While some are doubted: when each was written last before we were back."""
        self._doubtful: frozenset[str] = frozenset()
        self._counting: list[Votes] = []
        self._doubted: list[Votes] = []

    @property
    def has_unread(self) -> bool:
        return bool(self._unread)

    @property
    def next_unread(self) -> str:
        """Whose ballot is read next, or is being read."""
        return next(iter(self._unread))

    def see(self, written: Mapping[str, float], made_by: Mapping[str, int] = NO_NODES) -> None:
        """The live replicas, when their nodes were written (by the ensemble's clock), and by which
        transactions they were made. We are one of them, whatever it says."""
        is_same = written.keys() == self._written.keys()
        self._written, self._made_by = written, made_by
        before, self.live = self.live, {**written, self._me: 0.0}.keys()
        for replica, (_, votes) in self._known.items():
            if (replica in before) is not (replica in self.live):
                self._moved(votes.keys() & self._checked.keys())
        if is_same:
            self._believe()
        else:
            self._choose(filterfalse(before.__contains__, self.live))

    def take(self, nodes: Mapping[str, bytes]) -> None:
        """All the replicas' nodes."""
        old, self._nodes = self._nodes, {**nodes}
        self._nodes.pop(self._me, None)
        if self._nodes.keys() == old.keys():
            self._find_unread()
        else:
            self._choose(filterfalse(old.__contains__, self._nodes))

    def lose(self) -> None:
        """The ensemble is out of reach: from now on these nodes stand still."""
        if self._is_within:
            self._is_within, self.believed_at = False, None
            self._before = dict(self._written)
            self._believe()

    def find(self, now: float) -> None:
        """It is within reach, and both kinds of nodes were read again. The first time nobody is doubted: who
        begins has nothing better."""
        if not self._is_within:
            self._is_within = True
            if self._before is not None:
                self.believed_at = now + SESSION
            self._believe()

    def shift(self, by: float) -> None:
        """The clock was set; when nodes were written is told by the ensemble's."""
        if self.believed_at is not None:
            self.believed_at += by

    def end_doubts(self, now: float) -> None:
        """Where it is time."""
        if self.believed_at is not None and now >= self.believed_at:
            self._before = self.believed_at = None
            self._believe()

    def _choose(self, came: Iterable[str]) -> None:
        """Say anew whose ballots are read. `came`: who lives, or has a ballot, and did not before."""
        # There may be thousands, live ones too: none of this puts all of them in order, or into sets.
        self._find_oldest([*islice(came, MAX_CAME + 1)])
        chosen = [replica for _, replica in self._oldest[:MAX_REPLICAS]]
        others = filterfalse(self.live.__contains__, self._nodes)
        chosen += nsmallest(MAX_REPLICAS - len(chosen), others)
        self.left_out = len(self._nodes) - len(chosen)
        self.voters = frozenset((self._me, *filter(self.live.__contains__, chosen)))
        for replica in self._known.keys() - {*chosen}:
            self._moved(self._known.pop(replica)[1].keys() & self._checked.keys())
            self._sizes.pop(replica, None)
        self._chosen = chosen
        self._share_room()
        self._find_unread()

    def _find_oldest(self, came: Sequence[str]) -> None:
        """All are looked through only where few are left of those that were the oldest, or many came."""
        live, nodes, made_by = self.live, self._nodes, self._made_by
        self._oldest = [one for one in self._oldest if one[1] in live and one[1] in nodes]
        if len(came) > MAX_CAME or (self._are_more and len(self._oldest) < MAX_REPLICAS):
            living = [*filter(live.__contains__, nodes)]
            ages = [*map(made_by.get, living, repeat(0))]
            self._are_more = len(living) > RESERVE
            latest = sorted(ages)[RESERVE - 1] if self._are_more else max(ages, default=0)
            oldest = sorted([one for one in zip(ages, living, strict=True) if one[0] <= latest])
            self._oldest = oldest[:RESERVE]
            return
        for replica in filter(live.__contains__, filter(nodes.__contains__, came)):
            one = made_by.get(replica, 0), replica
            if not self._are_more or one < self._oldest[-1]:
                insort(self._oldest, one)
        self._are_more = self._are_more or len(self._oldest) > RESERVE
        del self._oldest[RESERVE:]

    def _share_room(self) -> None:
        """Say anew which of the large ones are kept, by age. One that is, and was not, is read again."""
        left, crowded = ROOM, self.crowded
        self.crowded = []
        for replica in self._chosen:
            if (size := self._sizes.get(replica, 0)) <= left:
                left -= size
            else:
                self.crowded.append(replica)
        for replica in self.crowded:
            self._silence(replica)
        for replica in crowded:
            if replica not in self.crowded:
                self._known.pop(replica, None)

    def _silence(self, replica: str) -> None:
        """It says nothing of what it said."""
        if (known := self._known.get(replica)) is not None:
            self._moved(known[1].keys() & self._checked.keys())
            self._known[replica] = known[0], _NONE

    def _find_unread(self) -> None:
        """Of those that are read, the ones that hold something else than was read of them."""
        changed = [
            r for r in self._chosen if r not in self._known or self._known[r][0] != self._nodes[r]
        ]  # fmt: skip
        self._unread = dict.fromkeys([r for r in self._unread if r in changed] + changed)
        if self._reading is not None and self._reading[0] not in self._unread:
            self._reading = None
        self._believe()

    def _believe(self) -> None:
        """Say anew who is believed, and who is not."""
        before, self._doubtful = self._doubtful, self._find_doubtful()
        for replica in (before ^ self._doubtful) & self._known.keys():
            self._moved(self._known[replica][1].keys() & self._checked.keys())
        living = {*filter(self.live.__contains__, self._known)}
        self._counting = [self._known[r][1] for r in living - self._doubtful]
        self._doubted = [self._known[r][1] for r in living & self._doubtful]

    def _find_doubtful(self) -> frozenset[str]:
        if self._before is None:
            return frozenset()
        if not self._is_within:
            return frozenset(self._known)
        written = {r: self._written.get(r, 0.0) for r in self._known}
        self._before = written | self._before  # who was not seen before is to write once more
        return frozenset(r for r, at in written.items() if r in self._unread or at <= self._before[r])

    def read_some(self) -> None:
        """A step of reading the next of those that have changed. One that an error of ours ends says nothing
        until it changes."""
        replica = self.next_unread
        data = self._nodes[replica] if self._reading is None else self._reading[1]
        is_over = True
        try:
            if self._reading is None:
                self._reading = replica, data, self._read_whole(replica, data)
            next(self._reading[2])
            is_over = False
        except StopIteration:
            pass
        except Exception:
            self._silence(replica)
            self._known[replica] = data, _NONE
            raise
        finally:
            if is_over:
                self._reading = None
                del self._unread[replica]
                self._find_unread()

    def _read_whole(self, replica: str, data: bytes) -> Steps[None]:
        after = yield from self._read(replica, data)
        size = yield from _weigh(after)
        self._sizes.pop(replica, None)
        if size > SMALL:
            self._sizes[replica] = size
        self._share_room()
        before = self._known.get(replica, (b"", _NONE))[1]
        moved: list[str] = []

        def compare(some: Sequence[str]) -> None:
            moved.extend([path for path in some if before.get(path) != after.get(path)])

        yield from glance([*before], compare)
        yield from glance([path for path in after if path not in before], moved.extend)
        self._known[replica] = data, after
        self._moved([path for path in moved if path in self._checked])
        if replica in self.crowded:
            self._silence(replica)

    def tell_of(self, path: str, replicas: Iterable[str]) -> bool:
        """Whether one of these has said something of an instance."""
        return any(path in self._known[replica][1] for replica in replicas if replica in self._known)

    def votes(self, path: str, own: CheckState | None) -> list[CheckState]:
        """What is said of one instance, by us and by those who are believed; where nobody says anything, what
        was said when it could last."""
        votes = [own] if own is not None else []
        votes += [ballot[path] for ballot in self._counting if path in ballot]
        return votes or [ballot[path] for ballot in self._doubted if path in ballot]


_NONE: Votes = {}


def _weigh(votes: Votes) -> Steps[int]:
    """Bytes that they take."""
    size = 0

    def add(some: Sequence[tuple[str, CheckState]]) -> None:
        nonlocal size
        size += OF_A_VOTE * len(some)
        size += sum([path.__sizeof__() for path, _ in some])
        size += sum([vote.why.__sizeof__() for _, vote in some if vote.why])

    yield from glance([*votes.items()], add)
    return size
