"""The labels of names, how often one is folded for them, and names that all fold to the same."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import pytest

from zkdns.registry import labels

ALIKE = sorted("".join(letters) for letters in product(*((c, c.upper()) for c in "abcdefghijkl")))
"""4,096 names that differ in case alone; one of them is a label as it stands."""


def labels_of(names: Iterable[str]) -> dict[str, str]:
    """By name, where there are no others."""
    every = set(names)
    one = labels.Labels()
    one.change(every, ())
    return {name: one[name] for name in every}


class Folded:
    """`count`: how often, since it was made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._fold = labels.to_label
        monkeypatch.setattr(labels, "to_label", self._counted)

    def _counted(self, name: str, attempt: int = 0) -> str:
        self.count += 1
        return self._fold(name, attempt)
