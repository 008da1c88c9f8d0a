"""Any name -> a DNS label, and a set of names -> labels of which no two are the same.

Rules: pure. A name that is a label as it stands has it, whoever else there is: so nobody can take another's
name. Of those that have to be folded to one, two that fold to the same, or to one that is taken, get a short
hash of their own name each. So any replica, whatever it saw first, says the same. A label has 1 to 63 of a-z,
0-9 and "-", and no "-" at either end (RFC 1123, section 2.1: resolvers refuse such host names).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from hashlib import blake2b
from heapq import nsmallest
from typing import Final

from zkdns.lists import some_of
from zkdns.model import Problem
from zkdns.registry.fields import printable

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_OTHER = re.compile(r"[^a-z0-9-]")
_SHORT = 8
_MAX_DIGITS = 48

MAX_TOLD: Final = 3
"""Others with the same label that a Problem names: each is told, so all of them would be a square."""


def is_label(name: str) -> bool:
    return _LABEL.fullmatch(name) is not None


def to_label(name: str, attempt: int = 0) -> str:
    """The label of `name`. `attempt`: 1 and more are others for when the one before is taken, which end in
    a hash of the name: longer ones first, then others."""
    plain = _OTHER.sub("-", name.lower()).strip("-")
    if not attempt:
        if is_label(name):
            return name
        if 0 < len(plain) <= 63:
            return plain
        attempt = 1
    digits = min(attempt * _SHORT, _MAX_DIGITS)
    salt = b"" if attempt * _SHORT <= _MAX_DIGITS else b"%d" % attempt
    stem = plain[: 62 - digits].strip("-")
    seal = blake2b(name.encode("utf-8", "surrogatepass") + salt, digest_size=24).hexdigest()[:digits]
    return f"{stem}-{seal}" if stem else seal


class Labels:
    """The labels of names that come and go: each change costs the names that it has to do with."""

    def __init__(self) -> None:
        self._plain: set[str] = set()
        self._labels: dict[str, str] = {}
        """Of the names that had to be folded."""
        self._attempts: dict[str, int] = {}
        self._wanted: dict[str, set[str]] = {}
        """By label, the folded names that have it, or would if it were free."""
        self._folding: dict[str, set[str]] = {}
        """By label, the names that fold to it."""

    def __getitem__(self, name: str) -> str:
        return name if name in self._plain else self._labels[name]

    def change(self, added: Iterable[str], removed: Iterable[str]) -> set[str]:
        """Names that are there from now on, or no more. Gives those of which there is something else to say
        now: their label, or who else wants it."""
        affected: set[str] = set()
        for name in removed:
            if name in self._plain:
                self._plain.discard(name)
                affected |= self._wanted.get(name, set())
            elif name in self._labels:
                affected |= self._rivals(name)
                affected.discard(name)
                self._let_go(name)
                _take(self._folding, to_label(name), name)
        for name in added:
            if name in self._plain or name in self._labels:
                continue
            if is_label(name):
                self._plain.add(name)
                affected |= self._wanted.get(name, set())
            else:
                self._labels[name] = ""
                self._want(name, 0)
                _put(self._folding, to_label(name), name)
                affected |= self._rivals(name)
        affected &= self._labels.keys()
        if affected:
            self._assign(affected)
        return affected

    def tell(self, name: str, paths: Mapping[str, str], word: str) -> Problem | None:
        """What is to be told of a name that has another label than it would have alone. `paths`: where each
        name stands, those that were told of."""
        if name in self._plain or not self._attempts.get(name):
            return None
        label = to_label(name)
        folding = self._folding[label]
        rivals = [other for other in nsmallest(MAX_TOLD + 1, folding) if other != name]
        is_taken = label in self._plain
        others = [label, *rivals] if is_taken else rivals
        return _tell(label, others, len(folding) - 1 + is_taken, self._labels[name], paths[name], word)

    def _rivals(self, name: str) -> set[str]:
        """The folded names that want a label which this one wants too; itself among them."""
        rivals: set[str] = set()
        for attempt in range(self._attempts.get(name, 0) + 1):
            rivals |= self._wanted.get(to_label(name, attempt), set())
        return rivals

    def _want(self, name: str, attempt: int) -> None:
        self._attempts[name] = attempt
        for at in range(attempt + 1):
            _put(self._wanted, to_label(name, at), name)

    def _let_go(self, name: str) -> None:
        for at in range(self._attempts.pop(name, 0) + 1):
            _take(self._wanted, to_label(name, at), name)
        self._labels.pop(name, None)

    def _assign(self, affected: set[str]) -> None:
        waiting = set(affected)
        while True:
            while waiting:  # those that a label may be taken from, or become free for
                more = self._rivals(waiting.pop()) - affected
                affected |= more
                waiting |= more
            attempts = assign(affected, self._plain)
            labels = {name: to_label(name, attempt) for name, attempt in attempts.items()}
            more = {
                other
                for label in labels.values()
                for other in self._wanted.get(label, ())
                if other not in affected
            }
            if not more:
                break
            affected |= more
            waiting |= more
        for name, attempt in attempts.items():
            if attempt != self._attempts.get(name):
                self._let_go(name)
                self._want(name, attempt)
            self._labels[name] = labels[name]


def _put(index: dict[str, set[str]], label: str, name: str) -> None:
    index.setdefault(label, set()).add(name)


def _take(index: dict[str, set[str]], label: str, name: str) -> None:
    names = index.get(label, set())
    names.discard(name)
    if not names:
        index.pop(label, None)


def assign(names: Iterable[str], taken: Collection[str]) -> dict[str, int]:
    """Which attempt of each name's label it has, where `taken` are the names that are labels themselves."""
    attempts = dict.fromkeys(names, 0)
    labels = {name: to_label(name) for name in attempts}
    while True:
        count = Counter(labels.values())
        contested = [name for name, label in labels.items() if count[label] > 1 or label in taken]
        if not contested:
            return attempts
        for name in contested:
            attempts[name] += 1
            labels[name] = to_label(name, attempts[name])


def assign_labels(names: Iterable[str]) -> dict[str, str]:
    """The label of each name, no two the same."""
    every = sorted(set(names))
    plain = {name for name in every if is_label(name)}
    attempts = assign((name for name in every if name not in plain), plain)
    return {name: name if name in plain else to_label(name, attempts[name]) for name in every}


def colliding(names: Iterable[str]) -> dict[str, list[str]]:
    """By label, the names that fold to it, where there is more than one."""
    groups: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        groups.setdefault(to_label(name), []).append(name)
    return {label: group for label, group in groups.items() if len(group) > 1}


def tell_collisions(paths: Mapping[str, str], labels: Mapping[str, str], word: str) -> Iterator[Problem]:
    """A Problem for each name that others keep from the label that it would have alone. `paths`: by name."""
    for label, names in colliding(paths).items():
        for name in names:
            if labels[name] != label:
                others = [other for other in names[: MAX_TOLD + 1] if other != name]
                yield _tell(label, others, len(names) - 1, labels[name], paths[name], word)


def _tell(label: str, others: list[str], count: int, label_now: str, path: str, word: str) -> Problem:
    """`others`: some of the `count` that fold to `label` too."""
    shown = printable(some_of(others, MAX_TOLD, count))
    do = "does" if count == 1 else "do"
    what = f"its {word} folds to the label {label}, as {shown} {do}; it is served as {label_now}"
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
