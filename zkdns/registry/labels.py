"""Any name -> a DNS label, and a set of names -> labels of which no two are the same.

Rules: pure. The label of a name depends on the name alone, unless another folds to the same: then
each of them gets a short hash of its own name. So any replica, whatever it saw first, says the same.
A label has 1 to 63 of a-z, 0-9 and "-", and no "-" at either end (RFC 1123, section 2.1: resolvers
refuse such host names).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b

from zkdns.model import Problem
from zkdns.registry.fields import printable

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_OTHER = re.compile(r"[^a-z0-9-]")
_SHORT = 8

MOST_TOLD = 3
"""Others with the same label that a Problem names: each is told, so all of them would be a square."""


def to_label(name: str, digits: int = 0) -> str:
    """The label of `name`. With `digits`, it ends in that many hexadecimal digits of the name's hash."""
    if not digits:
        if _LABEL.fullmatch(name):
            return name
        plain = _OTHER.sub("-", name.lower()).strip("-")
        if 0 < len(plain) <= 63:
            return plain
        digits = _SHORT
    stem = _OTHER.sub("-", name.lower()).strip("-")[: 62 - digits].strip("-")
    seal = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=24).hexdigest()[:digits]
    return f"{stem}-{seal}" if stem else seal


def assign_labels(names: Iterable[str]) -> dict[str, str]:
    """The label of each name, no two the same. Names that fold to the same get a hash, all of them."""
    every = sorted(set(names))
    digits = dict.fromkeys(every, 0)
    while True:
        labels = {name: to_label(name, digits[name]) for name in every}
        count = Counter(labels.values())
        if len(count) == len(every):
            return labels
        for name in every:
            if count[labels[name]] > 1:
                digits[name] = min(48, digits[name] + _SHORT)


def colliding(names: Iterable[str]) -> dict[str, list[str]]:
    """By label, the names that fold to it, where there is more than one."""
    groups: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        groups.setdefault(to_label(name), []).append(name)
    return {label: group for label, group in groups.items() if len(group) > 1}


def tell_collisions(paths: Mapping[str, str], labels: Mapping[str, str], word: str) -> Iterator[Problem]:
    """A Problem for each name that shares its label with another. `paths`: by name."""
    for label, names in colliding(paths).items():
        for name in names:
            others = [other for other in names[: MOST_TOLD + 1] if other != name][:MOST_TOLD]
            shown = printable(", ".join(others))
            if len(names) > MOST_TOLD + 1:
                shown += f" (and {len(names) - 1 - MOST_TOLD} more)"
            what = f"its {word} folds to the label {label}, as {shown} does; it is served as {labels[name]}"
            yield Problem(paths[name], what, f"choose {word}s that differ in more than case and punctuation")
