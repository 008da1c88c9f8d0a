"""Who leads, of the votes that stand; and one instance an id, whatever nodes tell of it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from hypothesis import given
from hypothesis import strategies as st

from support.placing import arrange_all, summaries
from support.steps import longest
from zkdns.model import Registration
from zkdns.registry.arrange import Found, arrange
from zkdns.registry.endpoints import host_port, sequence
from zkdns.registry.formats import Node
from zkdns.registry.places import Leads, Part, Preset, place
from zkdns.steps import SLICE, finish


def _read_member(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    server = host_port(node.data.decode(), "its data")
    yield Registration(server.addresses, server.host, server.port)


def _read_vote(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    yield Leads(node.data.decode(), sequence(node.name) or 0)


LATCH = Preset(
    "latch",
    (
        place("/m/{id}", "latch", _read_member),
        place("/latch/{id}", "latch", _read_vote, members=False, offices=("leader", "chief")),
    ),
)

MEMBERS = {"/m/a": "10.0.0.1:1", "/m/b": "10.0.0.2:2", "/m/c": "db.example:3", "/m/d": "[fd00::1]:4"}


def test_the_lowest_sequence_number_leads() -> None:
    votes = {"/latch/_c_9-latch-0000000007": "b", "/latch/_c_1-latch-0000000009": "a"}
    found = summaries(LATCH, MEMBERS | votes)["latch"]
    assert [line for line in found if "[" in line.partition(" ")[2].partition(" ")[2]] == [
        "b 10.0.0.2:2 [leader chief]"
    ]


def test_a_leader_may_be_named_by_where_it_is_reached() -> None:
    for who, id in (("10.0.0.2:2", "b"), ("DB.example:3", "c"), ("[fd00::1]:4", "d")):
        found = arrange_all(LATCH, MEMBERS | {"/latch/x-0000000001": who})["latch"]
        assert [i.id for i in found.instances if "leader" in i.registration.tags] == [id]


def test_who_is_named_by_where_thousands_are_reached_is_looked_for_in_steps() -> None:
    members, latch = LATCH.places
    here = Registration(("10.0.0.1",), None, 9, ports=(("http", 2),))
    found = [Found(f"/m/{n}", f"{n:05}", members, (here,)) for n in range(20 * SLICE)]
    found.append(Found("/latch/x", "", latch, (Leads("10.0.0.1:2", 1),)))
    assert longest(arrange(LATCH, "latch", found)) < 64 * SLICE
    arranged = finish(arrange(LATCH, "latch", found))
    assert [i.id for i in arranged.instances if "leader" in i.registration.tags] == ["00000"]


def test_who_is_second_in_line_does_not_lead_when_the_first_is_no_member() -> None:
    votes = {"/latch/x-0000000001": "gone", "/latch/y-0000000002": "a"}
    found = arrange_all(LATCH, MEMBERS | votes)["latch"]
    assert not any("leader" in i.registration.tags for i in found.instances)
    assert found.offices == ("leader", "chief")


def test_an_election_alone_makes_no_service() -> None:
    assert arrange_all(LATCH, {"/latch/x-0000000001": "a"}) == {}


@given(
    st.lists(st.tuples(st.integers(0, 9999999999), st.sampled_from("abcdxyz")), max_size=8),
    st.integers(0, 2**32),
)
def test_any_order_of_the_nodes_gives_the_same_and_one_leader_at_most(
    votes: list[tuple[int, str]], seed: int
) -> None:
    members, latch = LATCH.places
    found = [
        Found(path, path[3:], members, members.parts(Node(path[3:], data.encode()), {})[0])
        for path, data in MEMBERS.items()
    ]
    found += [
        Found(f"/latch/{at}-{number:010}", "", latch, (Leads(who, number),))
        for at, (number, who) in enumerate(votes)
    ]
    expected = finish(arrange(LATCH, "latch", found))
    random.Random(seed).shuffle(found)
    assert finish(arrange(LATCH, "latch", found)) == expected
    leaders = [i.id for i in expected.instances if "leader" in i.registration.tags]
    first = min(((number, str(at), who) for at, (number, who) in enumerate(votes)), default=(0, "", ""))
    assert leaders == [first[2]] if first[2] in {"a", "b", "c", "d"} else leaders == []


def test_as_renames_what_is_ours_to_name() -> None:
    assert LATCH.renamed("events").places[0].service == "events"
    assert LATCH.renamed("prod-{service}").places[0].service == "prod-latch"
