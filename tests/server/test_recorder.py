"""What a server remembers of changes without files: from the first of them on."""

from __future__ import annotations

import time

from zkdns.config import Settings
from zkdns.model import Change
from zkdns.pipeline.journal import Query
from zkdns.server.recorder import Recorder
from zkdns.topology import parse_topology


def test_what_is_remembered_begins_with_the_first_change_and_not_after_it() -> None:
    first = Change(time.time() - 3, 1, "web", "a", "registered", "", "healthy")
    second = Change(time.time() - 2, 2, "web", "b", "registered", "", "healthy")
    recorder = Recorder(Settings(), {})
    recorder.take([first, second])
    changes, since = recorder.history(Query("web"))()
    assert changes == [first, second]
    assert since == first.at


def test_where_networks_stood_is_remembered_with_each_change_of_it() -> None:
    maps = [parse_topology("map", {"10.0.0.0/8": zone})[0] for zone in ("here", "there")]
    stands = maps[0]
    recorder = Recorder(Settings(), {}, lambda: stands)
    at = time.time()
    recorder.take([Change(at, 1, "web", "a", "registered", "", "healthy")])
    time.sleep(0.01)
    between = time.time()
    time.sleep(0.01)
    stands = maps[1]
    recorder.take([Change(time.time(), 2, "", "topology", "settings", "here", "there")])
    assert recorder.world_at(between)().topology == maps[0]
    assert recorder.world_at(time.time())().topology == maps[1]
