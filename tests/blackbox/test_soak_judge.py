"""What the soak's judge sees: it must find what is planted, and let pass what is right."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import islice
from typing import Any
from unittest.mock import Mock

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from kazoo.exceptions import ConnectionLoss

from support.server import REPOSITORY
from zkdns.model import Change, Instance, Registration, Service

sys.path.insert(0, str(REPOSITORY))  # bench/ is no part of the package

from bench.soak import agreement, plan, remembered, truth
from bench.soak.asking import Reply
from bench.soak.model import BOUND, FALL, HOME, INTERVAL, Made, Model
from bench.soak.watch import Question, Watch

NAME = "s0.svc.local"


# --- the plan ---------------------------------------------------------------------------------------


def test_a_seed_plans_the_same_faults_and_actions_again_and_another_one_does_not() -> None:
    def planned(seed: int) -> tuple[list[plan.Fault], list[plan.Action]]:
        return (
            list(islice(plan.faults(seed, 3, 3, plan.KINDS), 50)),
            list(islice(plan.actions(seed), 200)),
        )

    assert planned(1) == planned(1)
    assert planned(1)[0] != planned(2)[0]
    assert planned(1)[1] != planned(2)[1]


def test_a_round_of_the_plan_has_every_fault_for_everyone() -> None:
    whole = 6 * 3 + 9
    first = [(f.kind, f.target) for f in islice(plan.faults(5, 3, 3, plan.KINDS), whole)]
    assert len(set(first)) == whole
    assert {kind for kind, _ in first} == plan.KINDS.keys()


def test_faults_that_are_left_out_leave_the_others_as_they_were() -> None:
    everything = list(islice(plan.faults(5, 3, 3, plan.KINDS), 60))
    kills = [fault for fault in everything if fault.kind == "kill"]
    assert list(islice(plan.faults(5, 3, 3, {"kill"}), len(kills))) == kills


# --- the model ----------------------------------------------------------------------------------------


@pytest.fixture
def made() -> Made:
    return Made("s0", "i1", "10.0.0.1", "fd00::1", 7001, 8001, "blue")


@pytest.fixture
def model(made: Made) -> Model:
    model = Model()
    model.founding("s0")
    model.coming(made)
    return model


def test_what_went_is_late_after_its_bound_and_its_slack(model: Model, made: Made) -> None:
    model.went(made.key, 100.0)
    assert not model.late(made.key, 100.0 + BOUND, 103.0)
    assert "went" in model.late(made.key, 100.1 + BOUND, 103.0)
    assert "went" in model.late(made.key, 100.1 + BOUND, 103.0, registered=True)
    model.slack = {HOME: 10.0}
    assert not model.late(made.key, 110.0 + BOUND, 113.0)
    assert "went" in model.late(made.key, 110.1 + BOUND, 113.0)


def test_a_drained_instance_is_late_but_keeps_its_own_name(model: Model, made: Made) -> None:
    model.out(made.key, "drained", 100.0)
    assert "drained" in model.late(made.key, 103.0, 103.1)
    assert not model.late(made.key, 103.0, 103.1, registered=True)
    model.back(made.key, "drained")
    assert not model.late(made.key, 103.0, 103.1)


def test_a_drain_that_ends_by_itself_is_held_to_until_then(model: Model, made: Made) -> None:
    model.out(made.key, "drained", 100.0, until=105.0)
    assert model.late(made.key, 104.0, 104.9)
    assert not model.late(made.key, 104.0, 105.1)


def test_a_failing_check_has_its_interval_times_fall_and_the_bound(model: Model, made: Made) -> None:
    model.out(made.key, "check", 100.0)
    assert not model.late(made.key, 100.0 + FALL * INTERVAL + BOUND, 105.0)
    assert "check" in model.late(made.key, 100.1 + FALL * INTERVAL + BOUND, 105.0)


def test_what_may_be_there_or_not_is_never_late_until_a_quiet_moment_tells(model: Model, made: Made) -> None:
    model.went(made.key, 100.0)
    model.unsure(made.key)
    assert not model.late(made.key, 200.0, 200.1)
    model.reset({}, {"s0"}, 300.0)
    assert model.late(made.key, 303.0, 303.1)
    model.reset({made.key: ("status",)}, {"s0"}, 400.0)
    assert not model.late(made.key, 401.0, 401.1)
    assert "status" in model.late(made.key, 403.0, 403.1)
    model.reset({made.key: ()}, (), 500.0)
    assert not model.late(made.key, 503.0, 503.1)
    assert model.late_service("s0", 503.0)


def test_a_server_that_is_cut_off_must_tell_it_from_then_on_until_it_may_be_back(model: Model) -> None:
    model.away(1, 100.0)
    assert not model.must_be_stale(1, 99.0)
    assert model.must_be_stale(1, 100.1)
    assert not model.must_be_stale(0, 100.1)
    model.near()
    assert not model.must_be_stale(1, 100.2)


# --- the watch ------------------------------------------------------------------------------------------


@pytest.fixture
def watch(model: Model) -> Watch:
    return Watch((), model, 1)


def reply(
    name: str, type: str, *records: str, rcode: str = "NOERROR", extra: tuple[str, ...] = (), tc: bool = False
) -> Reply:
    query = dns.message.make_query(name, type)
    message = dns.message.make_response(query)
    message.set_rcode(dns.rcode.from_text(rcode))
    if records:
        message.answer.append(dns.rrset.from_text(name + ".", 5, "IN", type, *records))
    for text in extra:
        owner, address = text.split()
        message.additional.append(dns.rrset.from_text(owner, 5, "IN", "A", address))
    message.flags |= dns.flags.TC if tc else 0
    return Reply(name, type, message, 200.0, 200.1, False)


REVERSE = "1.0.0.10.in-addr.arpa"
TARGET = "i1.s0.svc.local."
RIGHT = [
    ("_addresses", reply(NAME, "A", "10.0.0.1")),
    ("_addresses", reply(NAME, "AAAA", "fd00::1")),
    ("_addresses", reply("blue." + NAME, "A", "10.0.0.1")),
    ("_targets", reply(NAME, "SRV", f"0 1 7001 {TARGET}", extra=(f"{TARGET} 10.0.0.1",))),
    ("_targets", reply("_http._tcp." + NAME, "SRV", f"0 1 8001 {TARGET}")),
    ("_text", reply(NAME, "TXT", '"instances=2" "healthy=1" "policy=weighted"')),
    ("_one", reply("i1." + NAME, "A", "10.0.0.1")),
    ("_one_target", reply("i1." + NAME, "SRV", f"0 1 7001 {TARGET}")),
    ("_browsed", reply("_s0._tcp.svc.local", "PTR", "i1._s0._tcp.svc.local.")),
    ("_listed", reply("_services._dns-sd._udp.svc.local", "PTR", "_s0._tcp.svc.local.")),
    ("_reversed", reply(REVERSE, "PTR", TARGET)),
    ("_reversed", reply(REVERSE, "PTR", rcode="NXDOMAIN")),
    ("_never", reply("nope.svc.local", "A", rcode="NXDOMAIN")),
]
WRONG = [
    ("never registered", "_addresses", reply(NAME, "A", "10.0.0.1", "10.9.9.9")),
    ("never had this tag", "_addresses", reply("canary." + NAME, "A", "10.0.0.1")),
    ("distress", "_addresses", reply(NAME, "A", rcode="SERVFAIL")),
    ("distress", "_addresses", reply(NAME, "A", rcode="REFUSED")),
    ("distress", "_reversed", reply(REVERSE, "PTR", rcode="REFUSED")),
    ("is unknown", "_addresses", reply(NAME, "A", rcode="NXDOMAIN")),
    ("nothing is left", "_addresses", reply(NAME, "A", tc=True)),
    ("no instance of", "_targets", reply(NAME, "SRV", "0 1 7001 i2.s0.svc.local.")),
    ("no instance of", "_targets", reply(NAME, "SRV", "0 1 7001 i1.s1.svc.local.")),
    ("never had the port", "_targets", reply(NAME, "SRV", f"0 1 8001 {TARGET}")),
    ("never had the port", "_targets", reply("_http._tcp." + NAME, "SRV", f"0 1 7001 {TARGET}")),
    ("is not", "_targets", reply(NAME, "SRV", f"0 1 7001 {TARGET}", extra=(f"{TARGET} 10.9.9.9",))),
    ("no counts", "_text", reply(NAME, "TXT", '"instances=1" "healthy=2"')),
    ("no counts", "_text", reply(NAME, "TXT", '"policy=weighted"')),
    ("never its address", "_one", reply("i2." + NAME, "A", "10.0.0.1")),
    ("never its target", "_one_target", reply("i1." + NAME, "SRV", "0 1 7001 i2.s0.svc.local.")),
    ("never its target", "_one_target", reply("i1." + NAME, "SRV", f"0 1 8001 {TARGET}")),
    ("no instance of", "_browsed", reply("_s0._tcp.svc.local", "PTR", "i2._s0._tcp.svc.local.")),
    ("never a service", "_listed", reply("_services._dns-sd._udp.svc.local", "PTR", "_s1._tcp.svc.local.")),
    ("never had this address", "_reversed", reply("2.0.0.10.in-addr.arpa", "PTR", TARGET)),
    ("never was", "_never", reply("nope.svc.local", "A")),
]


def judge(watch: Watch, how: str, answer: Reply, fresh: bool = True) -> list[str]:
    about = "" if how in ("_listed", "_reversed", "_never") else "s0"
    return list(watch._judge(Question(answer.name, answer.type, getattr(watch, how), about), answer, fresh))


@pytest.mark.parametrize(("how", "answer"), RIGHT, ids=str)
def test_the_watch_lets_a_right_answer_pass(watch: Watch, how: str, answer: Reply) -> None:
    assert judge(watch, how, answer) == []


@pytest.mark.parametrize(("what", "how", "answer"), WRONG, ids=str)
def test_the_watch_sees_a_wrong_answer(watch: Watch, what: str, how: str, answer: Reply) -> None:
    found = judge(watch, how, answer)
    assert len(found) == 1, found
    assert what in found[0]


POSITIVE = [
    (how, answer) for how, answer in RIGHT if answer.message.answer and how not in ("_text", "_listed")
]


@pytest.mark.parametrize(("how", "answer"), POSITIVE, ids=str)
def test_the_watch_sees_an_instance_that_went_long_ago_unless_the_answer_is_stale(
    watch: Watch, model: Model, made: Made, how: str, answer: Reply
) -> None:
    model.went(made.key, 100.0)
    assert "went 100.0 s before" in judge(watch, how, answer)[0]
    assert judge(watch, how, answer, fresh=False) == []


def test_the_watch_sees_a_service_that_was_removed_long_ago(watch: Watch, model: Model) -> None:
    model.dissolved("s0", 100.0)
    assert "removed" in judge(watch, "_text", reply(NAME, "TXT", '"instances=2" "healthy=1"'))[0]
    listed = reply("_services._dns-sd._udp.svc.local", "PTR", "_s0._tcp.svc.local.")
    assert "removed" in judge(watch, "_listed", listed)[0]


# --- the quiet moment --------------------------------------------------------------------------------


def standing(id: str, **other: Any) -> truth.Standing:
    values: dict[str, Any] = {
        "addresses": (f"10.0.0.{id[1:]}", f"fd00::{id[1:]}"), "port": 7000, "ports": {}, "priority": 0,
        "weight": 1, "tags": (), "out": (), "owner": 1,
    }  # fmt: skip
    return truth.Standing(id, **values | other)


def said(*instances: truth.Standing, **settings: Any) -> truth.Truth:
    return truth.Truth({"s0": {i.id: i for i in instances}}, {"s0": settings}, (), 1)


def test_what_must_be_answered_follows_priority_state_ports_and_tags() -> None:
    expected = truth.expect(
        said(
            standing("i1", ports={"http": 8000}, tags=("blue",)),
            standing("i2", priority=1, weight=3),
            standing("i3", out=("drained",), tags=("canary",)),
            srv_scale=10,
        ),
        "s0",
    )
    assert expected[NAME, "A"].rdata == {"10.0.0.1"}
    assert expected[NAME, "AAAA"].rdata == {"fd00::1"}
    assert expected[NAME, "SRV"].rdata == {f"0 10 7000 i1.{NAME}.", f"1 30 7000 i2.{NAME}."}
    assert expected[f"_http._tcp.{NAME}", "SRV"].rdata == {f"0 10 8000 i1.{NAME}."}
    assert expected[NAME, "TXT"].rdata == {"instances=3", "healthy=2"}
    assert expected[f"blue.{NAME}", "A"].rdata == {"10.0.0.1"}
    assert expected[f"canary.{NAME}", "A"] == truth.Expected(frozenset(), 8)
    assert truth.expect(said(), "s0")[f"blue.{NAME}", "A"].rcode == "NXDOMAIN"
    assert truth.expect(said(), "s0")[f"_http._tcp.{NAME}", "SRV"].rcode == "NXDOMAIN"


def test_an_answer_that_is_cut_to_the_services_own_number_is_right_and_one_less_is_not() -> None:
    expected = truth.Expected(frozenset({"a", "b", "c"}), most=2)
    assert expected.allows({"a", "c"}, "NOERROR")
    assert not expected.allows({"a"}, "NOERROR")
    assert not expected.allows({"a", "d"}, "NOERROR")
    assert not expected.allows({"a", "b", "c"}, "NOERROR")
    assert not expected.allows({"a", "c"}, "NXDOMAIN")


# --- journals -----------------------------------------------------------------------------------------


def told(at: float, id: str, what: str, was: str, now: str, zxid: int = 0) -> Change:
    return Change(at, zxid, "s0", id, what, was, now)  # type: ignore[arg-type]


COMES, GOES = told(1.0, "a", "registered", "", "healthy", 7), told(3.0, "a", "gone", "healthy", "")
FAILS = told(2.0, "a", "state", "healthy", "failing")


def test_a_change_that_begins_where_none_ended_is_a_journal_s_fault() -> None:
    assert list(remembered.broken_off([COMES, GOES, COMES])) == []
    for wrong in ([COMES, COMES], [GOES], [COMES, FAILS, GOES], [COMES, GOES, FAILS]):
        assert list(remembered.broken_off(wrong))


def here(id: str, out: tuple[str, ...] = ()) -> truth.Standing:
    return truth.Standing(id, ("10.0.0.1",), 80, {}, 0, 3, (), out, 1)


def a_truth(*instances: truth.Standing) -> truth.Truth:
    return truth.Truth({"s0": {i.id: i for i in instances}}, {"s0": {}}, (), 1)


def test_an_ensemble_that_hangs_by_itself_is_started_anew_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server of ours is to blame where a plain client reads nothing."""
    monkeypatch.setattr(agreement, "HANGS", 0.0)
    monkeypatch.setattr(agreement, "read", lambda *of: a_truth(here("a")))

    class Hanging(Mock):
        heals = True
        restarts = 0
        replicas = ()

        def flush(self) -> None:
            if not (self.restarts and self.heals):
                raise ConnectionLoss

        def restart_members(self) -> None:
            self.restarts += 1

    def settle(world: Any) -> object:
        return agreement.settle(world, world, world, Model(), 0.3)

    world = Hanging()
    assert settle(world) == a_truth(here("a"))
    assert world.restarts == 1
    world = Hanging(heals=False)
    assert "ZooKeeper can't be read" in str(settle(world))
    assert world.restarts == 1


def test_what_came_or_went_without_a_word_is_found() -> None:
    assert list(remembered.untold([COMES], a_truth(here("a")), (), 0.5)) == []
    assert list(remembered.untold([COMES], a_truth(here("a")), (), 1.5)) != [], "not since then"
    assert list(remembered.untold([COMES], a_truth(), [("s0", "a")], 0.5)) != []
    assert list(remembered.untold([COMES, GOES], a_truth(), [("s0", "a")], 0.5)) == []


def test_what_a_journal_rebuilds_is_held_against_zookeeper() -> None:
    def rebuilt(*instances: Instance, should: truth.Truth) -> list[str]:
        return list(remembered.rebuilt({"s0": Service("s0", "s0", "/s0", instances=instances)}, should, []))

    one = Instance("a", "a", "/s0/a", Registration(("10.0.0.1",), weight=3), 0.0, weight=3)
    assert rebuilt(one, should=a_truth(here("a"))) == []
    assert rebuilt(replace(one, weight=1), should=a_truth(here("a")))
    assert rebuilt(one, should=a_truth(here("a", ("drained",))))
    assert rebuilt(should=a_truth(here("a")))
    assert rebuilt(one, should=a_truth())


def test_what_servers_tell_twice_together_is_found() -> None:
    assert list(remembered.repeated([[COMES], [replace(COMES, at=1.5)]])) == []
    assert list(remembered.repeated([[COMES, GOES, replace(COMES, at=9.0)]])) != []


def test_what_an_ensemble_was_set_back_to_is_told_again_and_once() -> None:
    """The node of before is there again, by its own transaction."""
    again, another = replace(COMES, at=9.0), replace(COMES, at=12.0)
    told_by_both = [[COMES, GOES, again], [replace(COMES, at=1.5), GOES, replace(again, at=9.5)]]
    assert list(remembered.repeated(told_by_both, [5.0])) == []
    assert list(remembered.repeated([[COMES, GOES, again]], [5.0, 20.0])) == []
    for set_back in ([], [0.5], [20.0]):
        assert list(remembered.repeated(told_by_both, set_back)), f"not between them: {set_back}"
    went = replace(GOES, at=10.0)
    assert list(remembered.repeated([[COMES, GOES, again, went, another]], [5.0])), "twice of one history"
    assert list(remembered.repeated([[COMES, GOES, again, went, another]], [5.0, 11.0])) == []
