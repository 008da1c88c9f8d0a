"""What `explain` says of routes, and what it says would be: held against what then is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.examples import examples
from support.scenario import World
from support.steps import steps
from zkdns.dns.names import wire
from zkdns.explain.explain import Then, Unknown, explain
from zkdns.explain.subject import locate
from zkdns.explain.what_if import targets_in, undrained_in
from zkdns.registry.labels import to_label

SERVICES = {
    "here": {"web": "ab", "web-v1": "cde", "web-v2": "fg", "alias": ""},
    "there": {"web": "ax", "web-v1": "c"},
}
NODES = {"alias": '{"to": {"web-v1": 2, "web-v2": 1}}'}


def a_world(*failover: str) -> World:
    world = World()
    world.do_registries("here there")
    if failover:
        world.do_set(f'failover ["{failover[0]}"]')
    for number, (registry, services) in enumerate(SERVICES.items()):
        world.do_list(f"{registry}:/services {' '.join(services)}")
        for at, (name, ids) in enumerate(services.items()):
            if name in NODES:
                world.do_data(f"{registry}:/services/{name} {NODES[name]}")
            world.do_list(f"{registry}:/services/{name} {' '.join(ids)}")
            for n, id in enumerate(ids, 1):
                data = f'{{"address": "10.{number}.{at}.{n}", "port": 80, "weight": {n}}}'
                world.do_data(f"{registry}:/services/{name}/{id} {data}")
    world.publish()
    return world


def ask(
    world: World, name: str, *changes: str, qtype: str = "A", client: str | None = None, **more: Any
) -> dict[str, Any]:
    world.publish()
    pipeline = world.pipeline
    lifted = pipeline.undrained(undrained_in(changes), world.now)
    return explain(
        pipeline.builder.snapshot(), name, qtype,
        client=client, changes=changes, forwards=lambda asker: False,
        routes=dict(pipeline.routes.in_force), more=pipeline.preview(targets_in(changes), world.now)(),
        lifted=lifted, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("verdict", "state", "reason"),
    [("good", "healthy", "if undrain=web/a"), ("bad refused", "failing", "if undrain=web/a: refused")],
)
def test_what_would_be_without_a_drain_is_what_its_check_said_last(
    verdict: str, state: str, reason: str
) -> None:
    world = World()
    world.do_list("/services web")
    world.do_data('/services/web {"check": {"type": "tcp", "fall": 1}}')
    world.do_list("/services/web a")
    world.do_data('/services/web/a {"address": "10.0.0.1", "port": 80}')
    world.do_probe(f"/services/web/a {verdict}")
    world.do_list("/zkdns/overrides web")
    world.do_list("/zkdns/overrides/web a")
    world.do_data('/zkdns/overrides/web/a {"drain": true}')
    assert [i["state"] for i in ask(world, "web.svc.local")["instances"]] == ["drained"]
    said = ask(world, "web.svc.local", "undrain=web/a")
    assert [(i["state"], i["reason"]) for i in said["instances"]] == [(state, reason)]
    assert said["notes"][0] == f"if undrain=web/a: a is {state}, not drained"


def test_of_those_that_are_not_there_nobody_knows_how_they_would_stand() -> None:
    world = a_world()
    assert world.pipeline.undrained([("web", "nope"), ("nope", "a")], world.now) == {}


def test_one_that_a_registry_behind_alone_has_is_tried_by_its_label_as_well() -> None:
    world = a_world("there")
    world.do_list("there:/services/web a X_1")
    world.do_data('there:/services/web/X_1 {"address": "10.2.0.9", "port": 80}')
    world.publish()
    for id in ("X_1", to_label("X_1")):
        assert ask(world, "web.svc.local", f"drain=web/{id}")["notes"][0].endswith(
            "X_1 is drained, not healthy"
        )
    with pytest.raises(ValueError, match="no instance 'nope' in service 'web'"):
        ask(world, "web.svc.local", "drain=web/nope")


def test_each_is_told_as_it_would_stand_itself() -> None:
    world = a_world()
    world.do_list("/zkdns/overrides web")
    world.do_list("/zkdns/overrides/web b")
    world.do_data('/zkdns/overrides/web/b {"drain": true}')
    world.publish()
    stand = world.pipeline.undrained([("web", "b")], world.now)
    assert [(one.id, str(one.state)) for one in stand.values()] == [("b", "healthy")]


@pytest.mark.parametrize("address", ["10.1.0.1", "10.1.0.2"])
def test_an_address_that_a_route_alone_would_bring_has_its_rows(address: str) -> None:
    said = ask(a_world(), address, "route:alias=web@there", qtype="PTR")
    assert said["rcode"] == "NOERROR"
    assert {i["id"] for i in said["instances"]} == {"a-there" if address.endswith("1") else "x"}


def shares(said: dict[str, Any]) -> dict[str, float]:
    return {f"{i['service']}/{i['id']}": i["share"] for i in said["instances"] if i["share"]}


def due(said: dict[str, Any]) -> dict[str, float]:
    return {one["target"]: one["due"] for one in said["targets"]}


def test_a_route_that_is_tried_tells_what_each_target_would_be_due() -> None:
    world = a_world()
    before = ask(world, "web.svc.local")
    said = ask(world, "web.svc.local", "route:web=web-v1:50,web-v2:50")
    assert due(said) == {"web-v1": 0.5, "web-v2": 0.5}
    assert sum(shares(said).values()) == pytest.approx(1)
    assert (
        "if route:web=web-v1:50,web-v2:50: web stands for web-v1=50 web-v2=50, not its own instances"
        in (said["notes"])
    )
    assert ask(world, "web.svc.local") == before
    again = ask(world, "alias.svc.local", "route:alias=web")
    assert "not web-v1=2 web-v2=1" in again["notes"][0]
    assert due(again) == {"web": 1}


def test_what_is_tried_on_a_target_is_seen_at_every_route_that_leads_to_it() -> None:
    world = a_world()
    world.do_list("/services web web-v1 web-v2 alias outer")
    world.do_data('/services/outer {"to": [{"alias": 1}]}')
    drained = [f"drain=web-v1/{id}" for id in "cde"]
    for name in ("alias", "outer"):
        assert {key[-1] for key in shares(ask(world, f"{name}.svc.local"))} == set("cdefg")
        said = ask(world, f"{name}.svc.local", *drained)
        assert {key[-1] for key in shares(said)} == set("fg")
    assert due(ask(world, "alias.svc.local", *drained)) == {"web-v1": 0, "web-v2": 1}


def test_a_name_that_only_the_route_would_make_is_tried_as_well() -> None:
    world = a_world()
    said = ask(world, "fresh.svc.local", "route:fresh=web-v1")
    assert (said["rcode"], due(said)) == ("NOERROR", {"web-v1": 1})
    assert "and is no name now" in said["notes"][0]
    assert ask(world, "fresh.svc.local")["rcode"] == "NXDOMAIN"


def test_a_target_of_one_registry_needs_no_route_that_leads_there_already() -> None:
    world = a_world()
    said = ask(world, "web.svc.local", "route:web=web@here|web@there")
    assert due(said) == {"web@here": 1, "web@there": 0}
    drained = ask(world, "web.svc.local", "route:web=web@here|web@there", "drain=web/a", "drain=web/b")
    assert due(drained) == {"web@here": 0, "web@there": 1}
    assert set(drained["answer"]) == {"10.1.0.1", "10.1.0.2"}


def test_who_is_led_to_twice_is_one_record_with_both_shares() -> None:
    world = a_world()
    said = ask(world, "web.svc.local", "route:web=web,web@here", qtype="SRV")
    assert len(said["answer"]) == len(set(said["answer"]))
    assert len(said["answer"]) == 3
    assert shares(said) == pytest.approx(shares(ask(world, "web.svc.local", "route:web=web,web@here")))
    assert not any("and a have the same" in note for note in said["notes"])


def test_what_stands_behind_is_seen_and_can_be_drained() -> None:
    world = a_world("there")
    said = ask(world, "web.svc.local", "drain=web/a", "drain=web/b")
    assert due(said) == {"web": 0, "web@there": 1}
    assert any("failed over to there (0 of 2 healthy)" in note for note in said["notes"])
    nobody = ask(world, "web.svc.local", "drain=web/a", "drain=web/b", "drain=web/x", "drain=web@there/a")
    assert nobody["rcode"] == "NOERROR"
    assert nobody["answer"] == []


def test_a_name_is_of_the_service_and_not_of_what_one_registry_holds_of_it() -> None:
    snapshot = a_world("there").pipeline.builder.snapshot()
    services = sorted((a.service for a in snapshot.services.values()), key=lambda one: not one.view_of)
    assert services[0].view_of
    views_first = {one.name: one for one in services}
    for name, kind in (("web", "service"), ("_web._tcp", "protocol"), ("a.web", "instance")):
        subject = locate(views_first, snapshot.zones, wire(f"{name}.svc.local"))
        assert (subject.kind, [s.name for s in subject.services]) == (kind, ["web"])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("route:web", "stands for"),
        ("route:=web-v1", "no service"),
        ("route:web=", "[tag.]service"),
        ("route:web=web-v1:x", "share of 'web-v1'"),
        ("route:web=web-v1:70000", "share of 'web-v1'"),
        ("route:web=web-v1,web-v1", "twice"),
        ("route:not a label=web", "no label"),
    ],
)
def test_a_route_that_cannot_be_read_is_told(change: str, word: str) -> None:
    with pytest.raises(ValueError, match=word.replace("[", r"\[").replace(".", r"\.")):
        ask(a_world(), "web.svc.local", change)


def test_names_that_are_there_are_listed_once_with_those_of_other_registries() -> None:
    world = a_world("there")
    (note,) = ask(world, "nope.svc.local")["notes"][-1:]
    assert sorted(note.rpartition("there are ")[2].split(", ")) == ["alias", "web", "web-v1", "web-v2"]
    (note,) = ask(world, "nope.web.svc.local")["notes"][-1:]
    assert {"a", "b", "a-there", "x", "there"} <= set(note.rpartition("there are ")[2].split(", "))


def test_who_stands_behind_a_route_is_counted_where_the_service_itself_has_nobody() -> None:
    said = ask(
        a_world(), "alias.svc.local", *(f"down=web-v1/{i}" for i in "cde"), "down=web-v2/f", "down=web-v2/g"
    )
    assert "NODATA: none of 5 is given out (5 down)" in said["notes"]


def test_a_target_that_is_not_there_is_told() -> None:
    said = ask(a_world(), "web.svc.local", "route:web=web-v3:1,web-v1:1")
    assert any("web-v3 names no service" in note for note in said["notes"])
    assert due(said) == {"web-v3": 0, "web-v1": 1}


def test_each_target_tells_the_share_that_it_was_given() -> None:
    world = a_world()
    world.do_tally("99 alias.svc.local A")
    said = ask(world, "alias.svc.local")
    assert [(one["target"], one["first_answers"]) for one in said["targets"]] == [
        ("web-v1", 66), ("web-v2", 33),
    ]  # fmt: skip
    given = {one["target"]: one["given"] for one in said["targets"]}
    assert given == {"web-v1": pytest.approx(2 / 3, abs=1e-6), "web-v2": pytest.approx(1 / 3, abs=1e-6)}
    assert any("web-v1 66.67 % (3 of 3 healthy, 66.67 % given)" in note for note in said["notes"])


def test_a_moment_of_the_past_has_the_routes_of_then() -> None:
    world = a_world()
    world.do_list("/zkdns/overrides web")
    moving = '{"to": [{"web-v2": 1}], "from": [{"web-v1": 1}], "over": 100, "until": 1700000500}'
    world.do_data(f"/zkdns/overrides/web {moving}")
    world.publish()
    written, then = world.now, dict(world.pipeline.services)
    for after, part in ((0, 0), (25, 0.25), (60, 0.6), (200, 1)):
        said = ask(world, "web.svc.local", then=Then(written + after, then))
        assert due(said).get("web-v2", 0) == pytest.approx(part)
    world.do_clock("600")
    assert "targets" not in ask(world, "web.svc.local")


names = st.sampled_from(["web", "web-v1", "web-v2", "alias"])
targets = st.sampled_from(["web", "web-v1", "web-v2", "alias", "web@here", "web@there", "web-v1@there"])
tiers = st.lists(st.dictionaries(targets, st.integers(0, 5), min_size=1, max_size=3), min_size=1, max_size=2)


@settings(max_examples=examples(40))
@given(names, tiers, st.sampled_from([(), ("there",)]), st.sampled_from(["A", "SRV"]), names)
@example("web", [{"web": 1, "web@here": 1}], (), "SRV", "web")
def test_what_is_tried_is_what_then_comes_of_it(
    over: str, to: list[dict[str, int]], failover: tuple[str, ...], qtype: str, name: str
) -> None:
    world = a_world(*failover)
    text = "|".join(",".join(f"{t}:{n}" for t, n in tier.items()) for tier in to)
    tried = ask(world, f"{name}.svc.local", f"route:{over}={text}", qtype=qtype)
    world.do_list(f"/zkdns/overrides {over}")
    world.do_data(f'/zkdns/overrides/{over} {{"to": {str(to).replace(chr(39), chr(34))}}}')
    laid = ask(world, f"{name}.svc.local", qtype=qtype)
    for key in ("rcode", "answer", "instances", "targets"):
        assert tried.get(key) == laid.get(key), key


def test_what_operators_ordered_holds_behind_a_route_that_is_tried() -> None:
    world = a_world()
    world.do_list("/zkdns/overrides web")
    world.do_list("/zkdns/overrides/web a x")
    for id in "ax":
        world.do_data(f'/zkdns/overrides/web/{id} {{"drain": true}}')
    tried = ask(world, "web.svc.local", "route:web=web@here|web@there")
    world.do_data('/zkdns/overrides/web {"to": [{"web@here": 1}, {"web@there": 1}]}')
    laid = ask(world, "web.svc.local")
    assert [(i["id"], i["state"]) for i in tried["instances"]] == [
        ("a", "drained"), ("b", "healthy"), ("a-there", "healthy"), ("x", "drained"),
    ]  # fmt: skip
    assert [tried[key] for key in ("answer", "instances", "targets")] == [
        laid[key] for key in ("answer", "instances", "targets")
    ]


def test_who_is_no_target_is_out_for_that_and_nobody_stands_there_twice() -> None:
    world = a_world()
    said = ask(world, "web.svc.local", "route:web=web-v1")
    reasons = {f"{i['service']}/{i['id']}": i["reason"] for i in said["instances"] if not i["in"]}
    assert set(reasons) == {"web/a", "web/b", "web/x"}
    assert set(reasons.values()) == {"the name stands for others: it is no target of the route"}
    assert not any("in force" in note for note in said["notes"])
    one_registry = ask(world, "web.svc.local", "route:web=web@here")
    ids = [i["id"] for i in one_registry["instances"]]
    assert sorted(ids) == ["a", "b", "x"]


def test_what_rests_upon_a_service_that_is_unknown_then_is_not_made_up() -> None:
    """Its own names, those of routes that lead to it, and reverse names; all others are answered."""
    world = a_world()
    world.do_list("/zkdns/overrides web alias")
    world.do_data('/zkdns/overrides/web {"to": [{"web-v1": 1}, {"web-v2": 1}], "until": 1700000500}')
    world.do_data('/zkdns/overrides/alias {"to": "web", "until": 1700000500}')
    world.publish()
    then = Then(world.now, dict(world.pipeline.services), None, frozenset({"web-v2"}))
    for name in ("web-v2.svc.local", "a.web-v2.svc.local", "web.svc.local", "alias.svc.local", "10.0.0.99"):
        with pytest.raises(Unknown, match="how web-v2 stood then is not known"):
            ask(world, name, then=then)
    assert ask(world, "web-v1.svc.local", then=then)["answer"]
    assert ask(world, "nope.svc.local", then=then)["rcode"] == "NXDOMAIN"


ZONES = ("", "eu-1a", "eu-1b", "us-1a")
MAP = {f"127.0.{n}.0/24": f"{zone[:2]}/{zone}" for n, zone in enumerate(ZONES) if zone} | {
    "192.0.2.0/24": "eu/eu-9z"
}
"""No instance stands in the last of them."""
CLIENTS = [*(f"127.0.{n}.7" for n in range(1, len(ZONES))), "192.0.2.7"]
NEAR_NAMES = [
    "web",
    "alias",
    "x.web",
    "here.web",
    "there.web",
    *(f"{z}.prefer._zone.web" for z in ("eu-1a", "eu-9z")),
]
zones_of = st.lists(st.integers(0, len(ZONES) - 1), min_size=8, max_size=8)


@settings(max_examples=examples(20))
@given(
    st.lists(tiers, max_size=1),
    st.sampled_from([(), ("there",)]),
    zones_of,
    st.sampled_from(NEAR_NAMES),
    st.sampled_from(CLIENTS),
)
@example([[{"web@here": 1, "web@there": 1}]], ("there",), [1, 3, 0, 0, 0, 3, 1, 0], "web", CLIENTS[0])
@example([[{"web-v1": 1}]], ("there",), [1, 3, 0, 0, 0, 3, 1, 0], "x.web", CLIENTS[0])
@example([[{"web": 1, "web@there": 1}]], (), [1, 3, 0, 0, 0, 3, 1, 0], "web", CLIENTS[0])
@example([], ("there",), [1, 3, 0, 0, 0, 3, 1, 0], "there.web", CLIENTS[0])
@example([[{"web": 1}]], (), [1, 3, 0, 0, 0, 3, 1, 0], "eu-9z.prefer._zone.web", CLIENTS[0])
def test_each_zone_is_given_its_own_of_whatever_a_name_stands_for_and_told_so(
    laid: list[list[dict[str, int]]], failover: tuple[str, ...], zones: list[int], name: str, client: str
) -> None:
    """Ids are the same in both registries, and `x` is a tag."""
    world = a_world(*failover)
    world.do_data(f"/zkdns/topology {json.dumps(MAP)}")
    for service in ("web", "alias"):
        world.do_data(f'/services/{service} {{"near": "prefer", "near_min": 0}}')
    places, standing = iter(zones), dict[str, str]()
    for registry, ids in (("here", "ab"), ("there", "ax")):
        for id in ids:
            address, zone = f"10.9.{registry == 'here':d}.{ord(id)}", ZONES[next(places)]
            standing[address] = zone
            about = {"address": address, "zone": zone, "tags": ["x"]}
            world.do_data(f"{registry}:/services/web/{id} {json.dumps(about)}")
    for to in laid:
        world.do_list("/zkdns/overrides web")
        world.do_data(f"/zkdns/overrides/web {json.dumps({'to': to})}")
    every = set(ask(world, f"{name}.svc.local")["answer"])
    said = ask(world, f"{name}.svc.local", client=client)
    given = [i for i in said["instances"] if i["in"]]
    assert {a for i in given for a in i["address"]} == set(said["answer"])
    assert sum(i["share"] for i in given) == pytest.approx(float(bool(given)), abs=1e-5)
    assert len({i["id"] for i in said["instances"]}) == len(said["instances"])
    if "_zone" not in name:
        zone = said["client"]["zone"]
        own = {a for a in every if standing.get(a) == zone}
        region = {a for a in every if standing.get(a, "")[:2] == zone[:2]}
        assert set(said["answer"]) == (own or region or every)


def test_a_note_is_told_with_those_that_it_is_of_and_with_no_others() -> None:
    world = a_world("there")
    world.do_data('here:/services/web {"fail_open": true, "answers": 1}')
    for registry, id, status in (("here", "a", "down"), ("here", "b", "down"), ("there", "x", "down")):
        address = f"10.9.{len(registry)}.{ord(id)}"
        world.do_data(
            f'{registry}:/services/web/{id} {{"address": "{address}", "port": 80, "status": "{status}"}}'
        )
    world.do_list("here:/services alias front web web-v1 web-v2")
    world.do_data('here:/services/front {"to": {"web": 1}}')
    # Of the first nobody is healthy, and of the others one is.
    behind = "failed over to there (0 of 2 healthy)"
    assert behind in ask(world, "web.svc.local")["notes"]
    assert f"web: {behind}" in ask(world, "front.svc.local")["notes"]
    for name in ("web", "front"):
        assert not [note for note in ask(world, f"{name}.svc.local")["notes"] if "fail_open" in note]
    opened = "fail_open: all given (0 of 2 healthy)"
    assert opened in ask(world, "here.web.svc.local")["notes"]
    # The other's last is down too: what is given all the same is told by its own name, and by all others.
    data = '{"address": "10.9.5.1", "port": 80, "status": "down"}'
    world.do_data('there:/services/web {"fail_open": true}')
    world.do_data(f"there:/services/web/a {data}")
    world.do_data('here:/services/web {"fail_open": 0, "answers": 1}')
    assert opened in ask(world, "there.web.svc.local")["notes"]
    assert f"there: {opened}" in ask(world, "web.svc.local")["notes"]
    assert f"web@there: {opened}" in ask(world, "front.svc.local")["notes"]
    # So it would be if somebody laid that.
    said = ask(world, "alias.svc.local", "route:alias=front:1")["notes"]
    assert [note for note in said if "fail_open" in note and not note.startswith("the reply")] == [
        f"web@there: {opened}"
    ]


def test_how_many_an_alias_gives_is_told_as_the_service_has_it() -> None:
    world = a_world()
    world.do_data('here:/services/web-v1 {"answers": 2}')
    world.do_data('here:/services/alias {"to": {"web-v1": 1}}')
    said = ask(world, "alias.svc.local")
    assert len(said["answer"]) == 2
    assert "each answer gives 2 of the records (the setting `answers`)" in said["notes"]


def test_where_the_service_cuts_srv_an_alias_of_an_alias_does() -> None:
    world = a_world()
    world.do_list("here:/services alias front web-v1")
    world.do_data('here:/services/web-v1 {"answers": 8}')
    world.do_list("here:/services/web-v1 " + " ".join("abcdefghij"))
    for n, id in enumerate("abcdefghij", 1):
        world.do_data(f'here:/services/web-v1/{id} {{"address": "10.9.0.{n}", "port": 80}}')
    world.do_data('here:/services/alias {"to": {"web-v1": 1}}')
    world.do_data('here:/services/front {"to": {"alias": 1}}')
    for name in ("web-v1", "alias", "front"):
        assert len(ask(world, f"{name}.svc.local", qtype="SRV")["answer"]) == 8, name
    world.do_data("here:/services/web-v1 {}")
    assert len(ask(world, "front.svc.local", qtype="SRV")["answer"]) == 10


def test_what_is_tried_costs_the_loop_next_to_nothing_however_large_it_is() -> None:
    """Whoever asks may name a service of thousands in each of hundreds of targets: that is worked out in his
    thread, and once."""
    costs = []
    for count in (2, 200):
        world = a_world()
        world.do_list("there:/services web " + " ".join(f"s{n}" for n in range(count)))
        world.do_list("there:/services/web " + " ".join(f"i{n}" for n in range(count)))
        for n in range(count):
            world.do_data(f'there:/services/web/i{n} {{"address": "10.3.0.{n}", "port": 80}}')
        world.publish()
        targets = targets_in([f"route:alias={','.join(f't{n}.web@there' for n in range(60))}"])
        costs.append(steps(lambda world=world, targets=targets: world.pipeline.preview(targets, world.now)))  # type: ignore[misc]
        made = world.pipeline.preview(targets, world.now)
        views: list[Any] = []
        once = steps(lambda made=made, views=views: views.append(made()))  # type: ignore[misc]
        assert len(views[0]["web@there"].instances) == count
        alone = world.pipeline.preview(targets[:1], world.now)
        assert once == steps(lambda alone=alone: alone())  # type: ignore[misc]
    assert costs[0] == costs[1]


def test_what_is_tried_leaves_no_problem_behind() -> None:
    world = a_world()
    world.do_data('there:/services/web/x {"address": "nowhere.example", "port": 80}')
    world.publish()
    world.do_host("nowhere.example")
    world.publish()
    before = [*world.pipeline.problems]
    assert any("nowhere.example" in problem.what for problem in before)
    tried = ask(world, "web-v1.svc.local", "route:web-v1=web@there")
    assert "web@there 100 % (1 of 1 healthy" in " ".join(tried["notes"])
    assert [*world.pipeline.problems] == before


def test_a_route_that_is_tried_may_name_a_service_by_its_label() -> None:
    world = World()
    world.do_list("/services Web_API web")
    world.do_list("/services/Web_API a")
    world.do_data('/services/Web_API/a {"address": "10.0.0.1", "port": 80}')
    world.publish()
    label = to_label("Web_API")
    for target in ("Web_API", label):
        assert ask(world, "web.svc.local", f"route:web={target}")["answer"] == ["10.0.0.1"]
