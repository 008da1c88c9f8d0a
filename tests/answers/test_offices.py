"""The name of an office is there while nobody holds it: NODATA, and the reason in an Extended DNS Error."""

from __future__ import annotations

from dataclasses import replace

import dns.edns
import dns.message
import pytest

from support.asking import respond
from support.merging import merge
from support.tables import Answers
from zkdns.model import Catalog, Instance, Registration, Service, State

OFFICES = ("leader", "primary")


def member(id: str, *tags: str, state: State = State.HEALTHY) -> Instance:
    registration = Registration((f"10.0.0.{ord(id) - 96}",), port=5432, tags=tags)
    return Instance(id, id, f"/pg1/{id}", registration, 0.0, state=state, answered=state is State.HEALTHY)


def service(*members: Instance, offices: tuple[str, ...] = OFFICES) -> Service:
    return Service("pg1", "pg1", "/pg1", instances=members, offices=offices)


def ask(about: Service, name: str, rtype: str = "A") -> tuple[str, list[str], str]:
    """The rcode, the records and what the EDE says."""
    answers = Answers(("svc.local",))
    answers.replace(about.name, answers.compile(about))
    query = dns.message.make_query(name, rtype, use_edns=True)
    wire = respond(query.to_wire(), answers, 1232, lambda entry: 0)
    assert isinstance(wire, bytes)
    reply = dns.message.from_wire(wire)
    records = [text for rrset in reply.answer for text in map(str, rrset)]
    errors = [option.text or "" for option in reply.options if isinstance(option, dns.edns.EDEOption)]
    return reply.rcode().to_text(reply.rcode()), records, " ".join(errors)


def test_whoever_holds_the_office_has_its_names() -> None:
    held = service(member("a", "replica"), member("b", "leader", "primary"))
    for name in ("leader.pg1.svc.local", "primary.pg1.svc.local"):
        assert ask(held, name) == ("NOERROR", ["10.0.0.2"], "")


@pytest.mark.parametrize("rtype", ["A", "AAAA", "SRV", "TXT"])
@pytest.mark.parametrize("office", OFFICES)
def test_while_nobody_leads_the_names_are_there_and_the_reason_is_told(office: str, rtype: str) -> None:
    vacant = service(member("a", "replica"), member("b", "replica"))
    assert ask(vacant, f"{office}.pg1.svc.local", rtype) == ("NOERROR", [], "pg1: no leader")


def test_an_empty_service_has_its_offices_names() -> None:
    assert ask(service(), "leader.pg1.svc.local") == ("NOERROR", [], "pg1: no leader")


def test_of_several_offices_the_vacant_one_is_named() -> None:
    nifi = service(
        member("a", "leader", "cluster-coordinator"),
        offices=("leader", "cluster-coordinator", "primary-node"),
    )
    assert ask(nifi, "primary-node.pg1.svc.local") == ("NOERROR", [], "pg1: no primary-node")


def test_a_leader_that_is_down_is_counted_and_not_called_missing() -> None:
    down = service(member("b", "leader", "primary", state=State.DOWN))
    code, records, told = ask(down, "leader.pg1.svc.local")
    assert (code, records) == ("NOERROR", [])
    assert told == "leader.pg1: 1 registered, 0 healthy (1 down)"


def test_a_tag_that_is_no_office_does_not_exist_without_an_instance() -> None:
    assert ask(service(member("a")), "replica.pg1.svc.local")[0] == "NXDOMAIN"
    assert ask(service(member("a"), offices=()), "leader.pg1.svc.local")[0] == "NXDOMAIN"


def test_an_instance_named_like_an_office_keeps_its_name() -> None:
    named = replace(member("a"), id="leader", label="leader")
    assert ask(service(named), "leader.pg1.svc.local") == ("NOERROR", ["10.0.0.1"], "")


def test_a_service_out_of_several_registries_has_the_offices_of_each() -> None:
    other = service(member("c"), offices=("leader", "active"))
    merged = merge([Catalog({"pg1": service(member("a"))}), Catalog({"pg1": other})])
    assert merged.services["pg1"].offices == ("leader", "primary", "active")
