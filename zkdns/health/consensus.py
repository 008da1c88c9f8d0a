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
from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b
from typing import Final

import msgspec

from zkdns.health.thresholds import CheckState

PROBED_BY: Final = 3
"""Replicas that probe one instance."""

MAX_PLAIN_BYTES: Final = 16 * 1024
"""Bytes up to which a ballot stays plain JSON, for people with zkCli."""

MAX_BALLOT_BYTES: Final = 960 * 1024
"""ZooKeeper takes 1 MiB a request (jute.maxbuffer)."""

MAX_UNPACKED_BYTES: Final = 4 * 1024 * 1024
"""Some 80,000 instances, many more than one replica can probe: reading that keeps the loop for 15 ms."""

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
    """One replica's verdicts, as the data of its node: JSON, and where that is long, zlib of it.

    What passes ZooKeeper's limit even so loses its reasons, and at last its good votes' tail.
    """
    good = sorted(path for path, vote in votes.items() if vote.good)
    bad = {path: votes[path].why[:MAX_WHY_CHARACTERS] for path in sorted(votes) if not votes[path].good}
    data, fits = _pack(good, bad)
    if not fits:
        bad = dict.fromkeys(bad, "")
        data, fits = _pack(good, bad)
    while not fits and good:
        good = good[: len(good) // 2]
        data, fits = _pack(good, bad)
    return data


def _pack(good: list[str], bad: dict[str, str]) -> tuple[bytes, bool]:
    """The data, and whether all others take it."""
    plain = msgspec.json.encode(_Ballot(good, bad))
    data = plain if len(plain) <= MAX_PLAIN_BYTES else zlib.compress(plain, 6)
    return data, len(data) <= MAX_BALLOT_BYTES and len(plain) <= MAX_UNPACKED_BYTES


def read_ballot(data: bytes) -> dict[str, CheckState]:
    """The other way; what can't be read says nothing. Never raises."""
    try:
        if not data.startswith(b"{"):
            unpack = zlib.decompressobj()
            data = unpack.decompress(data, MAX_UNPACKED_BYTES)
            if not unpack.eof:
                return {}
        ballot = msgspec.json.decode(data, type=_Ballot)
    except (zlib.error, ValueError, RecursionError):
        return {}
    good = CheckState(True)
    votes = dict.fromkeys(ballot.good, good)
    votes |= {path: CheckState(False, why[:MAX_WHY_CHARACTERS]) for path, why in ballot.bad.items()}
    return votes
