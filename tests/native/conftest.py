"""An engine with one small service in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.native import APEX, WEB, entry, small
from zkdns.answers.table import Name
from zkdns.serve import native


@pytest.fixture
def engine() -> Iterator[native.Native]:
    made = native.Native()
    made.apply(small(entry(3), {APEX: Name(0), WEB: Name(0)}))
    yield made
    made.close()
