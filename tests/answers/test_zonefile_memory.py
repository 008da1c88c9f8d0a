"""Zone files that change again and again: what they said before is let go of, without the collector, which in
the server hardly ever looks at what has lived for a while."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from types import FrameType

import pytest

from zkdns import piecemeal
from zkdns.answers import builder, precedence
from zkdns.answers.builder import Builder
from zkdns.answers.table import Table
from zkdns.answers.zonefiles import master_file, nodes, reader
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
    laid = Builder(["svc.local"])
    overlay, table, folder = Overlay(laid), Table(), ZoneFolder(tmp_path)
    (tmp_path / "other.example.zone").write_text(HEAD.format(n=1))
    counted = []
    for n in range(6):
        text = HEAD + (tail if n % 2 else TAILS["good"])
        (tmp_path / "a.example.zone").write_text(text.format(n=n))
        overlay.put(folder.load().zones)
        table.apply(laid.take())
        counted.append(living())
        assert len(folder.loaded.zones) == 2
    assert bool(folder.loaded.problems) is (tail not in (TAILS["good"], TAILS["generated"]))
    assert counted[4] == counted[2]
    assert counted[5] == counted[3]
    assert counted[5].keys() <= {ZoneData, master_file.Wrong}


MANY = 1200
FILES = {
    "a name each": "".join(f"h{n} A 10.0.{n >> 8}.{n & 255}\n" for n in range(MANY)),
    "one name": "".join(f"www A 10.0.{n >> 8}.{n & 255}\n" for n in range(MANY)),
    "names between": "".join(f"a.b.c{n} A 10.0.0.1\n" for n in range(MANY)),
    "wrong in a line": "".join(f"h{n} A 10.0.0.1\n" for n in range(MANY)) + "h A nonsense\n",
    "wrong as a whole": "".join(f"h{n} A 10.0.0.1\n" for n in range(MANY)) + "h1 CNAME a\n",
    "generated": f"$GENERATE 1-{MANY} h$ A 10.0.0.1\n",
    "longer than one piece": ("; " + "x" * 198 + "\n") * MANY,
}


OURS = {m.__name__ for m in (reader, master_file, piecemeal, nodes, precedence, builder)}


class Freed:
    """How many objects are freed between two calls of whatever function of ours, at the most: so long no
    other thread of the server would run."""

    def __init__(self) -> None:
        self.most = 0
        self._living = 0

    def __enter__(self) -> Freed:
        self._living = sys.getallocatedblocks()
        sys.setprofile(self._look)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _look(self, frame: FrameType, event: str, argument: object) -> None:
        if frame.f_globals["__name__"] not in OURS:
            return
        living = sys.getallocatedblocks()
        self.most = max(self.most, self._living - living)
        self._living = living


@pytest.mark.parametrize(("zone", "lines"), [*product(["a.example"], FILES), ("svc.local", "a name each")])
def test_what_is_let_go_of_is_freed_some_at_a_time(tmp_path: Path, zone: str, lines: str) -> None:
    """Of 60,000 lines it took three moments of 30 to 50 ms."""
    laid = Builder(["svc.local"])
    overlay, table, folder = Overlay(laid), Table(), ZoneFolder(tmp_path)
    path, head = (
        tmp_path / f"{zone}.zone",
        "@ 60 SOA ns root {n} 2 3 4 5\n@ 60 NS ns\nns 60 A 10.0.0.1\n$TTL 60\n",
    )
    with Freed() as freed:
        for n, text in enumerate((FILES[lines], "")):
            path.write_text(head.format(n=n) + text)
            overlay.put(folder.load().zones, in_turns=True)
            while laid.has_more:
                table.apply(laid.take(1000))
            folder.changed()
    assert freed.most < MANY // 2
