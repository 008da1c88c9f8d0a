"""When probes are made, and which of their verdicts are told."""

from __future__ import annotations

import asyncio
import errno
import gc
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from support.waiting import until
from zkdns.health import beats
from zkdns.health import prober as module
from zkdns.health.lanes import Lane
from zkdns.health.prober import Prober, places
from zkdns.health.targets import Target
from zkdns.model import Check, Verdict


def target(path: str = "/services/web/a", port: int = 80) -> Target:
    service, _, id = path.rpartition("/")
    return Target(path, id, "127.0.0.1", port, 0.0, Check("tcp", interval=0.05), service=service)


class Probes:
    """Probes that end when they are told to."""

    def __init__(self) -> None:
        self.begun: list[Target] = []
        self.told: list[tuple[Target, Verdict]] = []
        self._ends: dict[int, asyncio.Future[str]] = {}

    def prober(self) -> Prober:
        return Prober(lambda target, verdict: self.told.append((target, verdict)), named=lambda name: self)

    async def __call__(self, target: Target) -> str:
        end = self._ends[len(self.begun)] = asyncio.get_running_loop().create_future()
        self.begun.append(target)
        return await end

    async def under_way(self, number: int) -> None:
        await until(lambda: len(self.begun) > number)

    def end(self, number: int, why: str | OSError = "") -> None:
        if isinstance(why, OSError):
            self._ends[number].set_exception(why)
        else:
            self._ends[number].set_result(why)


async def test_a_probe_that_ends_after_its_target_was_dropped_tells_nothing_and_is_the_last() -> None:
    probes = Probes()
    prober = probes.prober()
    prober.schedule(target())
    await probes.under_way(0)
    prober.drop(target().path)
    probes.end(0, "refused")
    await asyncio.sleep(0.15)
    assert probes.told == []
    assert len(probes.begun) == 1
    await prober.stop()


async def test_a_verdict_on_the_place_before_is_not_told_of_the_new_one() -> None:
    probes = Probes()
    prober = probes.prober()
    prober.schedule(target(port=80))
    await probes.under_way(0)
    prober.schedule(target(port=81))
    await probes.under_way(1)
    probes.end(0, "refused")
    probes.end(1)
    await until(lambda: probes.told)
    assert [(t.port, v.good) for t, v in probes.told] == [(81, True)]
    await prober.stop()


@pytest.mark.parametrize("is_wanted", [True, False])
async def test_what_failed_for_want_of_our_own_is_tried_again_while_it_is_wanted(
    is_wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN", 0.02)
    probes = Probes()
    prober = probes.prober()
    prober.schedule(target())
    await probes.under_way(0)
    if not is_wanted:
        prober.drop(target().path)
    probes.end(0, OSError(errno.EMFILE, "too many open files"))
    if is_wanted:
        await probes.under_way(1)
    else:
        await asyncio.sleep(0.1)
        assert len(probes.begun) == 1
    assert probes.told == []
    await prober.stop()


async def test_a_target_that_comes_again_is_probed_at_once_and_once() -> None:
    probes = Probes()
    prober = probes.prober()
    prober.schedule(target())
    prober.schedule(target())
    await probes.under_way(0)
    prober.drop(target().path)
    prober.schedule(target())
    await probes.under_way(1)
    await asyncio.sleep(0.02)
    assert len(probes.begun) == 2
    await prober.stop()


async def test_a_service_and_a_view_of_it_share_one_probe_and_its_verdict() -> None:
    probes = Probes()
    prober = probes.prober()
    own = target()
    view = replace(own, path=f"dc1:{own.path}", node=own.path)
    other = replace(own, path=f"dc2:{own.path}", node=own.path, address="127.0.0.2")
    for one in (own, view, other):
        prober.schedule(one)
    await probes.under_way(1)
    assert {p.address for p in probes.begun} == {"127.0.0.1", "127.0.0.2"}
    for number, probed in enumerate(list(probes.begun)):
        probes.end(number, "refused" if probed.address == "127.0.0.1" else "")
    await until(lambda: len(probes.told) == 3)
    assert {(t.path, v.path, v.good) for t, v in probes.told} == {
        (own.path, own.path, False),
        (view.path, view.path, False),
        (other.path, other.path, True),
    }
    prober.drop(other.path)
    prober.drop(own.path)
    await probes.under_way(2)
    assert probes.begun[2].address == "127.0.0.1"
    probes.end(2)
    await until(lambda: len(probes.told) == 4)
    assert (probes.told[3][0], probes.told[3][1].good) == (view, True)
    await prober.stop()


async def test_who_asks_later_for_what_is_probed_already_hears_the_last_verdict_at_once() -> None:
    probes = Probes()
    prober = probes.prober()
    own = replace(target(), check=Check("tcp", interval=60))
    prober.schedule(own)
    await probes.under_way(0)
    probes.end(0, "refused")
    await until(lambda: probes.told)
    view = replace(own, path=f"dc1:{own.path}", node=own.path)
    prober.schedule(view)
    await until(lambda: len(probes.told) == 2)
    assert (probes.told[1][0], probes.told[1][1].why) == (view, "refused")
    assert len(probes.begun) == 1
    await prober.stop()


async def test_a_swarm_that_is_due_at_once_starts_in_many_turns_of_the_loop() -> None:
    probes = Probes()
    prober = probes.prober()
    for n in range(10):
        for k in range(20):
            prober.schedule(target(f"/services/s{n}/{k}"))
    begun = [0]
    while begun[-1] < 200:
        await asyncio.sleep(0)
        begun.append(len(probes.begun))
    assert max(b - a for a, b in pairwise(begun)) == module.A_TURN
    await prober.stop()


async def test_a_swarm_none_of_which_answers_is_started_all_the_same() -> None:
    probes = Probes()
    prober = probes.prober()
    patient = Check("tcp", timeout=3600)
    for n in range(3 * module.A_TURN):
        prober.schedule(replace(target(f"/services/s{n}/a"), check=patient))
    await probes.under_way(3 * module.A_TURN - 1)
    await prober.stop()


@pytest.mark.parametrize(
    ("descriptors", "probes"), [(1 << 20, module.SOCKETS), (1024, 256), (60, 15), (1, 1)]
)
def test_probes_leave_most_descriptors_to_others(descriptors: int, probes: int) -> None:
    assert places(descriptors) == probes


async def test_one_that_gave_its_place_to_another_service_is_probed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    monkeypatch.setattr(module, "AGAIN", 0.02)
    probes = Probes()
    prober = Prober(lambda target, verdict: None, sockets=2, named=lambda name: probes)
    prober.schedule(target("/services/slow/a"))
    prober.schedule(target("/services/slow/b"))
    await probes.under_way(1)
    prober.schedule(target("/services/web/a"))
    await probes.under_way(2)
    assert probes.begun[2].path == "/services/web/a"
    probes.end(2)
    await until(lambda: [t.path for t in probes.begun].count("/services/slow/a") == 2)
    await prober.stop()


@pytest.mark.parametrize("each", [1, 5])
async def test_targets_that_never_answer_keep_nobody_who_does_waiting(
    each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever services they are of: one a service, or several."""
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    monkeypatch.setattr(module, "AGAIN", 0.01)
    mute, most, told = [0], [0], Counter[str]()

    async def probe(target: Target) -> str:
        if not target.path.startswith("/services/mute"):
            return ""
        mute[0] += 1
        most.append(mute[0])
        try:
            await asyncio.sleep(3600)
        finally:
            mute[0] -= 1
        return ""

    prober = Prober(lambda target, verdict: told.update([target.path]), sockets=8, named=lambda name: probe)
    for n in range(60 // each):
        for k in range(each):
            path = f"/services/mute{n}/{k}"
            prober.schedule(replace(target(path), check=Check("tcp", timeout=1, interval=0.05)))
    for k in range(20):
        prober.schedule(target(f"/services/web/{k}"))
    web = [f"/services/web/{k}" for k in range(20)]
    await until(lambda: all(told[path] for path in web))
    await asyncio.sleep(0.1)
    most.clear()
    before = told.copy()
    await until(lambda: all(told[path] - before[path] >= 5 for path in web))
    assert not most or max(most) <= 4, "half of the places"
    await until(lambda: any(path.startswith("/services/mute") for path in told))
    await prober.stop()


async def test_a_slow_target_that_answers_keeps_its_turns_beside_those_that_never_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    monkeypatch.setattr(module, "AGAIN", 0.01)
    told: list[str] = []

    async def probe(target: Target) -> str:
        await asyncio.sleep(0.03 if "web" in target.path else 3600)
        return ""

    prober = Prober(lambda target, verdict: told.append(target.path), sockets=16, named=lambda name: probe)
    prober.schedule(target())
    await until(lambda: told)
    for n in range(100):
        mute = replace(target(f"/services/mute{n}/a"), check=Check("tcp", timeout=0.5, interval=0.05))
        prober.schedule(mute)
    await until(lambda: len({path for path in told if "mute" in path}) > 30)
    before = len(told)
    await until(lambda: told[before:].count("/services/web/a") >= 5)
    assert len(told) - before < 50, "it waited for a few of them, and not for all each time"
    await prober.stop()


async def test_how_a_target_answered_says_where_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    answer_after = 0.03
    lanes: list[Lane] = []

    async def probe(target: Target) -> str:
        await asyncio.sleep(answer_after)
        return ""

    def tell(target: Target, verdict: Verdict) -> None:
        nonlocal answer_after
        lanes.append(scheduled.choose_lane())
        if len(lanes) == 1:
            answer_after = 3600.0

    prober = Prober(tell, sockets=8, named=lambda name: probe)
    prober.schedule(replace(target(), check=Check("tcp", timeout=0.3, interval=0.01, fall=3)))
    (scheduled,) = prober._scheduled.values()
    assert scheduled.choose_lane() is Lane.QUICK
    scheduled.is_slow = True
    assert scheduled.choose_lane() is Lane.NEW
    await until(lambda: len(lanes) >= 4)
    assert lanes[0] is Lane.SLOW
    assert lanes[1:4] == [Lane.SLOW, Lane.SLOW, Lane.MUTE], "as often as makes it fail"
    answer_after = 0.0
    await until(lambda: scheduled.choose_lane() is Lane.QUICK)
    await prober.stop()


async def test_one_that_never_answered_waits_with_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    told: list[Verdict] = []

    async def probe(target: Target) -> str:
        await asyncio.sleep(3600)
        return ""

    prober = Prober(lambda target, verdict: told.append(verdict), sockets=8, named=lambda name: probe)
    prober.schedule(replace(target(), check=Check("tcp", timeout=0.05, interval=60, fall=100)))
    (scheduled,) = prober._scheduled.values()
    await until(lambda: told)
    assert scheduled.choose_lane() is Lane.MUTE
    await prober.stop()


async def test_a_slow_target_that_answers_soon_again_is_no_slow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.02)
    slow = [True]

    async def probe(target: Target) -> str:
        await asyncio.sleep(0.05 if slow[0] else 0)
        return ""

    prober = Prober(lambda target, verdict: None, sockets=8, named=lambda name: probe)
    prober.schedule(target())
    (scheduled,) = prober._scheduled.values()
    await until(lambda: scheduled.is_slow)
    slow[0] = False
    await until(lambda: not scheduled.is_slow)
    await prober.stop()


async def test_a_probe_that_began_late_is_not_followed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is more to do than places, what is behind would only come sooner and be behind again."""
    late = replace(target("/services/web/b"), check=Check("tcp", interval=0.2))
    probes = Probes()
    prober = Prober(lambda target, verdict: None, sockets=1, named=lambda name: probes)
    begun: list[float] = []
    prober.schedule(target("/services/web/a"))
    await probes.under_way(0)
    prober.schedule(late)
    prober.drop("/services/web/a")
    await asyncio.sleep(0.25)
    for number in range(2):
        probes.end(number)
        await probes.under_way(number + 1)
        begun.append(asyncio.get_running_loop().time())
    assert begun[1] - begun[0] >= 0.095
    await prober.stop()


def kept() -> int:
    """Targets with their times that anything holds."""
    gc.collect()
    return sum(isinstance(one, module._Scheduled) for one in gc.get_objects())


async def test_what_is_wanted_no_more_is_kept_neither_where_it_waits_nor_for_its_next_time() -> None:
    """A service whose check changes all the time, or whose instances come and go, would fill the memory: what
    is probed once a day is due in a day."""
    probes = Probes()
    prober = probes.prober()
    checks = [Check("tcp", interval=86_000.0 + n) for n in range(20)]
    for check in checks:
        for n in range(300):
            prober.schedule(replace(target(f"/services/web/{n}"), check=check))
        await asyncio.sleep(0)
    assert kept() <= 300 + 2 * module.HEAP + module.SOCKETS
    for n in range(300):
        prober.drop(f"/services/web/{n}")
    await prober.stop()
    quick = Prober(lambda target, verdict: None, named=lambda name: answer)
    for at in range(400):
        path = f"/services/db/{at}"
        quick.schedule(replace(target(path), check=checks[0]))
        await asyncio.sleep(0.001)
        quick.drop(path)
    assert kept() <= 4 * module.HEAP
    await quick.stop()


async def answer(target: Target) -> str:
    return ""


async def test_who_registered_few_waits_for_few_whoever_has_hundreds_of_services_waiting() -> None:
    probes = Probes()
    prober = Prober(lambda target, verdict: None, sockets=1, named=lambda name: probes)
    theirs = [replace(target(f"/services/s{n}/a"), session=7, registry="dc1", since=n) for n in range(300)]
    ours = [
        replace(target("/services/web/a"), session=8, registry="dc1"),
        replace(target("/services/db/b"), session=7, registry="dc2"),
        replace(target("/services/mail/c"), session=7, registry="dc1", since=1000),
    ]
    for one in (*theirs[:150], *ours, *theirs[150:]):
        prober.schedule(replace(one, check=Check("tcp", interval=60)))
    for number in range(16):
        await probes.under_way(number)
        probes.end(number)
    assert {one.path for one in ours} <= {one.path for one in probes.begun}
    await prober.stop()


async def test_of_thousands_that_are_due_at_once_so_many_come_to_wait_in_one_turn() -> None:
    prober = Prober(lambda target, verdict: None, named=lambda name: answer)
    for n in range(3 * module.DUE):
        prober.schedule(replace(target(f"/services/s{n}/a"), check=Check("tcp", interval=60)))
    prober._fire()
    assert len(prober._queue) == 2 * module.DUE
    await until(lambda: len(prober._running) == 0 and all(s.verdict for s in prober._scheduled.values()))
    await prober.stop()


async def test_who_was_on_time_for_a_while_has_its_beat_kept_until_it_answers_otherwise_or_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(beats, "CALM", 0.1)
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    answer_after, begun = 0.0, [0]

    async def probe(target: Target) -> str:
        begun[0] += 1
        await asyncio.sleep(answer_after)
        return ""

    prober = Prober(lambda target, verdict: None, sockets=16, named=lambda name: probe)
    prober.schedule(target())
    (scheduled,) = prober._scheduled.values()
    await until(lambda: begun[0] == 2)
    assert scheduled.lane is Lane.QUICK
    await until(lambda: scheduled.lane is Lane.KEPT_QUICK)
    answer_after = 0.03
    await until(lambda: scheduled.lane is Lane.KEPT_SLOW)
    prober.drop(target().path)
    await until(lambda: not prober._running)
    assert not any(prober._lanes._beats.values())
    await prober.stop()


async def test_those_that_are_checked_less_often_than_asked_for_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BEHIND", 0.03)
    prober = Prober(lambda target, verdict: None, sockets=1, named=lambda name: probe)

    async def probe(target: Target) -> str:
        await asyncio.sleep(0.04)
        return ""

    for n in range(4):
        prober.schedule(target(f"/services/s{n}/a"))
    assert prober.late is None
    await until(lambda: len(prober._late) == 4)
    late = prober.late
    assert late is not None
    assert (late.path[:11], late.what[-15:]) == ("/services/s", "; so are 3 more")
    for n in range(1, 4):
        prober.drop(f"/services/s{n}/a")
    await until(lambda: prober.late is None)
    await prober.stop()
