"""An engine with one small service in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import tables
from support.native import APEX, WEB, A, entry
from zkdns.answers.table import Name
from zkdns.serve import native


@pytest.fixture
def engine() -> Iterator[native.Native]:
    made = native.Native()
    zone = tables.zone()
    made.publish(None, [zone], entries=[(WEB + A, entry(3))], names=[(APEX, Name(zone)), (WEB, Name(zone))])
    yield made
    made.close()
