"""Sharing: who probes, how votes are counted, and ballots that survive the wire and any garbage."""

from __future__ import annotations

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdns.health.consensus import (
    MAX_BALLOT_BYTES,
    MAX_PART_BYTES,
    MAX_UNPACKED_BYTES,
    MAX_VOTES,
    MAX_WHY_CHARACTERS,
    PART,
    assign,
    majority,
    read_ballot,
    reading,
    write_ballot,
    writing,
)
from zkdns.health.thresholds import CheckState, ProbeHistory
from zkdns.steps import Steps

GOOD = CheckState(True)


def bad(why: str = "refused") -> CheckState:
    return CheckState(False, why)


PATHS = [f"/services/web/{n}" for n in range(300)]


def test_up_to_three_replicas_probe_everything() -> None:
    assert assign("/s/web/a", {"r1", "r2", "r3"}) == {"r1", "r2", "r3"}
    assert assign("/s/web/a", {"r1"}) == {"r1"}


@given(st.sets(st.text(min_size=1), min_size=4, max_size=9))
def test_of_many_replicas_exactly_three_probe_an_instance(replicas: set[str]) -> None:
    chosen = assign("/s/web/a", replicas)
    assert len(chosen) == 3
    assert chosen <= replicas


@given(st.sets(st.text(min_size=1), min_size=5, max_size=9), st.data())
def test_a_replica_that_goes_moves_only_what_it_probed(replicas: set[str], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(sorted(replicas)))
    for path in PATHS[:20]:
        before, after = assign(path, replicas), assign(path, replicas - {gone})
        assert before - {gone} <= after
        if gone not in before:
            assert before == after


def test_the_load_is_spread_evenly() -> None:
    replicas = [f"replica-{n}" for n in range(10)]
    load = dict.fromkeys(replicas, 0)
    for path in PATHS:
        for replica in assign(path, replicas):
            load[replica] += 1
    assert max(load.values()) < 2 * min(load.values())  # 90 each; the hash is fixed, so this is no chance


@pytest.mark.parametrize(
    ("votes", "ruling"),
    [
        ([], None),
        ([GOOD], GOOD),
        ([bad()], bad()),
        ([GOOD, bad()], GOOD),
        ([GOOD, bad(), bad()], bad()),
        ([GOOD, GOOD, bad("cut off")], GOOD),
        ([bad("x"), bad("y"), bad("y")], bad("y")),
        ([bad("y"), bad("x")], bad("x")),
    ],
)
def test_the_majority_rules(votes: list[CheckState], ruling: CheckState | None) -> None:
    assert majority(votes) == ruling


votes = st.builds(CheckState, st.just(True)) | st.builds(CheckState, st.just(False), st.text(max_size=30))


@given(st.lists(votes, max_size=5), st.randoms())
def test_the_order_of_votes_does_not_matter(ballots: list[CheckState], random: object) -> None:
    shuffled = list(ballots)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert majority(ballots) == majority(shuffled)


@given(st.dictionaries(st.text(min_size=1), votes))
def test_a_ballot_reads_as_it_was_written_and_equal_votes_are_equal_bytes(
    given: dict[str, CheckState],
) -> None:
    data = write_ballot(given)
    assert read_ballot(data) == given
    assert write_ballot(dict(reversed(given.items()))) == data


def test_a_small_ballot_is_json_for_people() -> None:
    assert json.loads(write_ballot({"/s/a/1": GOOD, "/s/a/2": bad("refused")})) == {
        "good": ["/s/a/1"],
        "bad": {"/s/a/2": "refused"},
    }


def test_a_ballot_of_fifty_thousand_fits_a_znode() -> None:
    many = {f"/services/web-{n % 100}/host-{n}.example.net:8080": GOOD for n in range(50_000)}
    data = write_ballot(many)
    assert len(data) < MAX_BALLOT_BYTES
    assert read_ballot(data) == many


def test_a_ballot_that_is_too_large_loses_its_reasons_and_none_of_its_bad_votes() -> None:
    many = {f"/services/web/host-{n}.example.net:8080": bad(f"{n:0100}") for n in range(30_000)}
    read = read_ballot(write_ballot(many | {"/services/db/a": GOOD}))
    assert read == {path: bad("") for path in many} | {"/services/db/a": GOOD}


@given(st.binary(max_size=200))
def test_any_bytes_as_a_ballot_are_no_crash(data: bytes) -> None:
    for garbage in (data, b"{" + data, zlib.compress(data), zlib.compress(data)[:-1]):
        assert isinstance(read_ballot(garbage), dict)


def test_a_ballot_that_unpacks_without_end_is_not_unpacked() -> None:
    said = b'{"good": ["/s/a"]}'
    assert read_ballot(zlib.compress(said.rjust(MAX_UNPACKED_BYTES))) == {"/s/a": GOOD}
    assert read_ballot(zlib.compress(said.rjust(MAX_UNPACKED_BYTES + 1))) == {}


def test_a_reason_is_cut_on_both_sides_of_the_wire() -> None:
    long = "x" * (MAX_WHY_CHARACTERS + 1)
    assert json.loads(write_ballot({"/s/a": bad(long)}))["bad"] == {"/s/a": long[:-1]}
    assert read_ballot(json.dumps({"bad": {"/s/a": long}}).encode()) == {"/s/a": bad(long[:-1])}


def test_a_ballot_that_is_cut_short_says_nothing() -> None:
    votes = dict.fromkeys(PATHS, GOOD)
    packed = zlib.compress(write_ballot(votes))
    assert read_ballot(packed) == votes
    whole = zlib.compress(json.dumps({"good": ["/s/a"]}).encode(), 0)  # stored: what is cut reads well
    assert read_ballot(whole) == {"/s/a": GOOD}
    for missing in range(1, 5):  # the checksum's bytes alone
        assert read_ballot(whole[:-missing]) == {}


def lengths(data: bytes) -> list[int]:
    """Of the lines of a long ballot."""
    return [len(line) for line in zlib.decompress(data).split(b"\n")]


def pauses(reading: Steps[object]) -> int:
    return sum(1 for _ in reading)


def test_one_of_thousands_of_votes_is_written_and_read_line_by_line() -> None:
    """What reads JSON is one call, which nobody gets in between."""
    states = [GOOD, bad("refused")]
    many = {f"/services/web-{n % 100}/host-{n}.example.net:8080": states[n % 2] for n in range(20_000)}
    spelling = writing({path: ProbeHistory(state) for path, state in many.items()})
    data = write_ballot(many)
    assert max(lengths(data)) < MAX_PART_BYTES
    assert min(pauses(spelling), pauses(reading(data))) >= len(lengths(data)) - 1 > 40
    assert read_ballot(data) == many


def test_the_longest_paths_with_the_longest_letters_still_make_lines_that_are_read() -> None:
    many = {f"/services/{n}/{chr(0x1F600) * 8170}": bad(chr(0x1F600) * 100) for n in range(9)}
    assert read_ballot(write_ballot(many)) == many


LINES = {
    "one": b'{"good": [' + b",".join([b'"a"'] * 40_000) + b"]}",
    "one of which nothing counts": b'{"x": [' + b",".join([b"0"] * 70_000) + b"]}",
    "one without an end": b'{"good": ["' + b"a" * MAX_PART_BYTES,
    "thousands that say nothing": b"{}\n" * (MAX_UNPACKED_BYTES // PART + 2),
    "empty ones": b"\n" * 100_000,
}


@pytest.mark.parametrize("shape", LINES)
def test_a_ballot_whose_lines_are_too_long_or_too_many_says_nothing(shape: str) -> None:
    well = b'{"good": ["/s/a"]}'
    for data in (LINES[shape], well + b"\n" + LINES[shape], LINES[shape] + b"\n" + well):
        assert read_ballot(zlib.compress(data)) == {}
    assert read_ballot(zlib.compress(well + b"\n" + well)) == {"/s/a": GOOD}


def test_so_many_votes_of_one_ballot_count_and_one_with_more_says_nothing() -> None:
    def of(count: int) -> bytes:
        lines = [range(at, min(at + 4000, count)) for at in range(0, count, 4000)]
        spelled = [json.dumps({"good": [*map(str, line)]}).encode() for line in lines]
        return zlib.compress(b"\n".join(spelled))

    assert len(read_ballot(of(MAX_VOTES))) == MAX_VOTES
    assert read_ballot(of(MAX_VOTES + 1)) == {}
