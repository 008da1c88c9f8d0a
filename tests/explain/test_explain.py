"""What `explain` says, held against what `respond` gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dns.message
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.asking import respond
from support.examples import examples
from support.tables import Answers
from support.values import a_service, an_instance
from zkdns.answers import late_names, policies
from zkdns.answers.zonefiles.overlay import Overlay
from zkdns.answers.zonefiles.reader import ZoneFolder
from zkdns.dns import ede, names
from zkdns.explain.explain import Then, explain
from zkdns.explain.what_if import try_changes
from zkdns.health.judge import ServiceView, judge
from zkdns.health.thresholds import CheckState
from zkdns.model import (
    NONE_HEALTHY,
    Catalog,
    Check,
    Instance,
    Override,
    Service,
    State,
)
from zkdns.serve.respond import next_position

NOW = 1000.0


class World:
    """Services as they are served."""

    def __init__(
        self,
        *services: Service,
        view: ServiceView | None = None,
        zones: Sequence[str] = ("svc.local", "second.test"),
    ) -> None:
        judged = [judge(s, view or ServiceView(), NOW)[0] for s in services]
        self.catalog = Catalog({s.name: s for s in judged}, complete=True)
        self.answers = Answers(zones)
        for s in judged:
            self.answers.replace(s.name, self.answers.compile(s))
        self.forwarded: list[str] = []

    def explain(
        self, name: str, qtype: str = "A", *changes: str, client: str | None = None, forwards: bool = False
    ) -> dict[str, Any]:
        def ask(address: str) -> bool:
            self.forwarded.append(address)
            return forwards

        return explain(self.answers.snapshot(), name, qtype, client=client, changes=changes, forwards=ask)

    def ask(self, name: str, qtype: str) -> list[str]:
        query = dns.message.make_query(name, qtype, use_edns=0, payload=1232)
        reply = respond(query.to_wire(), self.answers, 65535, next_position)
        assert isinstance(reply, bytes)
        found = dns.message.from_wire(reply, one_rr_per_rrset=True)
        return [rdata.to_text() for rrset in found.answer for rdata in rrset]


def inside(said: dict[str, Any]) -> set[str]:
    return {i["id"] for i in said["instances"] if i["in"]}


def row(said: dict[str, Any], id: str) -> dict[str, Any]:
    (found,) = (i for i in said["instances"] if i["id"] == id)
    assert isinstance(found, dict)
    return found


def noted(said: dict[str, Any], *words: str) -> bool:
    return any(all(word in note for word in words) for note in said["notes"])


# --- the shape and the answer -------------------------------------------------------------------------


def test_the_size_that_is_told_is_that_of_what_is_sent() -> None:
    """Another library spells the same records in fewer bytes where their owners share a suffix."""
    world = World(a_service(*(an_instance(f"i{n}", f"10.0.0.{n}") for n in range(12))))
    for name in ("web.svc.local", "_web._tcp.svc.local"):
        query = dns.message.make_query(name, "SRV", use_edns=0, payload=1232)
        reply = respond(query.to_wire(), world.answers, 65535, next_position)
        assert isinstance(reply, bytes)
        assert noted(world.explain(name, "SRV"), f"{len(reply)} bytes: without EDNS")


def test_the_shape_is_that_of_the_contract() -> None:
    said = World(a_service(an_instance("a"))).explain("WEB.svc.local.", "srv")
    assert {"name", "type", "rcode", "stale", "answer", "instances", "notes"} <= said.keys()
    assert said["name"] == "web.svc.local"
    assert said["type"] == "SRV"
    assert said["rcode"] == "NOERROR"
    assert said["stale"] is False
    assert said["answer"] == ["0 1 80 a.web.svc.local."]
    assert {"id", "in", "state", "reason", "share"} <= said["instances"][0].keys()


@pytest.mark.parametrize("qtype", ["A", "SRV"])
def test_it_tells_the_answer_that_comes_next_and_takes_no_turn(qtype: str) -> None:
    world = World(
        a_service(an_instance("a", weight=1), an_instance("b", weight=2), an_instance("c", weight=3))
    )
    for _ in range(12):
        said = world.explain("web.svc.local", qtype)["answer"]
        assert world.explain("web.svc.local", qtype)["answer"] == said
        assert world.ask("web.svc.local", qtype) == said
    assert world.answers.given("web").ever() == {"a": 2, "b": 4, "c": 6}


def test_asking_why_is_no_first_answer() -> None:
    world = World(a_service(an_instance("a"), an_instance("b")))
    world.explain("web.svc.local", "A")
    world.explain("web.svc.local", "A", "drain=web/a")
    assert not any(world.answers.given("web").ever().values())


def test_a_trial_changes_nothing_that_is_answered() -> None:
    world = World(a_service(an_instance("a"), an_instance("b")))
    before = dict(world.answers.table.entries), world.answers.services["web"]
    said = world.explain("web.svc.local", "A", "drain=web/a", "weight:web/b=7")
    assert inside(said) == {"b"}
    assert (dict(world.answers.table.entries), world.answers.services["web"]) == before
    assert inside(world.explain("web.svc.local", "A")) == {"a", "b"}


_weights = st.lists(st.integers(0, 6), min_size=1, max_size=6)


@settings(max_examples=examples(60), deadline=None)
@given(_weights, st.sampled_from(policies.names()), st.integers(1, 4), st.sampled_from(["A", "AAAA", "SRV"]))
def test_shares_are_those_of_the_first_places(
    weights: Sequence[int], policy: str, answers: int, qtype: str
) -> None:
    families = [("10.0.0.{}",), ("10.0.0.{}", "fd00::{}"), ("fd00::{}",), ("10.0.0.9",)]
    instances = [
        an_instance(id, *(a.format(at + 1) for a in families[at % 4]), weight=w, priority=at % 2 * (at > 3))
        for at, (id, w) in enumerate(zip("abcdef", weights, strict=False))
    ]
    world = World(a_service(*instances, policy=policy, answers=answers))
    said = world.explain("web.svc.local", qtype)
    total = sum(i["share"] for i in said["instances"])
    if not said["answer"]:
        assert total == 0
        assert inside(said) == set()
        return
    assert total == pytest.approx(1, abs=1e-4)
    entry = world.answers.table.entries[
        names.wire("web.svc.local") + {"A": 1, "AAAA": 28, "SRV": 33}[qtype].to_bytes(2, "big")
    ]
    cycle = len(entry.tiers[0].rotation.sequence)
    firsts: Counter[str] = Counter()
    given_out: set[str] = set()
    for _ in range(cycle):
        reply = world.ask("web.svc.local", qtype)
        given_out.update(reply)
        firsts[reply[0]] += 1

    def records(i: Instance) -> set[str]:
        if qtype == "SRV":
            return {r for r in given_out if r.endswith(f" {i.label}.web.svc.local.")}
        return given_out & set(i.addresses)

    for i in instances:
        known = row(said, i.id)
        assert not known["in"] or known["share"] <= 1
        if known["share"]:
            assert known["in"]
        if qtype != "SRV":  # instances at one place share the first one's name there
            assert known["in"] == bool(records(i)), i.id
    for record, n in firsts.items():
        holders = [i for i in instances if record in records(i)]
        if len(holders) == 1 and len(records(holders[0])) == 1:
            others = [i for i in instances if i.addresses == holders[0].addresses]
            share = sum(row(said, i.id)["share"] for i in others)
            assert share == pytest.approx(n / cycle, abs=1e-3)


# --- in or out, and why -------------------------------------------------------------------------------


def test_each_way_to_be_out_has_its_reason() -> None:
    view = ServiceView(
        {"drained": Override(drain=True, who="ann@ops", why="disk swap")},
        checked=True,
        check_states={"/services/web/sick": CheckState(False, "connection refused")}
        | {f"/services/web/{id}": CheckState(True) for id in ("well", "drained", "leaving", "six", "later")},
    )
    world = World(
        a_service(
            an_instance("well", "10.0.0.1"),
            an_instance("drained", "10.0.0.2"),
            an_instance("leaving", "10.0.0.3", status="draining"),
            an_instance("sick", "10.0.0.4"),
            an_instance("new", "10.0.0.5"),
            an_instance("six", "fd00::1"),
            an_instance("later", "10.0.0.6", priority=7),
            check=Check("tcp"),
        ),
        view=view,
    )
    said = world.explain("web.svc.local")
    assert inside(said) == {"well"}
    assert "disk swap" in row(said, "drained")["reason"]
    assert "ann@ops" in row(said, "drained")["reason"]
    assert row(said, "drained")["state"] == "drained"
    assert row(said, "leaving")["reason"] == "registered as draining"
    assert row(said, "sick")["reason"] == "connection refused"
    assert row(said, "new")["reason"] == "no probe yet"
    assert row(said, "six")["reason"] == "has no IPv4 address"
    assert "priority 7" in row(said, "later")["reason"]
    assert row(said, "well")["share"] == 1
    assert noted(said, "4 of 7")


def test_an_instance_without_the_port_is_out_of_srv() -> None:
    world = World(a_service(an_instance("a", port=0), an_instance("b", ports=(("http", 8080),))))
    assert row(world.explain("web.svc.local", "SRV"), "a")["reason"] == "has no main port"
    said = world.explain("_http._tcp.web.svc.local", "SRV")
    assert inside(said) == {"b"}
    assert "http" in row(said, "a")["reason"]
    assert noted(said, "http", "1 of 2")


def test_a_tag_keeps_the_others_out() -> None:
    world = World(a_service(an_instance("a", tags=("canary",)), an_instance("b")))
    said = world.explain("canary.web.svc.local")
    assert inside(said) == {"a"}
    assert "canary" in row(said, "b")["reason"]


def test_a_protocol_keeps_the_others_out() -> None:
    world = World(a_service(an_instance("a", protocol="udp"), an_instance("b")))
    said = world.explain("_web._udp.svc.local", "SRV")
    assert inside(said) == {"a"}
    assert row(said, "b")["reason"] == "its protocol is tcp"


def test_what_is_past_the_number_of_answers_for_ever_is_out() -> None:
    world = World(a_service(*(an_instance(id) for id in "abc"), policy="first", answers=2))
    said = world.explain("web.svc.local")
    assert inside(said) == {"a", "b"}
    assert "number of answers" in row(said, "c")["reason"]
    assert noted(said, "gives 2")


def test_an_instances_own_name_is_answered_whatever_its_state() -> None:
    world = World(a_service(an_instance("a", status="down"), an_instance("b")))
    said = world.explain("a.web.svc.local")
    assert said["answer"] == ["10.0.0.97"]
    assert inside(said) == {"a"}
    assert row(said, "a")["state"] == "down"
    assert noted(said, "whatever its state")


def test_a_reverse_name_tells_who_has_the_address() -> None:
    world = World(
        a_service(an_instance("a", "10.1.2.3")),
        a_service(an_instance("b", "10.1.2.3"), an_instance("c"), name="db"),
    )
    for name in ("3.2.1.10.in-addr.arpa", "10.1.2.3"):
        said = world.explain(name, "PTR")
        assert sorted(said["answer"]) == ["a.web.svc.local.", "b.db.svc.local."]
        assert {(i["service"], i["id"]) for i in said["instances"]} == {("web", "a"), ("db", "b")}


def test_zero_weights_are_told() -> None:
    some = World(a_service(an_instance("a", weight=0), an_instance("b"))).explain("web.svc.local")
    assert row(some, "a")["share"] == 0
    assert inside(some) == {"a", "b"}
    assert noted(some, "weight 0", "a")
    every = World(a_service(an_instance("a", weight=0), an_instance("b", weight=0))).explain("web.svc.local")
    assert [i["share"] for i in every["instances"]] == [0.5, 0.5]
    assert noted(every, "equal shares")


def test_one_address_registered_twice_is_told() -> None:
    twice = (an_instance("a", "10.0.0.1", weight=1), an_instance("b", "10.0.0.1", weight=3))
    said = World(a_service(*twice)).explain("web.svc.local")
    assert said["answer"] == ["10.0.0.1"]
    assert [i["share"] for i in said["instances"]] == [0.25, 0.75]
    assert noted(said, "a and b", "same address")


def test_fail_open_is_told() -> None:
    world = World(a_service(an_instance("a", status="down"), fail_open=NONE_HEALTHY))
    said = world.explain("web.svc.local")
    assert inside(said) == {"a"}
    assert noted(said, "fail_open")


def test_a_folded_name_is_told() -> None:
    world = World(a_service(an_instance("Node_1", "10.0.0.1"), name="Data_Base"))
    assert noted(world.explain("data-base.svc.local"), "Data_Base")
    assert noted(world.explain("node-1.data-base.svc.local"), "Node_1")


# --- empty, not there, not ours -----------------------------------------------------------------------


def test_an_empty_answer_says_why() -> None:
    out = World(a_service(an_instance("a", status="down"), an_instance("b", status="draining")))
    said = out.explain("web.svc.local")
    assert said["rcode"] == "NOERROR"
    assert said["answer"] == []
    assert noted(said, "NODATA", "1 down", "1 draining")
    assert noted(said, "EDE", "2 registered, 0 healthy")
    assert noted(World(a_service()).explain("web.svc.local"), "NODATA", "no instance")
    assert noted(World(a_service(an_instance("a"))).explain("web.svc.local", "AAAA"), "NODATA", "IPv6")
    assert noted(World(a_service(an_instance("a", port=0))).explain("web.svc.local", "SRV"), "main port")
    assert noted(World(a_service(an_instance("a"))).explain("web.svc.local", "MX"), "NODATA", "no MX")
    named = a_service(an_instance("a", ports=(("http", 8080),)))
    assert noted(World(named).explain("_tcp.web.svc.local"), "NODATA")
    assert noted(World(named).explain("_http._tcp.web.svc.local", "A"), "NODATA", "no A")


def test_what_does_not_exist_names_what_is_near() -> None:
    world = World(a_service(an_instance("alpha"), an_instance("b")), a_service(name="api"))
    said = world.explain("wbe.svc.local")
    assert said["rcode"] == "NXDOMAIN"
    assert said["instances"] == []
    assert noted(said, "wbe", "web")
    assert noted(world.explain("alhpa.web.svc.local"), "alhpa", "alpha")
    assert noted(world.explain("a.b.c.nope.svc.local"), "no service 'nope'")


def test_what_is_not_ours_is_refused_or_forwarded() -> None:
    world = World(a_service(an_instance("a")))
    refused = world.explain("example.com", client="198.51.100.7")
    assert refused["rcode"] == "REFUSED"
    assert noted(refused, "198.51.100.7")
    assert world.forwarded == ["198.51.100.7"]
    assert world.explain("example.com", forwards=True)["rcode"] == "FORWARDED"
    assert world.explain("10.9.9.9", "PTR")["rcode"] == "REFUSED"


def test_no_catalog_is_servfail_with_its_reason() -> None:
    world = World(a_service(an_instance("a")))
    world.answers.fail(ede.option(ede.NOT_READY, "the first catalog is not loaded yet"))
    said = world.explain("web.svc.local", "A", "drain=web/a")
    assert said["rcode"] == "SERVFAIL"
    assert inside(said) == set()
    assert noted(said, "EDE 14")
    assert noted(said, "until all is read")


def test_what_is_too_old_is_servfail_and_says_no_more_than_that() -> None:
    world = World(a_service(an_instance("a")))
    world.answers.fail(ede.option(ede.NO_REACHABLE_AUTHORITY, "the registry is out of reach for long"))
    said = world.explain("web.svc.local")
    assert inside(said) == set()
    assert [i["reason"] for i in said["instances"]] == ["nothing is given: it is SERVFAIL"]
    assert noted(said, "EDE 22")
    assert not noted(said, "until all is read")


def test_stale_is_told() -> None:
    world = World(a_service(an_instance("a")))
    world.answers.bear(ede.option(ede.STALE_ANSWER))
    said = world.explain("web.svc.local")
    assert said["stale"] is True
    assert noted(said, "out of reach")


def test_what_was_said_then_is_not_as_old_as_the_registry_is_now() -> None:
    world = World(a_service(an_instance("a")))
    world.answers.bear(ede.option(ede.STALE_ANSWER))
    then = Then(NOW, dict(world.catalog.services))
    said = explain(
        world.answers.snapshot(), "web.svc.local", "A",
        client=None, changes=(), forwards=lambda client: False, then=then,
    )  # fmt: skip
    assert (said["stale"], said["answer"]) == (False, ["10.0.0.97"])


def test_an_answer_too_long_for_udp_is_told() -> None:
    many = a_service(*(an_instance(f"i{n:03}", f"10.0.1.{n}") for n in range(100)), answers=100)
    assert noted(World(many).explain("web.svc.local"), "1232", "UDP")
    few = a_service(*(an_instance(f"i{n:03}", f"10.0.1.{n}") for n in range(40)), answers=40)
    assert noted(World(few).explain("web.svc.local"), "512")


def test_names_of_the_zone_itself_are_answered() -> None:
    world = World(a_service(an_instance("a")))
    assert world.explain("svc.local", "SOA")["answer"][0].startswith("ns.dns.svc.local.")
    assert world.explain("_web._tcp.svc.local", "PTR")["answer"] == ["a._web._tcp.svc.local."]
    assert world.explain("web.second.test")["answer"] == ["10.0.0.97"]


def test_names_of_zone_files_are_told_as_such(tmp_path: Path) -> None:
    world = World(a_service(an_instance("a")))
    (tmp_path / "corp.test.zone").write_text(
        "$TTL 60\n@ SOA ns root 1 1 1 1 60\nsub NS ns.sub\nwww A 192.0.2.1\nlost CNAME gone\n"
    )
    folder = ZoneFolder(tmp_path, [])
    folder.load()
    Overlay(world.answers).put(folder.loaded.zones)
    world.answers.take()  # its names are laid
    assert world.explain("www.corp.test")["answer"] == ["192.0.2.1"]
    assert world.explain("x.sub.corp.test")["notes"] == [
        "delegated: the servers of sub.corp.test. answer for it"
    ]
    assert world.explain("nope.corp.test")["notes"] == ["no record of a zone file has this name"]
    assert world.explain("lost.corp.test")["notes"] == [
        "an alias leads to gone.corp.test., which is not there"
    ]


@pytest.mark.parametrize("most", [late_names.MAX_NAMES, 0])
def test_names_that_are_compiled_when_they_are_asked_for_have_their_rows(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Those of several tags, and those of tags and ports where there are too many."""
    monkeypatch.setattr(late_names, "MAX_NAMES", most)
    both, one = {"tags": ("x", "y"), "ports": (("http", 80),)}, {"tags": ("x",)}
    world = World(
        a_service(
            an_instance("a", "10.0.0.1", weight=3, **both), an_instance("b", "10.0.0.2", **both),
            an_instance("c", "10.0.0.3", **one), an_instance("d", "10.0.0.4", status="down", **both),
        )
    )  # fmt: skip
    for name, qtype in (("x.y", "A"), ("y.x", "SRV"), ("y", "A"), ("_http._tcp", "SRV")):
        said = world.explain(f"{name}.web.svc.local", qtype)
        assert {i["id"]: i["share"] for i in said["instances"] if i["in"]} == {"a": 0.75, "b": 0.25}, name
        assert [i["id"] for i in said["instances"] if not i["in"]] == ["c", "d"]
    assert noted(world.explain("x.y.web.svc.local"), "those with the tag 'x.y': 3 of 4")
    assert world.explain("x.z.web.svc.local")["instances"] == []


# --- what if ------------------------------------------------------------------------------------------


def test_what_is_ordered_of_an_id_that_only_registries_behind_have_is_so_in_each() -> None:
    views = [
        replace(a_service(an_instance("a"), name=f"web@{r}"), view_of="web", registries=(r,))
        for r in ("r2", "r3")
    ]
    services = {s.name: s for s in (a_service(an_instance("b")), *views)}
    trial = try_changes(services, ["drain=web/a"])
    assert {name: one.instances[0].state for name, one in trial.touched.items()} == {
        "web@r2": State.DRAINED, "web@r3": State.DRAINED,
    }  # fmt: skip


@pytest.mark.parametrize("weight", [1, 2, 40])
def test_a_weight_that_is_tried_counts_at_once_where_instances_warm_up(weight: int) -> None:
    old, new = (
        an_instance(id, weight=weight, since=since) for id, since in (("a", NOW - 900), ("b", NOW - 5))
    )
    service = a_service(old, new, warm=60)
    for id in "ab":
        tried = World(service).explain("web.svc.local", "A", f"weight:web/{id}=3")
        laid = World(service, view=ServiceView({id: Override(weight=3)})).explain("web.svc.local")
        for key in ("in", "state", "weight", "share"):
            assert [i[key] for i in tried["instances"]] == [i[key] for i in laid["instances"]], key


@pytest.mark.parametrize(
    ("checked", "said"),
    [(True, "web/b: b is healthy, not drained, if its check passes"), (False, "b is healthy, not drained")],
)
def test_of_a_check_that_nobody_saw_it_is_said_that_it_is_assumed(checked: bool, said: str) -> None:
    view = ServiceView({"b": Override(drain=True)})
    world = World(a_service(an_instance("b"), check=Check("tcp") if checked else None), view=view)
    assert world.explain("web.svc.local", "A", "undrain=web/b")["notes"][0].endswith(said)


def test_each_change_does_what_it_says() -> None:
    drained = ServiceView({"b": Override(drain=True)})
    world = World(a_service(*(an_instance(id) for id in "abc")), view=drained)

    def explain_if(*changes: str) -> dict[str, Any]:
        return world.explain("web.svc.local", "A", *changes)

    assert inside(explain_if()) == {"a", "c"}
    assert inside(explain_if("drain=web/a")) == {"c"}
    assert row(explain_if("drain=web/a"), "a")["state"] == "drained"
    assert inside(explain_if("undrain=web/b")) == {"a", "b", "c"}
    assert inside(explain_if("down=web/a")) == {"c"}
    assert inside(explain_if("down=web/a", "up=web/a")) == {"a", "c"}
    assert inside(explain_if("up=web/b")) == {"a", "c"}, "a drained one stays drained"
    assert row(explain_if("weight:web/a=3"), "a")["share"] == 0.75
    gone = explain_if("remove=web/a")
    assert [i["id"] for i in gone["instances"]] == ["b", "c"]
    assert noted(gone, "if remove=web/a", "registered no more")
    empty = explain_if("drain=web/a", "drain=web/c")
    assert empty["answer"] == []
    assert noted(empty, "NODATA", "3 drained")


def test_a_drain_that_makes_fail_open_give_all_is_told() -> None:
    world = World(
        a_service(
            an_instance("a"), an_instance("b", status="down"), an_instance("c", status="down"), fail_open=0.4
        )
    )
    said = world.explain("web.svc.local")
    assert inside(said) == {"a", "b", "c"}
    better = world.explain("web.svc.local", "A", "up=web/b")
    assert inside(better) == {"a", "b"}
    assert not noted(better, "fail_open: all given")
    assert row(better, "c")["reason"] == "registered as down"


def test_a_change_reaches_the_other_names_of_the_instance() -> None:
    world = World(
        a_service(an_instance("a", "10.1.2.3", tags=("blue",)), an_instance("b")), a_service(name="db")
    )
    assert world.explain("a.web.svc.local", "A", "remove=web/a")["rcode"] == "NXDOMAIN"
    assert world.explain("blue.web.svc.local", "A", "down=web/a")["answer"] == []
    assert world.explain("10.1.2.3", "PTR", "remove=web/a")["rcode"] == "REFUSED"
    assert world.explain("db.svc.local", "A", "remove=web/a")["rcode"] == "NOERROR"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("", "can't be read"),
        ("drain", "can't be read"),
        ("drain=web", "can't be read"),
        ("explode=web/a", "can't be read"),
        ("weight:web/a", "weight"),
        ("weight:web/a=-1", "weight"),
        ("weight:web/a=70000", "weight"),
        ("weight:web/a=x", "weight"),
        ("drain=wbe/a", "there is web"),
        ("drain=web/z", "there are a, b"),
    ],
)
def test_a_change_that_cannot_be_read_is_told(change: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        World(a_service(an_instance("a"), an_instance("b"))).explain("web.svc.local", "A", change)


@pytest.mark.parametrize(
    ("name", "qtype", "client", "word"),
    [
        ("web.svc.local", "NOSUCH", None, "NOSUCH"),
        ("web.svc.local", "70000", None, "70000"),
        ("a..b", "A", None, "a..b"),
        ("ü.local", "A", None, "ASCII"),
        ("x" * 64 + ".local", "A", None, "63"),
        ("web.svc.local", "A", "nobody", "nobody"),
    ],
)
def test_a_question_that_cannot_be_read_is_told(name: str, qtype: str, client: str | None, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        World().explain(name, qtype, client=client)


@settings(max_examples=examples(150), deadline=None)
@given(st.text(max_size=30), st.text(max_size=8), st.lists(st.text(max_size=20), max_size=2))
def test_nothing_but_a_value_error_comes_out(name: str, qtype: str, changes: list[str]) -> None:
    world = World(a_service(an_instance("a")))
    for type_ in (qtype, "A", "ANY"):
        try:
            world.explain(name, type_, *changes)
        except ValueError:
            pass


@settings(max_examples=examples(80), deadline=None)
@given(
    st.lists(st.sampled_from(["up", "starting", "draining", "down"]), min_size=1, max_size=5),
    st.lists(
        st.tuples(st.sampled_from(["drain", "undrain", "down", "up", "remove"]), st.integers(0, 4)),
        max_size=4,
    ),
    st.sampled_from([0.0, NONE_HEALTHY, 0.5, 1.0]),
)
def test_what_would_be_drained_is_never_given(
    statuses: list[Any], changes: list[tuple[str, int]], fail_open: float
) -> None:
    instances = [an_instance("abcde"[at], status=status) for at, status in enumerate(statuses)]
    world = World(a_service(*instances, fail_open=fail_open))
    tried = [f"{kind}=web/{'abcde'[at]}" for kind, at in changes if at < len(statuses)]
    try:
        said = world.explain("web.svc.local", "A", *tried)
    except ValueError:
        return  # one that was removed was named again
    for one in said["instances"]:
        assert not (one["in"] and one["state"] in (State.DRAINED, State.DRAINING))
    assert sum(i["share"] for i in said["instances"]) == pytest.approx(1 if said["answer"] else 0, abs=1e-4)


def test_where_zones_nest_a_name_is_explained_as_its_holder_answers_it() -> None:
    web = a_service(an_instance("a", tags=("x",)), an_instance("b"))
    x = a_service(an_instance("i", "10.0.0.9"), name="x")
    nested = ("svc.local", "web.svc.local")
    for services, address in (((web, x), "10.0.0.9"), ((web,), "10.0.0.97")):
        world = World(*services, zones=nested)
        told = world.explain("x.web.svc.local")
        assert told["answer"] == [address] == world.ask("x.web.svc.local", "A")
        assert inside(told) == ({"i"} if x in services else {"a"})
    own = world.explain("b.web.svc.local")
    assert own["answer"] == world.ask("b.web.svc.local", "A") == ["10.0.0.98"]
    apex = world.explain("web.svc.local")
    assert (apex["rcode"], apex["answer"]) == ("NOERROR", [])
    assert world.explain("nope.web.svc.local")["rcode"] == "NXDOMAIN"


def test_who_stands_by_is_told_for_whom_and_those_that_are_out_are_nobody_to_stand_by_for() -> None:
    world = World(
        a_service(
            an_instance("a", priority=0, status="draining"),
            an_instance("b", priority=1),
            an_instance("c", priority=2),
        )
    )
    reasons = {i["id"]: i["reason"] for i in world.explain("web.svc.local")["instances"]}
    assert reasons["c"] == "priority 2: stands by while one of priority 1 is given"
    assert "stands by" not in reasons["a"] + reasons["b"]
