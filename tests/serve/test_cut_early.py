"""Thousands of records over UDP: only as many are dealt as fill the reply, and it is the same reply."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.asking import respond
from support.tables import Answers
from support.wire import take_apart
from zkdns.answers.rotation import Rotation
from zkdns.answers.table import Entry, Tier
from zkdns.dns import ede, names
from zkdns.dns.packet import HIGHEST_UDP, Query
from zkdns.dns.reply import AA, Reply

OWNER = names.wire("big.svc.local")
QUESTION = OWNER + b"\0\1\0\1"
TIERS = st.tuples(st.integers(1, 130), st.sampled_from([0, 2, 4, 16]), st.booleans())
STALE = ede.option(3, "out of reach")


def tier(count: int, rdata: int, extras: bool) -> Tier:
    record = b"\xc0\x0c\0\1\0\1\0\0\0\5" + rdata.to_bytes(2, "big")
    pieces = tuple(record + n.to_bytes(2, "big") * (rdata // 2) for n in range(count))
    more = tuple(b"\1t\0\0\1\0\1\0\0\0\5\0\4" + bytes((0, 0, n >> 8, n & 255)) for n in range(count))
    return Tier(
        Rotation.of((tuple(reversed(range(count))),), [0]),
        pieces,
        more if extras else (),
        (1,) * count if extras else (),
    )


@pytest.mark.parametrize("limit", [HIGHEST_UDP, 65_535])
@given(
    st.lists(TIERS, min_size=1, max_size=3),
    st.none() | st.integers(512, 1500),
    st.booleans(),
    st.booleans(),
)
def test_what_is_cut_before_it_is_dealt_is_cut_as_if_all_had_been(
    limit: int, tiers: list[tuple[int, int, bool]], size: int | None, repeats: bool, stale: bool
) -> None:
    made = tuple(tier(*each) for each in tiers)
    answers = Answers(("svc.local",))
    answers.table.entries[OWNER + b"\0\1"] = Entry(made, 65_535, repeats=repeats)
    answers.bear(STALE if stale else b"")
    opt = b"" if size is None else b"\0\0\x29" + size.to_bytes(2, "big") + bytes(6)
    asked = b"\x12\x34\1\0\0\1\0\0\0\0\0" + bytes((bool(opt),)) + QUESTION + opt
    said = respond(asked, answers, limit, lambda entry: 0)

    extras = [e for each in made for e in reversed(each.extras)]
    if repeats:
        extras = list(dict.fromkeys(extras))
    all_of_them = [p for each in made for p in reversed(each.records)]
    whole = Reply(Query(asked, limit), AA).write(0, all_of_them, (), extras, answers.staleness().option)
    assert said == whole


def test_of_three_thousand_as_many_come_as_fit() -> None:
    answers = Answers(("svc.local",))
    answers.table.entries[OWNER + b"\0\1"] = Entry((tier(3000, 4, True),), 65_535)
    said = respond(b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + QUESTION, answers, HIGHEST_UDP, lambda entry: 0)
    assert isinstance(said, bytes)
    message = take_apart(said)
    assert message.tc
    assert len(message.section(1)) == (512 - 12 - len(QUESTION)) // 16
    assert not message.section(3)
