"""Any name -> a DNS label, and a set of names -> labels of which no two are the same.

Rules: pure. A name that is a label as it stands has it, whoever else there is: so nobody can take another's
name. Of those that have to be folded to one, two that fold to the same, or to one that is taken, get a short
hash of their own name each. So any replica, whatever it saw first, says the same. Which label a name has
hangs on what other names there are, never on which labels these have: whoever wrote each name as the hash of
the one before would make a row of thousands that all move when the first does. A label has 1 to 63 of a-z,
0-9 and "-", and no "-" at either end (RFC 1123, section 2.1: resolvers refuse such host names).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

from zkdns.model import Problem
from zkdns.printable import printable

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PLAIN = bytes(c if chr(c) in "abcdefghijklmnopqrstuvwxyz0123456789-" else ord("-") for c in range(256))
"""By byte, what stands for it in a label. A pattern would take 80 µs for a thousand odd characters."""
_SHORT, _LONG = 8, 48
"""Digits of a hash: of the first, and of those for when it is taken."""
_LONG_HASH = re.compile(rf"(?:.*-)?[0-9a-f]{{{_LONG}}}")

MAX_FOLDED_CHARACTERS: Final = 1024
"""What of a name is looked at to fold it: ZooKeeper takes names of a megabyte."""

MAX_TOLD: Final = 3
"""Others with the same label that a Problem names: each is told, so all of them would be a square."""


def is_label(name: str) -> bool:
    return _LABEL.fullmatch(name) is not None


def to_label(name: str, attempt: int = 0) -> str:
    """The label of `name`. `attempt`: from 1 on, alternatives for when the one before is taken. They end in a
    hash of the name: a short one, then long ones, which none can have that is no label as it stands."""
    lower = name[:MAX_FOLDED_CHARACTERS].lower().encode("ascii", "replace")
    plain = lower.translate(_PLAIN).decode("ascii").strip("-")
    if not attempt:
        if is_label(name):
            return name
        if 0 < len(plain) <= 63 and len(name) <= MAX_FOLDED_CHARACTERS and not _LONG_HASH.fullmatch(plain):
            return plain
        attempt = 1
    digits = _SHORT if attempt == 1 else _LONG
    salt = b"" if attempt <= 2 else b"%d" % attempt
    stem = plain[: 62 - digits].strip("-")
    seal = blake2b(name.encode("utf-8", "surrogatepass") + salt, digest_size=24).hexdigest()[:digits]
    return f"{stem}-{seal}" if stem else seal


class Labels:
    """The labels of names that come and go. A change costs the names that it has to do with, however many
    others fold to the same label: none of those has it, whoever else comes or goes."""

    def __init__(self) -> None:
        self._plain: set[str] = set()
        self._labels: dict[str, str] = {}
        """Of the names that had to be folded."""
        self._wanted: dict[str, tuple[str, ...]] = {}
        """Of these: what each folds to, its short hash, and the long ones that it tried."""
        self._alike: dict[str, list[str]] = {}
        """By label, the names that fold to it, sorted; where one had to be folded."""
        self._hashed: dict[str, tuple[str, ...]] = {}
        """By label, the names whose hash it is, whether they need one or not."""

    def __getitem__(self, name: str) -> str:
        return name if name in self._plain else self._labels[name]

    def change(self, added: Iterable[str], removed: Iterable[str]) -> set[str]:
        """Names that are there from now on, or no more. Gives those of which there is something else to say
        now: their label, or who else wants it."""
        affected: set[str] = set()
        moved: set[str] = set()
        touched: list[str] = []
        for name in removed:
            if name in self._plain:
                self._plain.discard(name)
                label = name
            elif name in self._labels:
                del self._labels[name]
                label, *hashes = self._wanted.pop(name)
                self._unhash(name, hashes)
                touched += hashes
            else:
                continue
            touched.append(label)
            affected |= self._leave(name, label)
        for name in added:
            if name in self._plain or name in self._labels:
                continue
            if is_label(name):
                self._plain.add(name)
                label = name
            else:
                label, short = to_label(name), to_label(name, 1)
                self._labels[name], self._wanted[name] = "", (label, short)
                if len(known := self._hashed.get(short, ())) == 1:
                    moved.update(known)
                self._hashed[short] = (*known, name)
                touched.append(short)
                moved.add(name)
            touched.append(label)
            affected |= self._enter(name, label, moved)
        for label in touched:
            for names in (self._alike.get(label, ()), self._hashed.get(label, ())):
                if len(names) == 1:  # of several none has it, whoever comes or goes
                    moved.update(names)
        affected.update([name for name in moved if name in self._labels and self._assign(name)])
        return affected & self._labels.keys()

    def tell(self, name: str, path: str, word: str) -> Problem | None:
        """What is to be told of a name that has another label than it would have alone. `path`: its own."""
        if name in self._plain or self._labels[name] == (label := self._wanted[name][0]):
            return None
        return _tell(label, self._alike[label], name, self._labels[name], path, word)

    def _enter(self, name: str, label: str, moved: set[str]) -> set[str]:
        """A name is there. Gives those that name it; in `moved`, who has what it folds to no more for
        itself."""
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

    def _leave(self, name: str, label: str) -> set[str]:
        alike = self._alike.get(label)
        if alike is None:
            return set()
        at = bisect_left(alike, name)
        del alike[at]
        if not alike or alike == [label]:
            del self._alike[label]
        return set(_near(alike, at))

    def _assign(self, name: str) -> bool:
        """Give a name its label. Whether it is another one now."""
        label, short, *tried = self._wanted[name]
        longer: list[str] = []
        if len(self._alike[label]) > 1 or any(other != name for other in self._hashed.get(label, ())):
            label = short
            while label in self._plain or (label == short and len(self._hashed[short]) > 1):
                label = to_label(name, 2 + len(longer))
                longer.append(label)
        if longer != tried:
            self._unhash(name, tried)
            self._hashed.update(dict.fromkeys(longer, (name,)))
            self._wanted[name] = (*self._wanted[name][:2], *longer)
        before, self._labels[name] = self._labels[name], label
        return before != label

    def _unhash(self, name: str, labels: Iterable[str]) -> None:
        """These are its hashes no more."""
        for label in labels:
            others = tuple(other for other in self._hashed[label] if other != name)
            if others:
                self._hashed[label] = others
            else:
                del self._hashed[label]


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


def find_name(names: Iterable[str], name: str) -> str | None:
    """Which of these is meant, as registered or by its label; nothing else is known of them."""
    known = set(names)
    if name in known:
        return name
    labels = Labels()
    labels.change(known, ())
    return next((other for other in known if labels[other] == name.lower()), None)
