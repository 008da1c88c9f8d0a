"""Explained by where the client stands: its zone and why, who is given to it, with which share."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from answers.test_variants import MAP, THREE, instance, web
from support import scenario
from support.asking import respond
from support.tables import Answers, query
from zkdns.dns import names
from zkdns.explain.explain import explain
from zkdns.explain.locality import crossings
from zkdns.model import Service
from zkdns.topology import Place, parse_topology


def serving(service: Service, own: Place = Place("", "")) -> Answers:  # noqa: B008
    answers = Answers(["svc.local"])
    answers.set_topology(parse_topology("map", MAP, own=own)[0])
    answers.put(service)
    return answers


def told(answers: Answers, client: str, name: str = "web.svc.local", qtype: str = "A") -> dict[str, Any]:
    return explain(answers.snapshot(), name, qtype, client=client, changes=(), forwards=lambda client: False)


def shares(said: dict[str, Any]) -> dict[str, float]:
    return {i["id"]: i["share"] for i in said["instances"] if i["in"]}


def test_it_says_where_a_client_stands_and_by_what() -> None:
    answers = serving(web(*THREE), own=Place("", "dc9"))
    assert told(answers, "127.0.1.7")["client"] == {
        "address": "127.0.1.7", "zone": "eu-1a", "region": "eu", "why": "by 127.0.1.0/24 of the map",
    }  # fmt: skip
    assert told(answers, "fd00:1:2::7")["client"]["why"] == "by fd00:1::/32 of the map"
    assert told(answers, "192.0.2.1")["client"]["zone"] == "dc9"
    nowhere = told(serving(web(*THREE)), "192.0.2.1")
    assert nowhere["client"]["zone"] == ""
    assert "near prefer: without a zone all are given" in nowhere["notes"]


def test_the_shares_are_those_that_this_clients_zone_gets() -> None:
    answers = serving(web(*THREE, instance("aa", "eu-1a", weight=3)))
    said = told(answers, "127.0.1.7")
    assert shares(said) == {"a": 0.25, "aa": 0.75}
    assert [i["reason"] for i in said["instances"] if i["id"] == "b"] == [
        "stands in eu/eu-1b, not where eu-1a is given from"
    ]
    assert "127.0.1.7 stands in eu/eu-1a, by 127.0.1.0/24 of the map" in said["notes"]
    assert "near prefer: eu-1a has 2 of 2, the zone's own are nearest" in said["notes"]
    assert said["answer"][0] in {i.addresses[0] for i in answers.services["web"].service.instances}


def test_a_name_that_asks_for_a_zone_has_its_rows() -> None:
    answers = serving(web(*THREE, instance("bb", "eu-1b", weight=3), instance("z", "eu-1b", up=False)))
    said = told(answers, "127.0.4.1", "eu-1b.prefer._zone.web.svc.local")
    assert shares(said) == {"b": 0.25, "bb": 0.75}
    reasons = {i["id"]: i["reason"] for i in said["instances"] if not i["in"]}
    assert reasons["a"] == "stands in eu/eu-1a, not where eu-1b is given from"
    assert "z" in reasons
    assert (
        "the name asks for eu-1b itself (prefer): eu-1b has 2 of 3, the zone's own are nearest"
        in said["notes"]
    )
    pinned = told(answers, "127.0.4.1", "eu-1a.pin._zone.web.svc.local", "SRV")
    assert shares(pinned) == {"a": 1.0}
    assert {i["reason"] for i in pinned["instances"] if i["id"] in ("b", "bb")} == {"does not stand in eu-1a"}
    assert "the name asks for eu-1a itself (pin): eu-1a has 1 of 1" in pinned["notes"]


def test_a_zone_that_nobody_knows_and_a_type_that_is_not_there_are_told() -> None:
    answers = serving(web(*THREE))
    said = told(answers, "127.0.4.1", "mars.pin._zone.web.svc.local")
    assert said["rcode"] == "NXDOMAIN"
    assert "'mars' is no zone of the map or of web; there are eu-1a, eu-1b, us-1a" in said["notes"]
    text = told(answers, "127.0.4.1", "eu-1a.pin._zone.web.svc.local", "TXT")
    assert text["notes"] == ["NODATA: the name has A, AAAA and SRV, no TXT"]
    lost = serving(web(instance("a", "eu-1a", up=False), *THREE[1:]))
    said = told(lost, "127.0.4.1", "eu-1a.pin._zone.web.svc.local")
    assert (said["rcode"], said["answer"], shares(said)) == ("NOERROR", [], {})
    assert "the reply carries EDE 0: web: eu-1a has 0 of 1" in said["notes"]


ROUTED = """
set topology {"127.0.1.0/24": "eu/eu-1a", "127.0.2.0/24": "eu/eu-1b"}
list /services v1 v2 web
data /services/web {"to": [{"v1": 3, "v2": 1}], "near": "MODE"}
list /services/v1 a b
data /services/v1/a {"address": "10.0.0.1", "port": 80, "zone": "eu-1a"}
data /services/v1/b {"address": "10.0.0.2", "port": 80, "zone": "eu-1b"}
list /services/v2 c
data /services/v2/c {"address": "10.0.0.3", "port": 80, "zone": "eu-1a"}
ask web.svc.local A
"""


@pytest.mark.parametrize(
    ("mode", "due"),
    [("prefer", {"v1/a": 0.75, "v2/c": 0.25}), ("balanced", {"v1/a": 0.6, "v2/c": 0.4, "v1/b": 0.0})],
)
def test_a_route_is_explained_by_zone_too(mode: str, due: dict[str, float]) -> None:
    world = scenario.World()
    world.run(ROUTED.replace("MODE", mode).strip().splitlines())
    snapshot = world.pipeline.builder.snapshot()
    said = explain(
        snapshot, "web.svc.local", "A", client="127.0.1.7", changes=(), forwards=lambda client: False
    )
    assert shares(said) == pytest.approx(due)
    assert any(note.startswith(f"near {mode}: ") for note in said["notes"])
    counts = Counter(
        world.run(["ask web.svc.local A bare from=127.0.1.7"]).splitlines()[1].split()[-1] for _ in range(40)
    )
    address = {"v1/a": "10.0.0.1", "v1/b": "10.0.0.2", "v2/c": "10.0.0.3"}
    assert {address[id]: share * 40 for id, share in due.items() if share} == pytest.approx(dict(counts))


def test_a_lost_zone_is_told() -> None:
    answers = serving(web(instance("a", "eu-1a", up=False), THREE[1], THREE[2], near_min=0.9))
    said = told(answers, "127.0.1.7")
    assert shares(said) == {"b": 0.5, "c": 0.5}
    assert "near prefer: eu-1a has 0 of 1, all given (near_min 0.9)" in said["notes"]
    assert "the reply carries EDE 0: web: eu-1a has 0 of 1, all given" in said["notes"]


def test_balanced_is_told_from_zone_to_zone() -> None:
    many = [instance(f"b{n}", "eu-1b") for n in range(3)]
    answers = serving(web(instance("a", "eu-1a"), *many, near="balanced"))
    assert shares(told(answers, "127.0.1.7")) == pytest.approx({"a": 1.0, "b0": 0.0, "b1": 0.0, "b2": 0.0})
    said = told(answers, "127.0.3.7")
    assert shares(said)["a"] == 0
    assert "near balanced: from us-1a to eu-1b 100 %" in said["notes"]


def test_srv_gives_all_and_says_who_is_first() -> None:
    said = told(serving(web(*THREE)), "127.0.2.7", qtype="SRV")
    assert shares(said) == {"a": 0.0, "b": 1.0, "c": 0.0}


def test_the_table_from_zone_to_zone_has_what_is_due_and_what_was_given() -> None:
    answers = serving(web(*THREE))
    for _ in range(4):
        respond(query(names.wire("web.svc.local"), 1), answers, client="127.0.4.1")
    given = {(a, b): n for (_, a, b), n in answers.near_answers().items()}
    rows = crossings(answers.services["web"].service, answers.topology, given)
    by_zones = {(row["from"], row["to"]): (row["share"], row["given"], row["answers"]) for row in rows}
    assert by_zones == {
        ("eu-1a", "eu-1a"): (1.0, 0.0, 0), ("eu-1b", "eu-1b"): (1.0, 0.0, 0),
        ("eu-1c", "eu-1a"): (0.5, 0.5, 2), ("eu-1c", "eu-1b"): (0.5, 0.5, 2),
        ("us-1a", "us-1a"): (1.0, 0.0, 0),
    }  # fmt: skip
    assert crossings(web(*THREE, near="off"), answers.topology, {}) == []


def test_whom_a_cut_answer_gives_because_it_is_near_is_told_to_be_in() -> None:
    rest = [instance(id, "us-1a", weight=5) for id in ("b", "c")]
    answers = serving(web(instance("a", "eu-1a", weight=0), *rest, near="balanced", answers=2))
    for client, expected in (("127.0.1.7", {"a", "b", "c"}), ("192.0.2.1", {"b", "c"})):
        said = told(answers, client)
        assert shares(said).keys() == expected
        given = {address for i in said["instances"] if i["in"] for address in i["address"]}
        assert set(said["answer"]) <= given
