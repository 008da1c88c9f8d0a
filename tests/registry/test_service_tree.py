"""ServiceTree: replies in, Catalog out; the laws that make it safe to trust."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.ensemble import Ensemble
from zkdns.model import (
    DEFAULTS,
    Begin,
    Catalog,
    Children,
    Data,
    Event,
    Session,
    Stat,
    Unreadable,
    Whole,
    serial_of,
)
from zkdns.registry.service_tree import ServiceTree

A = b'{"address": "10.0.0.1", "port": 80}'
B = b'{"address": "10.0.0.2", "port": 80}'
HOST = b'{"address": "db.example", "tags": ["x"]}'
BAD = (b"", b"{", b'{"address": "10.0.0.1", "port": "80"}')
PAYLOADS = (A, B, HOST, *BAD)
SETTINGS = (b"", b'{"ttl": 9}', b'{"ttl": "x"}', b"junk")


def folded(events: Iterable[Event], tree: ServiceTree | None = None) -> Catalog:
    tree = tree or ServiceTree("/services", "auto")
    for event in events:
        tree.apply(event)
    return tree.catalog()


def one(catalog: Catalog, service: str = "web") -> dict[str, tuple[str, ...]]:
    return {i.id: i.addresses for i in catalog.services[service].instances}


def at(zxid: int, created: int | None = None) -> Stat:
    return Stat(created or zxid, zxid, float(created or zxid), True)


# --- laws ---------------------------------------------------------------------------------------

names = st.sampled_from(["web", "db"])
ids = st.sampled_from(["a", "b", "C", "c"])
folders = st.sampled_from(["services/x", "providers/a", "services"])
steps = st.one_of(
    st.tuples(st.just("create"), names, st.none(), st.sampled_from(SETTINGS)),
    st.tuples(st.just("create"), names, ids | folders, st.sampled_from(PAYLOADS)),
    st.tuples(st.just("set"), names, ids, st.sampled_from(PAYLOADS)),
    st.tuples(st.just("set"), names, st.none(), st.sampled_from(SETTINGS)),
    st.tuples(st.just("delete"), names, ids | folders | st.none(), st.just(b"")),
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Ensemble, list[Event]]:
    """An ensemble after some writes, and replies that it gave at any moments in between."""
    ensemble = Ensemble()
    seen: list[Event] = []
    for verb, service, id, data in draw(st.lists(steps, max_size=25)):
        path = service if id is None else f"{service}/{id}"
        if verb == "create":
            ensemble.create(service)
            if path.count("/") == 2:
                ensemble.create(path.rpartition("/")[0])
            ensemble.create(path, data)
        elif verb == "set":
            ensemble.set(path, data)
        else:
            ensemble.delete(path)
        now = ensemble.replies()
        seen += draw(st.lists(st.sampled_from(now), max_size=4)) if now else []
    return ensemble, seen


@given(histories(), st.randoms(use_true_random=False))
def test_any_order_of_the_same_replies_gives_the_same_catalog(history, random) -> None:
    _, seen = history
    other = [*seen, *random.choices(seen, k=5)] if seen else []
    random.shuffle(other)
    assert folded(other) == folded(seen)


@st.composite
def short_lives(draw: st.DrawFn) -> list[Event]:
    """One service and one instance made and deleted over and over, and any of the replies in between."""
    ensemble = Ensemble()
    ensemble.create("web")
    seen: list[Event] = []
    paths = st.sampled_from(["web/a", "web/a", "web"])
    for path, data in draw(st.lists(st.tuples(paths, st.sampled_from([A, B])), min_size=3, max_size=9)):
        if not ensemble.create(path, data if "/" in path else b""):
            ensemble.delete(path)
        ask = [ensemble.list(""), ensemble.list("web"), ensemble.get("web/a")]
        seen += [reply for reply in ask if reply is not None and draw(st.booleans())]
    return seen


@settings(max_examples=500)
@given(short_lives(), st.randoms(use_true_random=False))
def test_any_order_of_the_replies_of_short_lives_gives_the_same_catalog(seen, random) -> None:
    other = seen[:]
    random.shuffle(other)
    assert folded(other) == folded(seen)


@given(histories(), st.randoms(use_true_random=False))
def test_late_replies_change_nothing_once_the_newest_are_there(history, random) -> None:
    ensemble, seen = history
    truth = folded(ensemble.replies())
    every = [*seen, *ensemble.replies()]
    random.shuffle(every)
    assert folded(every) == truth
    assert folded([*ensemble.replies(), *seen]).services == truth.services


@given(histories(), st.randoms(use_true_random=False), st.data())
def test_looking_between_replies_changes_nothing(history, random, data) -> None:
    _, seen = history
    tree = ServiceTree("/services", "auto")
    for event in seen:
        tree.apply(event)
        if data.draw(st.booleans()):
            tree.catalog()
    assert tree.catalog() == folded(seen)


@given(histories())
def test_a_resync_of_an_unchanged_registry_gives_the_very_same_objects(history) -> None:
    ensemble, _ = history
    tree = ServiceTree("/services", "auto")
    before = folded(ensemble.reading(), tree)
    after = folded(reversed(ensemble.replies()), tree)
    assert after is before
    again = folded(ensemble.reading(), tree)
    assert again is before


@given(histories(), histories())
def test_a_reading_replaces_all_that_the_one_before_it_said(first, second) -> None:
    """An older backup stands there: its zxids are smaller, and it is served all the same."""
    tree = ServiceTree("/services", "auto")
    folded([*first[1], *first[0].reading()], tree)
    assert folded(second[0].reading(), tree) == folded(second[0].reading())


@given(histories(), histories())
def test_a_reading_counts_only_once_it_is_whole(first, second) -> None:
    tree = ServiceTree("/services", "auto")
    before = folded(first[0].reading(), tree)
    assert folded(second[0].reading()[:-1], tree) is before
    assert folded([Whole()], tree).services == folded(second[0].reading()).services


@given(histories())
def test_an_instance_is_served_only_while_it_is_listed_and_as_it_last_said(history) -> None:
    ensemble, seen = history
    catalog = folded([*seen, *ensemble.replies()])
    assert set(catalog.services) == set(ensemble.root.kids)
    for name, service in catalog.services.items():
        for instance in service.instances:
            path = instance.path.removeprefix("/services/")
            assert path.startswith(f"{name}/")
            node = ensemble.find(path)
            assert node is not None
            assert instance.since == float(node.czxid)
        labels = [i.label for i in service.instances]
        assert len(set(labels)) == len(labels)
        assert [i.id for i in service.instances] == sorted(i.id for i in service.instances)


@given(histories())
def test_the_serial_is_that_of_the_largest_zxid_whoever_saw_what(history) -> None:
    """A server that followed from the start and one that came last agree."""
    ensemble, seen = history
    assert folded([*seen, *ensemble.replies()]).serial == folded(ensemble.reading()).serial


# --- cases --------------------------------------------------------------------------------------


def test_late_read_does_not_resurrect_an_instance() -> None:
    """kazoo issue 645."""
    events = [
        Children("/services", ("web",), 2),
        Children("/services/web", ("a", "b"), 4),
        Data("/services/web/b", B, at(4)),
        Children("/services/web", ("b",), 5),
        Data("/services/web/a", A, at(3)),
    ]
    assert one(folded(events)) == {"b": ("10.0.0.2",)}


def test_a_node_made_again_is_not_served_with_the_data_it_had_before() -> None:
    events = [
        Children("/services", ("web",), 2),
        Children("/services/web", ("a",), 3),
        Data("/services/web/a", A, at(3)),
        Children("/services/web", (), 4),
        Children("/services/web", ("a",), 5),
        Data("/services/web/a", A, at(3)),
    ]
    assert one(folded(events)) == {}
    assert one(folded([*events, Data("/services/web/a", B, at(5))])) == {"a": ("10.0.0.2",)}


def test_data_of_a_service_that_was_removed_with_all_below_does_not_come_back() -> None:
    events = [
        Children("/services", ("web",), 2),
        Children("/services/web", ("a",), 3),
        Data("/services/web/a", A, at(3)),
        Children("/services", (), 5),
        Children("/services", ("web",), 6),
        Children("/services/web", ("a",), 3),
        Data("/services/web/a", A, at(3)),
    ]
    assert one(folded(events)) == {}


def test_old_data_that_comes_before_the_new_listing_is_dead_all_the_same() -> None:
    events = [
        Children("/services", ("web",), 2),
        Children("/services/web", (), 4),
        Data("/services/web/a", A, at(3)),
        Children("/services/web", ("a",), 5),
    ]
    assert one(folded(events)) == {}


def test_data_from_before_its_services_end_is_dead_below_a_newer_listing() -> None:
    events = [
        Children("/services", ("web",), 2),
        Children("/services/web", ("a",), 13),
        Data("/services/web/a", A, at(3)),
        Children("/services", (), 10),
        Children("/services", ("web",), 12),
    ]
    assert one(folded(events)) == {}
    assert one(folded([*events, Data("/services/web/a", B, at(13))])) == {"a": ("10.0.0.2",)}


def test_a_listing_from_before_its_services_end_lists_nothing() -> None:
    events = [
        Children("/services", ("web",), 2),
        Children("/services/web", ("a",), 3),
        Data("/services/web/a", A, at(14)),
        Children("/services", (), 10),
        Children("/services", ("web",), 12),
    ]
    assert one(folded(events)) == {}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_settings_from_before_a_services_end_are_dead_while_its_new_listing_waits(
    order: tuple[int, int],
) -> None:
    told = [Children("/services", (), 5), Children("/services/web", (), 7)]
    events = [
        *(told[at_] for at_ in order),
        Data("/services/web", b'{"ttl": 9}', at(3)),
        Children("/services", ("web",), 7),
    ]
    assert folded(events).services["web"].settings == DEFAULTS


def test_what_is_gone_is_forgotten() -> None:
    ensemble = Ensemble()
    tree = ServiceTree("/services")
    for number in range(50):
        ensemble.create("web")
        ensemble.create("web/a", A)
        ensemble.create(f"web/{number}", A)
        folded(ensemble.replies(), tree)
        ensemble.delete(f"web/{number}")
        folded(ensemble.replies(), tree)
        ensemble.delete("web")
        folded(ensemble.replies(), tree)
    assert not tree._now.replies.root.kids


def test_data_that_comes_before_its_listing_waits_for_it() -> None:
    events = [
        Children("/services", ("web",), 2),
        Children("/services/web", (), 2),
        Data("/services/web/a", A, at(7)),
    ]
    assert one(folded(events)) == {}
    assert one(folded([*events, Children("/services/web", ("a",), 7)])) == {"a": ("10.0.0.1",)}


def test_a_second_list_at_the_same_zxid_corrects_the_first() -> None:
    """A list is read after the zxid that it goes by, so it may be newer than that."""
    events = [
        Children("/services", ("web",), 2),
        Children("/services/web", (), 7),
        Data("/services/web/a", A, at(7)),
        Children("/services/web", ("a",), 7),
        Data("/services/web/a", A, at(7)),
    ]
    assert one(folded(events)) == {"a": ("10.0.0.1",)}


def test_a_listed_service_without_instances_is_a_service() -> None:
    catalog = folded([Children("/services", ("web",), 2)])
    assert catalog.services["web"].instances == ()
    assert catalog.services["web"].settings == DEFAULTS
    assert catalog.services["web"].path == "/services/web"


def test_a_change_leaves_all_other_services_the_same_objects() -> None:
    ensemble = Ensemble()
    for service in "web", "db":
        ensemble.create(service)
        ensemble.create(f"{service}/a", A)
        ensemble.create(f"{service}/b", B)
    tree = ServiceTree("/services")
    before = folded(ensemble.reading(), tree)
    ensemble.set("web/a", B)
    after = folded([ensemble.get("web/a")], tree)
    assert after.services["db"] is before.services["db"]
    assert after.services["web"].instances[1] is before.services["web"].instances[1]
    assert one(after) == {"a": ("10.0.0.2",), "b": ("10.0.0.2",)}
    assert one(before) == {"a": ("10.0.0.1",), "b": ("10.0.0.2",)}


def test_a_touch_that_says_the_same_moves_the_serial_alone() -> None:
    ensemble = Ensemble(zxid=7 << 32)
    ensemble.create("web")
    ensemble.create("web/a", A)
    tree = ServiceTree("/services")
    before = folded(ensemble.reading(), tree)
    ensemble.set("web/a", A + b" ")
    after = folded([ensemble.get("web/a")], tree)
    assert after.services is before.services
    assert after.serial == serial_of(ensemble.zxid) != before.serial
    assert tree.zxid == ensemble.zxid


def test_the_same_zxids_with_other_data_are_read_anew() -> None:
    """Two histories that went apart: a restored ensemble counts the same zxids again."""
    tree = ServiceTree("/services")
    for payload in A, B:
        ensemble = Ensemble()
        ensemble.create("web")
        ensemble.create("web/a", payload)
        catalog = folded(ensemble.reading(), tree)
    assert one(catalog) == {"a": ("10.0.0.2",)}
    reading = [Children("/services", ("web",), 2), Children("/services/web", ("a",), 3)]
    for ctime in 5.0, 6.0:
        stat = Stat(3, 3, ctime, True)
        catalog = folded([Begin(), *reading, Data("/services/web/a", A, stat), Whole()], tree)
        assert catalog.services["web"].instances[0].since == ctime


def test_each_bad_payload_costs_only_itself_and_is_named() -> None:
    ensemble = Ensemble()
    ensemble.create("web", b"not json")
    ensemble.create("web/good", A)
    for at_, payload in enumerate(BAD):
        ensemble.create(f"web/bad{at_}", payload)
    catalog = folded(ensemble.reading())
    assert one(catalog) == {"good": ("10.0.0.1",)}
    assert [p.path for p in catalog.problems] == [
        "/services/web", "/services/web/bad0", "/services/web/bad1", "/services/web/bad2",
    ]  # fmt: skip
    assert all(p.what and p.cure for p in catalog.problems)
    ensemble.set("web/bad0", B)
    tree = ServiceTree("/services")
    folded(ensemble.reading(), tree)
    assert one(tree.catalog()) == {"good": ("10.0.0.1",), "bad0": ("10.0.0.2",)}


def test_a_problem_goes_with_its_node() -> None:
    ensemble = Ensemble()
    ensemble.create("web")
    ensemble.create("web/bad", b"{")
    tree = ServiceTree("/services")
    assert len(folded(ensemble.reading(), tree).problems) == 1
    ensemble.delete("web/bad")
    assert folded([ensemble.list("web")], tree).problems == ()
    ensemble.create("web/bad", b"{")
    assert len(folded([ensemble.list("web"), ensemble.get("web/bad")], tree).problems) == 1
    ensemble.delete("web")
    assert folded([ensemble.list("")], tree).problems == ()


def test_settings_stand_in_the_services_own_data() -> None:
    events = [
        Children("/services", ("web",), 2),
        Data("/services/web", b'{"ttl": 30, "policy": "x"}', at(2)),
    ]
    catalog = folded(events)
    assert catalog.services["web"].settings.ttl == 30
    assert catalog.services["web"].settings.policy == "weighted"
    assert [p.path for p in catalog.problems] == ["/services/web"]
    assert folded([*events, Data("/services/web", b"", at(9, 2))]).services["web"].settings == DEFAULTS


def test_ids_that_fold_to_the_same_label_both_get_a_hash_and_a_problem() -> None:
    ensemble = Ensemble()
    ensemble.create("web")
    ensemble.create("web/Host_1", A)
    ensemble.create("web/host-1", B)
    tree = ServiceTree("/services")
    catalog = folded(ensemble.reading(), tree)
    labels = [i.label for i in catalog.services["web"].instances]
    assert len(set(labels)) == 2
    assert all(label.startswith("host-1-") for label in labels)
    assert [p.path for p in catalog.problems] == ["/services/web/Host_1", "/services/web/host-1"]
    ensemble.create("web/z", A)
    after = folded([ensemble.list("web"), ensemble.get("web/z")], tree)
    assert after.services["web"].instances[0] is catalog.services["web"].instances[0]
    ensemble.delete("web/Host_1")
    last = folded([ensemble.list("web")], tree)
    assert [i.label for i in last.services["web"].instances] == ["host-1", "z"]
    assert last.problems == ()


def test_instances_may_stand_one_level_deeper_where_the_format_says_so() -> None:
    ensemble = Ensemble()
    ensemble.create("web")
    ensemble.create("web/services")
    ensemble.create("web/services/x", A)
    ensemble.create("web/other")
    ensemble.create("web/other/y", B)
    catalog = folded(ensemble.reading())
    assert one(catalog) == {"x": ("10.0.0.1",)}
    assert catalog.services["web"].instances[0].path == "/services/web/services/x"
    assert [p.path for p in catalog.problems] == ["/services/web/other"]


def test_what_may_not_be_read_is_a_problem_and_left_out() -> None:
    ensemble = Ensemble()
    ensemble.create("web")
    ensemble.create("web/a", A)
    ensemble.create("web/b", B)
    tree = ServiceTree("/services")
    folded(ensemble.reading(), tree)
    catalog = folded([Unreadable("/services/web/a", "an ACL")], tree)
    assert one(catalog) == {"b": ("10.0.0.2",)}
    assert [p.path for p in catalog.problems] == ["/services/web/a"]
    assert "an ACL" in catalog.problems[0].what
    catalog = folded([ensemble.get("web/a")], tree)
    assert one(catalog) == {"a": ("10.0.0.1",), "b": ("10.0.0.2",)}
    assert catalog.problems == ()
    catalog = folded([Unreadable("/services/web", "an ACL")], tree)
    assert one(catalog) == {}
    assert [p.path for p in catalog.problems] == ["/services/web"]
    assert one(folded(ensemble.replies(), tree)) == {"a": ("10.0.0.1",), "b": ("10.0.0.2",)}


def test_a_root_that_may_not_be_read_does_not_empty_the_catalog() -> None:
    ensemble = Ensemble()
    ensemble.create("web")
    ensemble.create("web/a", A)
    tree = ServiceTree("/services")
    before = folded(ensemble.reading(), tree)
    refused = folded([Begin(), Unreadable("/services", "an ACL"), Whole()], tree)
    assert refused.services == before.services
    assert [p.path for p in refused.problems] == ["/services"]
    assert folded(ensemble.replies(), tree) == before


def test_a_root_that_may_not_be_read_at_first_is_not_taken_for_an_empty_one() -> None:
    tree = ServiceTree("/services")
    assert not folded([Begin(), Unreadable("/services", "an ACL"), Whole()], tree).complete
    assert folded(Ensemble().replies(), tree).complete


def test_a_missing_root_is_an_empty_catalog() -> None:
    ensemble = Ensemble()
    ensemble.create("web")
    tree = ServiceTree("/services")
    folded(ensemble.reading(), tree)
    catalog = folded([Begin(), Children("/services", (), 0), Whole()], tree)
    assert catalog.services == {}
    assert catalog.complete


def test_the_age_is_told_from_the_loss_until_a_new_reading_is_whole() -> None:
    ensemble = Ensemble()
    ensemble.create("web")
    tree = ServiceTree("/services")
    assert not folded([Session(False, 5.0)], tree).complete
    assert folded([*ensemble.reading(), Session(True, 6.0)], tree).stale_since is None
    assert folded([Session(False, 7.0)], tree).stale_since == 7.0
    assert folded([Session(False, 8.0)], tree).stale_since == 7.0
    assert folded([Session(True, 9.0), Begin()], tree).stale_since == 7.0
    assert folded([Session(False, 10.0)], tree).stale_since == 7.0
    fresh = folded([*ensemble.reading(), Session(True, 11.0)], tree)
    assert fresh.stale_since is None
    assert folded([Session(False, 12.0)], tree).stale_since == 12.0


def test_the_slash_as_root_leaves_zookeepers_own_nodes_alone() -> None:
    events = [
        Children("/", ("web", "zookeeper", "zkdns"), 9),
        Children("/zookeeper", ("quota",), 9),
        Children("/web", ("a",), 8),
        Data("/web/a", A, at(8)),
    ]
    catalog = folded(events, ServiceTree("/"))
    assert set(catalog.services) == {"web"}
    assert one(catalog) == {"a": ("10.0.0.1",)}
    assert catalog.services["web"].instances[0].path == "/web/a"


@pytest.mark.parametrize("path", ["/other/web", "/service", "/servicesx/web", "/services/web/a/b/c"])
def test_what_stands_elsewhere_is_not_ours(path: str) -> None:
    before = folded([Children("/services", ("web",), 2)])
    assert folded([Children("/services", ("web",), 2), Data(path, A, at(99))]) == before


@settings(max_examples=50)
@given(st.text(max_size=8), st.binary(max_size=20))
def test_no_name_and_no_data_makes_the_fold_raise(name: str, data: bytes) -> None:
    name = name.replace("/", "")
    events = [
        Children("/services", (name,), 2),
        Data(f"/services/{name}", data, at(2)),
        Children(f"/services/{name}", (name,), 3),
        Data(f"/services/{name}/{name}", data, at(3)),
    ]
    folded(events)
