"""Whoever changes all the time loses changes of its own, and those of others stay in memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.steps import steps
from zkdns.model import Change, Instance, Registration, Service, State
from zkdns.pipeline.journal import OutOfReach, Query, Record
from zkdns.pipeline.journal_memory import KIB_OF_ONE, NETWORK_BYTES, SHARES, MemoryJournal
from zkdns.topology import NOWHERE, parse_topology

MOST = 48
SHARE = MOST // SHARES


def told(at: float, service: str, n: int = 0) -> Change:
    registration = Registration(("10.0.0.1",), weight=n)
    one = Instance("a", "a", f"/s/{service}/a", registration, 0.0, state=State.HEALTHY)
    return Change(at, n, service, "a", "state", "x", "y", instance=one)


def record(change: Change) -> Record:
    return Record((change,), {change.service: Service(change.service, change.service, "/s")})


def journal_of(services: list[str]) -> tuple[MemoryJournal, list[Change]]:
    """A change of each of these, a second apart."""
    kept, changes = MemoryJournal({}, 0.0, MOST), []
    for n, service in enumerate(services):
        changes.append(told(float(n), service, n))
        kept.add(float(n), record(changes[-1]))
    return kept, changes


lives = st.lists(
    st.tuples(st.sampled_from(["flap", "web", "db", "a", "b"]), st.integers(1, 60)), max_size=8
).map(lambda runs: [service for service, n in runs for _ in range(n)])


@given(lives)
def test_nobody_within_a_share_loses_a_change_to_one_who_has_more(services: list[str]) -> None:
    kept, changes = journal_of(services)
    history = kept.history(Query(limit=10_000))()
    rows = Counter(change.service for change in history.changes)
    told_of = Counter(services)
    assert sum(rows.values()) == min(len(services), MOST), "all the room there is is used"
    for name, total in told_of.items():
        own = [change for change in changes if change.service == name]
        assert [c for c in history.changes if c.service == name] == own[total - rows[name] :], "the newest"
        assert rows[name] >= min(total, SHARE)
        if rows[name] < total and name not in {left.service for left in history.left_out}:
            assert own[total - rows[name] - 1].at <= history.since
    assert history.changes == sorted(history.changes, key=lambda change: change.at)


@given(lives)
def test_whose_changes_are_missing_is_told_with_how_many_and_since_when(services: list[str]) -> None:
    kept, changes = journal_of(services)
    history = kept.history(Query(limit=10_000))()
    kept_ones = set(map(id, history.changes))
    missing = [change for change in changes if id(change) not in kept_ones]
    left_out = {left.service: left for left in history.left_out}
    assert history.since is not None
    for change in missing:
        if change.at > history.since:
            assert change.at <= left_out[change.service].since
    for name, left in left_out.items():
        assert 0 < left.changes <= sum(change.service == name for change in missing)
        assert left.since > history.since
        assert kept.history(Query(name))()[1:] == (left.since, (left,))
    for name in set(services) - left_out.keys():
        assert kept.history(Query(name))()[1:] == (history.since, ())
    assert kept.left_out >= sum(left.changes for left in history.left_out)


@given(lives, st.data())
def test_how_a_service_stood_is_known_of_each_moment_that_is_not_left_out(
    services: list[str], data: st.DataObject
) -> None:
    kept, changes = journal_of(services)
    moment = data.draw(st.integers(0, max(0, len(services) - 1)))
    if moment < kept.since:
        with pytest.raises(OutOfReach, match="reaches back to"):
            kept.at(moment)
        return
    world = kept.at(moment)()
    left_out = kept.history(Query())().left_out
    assert world.unknown.keys() == {left.service for left in left_out if moment < left.since}
    stood = {change.service: change.instance for change in changes[: moment + 1]}
    for name, service in world.services().items():
        if name in world.unknown:
            assert service.instances == ()
        else:
            assert service.instances == (stood[name],)
    assert stood.keys() <= world.services().keys()


def test_the_changes_of_a_quiet_service_outlive_any_number_of_one_that_flaps() -> None:
    kept, changes = journal_of(["web", "db"] * 3 + ["flap"] * 5_000)
    quiet = [change for change in changes if change.service != "flap"]
    history = kept.history(Query(limit=10_000))()
    assert list(history.changes[:6]) == quiet
    assert len(history.changes) == MOST
    (left,) = history.left_out
    assert left == ("flap", 5_000 - (MOST - 6), changes[-1].at - (MOST - 6))
    assert kept.since == 0.0


def test_services_of_a_share_each_stay_whole_beside_one_that_flaps() -> None:
    quiet = [f"s{n}" for n in range(SHARES - 1) for _ in range(SHARE)]
    kept, _ = journal_of(quiet + ["flap"] * 500)
    assert Counter(change.service for change in kept.changes()) == {**Counter(quiet), "flap": SHARE}


def test_of_several_that_flap_each_keeps_as_much_as_the_other() -> None:
    kept, _ = journal_of(["web"] + ["flap", "flap", "flap", "flop"] * 100)
    rows = Counter(change.service for change in kept.changes())
    assert rows["web"] == 1
    assert abs(rows["flap"] - rows["flop"]) == 1


def test_of_a_flood_of_one_moment_so_many_stay_as_there_is_room_for() -> None:
    changes = [told(5.0, "web", n) for n in range(3 * MOST)]
    kept = MemoryJournal({}, 0.0, MOST)
    kept.add(5.0, Record(tuple(changes)))
    assert list(kept.changes()) == changes[-MOST:]


def test_where_networks_stood_is_not_made_up_of_a_map_whose_change_is_gone() -> None:
    """Maps that change all the time are left out as a service's changes are."""
    maps = [parse_topology("map", {"10.0.0.0/8": zone})[0] for zone in ("here", "there")]
    kept, _ = journal_of(["web"])
    for n in range(1, MOST + 10):
        kept.add(float(n), Record((), topology=maps[n % 2]))
    gone = 10 - 1
    assert [c.service for c in kept.changes()] == ["web"]
    with pytest.raises(OutOfReach):
        kept.at(gone - 0.5)
    for n in range(gone + 1, MOST + 10):
        assert kept.at(float(n))().topology == maps[n % 2]


def test_of_an_unknown_service_the_name_stays_though_it_was_gone_since() -> None:
    kept = MemoryJournal({}, 0.0, MOST)
    kept.add(0.0, record(told(0.0, "web")))
    for n in range(1, 2 * MOST):
        gone = Change(float(n), n, "Flap", "a", "gone", "x", "", instance=None)
        kept.add(float(n), Record((told(float(n), "Flap", n),), {"Flap": Service("Flap", "flap", "/s")}))
        kept.add(float(n), Record((gone,), {"Flap": None}))
    world = kept.at(1.0)()
    assert world.unknown.keys() == {"Flap"}
    assert world.services()["Flap"].label == "flap"


LONG = "x" * (3 * KIB_OF_ONE * 1024)


@pytest.mark.parametrize(
    "much",
    [
        {"zone": LONG}, {"tags": (LONG,)}, {"ports": ((LONG, 1),)}, {"meta": ((LONG, "1"),)},
        {"meta": (("1", LONG),)},
    ],
)  # fmt: skip
def test_a_change_that_holds_much_counts_as_many(much: dict[str, Any]) -> None:
    kept, changes = journal_of(["web", "db"])
    for n in range(2, 2 * MOST):
        change = told(float(n), "flap", n)
        assert change.instance is not None
        whole = replace(change.instance.registration, **much)
        kept.add(float(n), record(replace(change, instance=replace(change.instance, registration=whole))))
    told_of = Counter(change.service for change in kept.changes())
    assert told_of["flap"] == (MOST - len(changes)) // 4
    assert told_of["web"] == told_of["db"] == 1, "and nobody else loses one"


def test_a_map_of_many_networks_counts_as_many() -> None:
    kept = MemoryJournal({}, 0.0, MOST)
    networks = {f"10.{n}.0.0/16": "z" for n in range(3 * KIB_OF_ONE * 1024 // NETWORK_BYTES)}
    for n in range(MOST):
        topology, _ = parse_topology("/t", {**networks, "10.99.0.0/16": f"z{n}"}, {}, NOWHERE)
        kept.add(float(n), Record((Change(float(n), n, "", "topology", "settings", "", ""),), {}, topology))
    assert len([*kept.changes()]) <= MOST // 4


def test_to_begin_to_tell_of_a_moment_costs_the_loop_the_same_however_much_there_is() -> None:
    costs = []
    for count in (10, 1000):
        services = {f"s{n}": Service(f"s{n}", f"s{n}", "/s") for n in range(count)}
        kept = MemoryJournal(services, 0.0)
        for n in range(count):
            kept.add(1.0, record(told(1.0, f"s{n}", n)))
        costs.append(steps(lambda kept=kept: kept.at(2.0)))  # type: ignore[misc]
    assert costs[0] == costs[1]


def test_what_came_after_a_clock_was_set_back_is_told_of_the_moments_after_it() -> None:
    kept = MemoryJournal({}, 0.0, MOST)
    for at, weight in ((10.0, 1), (7200.0, 2), (20.0, 3), (30.0, 4)):
        kept.add(at, record(told(at, "web", weight)))
    weights = [
        kept.at(at)().services()["web"].instances[0].registration.weight for at in (10.0, 15.0, 20.0, 35.0)
    ]
    assert weights == [1, 1, 3, 4]
