"""Zone files that change again and again: what they said before is let go of, without the collector, which in
the server hardly ever looks at what has lived for a while."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from zkdns.answers.builder import Builder
from zkdns.answers.table import Table
from zkdns.answers.zonefiles import master_file
from zkdns.answers.zonefiles.lookup import ZoneData
from zkdns.answers.zonefiles.overlay import Overlay
from zkdns.answers.zonefiles.reader import ZoneFolder

HEAD = "@ 60 SOA ns root {n} 2 3 4 5\n@ 60 NS ns\nns 60 A 10.0.0.1\n"
TAILS = {
    "good": "a{n} 60 CNAME b.other.example.\n",
    "wrong in a line": "a{n} 60 A nonsense\n",
    "wrong as a whole": "ns 60 CNAME a\n",
    "cut": 'a{n} 60 TXT "x\n',
    "generated": "$GENERATE 1-9 g$ 60 A 10.0.0.$\n",
    "generated and wrong": "$GENERATE 1-9 g$ 60 A 10.0.0.x$\n",
    "includes nothing": "$INCLUDE nowhere\n",
}


@pytest.fixture(autouse=True)
def without_the_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def living() -> Counter[type]:
    """Zones, and what a reading of one is made of."""
    kinds = Counter(map(type, gc.get_objects()))
    return Counter({k: n for k, n in kinds.items() if k is ZoneData or k.__module__ == master_file.__name__})


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
def test_what_a_file_said_before_is_let_go_of(tmp_path: Path, tail: str) -> None:
    """Each change of a file of 30,000 lines left 20 MiB for good."""
    builder = Builder(["svc.local"])
    overlay, table, folder = Overlay(builder), Table(), ZoneFolder(tmp_path)
    (tmp_path / "other.example.zone").write_text(HEAD.format(n=1))
    counted = []
    for n in range(6):
        text = HEAD + (tail if n % 2 else TAILS["good"])
        (tmp_path / "a.example.zone").write_text(text.format(n=n))
        overlay.put(folder.load().zones)
        table.apply(builder.take())
        counted.append(living())
        assert len(folder.loaded.zones) == 2
    assert bool(folder.loaded.problems) is (tail not in (TAILS["good"], TAILS["generated"]))
    assert counted[4] == counted[2]
    assert counted[5] == counted[3]
    assert counted[5].keys() <= {ZoneData, master_file.Wrong}
