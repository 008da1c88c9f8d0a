"""What changed can be read again, and each moment's services stand as they stood."""

from __future__ import annotations

import base64
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.drawing import pick
from support.steps import steps
from zkdns.model import Change, Instance, Registration, Service, ServiceSettings, State
from zkdns.pipeline import journal, journal_lines
from zkdns.pipeline.journal import OutOfReach, Query, Record, World
from zkdns.pipeline.journal_memory import MemoryJournal
from zkdns.routes import StandsFor, parse_route
from zkdns.topology import Place, parse_topology

IDS = ["a", "b", "c"]
NAMES = ["web", "db"]
Services = dict[str, Service]
History = list[tuple[float, Record, Services]]
"""What came at each moment, and what stood then."""

ROUTE = StandsFor(
    parse_route({"to": {"a": 1, "b@dc2": 2}, "from": {"a": 1}, "over": 60, "spill": 0.7}, 1e9),
    "override", 2e9, "me@box", "because",
)  # fmt: skip


def instance(service: str, id: str, weight: int = 1, state: State = State.HEALTHY) -> Instance:
    registration = Registration(("10.0.0.1",), port=80, weight=weight, meta=(("k", "ä"),))
    path = f"/services/{service}/{id}"
    return Instance(id, id, path, registration, 1.5, state=state, weight=weight, resolved=("10.0.0.9",))


def change(at: float, service: str, id: str, what: str, one: Instance | None, zxid: int = 7) -> Change:
    return Change(at, zxid, service, id, what, "x", "y", "why", "by", one)  # type: ignore[arg-type]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """A life of two services, told step by step."""
    services: Services = {}
    history: History = []
    at = 1000.0
    for _ in range(draw(st.integers(1, 25))):
        at += draw(pick(0.25, 1.0, 60.0))
        name = draw(pick(*NAMES))
        action = draw(pick("put", "put", "gone", "settings", "away"))
        known = services.get(name)
        shells: dict[str, Service | None] = {}
        changes: list[Change] = []
        if action == "away":
            if known is None:
                continue
            changes = [change(at, name, i.id, "gone", i) for i in known.instances]
            del services[name]
            shells[name] = None
        else:
            if known is None:
                known = Service(name, name, f"/services/{name}")
                shells[name] = known
            instances = {i.id: i for i in known.instances}
            id = draw(pick(*IDS))
            if action == "put":
                one = instance(name, id, draw(st.integers(1, 3)), draw(pick(*State)))
                instances[id] = one
                changes = [change(at, name, id, "state", one)]
            elif action == "gone" and id in instances:
                changes = [change(at, name, id, "gone", instances.pop(id))]
            elif action == "settings":
                settings = ServiceSettings(ttl=draw(st.integers(1, 9)))
                route = draw(pick(None, ROUTE))
                known = replace(known, settings=settings, note="n", stands_for=route)
                shells[name] = replace(known, instances=())
                changes = [change(at, name, "", "settings", None)]
            services[name] = replace(known, instances=tuple(i for _, i in sorted(instances.items())))
        history.append((at, Record(tuple(changes), shells), dict(services)))
    return history


@given(histories(), st.data())
def test_every_moment_can_be_replayed_from_the_lines(history: History, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(history)))
    before = history[start - 1][2] if start else {}
    begun = history[start - 1][0] if start else 999.0
    text = b"".join(journal_lines.spell_snapshot(before, begun))
    text += b"".join(journal_lines.spell_record(at, record) for at, record, _ in history[start:])
    for at, _, services in history[start:]:
        assert journal_lines.replay(journal_lines.read_lines(text), at).services() == services
        assert journal_lines.replay(journal_lines.read_lines(text), at + 0.1).services() == services
    assert journal_lines.replay(journal_lines.read_lines(text), begun).services() == before


@given(histories(), st.integers(1, 10))
def test_memory_alone_tells_every_moment_that_it_reaches(history: History, most: int) -> None:
    kept = MemoryJournal({}, 999.0, most)
    for at, record, _ in history:
        kept.add(at, record)
    for at, _, services in history:
        if at >= kept.since:
            world = kept.at(at)()
            known = {name: service for name, service in services.items() if name not in world.unknown}
            assert {n: s for n, s in world.services().items() if n not in world.unknown} == known
        else:
            with pytest.raises(OutOfReach, match="reaches back to"):
                kept.at(at)
    assert sum(1 for _ in kept.changes()) <= most


@given(histories(), st.data())
def test_a_torn_end_costs_its_last_line(history: History, data: st.DataObject) -> None:
    text = b"".join(journal_lines.spell_record(at, record) for at, record, _ in history)
    whole = list(journal_lines.read_lines(text))
    cut = data.draw(st.integers(0, len(text)))
    assert list(journal_lines.read_lines(text[:cut])) == whole[: text[:cut].count(b"\n")]


@given(histories(), st.data())
def test_a_flipped_bit_is_never_read_as_something_else(history: History, data: st.DataObject) -> None:
    text = bytearray(b"".join(journal_lines.spell_record(at, record) for at, record, _ in history))
    if not text:
        return
    whole = list(journal_lines.read_lines(bytes(text)))
    at = data.draw(st.integers(0, len(text) - 1))
    line = text[:at].count(b"\n")
    was = text[at]
    text[at] ^= 1 << data.draw(st.integers(0, 7))
    found = list(journal_lines.read_lines(bytes(text)))
    if 10 in (was, text[at]):  # two lines became one, or one became two
        assert all(each in whole for each in found if each.kind != journal_lines.DAMAGED)
    else:
        # Digits of a checksum are the same in upper case, and what stands behind it says nothing.
        assert found in (
            whole,
            [*whole[:line], journal_lines.Line(journal_lines.DAMAGED, {}), *whole[line + 1 :]],
        )


def test_after_a_damaged_line_no_answer_is_made_up_until_the_next_snapshot() -> None:
    web = Service("web", "web", "/services/web", instances=(instance("web", "a"),))
    record = journal_lines.spell_record(1001.0, Record((change(1001.0, "web", "b", "registered", None),)))
    later = journal_lines.spell_record(1002.0, Record((change(1002.0, "web", "c", "registered", None),)))
    snapshot = b"".join(journal_lines.spell_snapshot({"web": web}, 1000.0))
    again = b"".join(journal_lines.spell_snapshot({"web": web}, 1003.0))
    lines = list(journal_lines.read_lines(snapshot + record.replace(b"web", b"wob") + later + again))
    assert [c.id for c in journal_lines.changes_in(lines)] == ["c"], "the damage costs its own line"
    for moment in (1001.5, 1002.5):
        with pytest.raises(OutOfReach, match="damaged"):
            journal_lines.replay(lines, moment)
    assert journal_lines.replay(lines, 1004.0).services() == {"web": web}


@given(histories())
def test_changes_are_read_again_without_their_instances(history: History) -> None:
    text = b"".join(journal_lines.spell_record(at, record) for at, record, _ in history)
    expected = [replace(c, instance=None) for _, record, _ in history for c in record.changes]
    assert list(journal_lines.changes_in(journal_lines.read_lines(text))) == expected


def flood(service: str, n: int) -> list[Change]:
    return [change(5.0, service, f"i{k}", "registered", instance(service, f"i{k}")) for k in range(n)]


def test_a_flood_is_summed_up_by_service_and_nobody_knows_how_that_service_stood() -> None:
    changes = flood("web", journal.MAX_AT_ONCE) + flood("db", 1)
    shells: dict[str, Service | None] = {n: Service(n, n, f"/services/{n}") for n in ("web", "db")}
    record = journal.gather(changes, shells)
    assert record.lost == {"web"}
    assert [(c.service, c.id, c.now) for c in record.changes] == [
        ("web", "", f"{journal.MAX_AT_ONCE} instances"),
        ("db", "i0", "y"),
    ]
    assert record.changes[0].why == f"i0, i1, i2 and {journal.MAX_AT_ONCE - 3} more: why"
    text = b"".join(journal_lines.spell_snapshot({}, 1.0)) + journal_lines.spell_record(5.0, record)
    assert len(text) < 2000
    assert journal_lines.replay(journal_lines.read_lines(text), 4.0).services() == {}
    world = journal_lines.replay(journal_lines.read_lines(text), 5.0)
    assert world.unknown.keys() == {"web"}
    assert [i.id for i in world.services()["db"].instances] == ["i0"]
    web = replace(shells["web"], instances=(instance("web", "i5"),))  # type: ignore[type-var]
    text += b"".join(journal_lines.spell_anew(6.0, "web", web))
    assert journal_lines.replay(journal_lines.read_lines(text), 5.5).unknown.keys() == {"web"}
    world = journal_lines.replay(journal_lines.read_lines(text), 6.0)
    assert not world.unknown
    assert world.services()["web"] == web
    torn = text[: text.rindex(b"\n", 0, -1) + 1]
    assert journal_lines.replay(journal_lines.read_lines(torn), 6.0).unknown.keys() == {"web"}
    text += b"".join(journal_lines.spell_anew(7.0, "web", None))
    assert journal_lines.replay(journal_lines.read_lines(text), 7.0).services().keys() == {"db"}


def test_fewer_than_a_flood_are_told_one_by_one() -> None:
    changes = flood("web", journal.MAX_AT_ONCE)
    assert journal.gather(changes, {}).changes == tuple(changes)


def test_a_query_takes_the_newest_of_what_it_asks_for() -> None:
    changes = [change(float(n), "web" if n % 2 else "db", f"i{n % 3}", "state", None) for n in range(100)]
    found = Query("web", "i1", 10.0, 80.0, 5).newest(changes)
    assert [c.at for c in found] == [55.0, 61.0, 67.0, 73.0, 79.0]


def test_lines_of_another_version_are_no_answers_but_still_history() -> None:
    text = journal_lines.spell("begin", {"version": journal_lines.VERSION + 1, "at": 1.0, "services": 0})
    text += journal_lines.spell("whole", {"at": 1.0})
    text += journal_lines.spell_record(2.0, Record((change(2.0, "web", "a", "state", instance("web", "a")),)))
    with pytest.raises(OutOfReach):
        journal_lines.replay(journal_lines.read_lines(text), 2.0)
    assert [c.id for c in journal_lines.changes_in(journal_lines.read_lines(text))] == ["a"]


@given(histories(), histories(), histories())
def test_a_world_that_is_copied_goes_its_own_way(before: History, here: History, there: History) -> None:
    world = brought_forward(World(), before)
    other = world.copy()
    assert brought_forward(world, here).services() == brought_forward(World(), before, here).services()
    assert brought_forward(other, there).services() == brought_forward(World(), before, there).services()
    again = other.copy()
    brought_forward(other, here)
    assert again.services() == brought_forward(World(), before, there).services()


def brought_forward(world: World, *histories: History) -> World:
    for history in histories:
        for _, record, _ in history:
            world.apply(record)
    return world


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.integers(1, 3))
def test_where_networks_stood_is_known_of_each_moment(steps: list[int], most: int) -> None:
    """Each step lays another map, some of them the same as before."""
    entries = {"10.1.0.0/16": "eu/eu-1a", "fd00:1::/32": "us-1a", "0.0.0.0/0": "eu/eu-1b"}
    maps = [
        parse_topology("map", dict(list(entries.items())[:n]), {"eu-1a": 0.5}, Place("", "dc9"))[0]
        for n in range(4)
    ]
    kept = MemoryJournal({}, 999.0, most)
    text = b"".join(journal_lines.spell_snapshot({}, 999.0, maps[steps[0]]))
    for n, step in enumerate(steps):
        record = Record((change(1000.0 + n, "", "topology", "settings", None),), topology=maps[step])
        kept.add(1000.0 + n, record)
        text += journal_lines.spell_record(1000.0 + n, record)
    for n, step in enumerate(steps):
        assert journal_lines.replay(journal_lines.read_lines(text), 1000.5 + n).topology == maps[step]
        if 1000.0 + n >= kept.since:
            assert kept.at(1000.5 + n)().topology == maps[step]
    assert journal_lines.replay(journal_lines.read_lines(text), 999.0).topology == maps[steps[0]]


def test_half_a_snapshot_stands_for_no_moment() -> None:
    web = Service("web", "web", "/services/web", instances=(instance("web", "a"),))
    lines = b"".join(journal_lines.spell_snapshot({"web": web}, 1000.0)).splitlines(keepends=True)
    whole = list(journal_lines.read_lines(b"".join(lines)))
    assert journal_lines.replay(whole, 2000.0).services() == {"web": web}
    for n in range(len(lines)):
        with pytest.raises(OutOfReach):
            journal_lines.replay(journal_lines.read_lines(b"".join(lines[:n])), 2000.0)


def test_memory_keeps_as_many_changes_as_it_may_and_no_fewer() -> None:
    kept = MemoryJournal({}, 0.0, most=10)
    for n in range(40):
        kept.add(float(n), Record((change(float(n), "web", f"i{n}", "registered", None),)))
        assert [c.at for c in kept.changes()] == [float(k) for k in range(max(0, n - 9), n + 1)]
    assert kept.since == 29.0


def test_what_is_asked_for_has_its_first_and_its_last_moment() -> None:
    told = [change(at, "web", "a", "state", None) for at in (1.0, 2.0, 3.0)]
    assert [c.at for c in Query(since=2.0).newest(told)] == [2.0, 3.0]
    assert [c.at for c in Query(until=2.0).newest(told)] == [1.0, 2.0]
    assert [c.at for c in Query(since=2.0, until=2.0).newest(told)] == [2.0]
    assert [c.at for c in Query(limit=2).newest(told)] == [2.0, 3.0]
    assert Query(limit=0).newest(told) == []


def test_a_change_that_cannot_be_spelled_costs_itself_and_not_its_moment() -> None:
    bad = Change(1.0, 1, "web", "a\udc80", "gone", "healthy", "", "\udc80")
    good = Change(1.0, 1, "db", "b", "gone", "healthy", "")
    lines = journal_lines.spell_record(1.0, Record((bad, good)))
    read = list(journal_lines.changes_in(journal_lines.read_lines(lines)))
    assert [(change.service, change.id) for change in read] == [("web", "a\\udc80"), ("db", "b")]
    assert "an error of ours" in read[0].why


def packed(text: bytes) -> str:
    return base64.b64encode(zlib.compress(text, 1)).decode()


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("some", {"name": "web", "z": packed(b" " * (journal_lines.MAX_UNPACKED_BYTES + 1))}),
        ("some", {"name": "web", "z": packed(b"[" * 100_000)}),
        ("map", {"z": packed(b'{"networks": [], "own": ["", ""], "clients": {"a": "1e999999999"}}')}),
        ("map", {"z": packed(b'{"networks": [], "own": ["", ""], "clients": {"a": "1/0"}}')}),
        ("map", {"z": packed(b"[]")}),
        ("map", {"z": packed(b'{"networks": [], "own": ["", ""], "clients": 5}')}),
        ("lost", {"name": 5}),
        ("lost", {"name": "web", "at": "then"}),
        ("map", {"z": "%"}),
        ("shell", {"name": "web", "shell": {"name": 5}}),
        ("whole", {"at": "then"}),
    ],
)
def test_a_journal_that_somebody_else_made_is_told_and_no_bomb(kind: str, fields: dict[str, object]) -> None:
    begin = journal_lines.spell("begin", {"version": journal_lines.VERSION, "at": 0.0, "services": 0})
    lines = begin + journal_lines.spell(kind, fields) + journal_lines.spell("change", {"at": 1.0})
    with pytest.raises(OutOfReach):
        journal_lines.replay(journal_lines.read_lines(lines), 5.0)
    assert not list(journal_lines.changes_in(journal_lines.read_lines(lines)))


def test_a_line_that_is_nested_without_end_is_a_damaged_one() -> None:
    text = b'{"k": ' + b"[" * 100_000
    line = b"%08x %s\n" % (zlib.crc32(text), text)
    assert [read.kind for read in journal_lines.read_lines(line)] == [journal_lines.DAMAGED]


def test_of_thousands_that_one_service_tells_the_sum_is_made_in_one() -> None:
    def lines(number: int) -> int:
        told = [change(1.0, "web", f"i{n}", "gone", None) for n in range(number)]
        (total,) = journal.gather(told, {}).changes
        assert total.now == f"{number} instances"
        return steps(lambda: journal.gather(told, {}))

    assert lines(3 * journal.MAX_AT_ONCE) < lines(2 * journal.MAX_AT_ONCE) + 1.1 * journal.MAX_AT_ONCE
