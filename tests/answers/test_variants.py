"""What clients of each zone are given: the rule's shares over a cycle, exactly, whatever stands around it."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import lcm
from typing import Any

import dns.edns
import dns.message
import dns.rdatatype
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.asking import respond
from support.tables import Answers
from zkdns.answers import first_places, variants
from zkdns.answers.builder import Builder
from zkdns.answers.near import zone_shares
from zkdns.answers.proportions import MAX_CYCLE
from zkdns.answers.variants import class_key
from zkdns.dns import names
from zkdns.model import Instance, Registration, Service, ServiceSettings, State
from zkdns.topology import Place, parse_topology

MAP = {
    "127.0.1.0/24": "eu/eu-1a",
    "127.0.2.0/24": "eu/eu-1b",
    "127.0.3.0/24": "us/us-1a",
    "127.0.4.0/24": "eu/eu-1c",
    "fd00:1::/32": "eu/eu-1a",
    "10.1.0.0/16": "eu/eu-1a",
}
WEB_A = names.wire("web.svc.local") + b"\0\1"
ANYWHERE = Place("", "")
EU_A, EU_B, US_A, EU_C, NOWHERE = "127.0.1.9", "127.0.2.9", "127.0.3.9", "127.0.4.9", "192.0.2.9"


def instance(id: str, zone: str = "", up: bool = True, **more: Any) -> Instance:
    number = 1 + sum(map(ord, id)) % 250
    fields = {"addresses": (f"10.9.{len(id)}.{number}",), "port": 80, "zone": zone} | more
    registration = Registration(**fields)
    state = State.HEALTHY if up else State.FAILING
    return Instance(
        id, id, f"/services/web/{id}", registration, 0.0,
        state=state, weight=registration.weight, answered=up,
    )  # fmt: skip


def web(*instances: Instance, near: str = "prefer", **more: Any) -> Service:
    given_ = ServiceSettings(near=near, **more)  # type: ignore[arg-type]
    return Service("web", "web", "/services/web", given_, instances)


def serving(service: Service, own: Place = ANYWHERE, ecs_from: tuple[str, ...] = ()) -> Answers:
    answers = Answers(["svc.local"])
    answers.set_topology(parse_topology("map", MAP, own=own)[0], ecs_from)
    answers.put(service)
    return answers


def ask(
    answers: Answers, client: str, name: str = "web.svc.local", rtype: str = "A",
    options: list[dns.edns.Option] | None = None,
) -> dns.message.Message:  # fmt: skip
    query = dns.message.make_query(name, rtype, use_edns=0, options=options)
    outcome = respond(query.to_wire(), answers, 65_535, client=client)
    assert isinstance(outcome, bytes)
    return dns.message.from_wire(outcome, one_rr_per_rrset=True)


def given_to(answers: Answers, client: str, times: int = 60) -> Counter[str]:
    """Who stands first, by id."""
    ids = {a: i.id for s in answers.services.values() for i in s.service.instances for a in i.addresses}
    return Counter(ids[str(ask(answers, client).answer[0][0])] for _ in range(times))


def everyone(answers: Answers, client: str) -> set[str]:
    ids = {a: i.id for s in answers.services.values() for i in s.service.instances for a in i.addresses}
    return {ids[str(rrset[0])] for rrset in ask(answers, client).answer}


def why(message: dns.message.Message) -> list[str]:
    return [str(o.text) for o in message.options if isinstance(o, dns.edns.EDEOption)]


def srv(message: dns.message.Message) -> list[tuple[str, int, int]]:
    return [(str(r[0].target).split(".")[0], r[0].priority, r[0].weight) for r in message.answer]


THREE = (instance("a", "eu-1a"), instance("b", "eu-1b"), instance("c", "us-1a"))


def test_each_zone_is_given_its_own_and_who_stands_nowhere_all() -> None:
    answers = serving(web(*THREE))
    assert everyone(answers, EU_A) == {"a"}
    assert everyone(answers, EU_B) == {"b"}
    assert everyone(answers, US_A) == {"c"}
    assert everyone(answers, "::ffff:127.0.3.9") == {"c"}
    assert everyone(answers, "fd00:1::7") == {"a"}
    assert everyone(answers, NOWHERE) == {"a", "b", "c"}
    assert given_to(answers, NOWHERE) == {"a": 20, "b": 20, "c": 20}


def test_a_client_of_no_network_stands_where_the_server_does() -> None:
    answers = serving(web(*THREE), own=Place("eu", "eu-1b"))
    assert everyone(answers, NOWHERE) == {"b"}
    assert everyone(answers, EU_A) == {"a"}


def test_a_zone_without_its_least_gets_the_regions_and_is_told_why() -> None:
    own = [instance(f"a{n}", "eu-1a", up=n < 1) for n in range(4)]
    near = (instance("b", "eu-1b"), instance("bb", "eu-1b"))
    answers = serving(web(*own, *near, instance("c", "us-1a")))
    assert everyone(answers, EU_A) == {"a0", "b", "bb"}
    assert why(ask(answers, EU_A)) == ["web: eu-1a has 1 of 4, region eu given"]
    assert why(ask(answers, EU_B)) == []
    lonely = serving(web(*own, instance("c", "us-1a")))
    assert everyone(lonely, EU_B) == {"a0", "c"}
    assert why(ask(lonely, EU_B)) == ["web: eu-1b has 0 of 0, all given"]
    enough = serving(web(*own, instance("b", "eu-1b"), near_min=0.25))
    assert everyone(enough, EU_A) == {"a0"}


def test_where_an_instance_names_no_zone_the_map_says_it_by_its_address() -> None:
    there = instance("here", addresses=("10.1.7.7",))
    answers = serving(web(there, instance("c", "us-1a")))
    assert everyone(answers, EU_A) == {"here"}


def test_the_note_of_the_whole_service_stands_behind_the_reason() -> None:
    answers = Answers(["svc.local"])
    answers.set_topology(parse_topology("map", MAP)[0])
    whole = web(instance("c", "us-1a"))
    answers.put(
        Service(whole.name, whole.label, whole.path, whole.settings, whole.instances, "fail_open: all")
    )
    assert why(ask(answers, EU_A)) == ["web: eu-1a has 0 of 0, all given; fail_open: all"]


def test_srv_gives_all_with_their_distance() -> None:
    standby = instance("z", "eu-1a", priority=1)
    answers = serving(web(*THREE, standby))
    assert srv(ask(answers, EU_A, rtype="SRV")) == [("a", 0, 1), ("b", 1, 1), ("c", 2, 1), ("z", 10, 1)]
    assert srv(ask(answers, US_A, rtype="SRV"))[0] == ("c", 0, 1)
    assert {p for _, p, _ in srv(ask(answers, NOWHERE, rtype="SRV"))} == {0, 1}
    assert srv(ask(answers, EU_B, "_web._tcp.svc.local", "SRV"))[0] == ("b", 0, 1)


def test_tags_and_named_ports_are_given_by_zone_too() -> None:
    both = {"tags": ("blue",), "ports": (("http", 8080),)}
    answers = serving(
        web(instance("a", "eu-1a", **both), instance("b", "eu-1b", **both), instance("d", "eu-1a"))
    )
    found = {str(r[0]) for r in ask(answers, EU_A, "blue.web.svc.local").answer}
    assert found == {i.addresses[0] for i in answers.services["web"].service.instances if i.id == "a"}
    assert srv(ask(answers, EU_B, "_http._tcp.web.svc.local", "SRV")) == [("b", 0, 1), ("a", 1, 1)]


def test_a_and_aaaa_are_about_the_same_instances_of_a_zone() -> None:
    v4 = instance("a", "eu-1a")
    both = instance("b", "eu-1b", addresses=("10.9.0.9", "fd00::9"))
    answers = serving(web(v4, both))
    assert [str(r[0]) for r in ask(answers, EU_B, rtype="AAAA").answer] == ["fd00::9"]
    nothing = ask(answers, EU_A, rtype="AAAA")
    assert not nothing.answer
    assert nothing.authority
    assert nothing.rcode() == 0


def test_a_service_without_near_has_no_variants() -> None:
    answers = serving(web(*THREE, near="off"))
    assert all(entry.variants is None for entry in answers.table.entries.values())
    assert everyone(answers, EU_A) == {"a", "b", "c"}


def test_zones_that_differ_in_nothing_share_what_they_are_given() -> None:
    entry = serving(web(*THREE)).table.entries[names.wire("web.svc.local") + b"\0\1"]
    variants = entry.variants
    assert variants is not None
    own, alike = variants[1], variants[3]  # eu-1a and eu-1c
    assert own.tiers is not entry.tiers
    assert alike.tiers is not own.tiers
    none = [one for one in variants.values() if one.tiers is entry.tiers]
    assert not none
    far = serving(web(instance("x", "asia")))
    every = far.table.entries[names.wire("web.svc.local") + b"\0\1"]
    assert all(one.tiers is every.tiers for one in (every.variants or {}).values())
    assert len({id(one.counter) for one in (every.variants or {}).values()}) == 4


def test_zones_that_were_alike_and_part_have_each_a_turn_of_their_own() -> None:
    """With one counter two clients that ask in turn would each get every other instance alone."""
    tagged = tuple(instance(id, zone, tags=("x",)) for id, zone in (("a", "eu-1a"), ("b", "eu-1b")))
    answers = serving(web(tagged[0], near="balanced"))
    key = names.wire("x.web.svc.local") + b"\0\1"
    alike = answers.table.entries[key].variants or {}
    assert alike[2].counter is alike[3].counter  # eu-1b and eu-1c: nobody stands in either
    answers.put(web(*tagged, near="balanced"))
    apart = answers.table.entries[key].variants or {}
    assert apart[2].counter is not apart[3].counter


def test_balanced_keeps_what_a_zone_can_bear_and_spreads_the_rest_where_there_is_room() -> None:
    many = [instance(f"b{n}", "eu-1b") for n in range(3)]
    answers = serving(web(instance("a", "eu-1a"), *many, near="balanced", answers=2))
    found = given_to(answers, EU_A, 120)
    assert found["a"] == 120, "a quarter of the weight and a quarter of the clients"
    assert given_to(answers, EU_B, 120) == {"b0": 40, "b1": 40, "b2": 40}
    assert given_to(answers, US_A, 120) == {"b0": 40, "b1": 40, "b2": 40}, "only there is room"
    assert next(iter(ask(answers, EU_B).answer[1])).address.startswith("10.9.2."), "the rest is near first"


def test_balanced_srv_has_weights_in_these_proportions() -> None:
    answers = serving(
        web(instance("a", "eu-1a", weight=10), instance("b", "eu-1b", weight=30), near="balanced")
    )
    weights = {id: weight for id, _, weight in srv(ask(answers, US_A, rtype="SRV"))}
    assert weights["a"] == 0
    assert weights["b"] > 0
    assert {p for _, p, _ in srv(ask(answers, US_A, rtype="SRV"))} == {0}


@given(
    st.lists(st.tuples(st.sampled_from(["eu-1a", "eu-1b", "us-1a", "dc9"]), st.integers(0, 6)), min_size=1,
             max_size=7),
    st.sampled_from([(EU_A, "eu-1a"), (EU_B, "eu-1b"), (US_A, "us-1a"), (EU_C, "eu-1c")]),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_over_a_cycle_each_has_exactly_the_share_that_the_rule_gives(
    members: list[tuple[str, int]], asker: tuple[str, str]
) -> None:
    client, zone = asker
    held = [instance("i" * (n + 1), where, weight=w) for n, (where, w) in enumerate(members)]
    answers = serving(web(*held, near="balanced"))
    weights = [w for _, w in members] if any(w for _, w in members) else [1] * len(members)
    capacity: dict[str, Fraction] = {}
    for (where, _), w in zip(members, weights, strict=True):
        capacity[where] = capacity.get(where, Fraction(0)) + Fraction(w, sum(weights))
    due = zone_shares(
        Place("", zone), capacity, dict.fromkeys(["eu-1a", "eu-1b", "eu-1c", "us-1a"], Fraction(1, 4))
    )
    shares = [
        due.get(where, Fraction(0)) * Fraction(w, sum(weights)) / capacity[where] if w else Fraction(0)
        for (where, _), w in zip(members, weights, strict=True)
    ]
    cycle = lcm(*(share.denominator for share in shares))
    if cycle > MAX_CYCLE:
        return  # as near as such a cycle allows: `test_proportions`
    number = answers.clients.class_of(client)
    found = answers.services["web"].first_places[class_key(WEB_A, number)].until(cycle)
    assert [Fraction(found[i.id], cycle) for i in held] == shares
    variants = answers.table.entries[WEB_A].variants or {}
    assert len(variants[number].tiers[0].rotation.sequence) == cycle


CLIENT_OF = {"eu-1a": EU_A, "eu-1b": EU_B, "us-1a": US_A, "eu-1c": EU_C}
"""One client of each zone of the map, all of which have equal parts of the clients."""

crowds = st.lists(
    st.tuples(st.sampled_from([*CLIENT_OF, "elsewhere", ""]), st.integers(0, 6)), min_size=1, max_size=6
)


def crowd(members: list[tuple[str, int]]) -> tuple[Service, dict[str, Fraction]]:
    """A service that is `balanced`, and by id what part of all first places each should get."""
    held = [instance("x" * (n + 1), zone, weight=w) for n, (zone, w) in enumerate(members)]
    weights = [w for _, w in members] if any(w for _, w in members) else [1] * len(held)
    due = {i.id: Fraction(w, sum(weights)) for i, w in zip(held, weights, strict=True)}
    return web(*held, near="balanced"), due


@given(crowds)
def test_over_the_clients_of_all_zones_each_instance_stands_first_by_its_weight(
    members: list[tuple[str, int]],
) -> None:
    """So no zone bears more than it can, however clients and instances are spread."""
    service, due = crowd(members)
    answers = serving(service)
    total: Counter[str] = Counter()
    slack = Fraction(0)
    for client in CLIENT_OF.values():
        number = answers.clients.class_of(client)
        places = answers.services["web"].first_places[class_key(WEB_A, number)]
        cycle = len(places.entry.tiers[0].rotation.sequence)
        if cycle * len(members) > MAX_CYCLE:  # it may not be whole
            slack += Fraction(1, cycle)
        for id, n in places.until(cycle).items():
            total[id] += Fraction(n, cycle) / len(CLIENT_OF)  # type: ignore[assignment]
    for id, share in due.items():
        assert abs(Fraction(total[id]) - share) <= slack


def test_who_was_given_what_is_told_from_zone_to_zone_over_changes() -> None:
    answers = serving(web(*THREE))
    for client, times in ((EU_A, 5), (EU_B, 3), (NOWHERE, 3), (EU_C, 2)):
        for _ in range(times):
            ask(answers, client)
    expected = {
        ("web", "eu-1a", "eu-1a"): 5, ("web", "eu-1b", "eu-1b"): 3, ("web", "", "eu-1a"): 1,
        ("web", "", "eu-1b"): 1, ("web", "", "us-1a"): 1,
        ("web", "eu-1c", "eu-1a"): 1, ("web", "eu-1c", "eu-1b"): 1,
    }  # fmt: skip
    assert answers.near_answers() == expected
    assert sum(answers.given("web").ever().values()) == 13
    answers.put(web(*THREE, instance("d", "eu-1a")))
    assert answers.near_answers() == expected
    assert sum(answers.given("web").ever().values()) == 13
    ask(answers, EU_A)
    assert answers.near_answers()["web", "eu-1a", "eu-1a"] == 6
    answers.replace("web", None)
    assert answers.near_answers()["web", "eu-1a", "eu-1a"] == 6


def other(*instances: Instance) -> Service:
    return Service("other", "other", "/services/other", ServiceSettings(near="prefer"), instances)


def test_who_says_another_zone_each_time_has_the_latest_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_places, "MAX_CROSSINGS", 8)
    answers = serving(other(*THREE))
    ask(answers, EU_A, "other.svc.local")
    answers.put(other(*THREE, instance("d", "eu-1a")))
    for n in range(20):
        answers.put(web(instance("a", f"z{n}")))
        ask(answers, EU_A)
        assert len(answers.near_answers()) <= 8 + 2, "those that stand are counted beside"
    counted = answers.near_answers()
    assert counted["other", "eu-1a", "eu-1a"] == 1
    assert counted["web", "eu-1a", "z19"] == counted["web", "eu-1a", "z18"] == 1
    monkeypatch.setattr(first_places, "MAX_GONE", 0)
    answers.replace("web", None)
    assert {service for service, *_ in answers.near_answers()} == {"other"}


ECS = dns.edns.ECSOption


def subnet_of(message: dns.message.Message) -> tuple[str, int, int] | None:
    found = [o for o in message.options if isinstance(o, ECS)]
    return (found[0].address, found[0].srclen, found[0].scopelen) if found else None


def test_a_trusted_resolver_speaks_for_its_client_and_is_told_for_how_many_that_holds() -> None:
    answers = serving(web(*THREE), ecs_from=("192.0.2.0/24",))
    there = ask(answers, NOWHERE, options=[ECS("127.0.2.0", 24)])
    assert [str(r[0]) for r in there.answer] == [THREE[1].addresses[0]]
    assert subnet_of(there) == ("127.0.2.0", 24, 24)
    assert subnet_of(ask(answers, NOWHERE, options=[ECS("10.1.2.0", 24)])) == ("10.1.2.0", 24, 16)
    assert subnet_of(ask(answers, NOWHERE, options=[ECS("fd00:1:2::", 48)])) == ("fd00:1:2::", 48, 32)
    assert subnet_of(ask(answers, NOWHERE, options=[ECS("127.0.2.0", 24)], rtype="MX")) == (
        "127.0.2.0",
        24,
        0,
    )
    unknown = ask(answers, NOWHERE, options=[ECS("0.0.0.0", 0)])
    assert subnet_of(unknown) == ("0.0.0.0", 0, 0)
    assert len(unknown.answer) == 3
    stranger = ask(answers, EU_A, options=[ECS("127.0.2.0", 24)])
    assert subnet_of(stranger) is None
    assert [str(r[0]) for r in stranger.answer] == [THREE[0].addresses[0]]


@pytest.mark.parametrize(
    "data",
    [b"", b"\0\1\x18\0\x7f\0", b"\0\1\x18\1\x7f\0\2", b"\0\1\x14\0\x7f\0\x1f", b"\0\1\x21\0\x7f\0\2\1\0",
             b"\0\7\0\0", b"\0\1\x18\0\x7f\0\2\0"],
)  # fmt: skip
def test_a_malformed_subnet_is_formerr_to_who_may_speak_for_others_alone(data: bytes) -> None:
    answers = serving(web(*THREE), ecs_from=("192.0.2.0/24",))
    option = dns.edns.GenericOption(dns.edns.OptionType.ECS, data)
    query = dns.message.make_query("web.svc.local", "A", use_edns=0, options=[option]).to_wire()
    for client, rcode in ((NOWHERE, 1), (EU_A, 0)):
        outcome = respond(query, answers, client=client)
        assert isinstance(outcome, bytes)
        assert outcome[3] & 15 == rcode
    twice = dns.message.make_query(
        "web.svc.local", "A", use_edns=0, options=[ECS("127.0.2.0", 24), ECS("127.0.2.0", 24)]
    )
    outcome = respond(twice.to_wire(), answers, client=NOWHERE)
    assert isinstance(outcome, bytes)
    assert outcome[3] & 15 == 1


def test_a_zone_can_be_asked_for_by_name_whoever_asks() -> None:
    answers = serving(web(*THREE, instance("d", "eu-1c", up=False), near="off"))
    a, b, _ = (i.addresses[0] for i in THREE)

    def said(name: str, rtype: str = "A") -> dns.message.Message:
        return ask(answers, US_A, name + "._zone.web.svc.local", rtype)

    assert [str(r[0]) for r in said("eu-1a.prefer").answer] == [a]
    assert [str(r[0]) for r in said("EU-1b.pin").answer] == [b]
    assert {str(r[0]) for r in said("eu-1c.prefer").answer} == {a, b}
    assert why(said("eu-1c.prefer")) == ["web: eu-1c has 0 of 1, region eu given"]
    nobody = said("eu-1c.pin")
    assert (nobody.rcode(), nobody.answer, why(nobody)) == (0, [], ["web: eu-1c has 0 of 1"])
    assert srv(said("eu-1b.prefer", "SRV")) == [("b", 0, 1), ("a", 1, 1), ("c", 2, 1)]
    assert srv(said("eu-1b.pin", "SRV")) == [("b", 0, 1)]
    extra = said("eu-1b.prefer", "SRV").additional
    assert {str(r.name).split(".")[0] for r in extra} == {"a", "b", "c"}
    assert said("eu-1a.pin", "AAAA").rcode() == 0
    for name, rcode in (("asia.pin", 3), ("eu-1a.near", 3), ("x.eu-1a.pin", 3), ("pin", 0), ("prefer", 0)):
        assert said(name).rcode() == rcode, name
    assert ask(answers, US_A, "_zone.web.svc.local").rcode() == 0


def test_names_of_zones_take_turns_by_weight() -> None:
    answers = serving(web(instance("a", "eu-1a"), instance("aa", "eu-1a", weight=3), near="off"))
    first = Counter(
        str(ask(answers, NOWHERE, "eu-1a.pin._zone.web.svc.local").answer[0][0]) for _ in range(40)
    )
    assert sorted(first.values()) == [10, 30]


def test_weights_of_any_size_fit_an_srv_record() -> None:
    heavy = tuple(
        instance(id, zone, weight=weight)
        for id, zone, weight in (("a", "eu-1a", 65_535), ("b", "eu-1b", 60_000), ("c", "us-1a", 1))
    )
    for client in (EU_A, EU_B, US_A, NOWHERE):
        answers = serving(web(*heavy, near="balanced", srv_scale=1000))
        weights = [weight for _, _, weight in srv(ask(answers, client, "_web._tcp.svc.local", "SRV"))]
        assert weights
        assert max(weights) <= 65_535


def test_each_of_our_zones_has_its_own_measure_of_what_may_be_arranged() -> None:
    one = variants.Near(web(*THREE), parse_topology("map", MAP)[0])
    one._spent, one.left_out = variants.MAX_WORK + 1, 3
    one.begin()
    assert (one._spent, one.left_out) == (0, 0)


def test_what_a_person_reads_of_a_service_tells_near() -> None:
    text = str(ask(serving(web(*THREE)), EU_A, rtype="TXT").answer[0][0])
    assert '"near=prefer"' in text
    assert "near=" not in str(ask(serving(web(*THREE, near="off")), EU_A, rtype="TXT").answer[0][0])


def test_what_zones_times_names_would_be_too_much_gives_all_clients_the_same_and_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = web(*(instance(f"{z}{n}", z, tags=("blue",)) for z in ("eu-1a", "us-1a") for n in range(3)))
    rich = serving(service)
    assert rich.services["web"].not_near == 0
    of_all = rich.table.entries[names.wire("blue.web.svc.local") + b"\0\1"]
    assert of_all.variants
    monkeypatch.setattr(variants, "MAX_WORK", 0)
    poor = serving(service)
    assert poor.table.entries[WEB_A].variants, "the first name that is asked for is near whatever it costs"
    assert not poor.table.entries[names.wire("blue.web.svc.local") + b"\0\1"].variants
    assert poor.services["web"].not_near > 0
    addresses = {str(one) for rrset in ask(poor, EU_A, "blue.web.svc.local").answer for one in rrset}
    assert len(addresses) == 6


@pytest.mark.parametrize("mode", ["prefer", "balanced"])
def test_what_near_costs_is_bounded_whatever_zones_and_names_there_are(mode: str) -> None:
    topology = parse_topology("map", {f"127.0.{n}.0/24": f"z{n}" for n in range(120)})[0]
    held = tuple(
        instance(f"i{n:03}", f"z{n}", weight=n + 1, tags=tuple(f"t{k}" for k in range(20)))
        for n in range(120)
    )
    builder = Builder(["svc.local"])
    builder.set_topology(topology, ())
    compiled = builder.compile(web(*held, near=mode))
    arranged = sum(len(entry.variants or ()) for entry in compiled.entries.values())
    assert 120 <= arranged < 120 * 21, "not all of them"
    assert compiled.not_near > 0
