"""What a server remembers of changes without files: from the first of them on."""

from __future__ import annotations

import time

from zkdns.config import Settings
from zkdns.model import Change
from zkdns.pipeline.journal import Query
from zkdns.server.recorder import Recorder


def test_what_is_remembered_begins_with_the_first_change_and_not_after_it() -> None:
    first = Change(time.time() - 3, 1, "web", "a", "registered", "", "healthy")
    second = Change(time.time() - 2, 2, "web", "b", "registered", "", "healthy")
    recorder = Recorder(Settings(), {})
    recorder.take([first, second])
    changes, since = recorder.history(Query("web"))()
    assert changes == [first, second]
    assert since == first.at
