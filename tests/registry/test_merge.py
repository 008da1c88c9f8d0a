"""Several registries into one Catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.folding import labels_of
from support.merging import merge
from support.stepping import break_at
from zkdns.model import DEFAULTS, Catalog, Instance, Problem, Registration, Service, ServiceSettings
from zkdns.persistent import PersistentMap
from zkdns.registry import meeting
from zkdns.registry.labels import to_label
from zkdns.registry.merge import Merger
from zkdns.steps import finish


def instance(registry: str, service: str, id: str, address: str = "10.0.0.1") -> Instance:
    return Instance(id, to_label(id), f"{registry}/{service}/{id}", Registration((address,)), 1.0)


def service(registry: str, name: str, *ids: str, settings: ServiceSettings = DEFAULTS) -> Service:
    labels = labels_of(ids)
    found = tuple(replace(instance(registry, name, id), label=labels[id]) for id in sorted(ids))
    return Service(name, to_label(name), f"{registry}/{name}", settings, found)


def catalog(*services: Service, **rest: object) -> Catalog:
    return Catalog({s.name: s for s in services}, complete=True, **rest)  # type: ignore[arg-type]


def paths(merged: Catalog, name: str) -> list[str]:
    return [i.path for i in merged.services[name].instances]


def test_one_registry_passes_through_as_it_is() -> None:
    one = catalog(service("/a", "web", "x"), serial=7)
    merged = merge([one])
    assert merged == one
    assert merged.services is one.services


def test_the_first_that_names_an_instance_wins() -> None:
    one = catalog(service("/a", "web", "x", "y"), service("/a", "db", "p"))
    two = catalog(service("/b", "web", "y", "z"), service("/b", "mail", "q"))
    merged = merge([one, two])
    assert paths(merged, "web") == ["/a/web/x", "/a/web/y", "/b/web/z"]
    assert set(merged.services) == {"web", "db", "mail"}
    assert merged.services["db"] is one.services["db"]
    assert merged.services["web"].path == "/a/web"
    assert paths(merge([two, one]), "web") == ["/a/web/x", "/b/web/y", "/b/web/z"]


def elected(
    registry: str, leader: str | None, *ids: str, offices: tuple[str, ...] = ("leader", "primary")
) -> Service:
    one = service(registry, "pg1", *ids)
    instances = tuple(
        replace(
            i,
            registry=registry,
            registration=replace(i.registration, tags=(*offices * (i.id == leader), registry)),
        )
        for i in one.instances
    )
    return replace(one, instances=instances, registries=(registry,), offices=offices)


@pytest.mark.parametrize(
    ("first", "second", "holders"),
    [
        (elected("dc1", "a", "a", "b"), elected("dc2", "c", "c"), {"leader": "a", "primary": "a"}),
        (elected("dc1", None, "a"), elected("dc2", "c", "c"), {"leader": "c", "primary": "c"}),
        (elected("dc1", "a", "a"), elected("dc2", "a", "a", "c"), {"leader": "a", "primary": "a"}),
        (elected("dc1", None, "a"), elected("dc2", "a", "a", "c"), {}),  # that one is not given
        (
            elected("dc1", "a", "a"), elected("dc2", "c", "c", offices=("leader", "standby")),
            {"leader": "a", "primary": "a", "standby": "c"},
        ),
    ],
)  # fmt: skip
def test_an_office_has_one_holder_however_many_registries_elect_one(
    first: Service, second: Service, holders: dict[str, str]
) -> None:
    (merged,) = merge([catalog(first), catalog(second)]).services.values()
    tags = [(tag, i.id) for i in merged.instances for tag in i.registration.tags if tag in merged.offices]
    assert len(tags) == len(dict(tags))
    assert dict(tags) == holders
    assert all(i.registry in i.registration.tags for i in merged.instances)


def tagged(registry: str, tags: tuple[str, ...], *ids: str) -> Service:
    """Where nobody is elected."""
    one = elected(registry, None, *ids, offices=())
    instances = [replace(i, registration=replace(i.registration, tags=tags)) for i in one.instances]
    return replace(one, instances=tuple(instances))


@pytest.mark.parametrize("leader", ["a", None])
@pytest.mark.parametrize("count", [1, 2])
def test_who_calls_itself_leader_beside_an_election_is_none_and_told_so(
    leader: str | None, count: int
) -> None:
    own = tagged("dc2", ("leader", "blue"), *["c", "d"][:count])
    for order in (1, -1):
        merged = merge([catalog(elected("dc1", leader, "a")), catalog(own)][::order])
        instances = merged.services["pg1"].instances
        assert [i.id for i in instances if "leader" in i.registration.tags] == ([leader] if leader else [])
        assert all("blue" in i.registration.tags for i in instances if i.registry == "dc2")
        (told,) = merged.problems
        assert told.path == own.instances[0].path
        assert told.what.startswith("its tag leader is left out")
        assert ("2 instances" in told.what) == (count == 2)


def test_a_tag_of_that_name_stays_where_nobody_is_elected() -> None:
    own = tagged("dc2", ("leader",), "c", "d")
    (merged,) = merge([catalog(service("dc1", "pg1", "a")), catalog(own)]).services.values()
    assert [i.id for i in merged.instances if "leader" in i.registration.tags] == ["c", "d"]
    assert not merge([catalog(own), catalog(service("dc1", "pg1", "a"))]).problems


def test_settings_come_from_the_first_that_has_some() -> None:
    own = ServiceSettings(ttl=9)
    one, two = catalog(service("/a", "web", "x")), catalog(service("/b", "web", "y", settings=own))
    assert merge([one, two]).services["web"].settings == own
    three = catalog(service("/c", "web", settings=ServiceSettings(ttl=1)))
    assert merge([one, two, three]).services["web"].settings == own


def test_serial_age_and_completeness() -> None:
    one = Catalog(serial=5, complete=True, stale_since=20.0)
    two = Catalog(serial=9, complete=True, stale_since=10.0)
    assert merge([one, two]) == Catalog({}, (), 9, True, 10.0)
    assert not merge([one, Catalog()]).complete
    assert merge([Catalog(serial=1, complete=True), one]).stale_since == 20.0
    assert merge([Catalog(complete=True)]).stale_since is None


def test_problems_of_all_are_told() -> None:
    one, two = Problem("/a/x", "w", "c"), Problem("/b/x", "w", "c")
    assert merge([Catalog(problems=(one,)), Catalog(problems=(two,))]).problems == (one, two)


def test_a_service_whose_name_folds_to_anothers_gets_a_hash_and_a_problem() -> None:
    one = catalog(service("/a", "My_Web", "x"), service("/a", "my-web"), service("/a", "db"))
    merged = merge([one])
    labels = {name: s.label for name, s in merged.services.items()}
    assert labels["db"] == "db"
    assert labels["My_Web"].startswith("my-web-")
    assert labels["my-web"] == "my-web"
    assert [p.path for p in merged.problems] == ["/a/My_Web"]
    assert merge([one], merged) is merged
    changed = catalog(*one.services.values(), service("/a", "new"))
    after = merge([changed], merged)
    assert after.services["My_Web"] is merged.services["My_Web"]
    split = merge([catalog(service("/a", "My_Web", "x")), catalog(service("/b", "my-web"))])
    assert {s.label for s in split.services.values()} == {labels["My_Web"], labels["my-web"]}
    assert merge([catalog(service("/a", "My_Web", "x"))], merged).services["My_Web"].label == "my-web"


def test_an_id_that_folds_to_one_of_another_registry_gets_a_hash() -> None:
    one, two = catalog(service("/a", "web", "Host_1")), catalog(service("/b", "web", "host-1", "z"))
    merged = merge([one, two])
    labels = {i.id: i.label for i in merged.services["web"].instances}
    assert labels["z"] == "z"
    assert labels["host-1"] == "host-1"
    assert labels["Host_1"].startswith("host-1-")
    assert [p.path for p in merged.problems] == ["/a/web/Host_1"]
    again = merge([one, two], merged)
    assert again is merged


names = st.sampled_from(["web", "Web", "db"])
ids = st.sets(st.sampled_from(["a", "b", "A"]), max_size=3)


@st.composite
def catalogs(draw: st.DrawFn) -> list[Catalog]:
    found = []
    for registry in ("/a", "/b", "/c")[: draw(st.integers(1, 3))]:
        content: Mapping[str, set[str]] = draw(st.dictionaries(names, ids))
        found.append(catalog(*(service(registry, name, *kids) for name, kids in content.items())))
    return found


@given(catalogs(), catalogs())
def test_what_stood_before_changes_which_object_and_never_what_it_says(first, second) -> None:
    before = merge(first)
    after = merge(second, before)
    assert after == merge(second)
    given_ = [found for one in second for found in one.services.values()]
    for name, merged in after.services.items():
        if before.services.get(name) == merged and not any(merged is found for found in given_):
            assert before.services[name] is merged
    assert merge(second, after) is after


@given(catalogs())
def test_nothing_is_lost_or_made_up_and_all_labels_differ(every) -> None:
    merged = merge(every)
    assert set(merged.services) == {name for one in every for name in one.services}
    assert len({s.label for s in merged.services.values()}) == len(merged.services)
    for name, found in merged.services.items():
        known = [i.id for one in every if name in one.services for i in one.services[name].instances]
        assert [i.id for i in found.instances] == sorted(set(known))
        assert len({i.label for i in found.instances}) == len(found.instances)


def test_the_name_of_a_service_can_not_be_taken_by_an_empty_node() -> None:
    merger = Merger()
    web = service("/a", "web", "x")
    assert finish(merger.merge([catalog(web)])).services["web"] is web
    for other in ("WEB", "web\u200b", "wEb"):
        merged = finish(merger.merge([catalog(web, service("/a", other))]))
        assert merged.services["web"] is web
        assert merged.services[other].label.startswith("web-")
        assert [p.path for p in merged.problems] == [f"/a/{other}"]
        assert finish(merger.merge([catalog(web)])).problems == ()


def test_no_service_is_called_as_what_one_registry_holds_of_another() -> None:
    merger = Merger(registries=("r1", "r2"))
    web, other, mail = service("/a", "web", "x"), service("/a", "web@r2", "x"), service("/a", "mail@r3", "x")
    for also in ((), (catalog(),)):
        merged = finish(merger.merge([catalog(web, other, mail), *also]))
        assert set(merged.services) == {"web", "mail@r3"}
        assert [p.path for p in merged.problems] == ["/a/web@r2"]
    merged = finish(merger.merge([catalog(web, mail)]))
    assert set(merged.services) == {"web", "mail@r3"}
    assert merged.problems == ()


@given(st.lists(catalogs(), max_size=5))
def test_merging_by_difference_is_merging_from_nothing(moments: list[list[Catalog]]) -> None:
    merger = Merger()
    for every in moments:
        every = [replace(one, services=PersistentMap(one.services)) for one in every]
        merged = finish(merger.merge(every))
        fresh = merge(every)
        assert dict(merged.services) == dict(fresh.services)
        assert sorted(map(repr, merged.problems)) == sorted(map(repr, fresh.problems))
        assert finish(merger.merge(every)) is merged


def test_a_service_that_breaks_us_is_told_and_the_others_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    break_at(monkeypatch, Merger, "_join_one", lambda self, name, standing: name == "web")
    merger = Merger()
    first = finish(merger.merge([catalog(service("a", "web", "1"), service("a", "db", "1")), catalog()]))
    assert paths(first, "db")
    assert [(p.path, p.ours) for p in first.problems] == [(first.services["web"].path, True)]
    moved = catalog(service("a", "web", "1", "2"), service("a", "db", "1", "2"))
    assert len(paths(finish(merger.merge([moved, catalog()])), "db")) == 2
    monkeypatch.undo()
    mended = finish(merger.merge([catalog(service("a", "web", "3")), catalog()]))
    assert paths(mended, "web")
    assert mended.problems == ()


MOVES = st.lists(
    st.tuples(
        st.sampled_from("ab"), st.sampled_from(["a", "A", "b.c", "b-c", "d", "e.f"]), st.integers(0, 2)
    ),
    max_size=20,
)


@given(MOVES)
def test_a_service_that_is_joined_by_change_is_the_one_that_is_joined_from_nothing(
    moves: list[tuple[str, str, int]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meeting, "SLICE", 1)  # from two instances on it is remembered what was joined
        merger = Merger()
        held: dict[str, dict[str, Instance]] = {"a": {}, "b": {}}
        for registry, id, number in moves:
            held[registry].pop(id, None)
            if number:
                held[registry][id] = instance(registry, "web", id, f"10.0.0.{number}")
            every = []
            for name, those in held.items():
                labels = labels_of(those)
                instances = tuple(replace(those[one], label=labels[one]) for one in sorted(those))
                kept = tuple(one if one.label != those[one.id].label else those[one.id] for one in instances)
                every.append(catalog(replace(service(name, "web"), instances=kept)))
            merged, fresh = finish(merger.merge(every)), merge(every)
            assert merged.services == fresh.services
            assert [*merged.problems] == [*fresh.problems]
