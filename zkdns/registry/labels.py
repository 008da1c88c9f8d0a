"""Any name -> a DNS label, and a set of names -> labels of which no two are the same.

Rules: pure. A name that is a label as it stands has it, whoever else there is: so nobody can take another's
name. Of those that have to be folded to one, two that fold to the same, or to one that is taken, get a short
hash of their own name each. So any replica, whatever it saw first, says the same. A label has 1 to 63 of a-z,
0-9 and "-", and no "-" at either end (RFC 1123, section 2.1: resolvers refuse such host names).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Final

from zkdns.model import Problem
from zkdns.printable import printable

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PLAIN = bytes(c if chr(c) in "abcdefghijklmnopqrstuvwxyz0123456789-" else ord("-") for c in range(256))
"""By byte, what stands for it in a label. A pattern would take 80 µs for a thousand odd characters."""
_SHORT = 8
_MAX_DIGITS = 48

MAX_FOLDED_CHARACTERS: Final = 1024
"""What of a name is looked at to fold it: ZooKeeper takes names of a megabyte."""

MAX_TOLD: Final = 3
"""Others with the same label that a Problem names: each is told, so all of them would be a square."""


def is_label(name: str) -> bool:
    return _LABEL.fullmatch(name) is not None


def to_label(name: str, attempt: int = 0) -> str:
    """The label of `name`. `attempt`: from 1 on, alternatives for when the one before is taken. They end in a
    hash of the name: first in longer ones, then in different ones."""
    lower = name[:MAX_FOLDED_CHARACTERS].lower().encode("ascii", "replace")
    plain = lower.translate(_PLAIN).decode("ascii").strip("-")
    if not attempt:
        if is_label(name):
            return name
        if 0 < len(plain) <= 63 and len(name) <= MAX_FOLDED_CHARACTERS:
            return plain
        attempt = 1
    digits = min(attempt * _SHORT, _MAX_DIGITS)
    salt = b"" if attempt * _SHORT <= _MAX_DIGITS else b"%d" % attempt
    stem = plain[: 62 - digits].strip("-")
    seal = blake2b(name.encode("utf-8", "surrogatepass") + salt, digest_size=24).hexdigest()[:digits]
    return f"{stem}-{seal}" if stem else seal


class Labels:
    """The labels of names that come and go. A change costs the names that it has to do with, however many
    others fold to the same label: none of those has it, whoever else comes or goes."""

    def __init__(self) -> None:
        self._plain: set[str] = set()
        self._tried: dict[str, tuple[str, ...]] = {}
        """Of the names that had to be folded: the labels that were taken, and at the end the one it has.
        What it folds to is among them only where no other name does."""
        self._wanted: dict[str, set[str]] = {}
        """By label, those that tried it."""
        self._alike: dict[str, list[str]] = {}
        """By label, the names that fold to it, sorted; where one had to be folded."""

    def __getitem__(self, name: str) -> str:
        return name if name in self._plain else self._tried[name][-1]

    def change(self, added: Iterable[str], removed: Iterable[str]) -> set[str]:
        """Names that are there from now on, or no more. Gives those of which there is something else to say
        now: their label, or who else wants it."""
        affected: set[str] = set()
        moved: set[str] = set()
        touched: set[str] = set()
        for name in removed:
            if name in self._plain:
                self._plain.discard(name)
                touched.add(name)
            elif name in self._tried:
                touched.update(self._forget(name))
            else:
                continue
            affected |= self._leave(name, moved)
        for name in added:
            if name in self._plain or name in self._tried:
                continue
            if is_label(name):
                self._plain.add(name)
                touched.add(name)
            else:
                self._tried[name] = ()
                moved.add(name)
            affected |= self._enter(name, moved)
        return (affected | self._assign(moved, touched)) & self._tried.keys()

    def tell(self, name: str, path: str, word: str) -> Problem | None:
        """What is to be told of a name that has another label than it would have alone. `path`: its own."""
        if name in self._plain or self._tried[name][-1] == (label := to_label(name)):
            return None
        return _tell(label, self._alike.get(label, [name]), name, self._tried[name][-1], path, word)

    def _enter(self, name: str, moved: set[str]) -> set[str]:
        """A name is there. Gives those that name it; in `moved`, who has what it folds to no more for
        itself."""
        label = to_label(name)
        alike = self._alike.get(label)
        if alike is None:
            if name == label:
                return set()
            alike = self._alike[label] = [label] if label in self._plain else []
        if len(alike) == 1:
            moved.update(alike)
        at = bisect_left(alike, name)
        alike.insert(at, name)
        return set(_near(alike, at))

    def _leave(self, name: str, moved: set[str]) -> set[str]:
        label = to_label(name)
        alike = self._alike.get(label)
        if alike is None:
            return set()
        at = bisect_left(alike, name)
        del alike[at]
        if len(alike) == 1:
            moved.update(alike)
        if not alike or alike == [label]:
            del self._alike[label]
        return set(_near(alike, at))

    def _assign(self, moved: set[str], touched: set[str]) -> set[str]:
        """The labels of those that moved, and of all that one of `touched` may be taken from or become free
        for. Gives those that have another one now."""
        moved = moved & self._tried.keys()
        waiting = [*touched, *(label for name in moved for label in self._tried[name])]
        seen: set[str] = set()
        while True:
            while waiting:
                label = waiting.pop()
                if label in seen:
                    continue
                seen.add(label)
                for name in self._wanted.get(label, ()):
                    if name not in moved:
                        moved.add(name)
                        waiting += self._tried[name]
            first = {name: int(len(self._alike[to_label(name)]) > 1) for name in moved}
            tried = {
                name: tuple(to_label(name, attempt) for attempt in range(first[name], last + 1))
                for name, last in assign(first, self._plain).items()
            }
            waiting = [label for labels in tried.values() for label in labels if label not in seen]
            if not any(name not in moved for label in waiting for name in self._wanted.get(label, ())):
                break
        affected = {name for name, labels in tried.items() if self._tried[name][-1:] != labels[-1:]}
        for name, labels in tried.items():
            if labels != self._tried[name]:
                self._forget(name)
                self._tried[name] = labels
                for label in labels:
                    self._wanted.setdefault(label, set()).add(name)
        return affected

    def _forget(self, name: str) -> tuple[str, ...]:
        """What it tried, which it wants no more."""
        tried = self._tried.pop(name)
        for label in tried:
            names = self._wanted[label]
            names.discard(name)
            if not names:
                del self._wanted[label]
        return tried


def assign(first: Mapping[str, int], taken: Collection[str]) -> dict[str, int]:
    """Which attempt of each name's label it has, where `taken` are the names that are labels themselves.
    `first`: the attempt that it begins with."""
    attempts = dict(first)
    labels = {name: to_label(name, attempt) for name, attempt in attempts.items()}
    while True:
        count = Counter(labels.values())
        contested = [name for name, label in labels.items() if count[label] > 1 or label in taken]
        if not contested:
            return attempts
        for name in contested:
            attempts[name] += 1
            labels[name] = to_label(name, attempts[name])


def _near(alike: Sequence[str], at: int) -> Sequence[str]:
    """Those that may name what stands there, or stood."""
    return alike[max(0, at - MAX_TOLD - 1) : at + MAX_TOLD + 2]


def _tell(label: str, group: Sequence[str], name: str, label_now: str, path: str, word: str) -> Problem:
    """`group`: all that fold to `label`, sorted. Named are those that stand next to it, so that who comes or
    goes is news for few."""
    at = bisect_left(group, name)
    start = max(0, min(at - 1, len(group) - MAX_TOLD - 1))
    others = [other for other in group[start : start + MAX_TOLD + 1] if other != name]
    others.sort(key=lambda other: other != label)  # who has it comes first
    shown = printable(", ".join(others)) + (" and others" if len(group) > MAX_TOLD + 1 else "")
    why = f"as {shown} {'does' if len(group) == 2 else 'do'}" if others else "which another has as its hash"
    what = f"its {word} folds to the label {label}, {why}; it is served as {label_now}"
    return Problem(path, what, f"choose {word}s that differ in more than case and punctuation")


def whole(name: str, zone: str) -> str:
    """What a person means who names a service (`web`) or an instance (`web/a`) as the other commands do. A
    dot at the end says that the name is whole already."""
    service, slash, id = name.strip().partition("/")
    if slash and service and id and "." not in service and not id.endswith("in-addr.arpa"):  # RFC 2317
        return f"{to_label(id)}.{to_label(service)}.{zone}"
    if not slash and service and not any(mark in service for mark in ".:"):
        return f"{service}.{zone}"
    return name
