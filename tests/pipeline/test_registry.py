"""One registry as the pipeline knows it: when it is whole, how long a start waits for it, and how long what
vanishes may have gone with an outage."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace

import pytest

from support.steps import steps
from support.values import a_service, an_instance
from zkdns.config import Settings
from zkdns.model import Begin, Catalog, Children, Data, Event, Registration, Service, Session, Stat, Whole
from zkdns.pipeline import registry as registry_module
from zkdns.pipeline.registries import Registries
from zkdns.pipeline.registry import PATIENCE, SERVERS_AT_ONCE, STATE_WAIT, Registry
from zkdns.pipeline.replica import ServerNode
from zkdns.registry.url import parse_registry
from zkdns.roots import OVERRIDES, SERVERS
from zkdns.steps import finish

NOW = 1_700_000_000.0
GRACE = 15.0
BACK = (Begin(), Whole(), Session(True))
"""What is told of a root that was read: that it is within reach comes last."""


def open_registry(url: str = "zk://h/services", *, own: bool = False, label: str = "") -> Registry:
    return Registry(replace(parse_registry(url), name="r1"), NOW, own=own, label=label)


def hear(registry: Registry, root: str, *events: Event, at: float = NOW) -> None:
    for event in events:
        deque(registry.steps(root, event, at, GRACE), maxlen=0)


def lose(registry: Registry, at: float) -> None:
    for root in registry.reducers:
        hear(registry, root, Session(False), at=at)


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


def test_the_age_is_told_from_the_loss_until_a_new_reading_is_whole() -> None:
    registry = open_registry()
    told = (
        ((Session(False),), None, False),
        (BACK, None, True),
        ((Session(False),), 2, True),
        ((Session(False),), 2, True),
        ((Session(True), Begin()), 2, True),
        ((Session(False),), 2, True),
        (BACK, None, True),
        ((Session(False),), 7, True),
    )
    for at, (events, since, is_whole) in enumerate(told):
        hear(registry, "/services", *events, at=NOW + at)
        assert registry.is_whole is is_whole
        assert registry.stale_since == (None if since is None else NOW + since)


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


def test_a_root_that_goes_takes_its_zxids_along_so_that_who_starts_then_tells_the_same() -> None:
    """What Kafka's controller, a root of its own, stands in is others', and not read. The number tells of
    what stands there, and so goes back with it: that replicas agree comes first."""
    url = "zk://h/?preset=kafka"
    there, after = open_registry(url), open_registry(url)
    ids, controller = there.reducers
    brokers = Begin(), Children(ids, (), 5), Whole(), Session(True)
    leads = Data(controller, b'{"brokerid": 1}', Stat(9, 9, NOW, True))
    hear(there, ids, *brokers)
    hear(there, controller, Begin(), leads, Children(controller, (), 9), Whole(), Session(True))
    assert there.zxid == 9
    hear(there, controller, Begin(), Children(controller, (), 0), Whole())
    hear(after, ids, *brokers)
    hear(after, controller, Begin(), Children(controller, (), 0), Whole(), Session(True))
    assert there.zxid == after.zxid == 5


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
    hear(registry, "/services", Session(True), Begin(), Whole(), at=NOW + 30)
    assert registry.graced_until == NOW + 30 + GRACE
    hear(registry, "/services", Begin(), Whole(), at=NOW + 3600)
    assert registry.graced_until == NOW + 30 + GRACE


def two(first: float | None, second: float | None) -> Registries:
    """Two registries that are out of reach since then."""
    urls = tuple(replace(parse_registry(f"zk://h{n}/services"), name=f"r{n}") for n in (1, 2))
    registries = Registries(Settings(registry=urls), NOW)
    for registry, away in zip(registries.values(), (first, second), strict=True):
        for root in registry.reducers:
            hear(registry, root, *BACK)
            if away is not None:
                hear(registry, root, Session(False), at=away)
    return registries


def test_all_are_as_old_as_the_one_that_is_longest_out_of_reach() -> None:
    for first, second, seconds in ((10, 40, 90), (40, 10, 90), (None, 40, 60), (None, None, 0)):
        away = [None if at is None else NOW + at for at in (first, second)]
        assert two(*away).stale_seconds(NOW + 100) == seconds


def test_grace_holds_to_its_last_moment_and_for_the_registry_that_was_away_alone() -> None:
    registries = two(NOW + 1, None)
    for root in registries["r1"].reducers:
        hear(registries["r1"], root, *BACK, at=NOW + 10)
    for at, is_in_force in ((NOW + 10, True), (NOW + 10 + GRACE, True), (NOW + 10.1 + GRACE, False)):
        until = (("r1", NOW + 10 + GRACE),)
        assert registries.grace(at, GRACE).until == (until if is_in_force else ())


def services_of(registry: Registry) -> Mapping[str, Service]:
    registry.show(100, lambda: False)
    return finish(registry.mark_services(registry.shown.services))


def test_a_service_that_did_not_change_is_the_same_object_as_before_with_its_mark() -> None:
    registry = open_registry(label="dc1")
    stat = Stat(2, 2, NOW, True)
    hear(registry, "/services", Begin(), Children("/services", ("db", "web"), 1))
    for name in ("db", "web"):
        hear(registry, "/services", Children(f"/services/{name}", ("a",), 2))
        hear(registry, "/services", Data(f"/services/{name}/a", b'{"address": "10.0.0.1"}', stat))
    hear(registry, "/services", Whole(), Session(True))
    before = services_of(registry)
    assert [i.registry for i in before["web"].instances] == ["dc1"]
    assert "dc1" in before["web"].instances[0].registration.tags
    hear(registry, "/services", Data("/services/web/a", b'{"address": "10.0.0.2"}', Stat(2, 3, NOW, True)))
    after = services_of(registry)
    assert after["web"] is not before["web"]
    assert after["db"] is before["db"]
    hear(registry, "/services", Children("/services", ("db",), 4))
    assert list(services_of(registry)) == ["db"]


def test_an_instance_that_did_not_change_is_the_same_object_as_before_with_its_mark() -> None:
    """One that can be read, and one that can't be: of twenty thousand each change marked all of them anew."""
    registry = open_registry(label="dc1")
    hear(registry, "/services", Begin(), Children("/services", ("web",), 1))
    hear(registry, "/services", Children("/services/web", ("a", "b", "c"), 2))
    for id, data in (("a", b'{"address": "10.0.0.1"}'), ("b", b'{"address": "10.0.0.2"}'), ("c", b"")):
        hear(registry, "/services", Data(f"/services/web/{id}", data, Stat(2, 2, NOW, True)))
    hear(registry, "/services", Whole(), Session(True))
    before = services_of(registry)["web"].instances
    hear(registry, "/services", Data("/services/web/a", b'{"address": "10.0.0.3"}', Stat(2, 3, NOW, True)))
    after = services_of(registry)["web"].instances
    assert [(i.registry, "dc1" in i.registration.tags) for i in (*before, *after)] == [("dc1", True)] * 6
    assert [now is was for now, was in zip(after, before, strict=True)] == [False, True, True]
    assert registry.tree is not None
    assert after[0] is registry.tree.catalog().services["web"].instances[0], "marked as it was read"


def test_nodes_of_replicas_are_read_once_and_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may write there chooses how many there are, and every look at the server asks for them."""
    read: list[bytes] = []
    monkeypatch.setattr(registry_module, "read_node", lambda data: read.append(data) or ServerNode())
    one, size = open_registry(own=True), 3 * SERVERS_AT_ONCE
    ids = tuple(f"r{n:05}" for n in range(size))
    written = [Data(f"{SERVERS}/{id}", id.encode(), Stat(2, 2, NOW, True, mtime=NOW)) for id in ids]
    hear(one, SERVERS, Children(SERVERS, ids, 1), *written)
    for turn in range(1, 4):
        assert len(one.read_servers()) == len(read) == turn * SERVERS_AT_ONCE
    assert steps(one.read_servers) < 50, "nothing moved"
    again = Data(written[7].path, b"another", Stat(2, 3, NOW, True, mtime=NOW))
    hear(one, SERVERS, Children(SERVERS, ids[:-1], 4), again)
    before = one.read_servers()
    assert (len(before), read[size:]) == (size - 1, [b"another"])
    hear(one, SERVERS, Children(SERVERS, (), 5))
    assert len(before) == size - 1, "a thread may be looking at it"


def test_what_was_remembered_is_answered_no_more_once_it_was_read() -> None:
    registry = open_registry()
    registry.remember(Catalog({"old": Service("old", "old", "/services/old")}))
    assert registry.is_known
    for names in (("web",), ("web", "db")):
        hear(registry, "/services", Begin(), Children("/services", names, 3))
        for name in names:
            hear(registry, "/services", Children(f"/services/{name}", (), 3))
        hear(registry, "/services", Whole(), Session(True))
        assert not registry.is_remembered
        tree = registry.tree
        assert tree is not None
        assert {*tree.catalog().services} == {*names}
        assert {*registry.shown.services} == {*names}


def test_who_says_the_name_of_its_registry_itself_is_marked_all_the_same() -> None:
    registry = open_registry("file:///dev/null", label="dc1")
    one = replace(an_instance("a"), registration=Registration(("10.0.0.1",), tags=("dc1",)))
    (marked,) = finish(registry.mark_services({"web": a_service(one)}))["web"].instances
    assert (marked.registry, marked.registration) == ("dc1", one.registration)


def test_what_vanishes_has_its_grace_from_when_services_were_read_whatever_else_is() -> None:
    registry = open_registry(own=True)
    for root in registry.reducers:
        hear(registry, root, *BACK)
    lose(registry, NOW + 10)
    hear(registry, "/services", *BACK, at=NOW + 20)
    hear(registry, OVERRIDES, *BACK, at=NOW + 30)
    assert registry.graced_until == NOW + 20 + GRACE


@pytest.mark.parametrize(
    ("url", "events", "is_missing"),
    [
        ("zk://h/services", (), True),
        ("zk://h/services", (Children("/services", (), 7),), False),
        ("zk://h/?preset=patroni", (), True),
        # Older than any transaction: they are there in an ensemble that was never written to.
        ("zk://h/", (), False),
        ("zk://h/?preset=zookeeper", (Data("/zookeeper/config", b"", Stat(0, 0, NOW, False)),), False),
        (
            "zk://h/?preset=zookeeper",
            (Data("/zookeeper/config", b"server.1=10.0.0.1:2888:3888", Stat(0, 0, NOW, False)),),
            False,
        ),
    ],
)
def test_it_is_missing_where_none_of_its_roots_is_there(
    url: str, events: tuple[Event, ...], is_missing: bool
) -> None:
    registry = open_registry(url)
    for root in registry.reducers:
        hear(registry, root, Begin(), *events, Whole(), Session(True))
    while registry.show(100, lambda: False):
        pass
    assert registry.is_missing is is_missing
