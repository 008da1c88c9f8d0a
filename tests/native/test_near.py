"""A million near answers of the native engine, each zone's shares exact to the last one."""

from __future__ import annotations

import socket
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings

from answers.test_variants import (
    CLIENT_OF,
    EU_A,
    EU_B,
    EU_C,
    NOWHERE,
    US_A,
    WEB_A,
    crowd,
    crowds,
    instance,
    web,
)
from support.tables import Answers, opt, query
from zkdns.answers.variants import class_key
from zkdns.dns import names
from zkdns.dns.packet import HIGHEST_UDP
from zkdns.serve import native
from zkdns.topology import parse_topology

pytestmark = pytest.mark.skipif(native.WHY_NOT != "", reason="the native engine is not built")

MAP = {
    "127.0.1.0/24": "eu/eu-1a",
    "127.0.2.0/24": "eu/eu-1b",
    "127.0.3.0/24": "us/us-1a",
    "127.0.4.0/24": "eu-1c",
}
TIMES = 100_000
"""Answers for each of five clients and two services: a million."""

HELD = (
    instance("a", "eu-1a", weight=1), instance("aa", "eu-1a", weight=2), instance("b", "eu-1b", weight=10),
    instance("bb", "eu-1b", weight=5), instance("c", "us-1a", weight=6), instance("cc", "us-1a", up=False),
)  # fmt: skip
WEIGHTS = {i.id: i.weight for i in HELD if i.answered}
TOTAL = sum(WEIGHTS.values())
ALL = {id: Fraction(weight, TOTAL) for id, weight in WEIGHTS.items()}

PREFER = {
    EU_A: {"a": Fraction(1, 3), "aa": Fraction(2, 3)},
    EU_B: {"b": Fraction(2, 3), "bb": Fraction(1, 3)},
    US_A: {"c": Fraction(1)},
    EU_C: ALL,
    NOWHERE: ALL,
}
"""By weight within the zone, and within all where a zone has none."""

# Capacity 3, 15, 6 and 0 of 24; clients a quarter each. eu-1a keeps 1/2, eu-1b and us-1a all, and only
# eu-1b has room for more than its own.
BALANCED = {
    EU_A: {"a": Fraction(1, 6), "aa": Fraction(1, 3), "b": Fraction(1, 3), "bb": Fraction(1, 6)},
    EU_B: {"b": Fraction(2, 3), "bb": Fraction(1, 3)},
    US_A: {"c": Fraction(1)},
    EU_C: {"b": Fraction(2, 3), "bb": Fraction(1, 3)},
    NOWHERE: ALL,
}


@pytest.mark.parametrize(("mode", "due"), [("prefer", PREFER), ("balanced", BALANCED)])
def test_of_half_a_million_answers_each_instance_has_its_share_to_the_last_one(
    mode: str, due: dict[str, dict[str, Fraction]]
) -> None:
    engine = native.Native()
    answers = Answers(["svc.local"], position_of=engine.position_of)
    answers.set_topology(parse_topology("map", MAP)[0])
    answers.put(web(*HELD, near=mode))
    engine.apply(answers.take())
    packet = query(names.wire("web.svc.local"), 1)
    at = len(packet) + 12
    id_of = {bytes(map(int, i.addresses[0].split("."))): i.id for i in HELD}
    for client, shares in due.items():
        firsts = Counter(
            said[at : at + 4]
            for _ in range(TIMES)
            if (said := engine.respond(packet, HIGHEST_UDP, client=client))
        )
        found = Counter({id_of[address]: n for address, n in firsts.items()})
        assert found.total() == TIMES, "nothing is handed over"
        assert found.keys() <= shares.keys()
        for id, share in shares.items():
            exact = TIMES * share
            assert abs(found[id] - exact) < 1 if exact.denominator > 1 else found[id] == exact, (client, id)
    assert sum(answers.near_answers().values()) == 5 * TIMES
    assert sum(answers.given("web").ever().values()) == 5 * TIMES
    assert answers.near_answers()["web", "eu-1a", "eu-1a"] == (TIMES if mode == "prefer" else TIMES // 2)


def ask_from(client: str, at: tuple[str, int], packet: bytes, kind: socket.SocketKind) -> bytes:
    """The reply, its length before it where it came over a connection."""
    with socket.socket(socket.AF_INET, kind) as one:
        one.settimeout(20)
        one.bind((client, 0))
        one.connect(at)
        framed = kind == socket.SOCK_STREAM
        one.send(len(packet).to_bytes(2, "big") + packet if framed else packet)
        reply = one.recv(4096)
        return reply[2:] if framed else reply


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_who_asks_over_a_socket_is_told_by_where_he_stands(kind: socket.SocketKind) -> None:
    engine = native.Native()
    answers = Answers(["svc.local"], position_of=engine.position_of)
    answers.set_topology(parse_topology("map", MAP)[0])
    answers.put(web(*HELD, near="prefer"))
    engine.apply(answers.take())
    at = engine.start([("127.0.0.1", 0)])[0]
    packet = query(names.wire("web.svc.local"), 1)
    id_of = {bytes(map(int, i.addresses[0].split("."))): i.id for i in HELD}
    begin = len(packet) + 12
    for client in ("127.0.1.7", "127.0.2.7", "127.0.3.7"):
        told = {id_of[ask_from(client, at, packet, kind)[begin : begin + 4]] for _ in range(6)}
        assert told == PREFER[{"1": EU_A, "2": EU_B, "3": US_A}[client[6]]].keys()
    engine.close()


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_who_may_speak_for_others_is_asked_of_a_sockets_address_without_a_map_too(
    kind: socket.SocketKind,
) -> None:
    engine = native.Native()
    answers = Answers(["svc.local"], position_of=engine.position_of)
    answers.set_topology(parse_topology("map", {})[0], ("127.0.0.9/32",))
    answers.put(web(*HELD))
    engine.apply(answers.take())
    at = engine.start([("127.0.0.1", 0)])[0]
    subnet = b"\0\x08\0\7\0\1\x18\0\x0a\1\2"
    packet = query(names.wire("web.svc.local"), 1, opt(1232, 0, subnet))
    assert ask_from("127.0.0.9", at, packet, kind).endswith(subnet)
    assert not ask_from("127.0.0.8", at, packet, kind).endswith(subnet)
    engine.close()


@given(crowds)
@settings(max_examples=25)
def test_over_the_clients_of_all_zones_each_instance_stands_first_by_its_weight(
    members: list[tuple[str, int]],
) -> None:
    service, due = crowd(members)
    engine = native.Native()
    answers = Answers(["svc.local"], position_of=engine.position_of)
    answers.set_topology(parse_topology("map", MAP)[0])
    answers.put(service)
    engine.apply(answers.take())
    packet = query(names.wire("web.svc.local"), 1)
    at = len(packet) + 12
    id_of = {bytes(map(int, i.addresses[0].split("."))): i.id for i in service.instances}
    total: Counter[str] = Counter()
    for client in CLIENT_OF.values():
        places = answers.services["web"].first_places[class_key(WEB_A, answers.clients.class_of(client))]
        cycle = len(places.entry.tiers[0].rotation.sequence)
        if cycle > 2_000:
            return  # long to ask for; the same counts as Python's, which are tried at any length
        for _ in range(cycle):
            said = engine.respond(packet, HIGHEST_UDP, client=client)
            assert said is not None
            total[id_of[said[at : at + 4]]] += Fraction(1, cycle * len(CLIENT_OF))  # type: ignore[assignment]
    assert {id: share for id, share in due.items() if share} == dict(total)
