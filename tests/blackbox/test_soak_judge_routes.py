"""What the soak's judge sees of two ensembles, of routes and of a hostile tenant: planted lies."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from support.route_model import Data
from support.route_model import Model as RouteModel
from support.server import REPOSITORY
from zkdns.model import Change

sys.path.insert(0, str(REPOSITORY))  # bench/ is no part of the package

from bench.soak import asking, faults, hostile, plan, remembered, routes, services, truth, upstream
from bench.soak.asking import Reply
from bench.soak.model import BOUND, FAR, HOME, Made, Model
from bench.soak.watch import Question, Watch

ONES = {
    "i1": Made("s0", "i1", "10.0.0.1", "", 7001, 0, ""),
    "i2": Made("s1", "i2", "10.0.0.2", "", 7002, 0, ""),
    "i3": Made("e0", "i3", "10.0.0.3", "", 7003, 0, "", "east"),
    "i4": Made("f0", "i4", "10.0.0.4", "", 7004, 0, "", "dc2"),
}


@pytest.fixture
def model() -> Model:
    model = Model()
    for made in ONES.values():
        model.founding(made.service)
        model.coming(made)
    return model


@pytest.fixture
def watch(model: Model) -> Watch:
    return Watch((), model, 1)


def reply(
    name: str, type: str, *records: str, rcode: str = "NOERROR", stale: bool = False, why: str = ""
) -> Reply:
    query = dns.message.make_query(name, type, use_edns=0)
    message = dns.message.make_response(query)
    message.set_rcode(dns.rcode.from_text(rcode))
    if records:
        message.answer.append(dns.rrset.from_text(name + ".", 5, "IN", type, *records))
    if why:
        message.use_edns(0, options=[dns.edns.EDEOption(0, why)])
    return Reply(name, type, message, 200.0, 200.1, stale)


# --- ages -----------------------------------------------------------------------------------------------


def ages(watch: Watch, service: str, type: str = "A", *, label: str = "", **how: Any) -> list[str]:
    name = f"{label}{service}.svc.local"
    answer = reply(name, type, **how)
    question = Question(name, type, watch._addresses, service if service in services.STAYING else "")
    return list(watch._judge_age(question, answer, 0))


FRESH_LIES = [
    ("s0", "A", HOME), ("alias0", "A", HOME), ("e0", "A", FAR), ("m0", "A", FAR), ("m0", "A", HOME),
    ("f0", "A", HOME), ("f0", "SRV", FAR), ("away0", "SRV", FAR),
]  # fmt: skip
FRESH_RIGHTS = [("s0", "A", FAR), ("split0", "SRV", FAR), ("e0", "A", HOME), ("f0", "A", FAR)]


@pytest.mark.parametrize(("service", "type", "lost"), FRESH_LIES)
def test_an_answer_of_what_is_away_that_does_not_say_so_is_seen(
    watch: Watch, model: Model, service: str, type: str, lost: str
) -> None:
    model.away(0, 100.0, lost)
    assert ages(watch, service, type) == ["not told that it is stale"]
    assert ages(watch, service, type, stale=True) != ["not told that it is stale"]
    model.near()
    assert ages(watch, service, type) == []


@pytest.mark.parametrize(("service", "type", "lost"), FRESH_RIGHTS)
def test_an_answer_that_needs_nothing_of_what_is_away_may_be_fresh(
    watch: Watch, model: Model, service: str, type: str, lost: str
) -> None:
    model.away(0, 100.0, lost)
    assert ages(watch, service, type) == []


@pytest.mark.parametrize("lost", [HOME, FAR])
def test_a_name_that_is_nowhere_is_stale_while_any_ensemble_is_away(
    watch: Watch, model: Model, lost: str
) -> None:
    model.away(0, 100.0, lost)
    for service, label in (("nope", ""), ("s0", "canary.")):
        assert ages(watch, service, label=label, rcode="NXDOMAIN") == ["not told that it is stale"]


STALE_LIES = [("s0", HOME, FAR), ("split0", HOME, FAR), ("e0", FAR, HOME)]


@pytest.mark.parametrize(("service", "own", "other"), STALE_LIES)
def test_staleness_of_what_is_well_is_seen(
    watch: Watch, model: Model, service: str, own: str, other: str
) -> None:
    lie = ["told that it is stale, and nothing befell what it comes from"]
    assert ages(watch, service, stale=True) == lie
    model.touched = frozenset({other})
    assert ages(watch, service, stale=True) == lie
    assert ages(watch, service, stale=True, rcode="NXDOMAIN") == []
    model.touched = frozenset({own})
    assert ages(watch, service, stale=True) == []


def test_an_answer_that_is_cut_or_has_no_edns_says_nothing_of_its_age() -> None:
    message = reply("s0.svc.local", "A", "10.0.0.1").message
    assert asking.read_stale(message, True) is False
    assert asking.read_stale(message, False) is None
    message.flags |= dns.flags.TC
    assert asking.read_stale(message, True) is None
    message.use_edns(0, options=[dns.edns.EDEOption(3, "away")])
    assert asking.read_stale(message, True) is True


def test_an_answer_that_fills_its_datagram_says_nothing_of_its_age() -> None:
    message = reply("s0.svc.local", "A", "10.0.0.1").message
    message.wire = bytes(asking.UDP_BYTES - asking.EDE_BYTES)
    assert asking.read_stale(message, True) is False
    message.wire += b"\0"
    assert asking.read_stale(message, True) is None
    assert asking.read_stale(message, True, tcp=True) is False


def test_a_fault_of_one_ensemble_gives_no_time_to_what_comes_from_the_other(model: Model) -> None:
    model.slack = {FAR: 10.0}
    for made in ONES.values():
        model.went(made.key, 100.0)
    assert model.late(("s0", "i1"), 101.0 + BOUND, 104.0)
    assert not model.late(("e0", "i3"), 101.0 + BOUND, 104.0)
    assert model.late(("e0", "i3"), 111.0 + BOUND, 114.0)


def test_each_fault_is_known_to_touch_what_it_befalls() -> None:
    cast: Any = SimpleNamespace(replicas=[SimpleNamespace(number=n) for n in range(2)])
    touched = {kind: faults.find_touched(plan.Fault(kind)) for kind in plan.KINDS}
    assert touched.pop("nothing") == frozenset()
    assert touched.pop("cut-server") == {HOME, FAR}
    for kind, ensembles in touched.items():
        assert ensembles == ({FAR} if kind in ("kill-far", "freeze-far", "cut-far") else {HOME})
    assert faults.find_away(plan.Fault("kill-far"), cast) == [(0, FAR), (1, FAR)]
    assert faults.find_away(plan.Fault("kill-all"), cast) == [(0, HOME), (1, HOME)]
    assert faults.find_away(plan.Fault("cut-server", 1), cast) == [(1, HOME), (1, FAR)]
    assert faults.find_away(plan.Fault("kill", 1), cast) == []


def test_each_fault_has_its_acts_and_each_cable_that_is_cut_is_mended() -> None:
    assert faults.ACTS.keys() == plan.KINDS.keys()
    cut: list[tuple[str, str]] = []
    network = SimpleNamespace(
        cut=lambda node, switch: cut.append((node, switch)),
        mend=lambda node, switch: cut.remove((node, switch)),
    )
    far, *rest = (SimpleNamespace(node=node) for node in ("far", "m0", "m1", "s0"))
    cast: Any = SimpleNamespace(network=network, far=far, members=rest[:2], replicas=rest[2:])
    met = {}
    for kind in sorted(plan.CUTS):
        faults.begin(plan.Fault(kind, 1), cast)
        met[kind] = cut[:]
        faults.end(plan.Fault(kind, 1), cast)
        assert cut == [], kind
    assert met == {
        "cut-far": [("far", "clients")],
        "cut-member": [("m1", "clients")],
        "cut-peer": [("m1", "peers")],
        "cut-peers": [("m0", "peers"), ("m1", "peers")],
        "cut-server": [("s0", "clients")],
    }


# --- routes, all the while ----------------------------------------------------------------------------


def judge(watch: Watch, how: str, answer: Reply, about: str) -> list[str]:
    return list(watch._judge(Question(answer.name, answer.type, getattr(watch, how), about), answer, True))


def test_a_route_gives_instances_of_its_targets_and_no_others(watch: Watch, model: Model) -> None:
    name = "alias0.svc.local"
    assert judge(watch, "_addresses", reply(name, "A", "10.0.0.1"), "alias0") == []
    assert judge(watch, "_targets", reply(name, "SRV", "0 1 7001 i1.s0.svc.local."), "alias0") == []
    for wrong in (
        judge(watch, "_addresses", reply(name, "A", "10.0.0.2"), "alias0"),
        judge(watch, "_targets", reply(name, "SRV", "0 1 7002 i2.s1.svc.local."), "alias0"),
        judge(watch, "_targets", reply(name, "SRV", "0 1 7001 i1.alias0.svc.local."), "alias0"),
        judge(watch, "_addresses", reply(name, "A", rcode="NXDOMAIN"), "alias0"),
        judge(watch, "_addresses", reply("e0.svc.local", "A", rcode="SERVFAIL"), "e0"),
    ):
        assert len(wrong) == 1, wrong
    model.went(("s0", "i1"), 100.0)
    assert "went" in judge(watch, "_addresses", reply(name, "A", "10.0.0.1"), "alias0")[0]


# --- routes, at a quiet moment ------------------------------------------------------------------------


def standing(id: str, *, weight: int = 1, out: Sequence[str] = (), port: int = 80) -> truth.Standing:
    address = f"10.0.0.{id[1:]}"
    return truth.Standing(id, (address, f"fd00::{id[1:]}"), port, {}, 0, weight, (), tuple(out), 1, weight)


def a_truth(
    held: dict[tuple[str, str], list[truth.Standing]], nodes: dict[str, dict[str, Any]]
) -> truth.Truth:
    model = RouteModel(tuple(services.REGISTRIES), services.FAILOVER)
    by_registry: dict[str, dict[str, dict[str, truth.Standing]]] = {r: {} for r in services.REGISTRIES}
    for (registry, service), ones in held.items():
        by_registry[registry][service] = {i.id: i for i in ones}
        model.held[registry, service] = {
            i.id: Data(i.addresses[0], i.weight, i.priority, not i.out, "", i.registered) for i in ones
        }
    for service, fields in nodes.items():
        model.held.setdefault(("dc1", service), {})
        model.nodes[service] = fields, 0.0
    own = by_registry["east"] | by_registry["dc1"] | {service: {} for service in nodes}
    return truth.Truth(own, {}, (), 1, by_registry=by_registry, routes=model)


@pytest.fixture
def split() -> truth.Truth:
    return a_truth(
        {("dc1", "s1"): [standing("i1"), standing("i2", weight=2)], ("dc1", "s2"): [standing("i3")]},
        {"split0": {"to": [{"s1": 3}, {"s2": 1}]}},
    )


def test_the_tier_that_gives_must_be_given_whole_and_alone(split: truth.Truth) -> None:
    told = split.routes.told("split0")

    def wrong(*addresses: str, type: str = "A", **how: Any) -> list[str]:
        answer = reply("split0.svc.local", type, *addresses, **how)
        return list(routes.judge_addresses(answer, told, split))

    assert wrong("10.0.0.1", "10.0.0.2") == []
    assert wrong("fd00::1", "fd00::2", type="AAAA") == []
    assert wrong("10.0.0.1")
    assert wrong("10.0.0.1", "10.0.0.2", "10.0.0.3")
    assert wrong("10.0.0.1", "10.0.0.2", stale=True)
    assert wrong(rcode="NXDOMAIN")
    assert wrong("10.0.0.1", "10.0.0.2", why="split0: failed over to s2 (0 of 2 healthy)")


def test_failover_must_be_told_with_its_counts() -> None:
    where = {("dc1", "f0"): [standing("i1", out=("drained",))], ("dc2", "f0"): [standing("i4")]}
    now = a_truth(where, {})
    told = now.routes.told("f0")
    assert list(routes.routed(now)) == ["f0"]

    def wrong(address: str, why: str = "") -> list[str]:
        return list(routes.judge_addresses(reply("f0.svc.local", "A", address, why=why), told, now))

    assert wrong("10.0.0.4", "f0: failed over to dc2 (0 of 1 healthy)") == []
    assert wrong("10.0.0.4")
    assert wrong("10.0.0.4", "f0: failed over to dc2 (0 of 2 healthy)")
    assert wrong("10.0.0.1", "f0: failed over to dc2 (0 of 1 healthy)")
    assert set(now.judged()) == {"f0", "f0@dc2"}
    assert now.keys_told() == {("f0", "i1"), ("f0@dc2", "i4")}
    spoilt = replace(now, spoilt=frozenset({("dc2", "f0", "i5"), ("dc1", "s0", "i6")}))
    assert spoilt.keys_told() - now.keys_told() == {("f0@dc2", "i5"), ("s0", "i6")}
    assert now.standing() == {("f0", "i1"): ("drained",), ("f0", "i4"): ()}


def test_srv_must_have_every_tier_at_its_priority_with_weights_in_proportion(split: truth.Truth) -> None:
    told = split.routes.told("split0")

    def wrong(*rdata: str) -> list[str]:
        texts = [f"{one.split()[0]} {one.split()[1]} {one.split()[2]}.svc.local." for one in rdata]
        texts = [text.replace(" i", " 80 i") for text in texts]
        return list(routes.judge_targets(reply("split0.svc.local", "SRV", *texts), told, split))

    first, second, behind = "0 1 i1.s1", "0 2 i2.s1", "1 1 i3.s2"
    assert wrong(first, second, behind) == []
    assert wrong("0 10 i1.s1", "0 20 i2.s1", "1 7 i3.s2") == []
    assert wrong(first, second)
    assert wrong(first, second, "0 1 i3.s2")
    assert wrong(first, behind)
    assert wrong("0 1 i1.s1", "0 1 i2.s1", behind)
    assert wrong("0 1 i1.s2", second, behind)
    moved = [one.replace(" 80 ", " 81 ") for one in ("0 1 80 i1.s1.svc.local.",)]
    rest = ("0 2 80 i2.s1.svc.local.", "1 1 80 i3.s2.svc.local.")
    assert list(routes.judge_targets(reply("split0.svc.local", "SRV", *moved, *rest), told, split))


def test_shares_that_are_explained_must_be_those_that_are_due(split: truth.Truth) -> None:
    told = split.routes.told("split0")
    right = [{"id": "s1/i1", "share": 1 / 3}, {"id": "s1/i2", "share": 2 / 3}, {"id": "s2/i3", "share": 0}]
    assert list(routes.judge_shares(right, told)) == []
    for wrong in (right[:1], [{"id": "i1", "share": 0.5}, {"id": "i2", "share": 0.5}]):
        assert list(routes.judge_shares(wrong, told))
    due = {"i1": Fraction(1, 3), "i2": Fraction(2, 3)}
    assert routes.by_id(told.first) == due


# --- journals -------------------------------------------------------------------------------------------


def laid(at: float, was: str, now: str, zxid: int, by: str = "soak") -> Change:
    return Change(at, zxid, "laid0", "", "route", was, now, "laid by soak", by)


def test_a_route_that_begins_where_none_ended_is_a_journal_s_fault() -> None:
    first, second = laid(1.0, "", "s5", 7), laid(2.0, "s5", "laid0", 8)
    assert list(remembered.broken_off([first, second])) == []
    assert list(remembered.broken_off([first, replace(second, was="s4")]))


def test_a_route_that_servers_tell_twice_together_is_found() -> None:
    one = laid(1.0, "", "s5", 7)
    assert list(remembered.repeated([[one], [replace(one, at=1.4)]])) == []
    assert list(remembered.repeated([[one, replace(one, at=30.0)], [one]]))
    assert list(remembered.repeated([[one, replace(one, at=30.0)], [one]], [20.0])) == [], "set back between"


# --- the hostile tenant -------------------------------------------------------------------------------


def test_what_is_the_hostile_tenants_is_told_from_what_is_not(watch: Watch) -> None:
    mine = [*services.STAYING, "x17", "f0@dc2", "m0@east"]
    assert not any(map(hostile.is_hers, mine))
    hers = ["h-3", "S0", "s0-1f2e3d4c", "s0_", "", "Ä", "alias0.", "h-3@dc2"]
    assert all(map(hostile.is_hers, hers))
    browsed = reply("_services._dns-sd._udp.svc.local", "PTR", "_h-3._tcp.svc.local.", "_s0._tcp.svc.local.")
    assert judge(watch, "_listed", browsed, "") == []
    unknown = reply("_services._dns-sd._udp.svc.local", "PTR", "_s7._tcp.svc.local.")
    assert judge(watch, "_listed", unknown, "")


def test_the_upstream_knows_no_name_and_is_mute_about_some() -> None:
    said = upstream.answer(dns.message.make_query("1.0.0.10.in-addr.arpa", "PTR").to_wire())
    assert said is not None
    assert dns.message.from_wire(said).rcode() == dns.rcode.NXDOMAIN
    assert upstream.answer(dns.message.make_query("a.MUTE.example", "A").to_wire()) is None
    assert upstream.answer(b"\0" * 12) is None
