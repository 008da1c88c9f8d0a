"""Answers of many records, whole or cut: each in the order that the rotation says, to the last that fits.

Laws that draw their tables seldom draw more than a few records that differ, so these are made in full.
"""

from __future__ import annotations

import pytest

from support import tables, wire
from support.asking import respond
from support.tables import Answers, instance, opt, query
from zkdns.answers import policies
from zkdns.answers.table import Entry
from zkdns.dns import names
from zkdns.dns.packet import HIGHEST_UDP
from zkdns.model import Registration, Service, ServiceSettings, State
from zkdns.serve import native

WAYS = {
    "udp": (b"", HIGHEST_UDP, 512),
    "udp, 1232": (opt(1232), HIGHEST_UDP, 1232),
    "udp, 4096": (opt(4096), HIGHEST_UDP, HIGHEST_UDP),
    "tcp": (b"", 65_535, 65_535),
    "tcp, edns": (opt(1232), 65_535, 65_535),
}
"""What stands behind the question, the transport's limit, and the bytes that a reply may take."""

A_RECORD = {1: 16, 28: 28}
"""Bytes of a record whose owner is a pointer."""


def registration(n: int) -> Registration:
    addresses = f"10.9.{n >> 8}.{n & 255}", f"fd00::{n + 1:x}"
    return Registration(addresses, port=1000 + n, weight=1 + n % 3)


def answers_of(count: int, policy: str) -> Answers:
    answers = Answers(tables.ZONES)
    held = tuple(instance(n, State.HEALTHY, registration(n)) for n in range(count))
    answers.put(Service("web", "web", "/services/web", ServiceSettings(policy=policy, answers=1000), held))
    return answers


def due(entry: Entry, position: int) -> list[int]:
    """Which instances, by number, in the order in which they are to be given."""
    rotation = entry.tiers[0].rotation
    return [
        int(entry.ids[n][1:]) for n in rotation.orders[rotation.sequence[position % len(rotation.sequence)]]
    ]


def given(reply: bytes) -> list[int]:
    """The same as the reply has them, told by what each instance alone has."""
    found = []
    for record in wire.take_apart(reply).section(1):
        data = record[wire.skip_name(record, 0) + 10 :]
        if wire.rtype_of(record) == 33:
            found.append(int.from_bytes(data[4:6], "big") - 1000)
        elif wire.rtype_of(record) == 28:
            found.append(int.from_bytes(data[2:], "big") - 1)  # of fd00::
        else:
            found.append(int.from_bytes(data[2:], "big"))
    return found


@pytest.mark.skipif(native.WHY_NOT != "", reason="the native engine is not built")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("policy", policies.names())
@pytest.mark.parametrize("count", [1, 9, 40, 100, 101, 260])
def test_an_answer_of_many_is_in_the_order_that_is_due_to_the_last_that_fits(
    count: int, policy: str, way: str
) -> None:
    tail, limit, room = WAYS[way]
    answers = answers_of(count, policy)
    engine = native.Native()
    engine.apply(tables.everything(answers.table))
    for owner, rtype in (("web", 1), ("web", 28), ("web", 33), ("_web._tcp", 33)):
        packet = query(names.wire(f"{owner}.svc.local"), rtype, tail)
        entry = answers.table.entries[names.wire(f"{owner}.svc.local") + rtype.to_bytes(2, "big")]
        for _ in range(2):
            said = engine.respond(packet, limit, 0)
            assert said is not None
            position = engine.position_of(entry) - 1
            assert said == respond(packet, answers, limit, lambda _, at=position: at)
            expected, got = due(entry, position), given(said)
            assert got == expected[: len(got)], (owner, rtype)
            assert len(said) <= room
            if rtype in A_RECORD and len(got) < len(expected):
                assert len(said) + A_RECORD[rtype] > room
            elif len(got) < len(expected):
                assert len(said) + 12 + 6 + 40 > room
    engine.close()


@pytest.mark.parametrize("count", [8, 40, 120])
def test_orders_of_a_cycle_differ_beyond_their_first_places(count: int) -> None:
    """What the test above compares would hold for one order alone as well."""
    answers = answers_of(count, "weighted")
    entry = answers.table.entries[names.wire("web.svc.local") + b"\0\1"]
    orders = {tuple(due(entry, n)) for n in range(len(entry.tiers[0].rotation.sequence))}
    assert len({order[-1] for order in orders}) > 1
