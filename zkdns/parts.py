"""The parts of a folder by name: one file a part, and the file's name is its name.

Rules: a file in the folder is all that it takes; there is no list of them. What a part must have, the
folder's docstring says.
"""

from __future__ import annotations

from functools import cache
from pkgutil import iter_modules
from typing import Final

from zkdns import __path__

POLICIES: Final = "answers/policies"
CHECKS: Final = "health/checks"
FORMATS: Final = "registry/formats"
PRESETS: Final = "registry/presets"


@cache
def names(folder: str) -> tuple[str, ...]:
    """Every part in this folder of the package."""
    return tuple(sorted(part.name for part in iter_modules([f"{root}/{folder}" for root in __path__])))
