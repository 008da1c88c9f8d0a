"""The JSON of the API: each number and word is the one that its name says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from zkdns.model import Change, Instance, Registration, Service, ServiceSettings, State
from zkdns.pipeline.journal import History
from zkdns.serve.clients import ClientRow, Told
from zkdns.web import shapes
from zkdns.web.shapes import Firsts

AT = 1_700_000_000.0


def instance(id: str, weight: int = 1, state: State = State.HEALTHY, **fields: Any) -> Instance:
    registration = Registration(**{"addresses": ("10.0.0.1",), "port": 80, "weight": 7, **fields})
    return Instance(
        id, f"{id}-label", f"/s/web/{id}", registration, AT, weight=weight, state=state, reason="because",
        answered=state is State.HEALTHY,
    )  # fmt: skip


def web(*instances: Instance, **settings: Any) -> Service:
    return Service("Web", "web", "/s/Web", ServiceSettings(**settings), instances, "a note")


def test_an_instance_tells_its_weight_in_force_and_the_registered_one() -> None:
    one = shapes.instance(instance("a", 3), "web.svc.local", 0.5, 0.25, 9)
    assert (one["weight"], one["registered_weight"]) == (3, 7)
    assert (one["share"], one["given"], one["first_answers"]) == (0.5, 0.25, 9)
    assert (one["id"], one["name"], one["path"]) == ("a", "a-label.web.svc.local", "/s/web/a")
    assert (one["state"], one["reason"], one["in"], one["since"]) == (
        "healthy", "because", True, "2023-11-14T22:13:20Z",
    )  # fmt: skip
    out = shapes.instance(
        instance("b", state=State.DRAINED, addresses=(), host="db.example", port=0), "web.svc.local", 0, 0, 0
    )
    assert (out["in"], out["address"], out["host"], out["port"]) == (
        False,
        ["db.example"],
        "db.example",
        None,
    )


def test_what_was_given_is_of_the_time_since_the_weights_changed_and_first_answers_of_ever() -> None:
    firsts = Firsts({"a": 90, "b": 10}, {"a": 1, "b": 3})
    told = shapes.service(web(instance("a", 3), instance("b", 1)), 5, "svc.local", firsts)
    assert [(i["share"], i["given"], i["first_answers"]) for i in told["instances"]] == [
        (0.75, 0.25, 90),
        (0.25, 0.75, 10),
    ]
    due = Firsts({}, {}, {"a": 0.1})
    told = shapes.service(web(instance("a"), instance("b")), 5, "svc.local", due)
    assert [(i["share"], i["given"]) for i in told["instances"]] == [(0.1, 0), (0, 0)]
    assert (told["name"], told["dns_name"], told["note"]) == ("Web", "web.svc.local", "a note")
    some = shapes.service(web(instance("a"), instance("b")), 5, "svc.local", due, most=1)
    assert [i["id"] for i in some["instances"]] == ["a"]


@pytest.mark.parametrize(("own", "ttl"), [(None, 5), (0, 0), (9, 9)])
def test_a_ttl_is_the_services_own_or_the_servers(own: int | None, ttl: int) -> None:
    service = web(instance("a"), instance("b", state=State.FAILING), ttl=own)
    row = shapes.service_row(service, 5, ["web.svc.local"])
    assert (row["ttl"], row["instances"], row["healthy"]) == (ttl, 2, 1)
    told = shapes.service(service, 5, "svc.local", Firsts())
    assert (told["ttl"], told["settings"]["ttl"]) == (ttl, ttl)


@pytest.mark.parametrize(("seconds", "is_stale"), [(None, False), (0.0, True), (0.5, True), (90.0, True)])
def test_the_list_is_stale_as_soon_as_a_registry_is_away(seconds: float | None, is_stale: bool) -> None:
    told = shapes.services({"Web": web()}, {}, ttl=5, serial=7, stale_seconds=seconds)
    assert (told["stale"], told["age_seconds"], told["serial"]) == (is_stale, seconds or 0.0, 7)


def change(what: str, was: str, now: str, one: Instance | None = None) -> Change:
    return Change(AT + 0.25, 9, "Web", one.id if one else "", what, was, now, "why", "me", one)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("what", "was", "now", "word"),
    [
        ("registered", "", "healthy", "added"),
        ("registered", "10.0.0.1", "10.0.0.2", "changed"),
        ("gone", "failing", "", "removed"),
        ("state", "failing", "healthy", "changed"),
        ("weight", "7", "3", "changed"),
    ],
)
def test_an_event_says_what_became_of_the_instance(what: str, was: str, now: str, word: str) -> None:
    told = shapes.event(change(what, was, now, instance("a", 3)))
    assert (told["change"], told["what"], told["from"], told["to"]) == (word, what, was, now)
    assert told.get("was") == (None if word == "added" else was if what in ("state", "gone") else "healthy")
    assert ("weight" in told) is (word != "removed")
    if word != "removed":
        assert (told["weight"], told["state"], told["in"], told["address"]) == (
            3,
            "healthy",
            True,
            ["10.0.0.1"],
        )


def test_the_history_tells_each_change_as_it_was_and_to_the_millisecond() -> None:
    told = shapes.history(History([change("state", "failing", "healthy", instance("a"))], AT))
    assert told == {
        "changes": [
            {
                "at": "2023-11-14T22:13:20.250Z", "zxid": 9, "service": "Web", "id": "a", "what": "state",
                "from": "failing", "to": "healthy", "why": "why", "by": "me",
            }
        ],
        "since": "2023-11-14T22:13:20Z",
    }  # fmt: skip
    assert shapes.history(History()) == {"changes": [], "since": None}


def test_clients_are_told_with_how_many_rows_had_to_go_and_that_nobody_notes_where_it_is_so() -> None:
    row = ClientRow("192.0.2.1", "Web", AT, AT + 1.5, 4, "a")
    assert shapes.clients(Told((row,), 3)) == {
        "clients": [
            {
                "client": "192.0.2.1", "service": "Web", "first": "2023-11-14T22:13:20.000Z",
                "last": "2023-11-14T22:13:21.500Z", "queries": 4, "last_first": "a",
            }
        ],
        "forgotten": 3,
    }  # fmt: skip
    near = replace(row, zone="eu-1a"), replace(row, zone="eu-1a", beyond=AT)
    one, other = shapes.clients(Told(near))["clients"]
    assert (one["zone"], "beyond" in one) == ("eu-1a", False)
    assert (other["zone"], other["beyond"]) == ("eu-1a", "2023-11-14T22:13:20.000Z")
    assert shapes.clients(Told((), 0, False)) == {"clients": [], "forgotten": 0, "kept": False}


def test_what_changed_of_one_instance_in_one_moment_is_one_event_and_of_several_one_each() -> None:
    a, b = instance("a"), instance("b")
    changes = [
        Change(1.0, 1, "web", id, what, "1", "2", instance=one)
        for id, what, one in (
            ("a", "state", a),
            ("a", "weight", a),
            ("b", "state", b),
            ("", "settings", None),
        )
    ]
    told = [(event.get("instance"), event["what"]) for event in shapes.events([*changes, changes[-1]])]
    assert told == [("a", "state"), ("b", "state"), (None, "settings"), (None, "settings")]
