"""Publishing while threads answer: nothing torn, nothing lost, no memory kept, counts carried on."""

from __future__ import annotations

import resource
import time
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from support import tables
from support.native import APEX, WEB, A, Asking, address, entry, first, small, turns
from zkdns.answers.builder import Builder
from zkdns.answers.table import Delta, Entry, InstanceAddresses, Name, Staleness
from zkdns.dns import names
from zkdns.model import Instance, Registration, Service
from zkdns.serve import native

pytestmark = pytest.mark.skipif(native.WHY_NOT != "", reason="the native engine is not built")


def test_no_answer_is_torn_and_no_update_is_lost_while_all_is_published_anew(engine: native.Native) -> None:
    """One version number in every record of an answer; a name and its addresses come and go together."""
    gone = names.label("gone") + APEX
    at = engine.start([("127.0.0.1", 0)], 2)[0]
    askers = [Asking(at, tables.query(WEB, 1)), Asking(at, tables.query(gone, 1))]
    rotation = turns(3)
    engine.apply(Delta({WEB + A: entry(3, 0, rotation)}))
    for asker in askers:
        asker.start()
    version = 0
    while min(len(asker.replies) for asker in askers) < 1000 and version < 2_000_000:
        version += 1
        time.sleep(0)  # the askers are threads of this interpreter too
        there = version % 2 == 1
        engine.apply(
            Delta(
                {WEB + A: entry(3, version, rotation), gone + A: entry(1, version) if there else None},
                {gone: Name(0) if there else None},
            )
        )
        if version % 100 == 0:
            said = engine.respond(tables.query(WEB, 1), 1232)
            assert said is not None
            assert said[-3:-1] == (version & 0xFFFF).to_bytes(2, "big"), "the last update is in force"
    for asker in askers:
        asker.finish()
    assert not any(asker.lost for asker in askers)
    versions = []
    for reply in askers[0].replies:
        body = reply[len(tables.query(WEB, 1)) :]
        assert len(body) == 48
        seen = {body[k + 13 : k + 15] for k in (0, 16, 32)}
        assert len(seen) == 1, "all records of an answer are of one version"
        versions.append(int.from_bytes(seen.pop(), "big"))
    assert len(set(versions)) > 10, "it was published while it answered"
    kinds = Counter((reply[3] & 15, reply[7]) for reply in askers[1].replies)
    assert set(kinds) == {(0, 1), (3, 0)}, "there with its address or not there at all, never NODATA"


@pytest.mark.parametrize("is_prepared", [False, True], ids=["at once", "prepared"])
def test_draws_go_on_when_an_entry_takes_the_place_of_another(
    engine: native.Native, is_prepared: bool
) -> None:
    old = entry(3)
    engine.apply(Delta({WEB + A: old}))
    new = Entry(old.tiers, 8, counter=old.counter)
    if is_prepared:
        engine.prepare({WEB + A: new}, {})
    for _ in range(4):
        engine.respond(tables.query(WEB, 1), 1232)  # a thread deals on meanwhile
    engine.apply(Delta({WEB + A: new}))
    said = engine.respond(tables.query(WEB, 1), 1232)
    assert said is not None
    assert first(said) == 4 % 3
    assert engine.position_of(new) == 5


def test_draws_go_on_when_an_entry_comes_back_after_it_was_gone(engine: native.Native) -> None:
    kept = entry(3)
    for _ in range(3):
        engine.apply(Delta({WEB + A: kept}))
        engine.respond(tables.query(WEB, 1), 1232)
        engine.apply(Delta({WEB + A: None}))
        # What is not used is let go of when enough has come since.
        engine.apply(Delta({names.label(f"x{n}") + APEX + A: entry(1) for n in range(5000)}))
    assert engine.position_of(kept) == 3


class Watched:
    """Stands where a value does, and counts how often something of it is read."""

    def __init__(self, of: object, **others: object) -> None:
        self._of, self._others = of, others
        self.reads: Counter[str] = Counter()

    def __getattr__(self, name: str) -> object:
        self.reads[name] += 1
        return self._others[name] if name in self._others else getattr(self._of, name)


def test_what_was_prepared_is_put_in_force_without_being_read_again(engine: native.Native) -> None:
    own = names.label("a")
    held = Watched({own[1:]: InstanceAddresses(address(7), b"")})
    name = Name(0, instances=held)  # type: ignore[arg-type]
    one: Any = Watched(entry(3, 5))
    engine.prepare({WEB + A: one}, {WEB: name})
    assert engine.prepared() == 2
    one.reads.clear()
    held.reads.clear()
    engine.apply(Delta({WEB + A: one}, {WEB: name}))
    assert one.reads == held.reads == {}
    assert engine.prepared() == 0
    plain = native.Native()
    plain.apply(small(entry(1), {WEB: Name(0)}))
    plain.apply(
        Delta({WEB + A: entry(3, 5)}, {WEB: Name(0, instances={own[1:]: InstanceAddresses(address(7), b"")})})
    )
    for asked in (WEB, own + WEB):
        said = engine.respond(tables.query(asked, 1), 1232)
        assert said is not None
        assert said == plain.respond(tables.query(asked, 1), 1232)


def test_what_was_prepared_for_one_name_is_made_anew_for_another(engine: native.Native) -> None:
    one, other = entry(2), names.label("other") + APEX
    engine.prepare({WEB + A: one}, {})
    engine.apply(Delta({other + A: one}))
    assert engine.respond(tables.query(other, 1), 1232) is not None
    assert engine.position_of(one) == 1, "it is found by that name"


def test_what_can_not_be_prepared_is_met_when_it_is_put_in_force(engine: native.Native) -> None:
    wrong: Any = object()
    engine.prepare({WEB + A: wrong}, {})
    with pytest.raises(AttributeError):
        engine.apply(Delta({WEB + A: wrong}))


def test_what_is_prepared_and_never_put_in_force_is_not_kept_for_ever(engine: native.Native) -> None:
    rotation = turns(1)
    for n in range(9000):
        engine.prepare({WEB + A: entry(1, n, rotation)}, {})
    assert engine.prepared() <= 8192


def test_first_places_are_counted_once_over_all_parts_of_a_service(engine: native.Native) -> None:
    """The count that native keeps is the truth, also for what takes over."""

    def service(weight: int) -> Service:
        held = [
            Instance(f"i{n}", f"i{n}", f"/s/w/i{n}", Registration((f"10.0.0.{n}",)), 0.0, weight=weight)
            for n in (1, 2)
        ]
        return Service("w", "w", "/s/w", instances=tuple(held))

    builder = Builder(["svc.local"], position_of=engine.position_of)
    asked = tables.query(names.label("w") + APEX, 1)
    for turn in range(1, 6):
        part = builder.compile(service(turn))
        engine.respond(asked, 1232)  # a thread deals on while it is compiled
        builder.replace("w", part)
        engine.apply(builder.take())
        for _ in range(9):
            engine.respond(asked, 1232)
        firsts = builder.given("w").ever()
        assert sum(firsts.values()) == 10 * turn - 1  # the first of all found nothing
    assert abs(firsts["i1"] - firsts["i2"]) <= 5


def test_memory_is_flat_over_many_publishes_under_idle_threads(engine: native.Native) -> None:
    engine.start([("127.0.0.1", 0)], 4)
    instances = {f"i{n}".encode(): InstanceAddresses(address(n), b"") for n in range(20)}

    def publish(times: int) -> None:
        for n in range(times):
            rotation = turns(20)  # never shared: the worst case for what is known by identity
            engine.apply(
                Delta(
                    {WEB + A: entry(20, n, rotation)},
                    {WEB: Name(0, instances=instances)},
                    staleness={0: Staleness()},
                )
            )

    def resident() -> int:
        fields = Path("/proc/self/statm").read_text().split()
        return int(fields[1]) * resource.getpagesize()

    publish(5000)
    before = resident()
    publish(20_000)
    assert resident() - before < 4 << 20, "20,000 tables of 3 kB each are 60 MB"


def test_large_deals_that_nobody_uses_are_let_go_of_before_they_are_many(engine: native.Native) -> None:
    """One of 200 orders is as large as a thousand of the usual ones: so many of them can't wait."""
    made = []
    for n in range(60):
        rotation = turns(200)
        made.append(weakref.ref(rotation))
        engine.apply(Delta({WEB + A: entry(200, n, rotation)}))
        del rotation
    assert sum(ref() is not None for ref in made) <= 3
