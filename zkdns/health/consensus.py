"""Who of the replicas probes which instance, and what all their verdicts amount to.

Rules: pure; no I/O, no clock, no chance. Each instance is probed by three replicas at most of those that have
voted, so its load doesn't grow with their number, as long as one of them tells of it (`sharing`): the three
with the highest hash of replica and path (rendezvous hashing, Thaler and Ravishankar 1998), so a replica that
comes or goes moves no more than its part. The majority of votes rules; where they are even the instance is
good: better to give one bad instance than to let one replica that sees badly empty a service.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import chain
from typing import Final

import msgspec

from zkdns.health.thresholds import CheckState, ProbeHistory
from zkdns.order import RUN
from zkdns.steps import Steps, finish

PROBED_BY: Final = 3
"""Replicas that probe one instance."""

MAX_PLAIN_BYTES: Final = 16 * 1024
"""Bytes up to which a ballot stays plain JSON, for people with zkCli."""

MAX_BALLOT_BYTES: Final = 960 * 1024
"""ZooKeeper takes 1 MiB a request (jute.maxbuffer)."""

MAX_UNPACKED_BYTES: Final = 4 * 1024 * 1024
"""Some 80,000 instances, many more than one replica can probe."""

MAX_VOTES: Final = 80_000
"""Of one ballot: names of a few letters would be a million."""

PART: Final = 16 * 1024
"""Characters of votes after which a ballot's next line begins. A line is written, or read, in one step, for
JSON is read by one call that nobody gets in between."""

MAX_PART_BYTES: Final = 128 * 1024
"""Of one line: what a part may come to, with the longest path, each of its characters four bytes."""

MAX_WHY_CHARACTERS: Final = 100
"""Of why an instance fails, as a ballot says it."""


class _Ballot(msgspec.Struct):
    good: list[str] = []
    bad: dict[str, str] = {}


def assign(path: str, replicas: Collection[str]) -> frozenset[str]:
    """The replicas that probe the instance."""
    if len(replicas) <= PROBED_BY:
        return frozenset(replicas)
    return frozenset(sorted(replicas, key=lambda replica: (hash_pair(replica, path), replica))[-PROBED_BY:])


def hash_pair(one: str, other: str) -> int:
    """A number of 64 bits that looks like chance and is the same everywhere."""
    key = f"{one}\0{other}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(key, digest_size=8).digest())


def majority(votes: Iterable[CheckState]) -> CheckState | None:
    """What the majority says; None where nobody voted. The commonest reason is told."""
    good = 0
    bad: list[str] = []
    for vote in votes:
        if vote.good:
            good += 1
        else:
            bad.append(vote.why)
    if len(bad) > good:
        reasons = Counter(bad)
        return CheckState(False, min(reasons, key=lambda why: (-reasons[why], why)))
    return CheckState(True) if good else None


def write_ballot(votes: Mapping[str, CheckState]) -> bytes:
    """One replica's verdicts, as the data of its node, in one go."""
    return finish(writing({path: ProbeHistory(vote) for path, vote in votes.items()}))


def writing(histories: Mapping[str, ProbeHistory]) -> Steps[bytes]:
    """One replica's verdicts, as the data of its node, with pauses: JSON, of many votes in several lines, and
    where that is long, zlib of it.

    What passes ZooKeeper's limit even so loses its reasons, and at last its good votes' tail.
    """
    good: list[str] = []
    bad: dict[str, str] = {}
    paths = [*histories]
    for at in range(0, len(paths), RUN):
        if at:
            yield
        paths[at : at + RUN] = sorted(paths[at : at + RUN])
    paths.sort()  # of runs that are sorted this is soon made (timsort)
    for at, path in enumerate(paths, 1):
        if not at % RUN:
            yield
        state = histories[path].check_state
        if state.good:
            good.append(path)
        else:
            bad[path] = state.why[:MAX_WHY_CHARACTERS]
    data = yield from _pack(good, bad)
    if data is None:
        bad = dict.fromkeys(bad, "")
        data = yield from _pack(good, bad)
    while data is None and good:
        good = good[: len(good) // 2]
        data = yield from _pack(good, bad)
    return data or b"{}"


def _pack(good: Iterable[str], bad: Mapping[str, str]) -> Steps[bytes | None]:
    """The data; None where others don't take it."""
    pack = zlib.compressobj(6)
    plain, packed, length, line = b"", b"", 0, b""
    for part in _parts(good, bad):
        if length:
            yield
        line = b"\n" * bool(length) + msgspec.json.encode(part)
        length += len(line)
        if length <= MAX_PLAIN_BYTES:
            plain += line
        packed += pack.compress(line)
        if length > MAX_UNPACKED_BYTES or len(packed) > MAX_BALLOT_BYTES:
            return None
    if length <= MAX_PLAIN_BYTES:
        return plain
    packed += pack.flush()
    return packed if len(packed) <= MAX_BALLOT_BYTES else None


def _parts(good: Iterable[str], bad: Mapping[str, str]) -> Iterator[_Ballot]:
    """One at least."""
    part, room = _Ballot(), PART
    for path, why in chain(((path, None) for path in good), bad.items()):
        if room <= 0:
            yield part
            part, room = _Ballot(), PART
        if why is None:
            part.good.append(path)
        else:
            part.bad[path] = why
        room -= len(path) + len(why or "")
    yield part


def read_ballot(data: bytes) -> dict[str, CheckState]:
    """The other way, in one go."""
    return finish(reading(data))


def reading(data: bytes) -> Steps[dict[str, CheckState]]:
    """The other way, with pauses; what can't be read says nothing. Never raises."""
    votes: dict[str, CheckState] = {}
    states: dict[str, CheckState] = {}
    try:
        for at, line in enumerate(_lines(data)):
            if at:
                yield
            if line is not None:
                ballot = msgspec.json.decode(line, type=_Ballot)
                votes.update(dict.fromkeys(ballot.good, _GOOD))
                for path, why in ballot.bad.items():
                    if why not in states:
                        states[why] = CheckState(False, why[:MAX_WHY_CHARACTERS])
                    votes[path] = states[why]
            if len(votes) > MAX_VOTES:
                return {}
    except (zlib.error, ValueError, RecursionError):
        return {}
    return votes


_GOOD: Final = CheckState(True)


def _lines(data: bytes) -> Iterator[bytes | None]:
    """Those of a ballot, and None now and then while one is not whole. ValueError where there is no end to
    one, or to all."""
    if data.startswith(b"{"):
        if len(data) > MAX_PART_BYTES:
            raise ValueError("too long")
        yield data  # as somebody wrote it, in lines of his own
        return
    unpack, left, line = zlib.decompressobj(), MAX_UNPACKED_BYTES, b""
    lines = left // PART + 1
    while not unpack.eof:
        text = unpack.decompress(data, MAX_PART_BYTES)
        data = unpack.unconsumed_tail
        left -= len(text)
        *whole, line = (line + text).split(b"\n", lines)
        lines -= len(whole)
        line = line.lstrip()
        if min(left, lines, MAX_PART_BYTES - max(map(len, (line, *whole)))) < 0:
            raise ValueError("too long")
        if not (text or unpack.eof):
            raise ValueError("cut short")
        yield from whole
        yield None
    yield line
