"""One registry as the pipeline knows it: when it is whole, how long a start waits for it, and how long what
vanishes may have gone with an outage."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zkdns.model import Begin, Catalog, Children, Data, Event, Session, Stat, Whole
from zkdns.pipeline.registry import PATIENCE, STATE_WAIT, Registry
from zkdns.registry.source import OVERRIDES
from zkdns.registry.url import parse_registry

NOW = 1_700_000_000.0
GRACE = 15.0
BACK = (Begin(), Whole(), Session(True, NOW))
"""What is told of a root that was read: that it is within reach comes last."""


def open_registry(url: str = "zk://h/services", *, own: bool = False, label: str = "") -> Registry:
    return Registry(replace(parse_registry(url), name="r1"), NOW, own=own, label=label)


def hear(registry: Registry, root: str, *events: Event, at: float = NOW) -> None:
    for event in events:
        registry.take(root, event, at, GRACE)


def lose(registry: Registry, at: float) -> None:
    for root in registry.reducers:
        hear(registry, root, Session(False, at), at=at)


def test_it_is_whole_when_each_of_its_roots_was_read_and_not_before() -> None:
    registry = open_registry(own=True)
    assert len(registry.reducers) > 3
    for root in registry.reducers:
        assert not registry.is_whole
        hear(registry, root, *BACK)
    assert registry.is_whole


def test_a_start_waits_longer_where_nothing_is_remembered_and_counts_from_the_last_word() -> None:
    registry = open_registry(own=True)
    assert registry.settles_at(NOW) == NOW + PATIENCE
    hear(registry, OVERRIDES, Begin(), at=NOW + 3)
    assert registry.settles_at(NOW + 3) == NOW + 3 + PATIENCE
    registry.remember(Catalog({}))
    assert registry.settles_at(NOW + 3) == NOW + 3 + STATE_WAIT
    for root in registry.reducers:
        hear(registry, root, *BACK, at=NOW + 4)
    assert registry.settles_at(NOW + 9) == NOW + 9


def test_after_an_outage_each_root_has_its_grace_from_when_it_was_read() -> None:
    registry = open_registry("zk://h/?preset=kafka")
    ids, controller = registry.reducers
    for root in (ids, controller):
        hear(registry, root, *BACK)
    assert registry.graced_until == float("-inf"), "nothing was lost yet"
    lose(registry, NOW + 10)
    hear(registry, ids, *BACK, at=NOW + 100)
    assert registry.graced_until == NOW + 100 + GRACE
    hear(registry, controller, *BACK, at=NOW + 200)
    assert registry.graced_until == NOW + 200 + GRACE


@pytest.mark.parametrize("url", ["zk://h/services", "zk://h/?preset=kafka"])
def test_what_is_read_anew_without_an_outage_has_no_grace(url: str) -> None:
    """A root that was removed and made again; or a reply that did not come."""
    registry = open_registry(url)
    for root in registry.reducers:
        hear(registry, root, *BACK)
    lose(registry, NOW + 10)
    for root in registry.reducers:
        hear(registry, root, *BACK, at=NOW + 20)
    for root in registry.reducers:
        hear(registry, root, Begin(), Whole(), at=NOW + 3600)
    assert registry.graced_until == NOW + 20 + GRACE


def test_what_was_remembered_and_is_gone_when_it_is_read_has_its_grace() -> None:
    registry = open_registry()
    registry.remember(Catalog({}))
    registry.recall()
    hear(registry, "/services", Session(True, NOW), Begin(), Whole(), at=NOW + 30)
    assert registry.graced_until == NOW + 30 + GRACE
    hear(registry, "/services", Begin(), Whole(), at=NOW + 3600)
    assert registry.graced_until == NOW + 30 + GRACE


def test_a_service_that_did_not_change_is_the_same_object_as_before_with_its_mark() -> None:
    registry = open_registry(label="dc1")
    stat = Stat(2, 2, NOW, True)
    hear(registry, "/services", Begin(), Children("/services", ("db", "web"), 1))
    for name in ("db", "web"):
        hear(registry, "/services", Children(f"/services/{name}", ("a",), 2))
        hear(registry, "/services", Data(f"/services/{name}/a", b'{"address": "10.0.0.1"}', stat))
    hear(registry, "/services", Whole(), Session(True, NOW))
    before = registry.services()
    assert [i.registry for i in before["web"].instances] == ["dc1"]
    assert "dc1" in before["web"].instances[0].registration.tags
    hear(registry, "/services", Data("/services/web/a", b'{"address": "10.0.0.2"}', replace(stat, mzxid=3)))
    after = registry.services()
    assert after["web"] is not before["web"]
    assert after["db"] is before["db"]
    hear(registry, "/services", Children("/services", ("db",), 4))
    assert list(registry.services()) == ["db"]
