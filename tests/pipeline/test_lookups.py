"""Host names that instances gave: resolved, again at their TTL, the last good addresses kept."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
import time
from collections import Counter
from types import SimpleNamespace

import pytest

from support.waiting import until
from zkdns.forward.addresses import Lacking, Resolved, Unresolved
from zkdns.forward.machine import ask_machine
from zkdns.pipeline import lookups as under_test
from zkdns.pipeline.hostnames import Account
from zkdns.pipeline.lookups import MAX_DEAD, MAX_LOOKUPS, MAX_LOOKUPS_EACH, MAX_SLOW, Lookups

WEB = Account("web")


class World:
    """What names resolve to now; `asked` counts."""

    def __init__(self) -> None:
        self.now: dict[str, tuple[str, ...]] = {}
        self.ttl = 0
        self.asked: list[str] = []
        self.changes: list[tuple[str, tuple[str, ...]]] = []

    async def resolve(self, name: str) -> Resolved:
        self.asked.append(name)
        await asyncio.sleep(0)
        if name not in self.now:
            raise Unresolved(f"{name} does not exist")
        return Resolved(self.now[name], self.ttl)

    def changed(self, name: str, addresses: tuple[str, ...]) -> None:
        self.changes.append((name, addresses))

    async def until(self, count: int, of: str = "changes") -> None:
        end = time.monotonic() + 20
        while len(getattr(self, of)) < count:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)


async def all_heard(lookups: Lookups, *names: str) -> None:
    """Each was resolved, or failed, once."""
    await until(lambda: all(lookups.addresses(name) or name in lookups.problems for name in names))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MIN_WAIT", "MIN_RETRY"):
        monkeypatch.setattr(under_test, name, 0.01)


@pytest.mark.usefixtures("quick")
async def test_changes_are_told_and_the_last_good_addresses_stay() -> None:
    world = World()
    world.now["db"] = ("192.0.2.1", "192.0.2.2")
    lookups = Lookups(world.resolve, world.changed)
    lookups.want(dict.fromkeys(["db"], WEB))
    await all_heard(lookups, "db")
    assert world.changes == [("db", ("192.0.2.1", "192.0.2.2"))]
    world.now["db"] = ("192.0.2.2", "192.0.2.1")  # turned round: the same
    await world.until(len(world.asked) + 3, "asked")
    assert len(world.changes) == 1
    del world.now["db"]
    await world.until(2)
    assert lookups.problems == {"db": "db does not exist"}
    assert set(lookups.addresses("db")) == {"192.0.2.1", "192.0.2.2"}
    world.now["db"] = ("192.0.2.3",)
    await world.until(3)
    assert lookups.addresses("db") == ("192.0.2.3",)
    assert lookups.problems == {}
    await lookups.stop()


@pytest.mark.usefixtures("quick")
async def test_names_that_are_no_longer_wanted_are_forgotten() -> None:
    world = World()
    world.now = {"a": ("192.0.2.1",), "b": ("192.0.2.2",)}
    lookups = Lookups(world.resolve, world.changed)
    lookups.want(dict.fromkeys(["a", "b", "c"], WEB))
    await all_heard(lookups, "a", "b", "c")
    assert set(lookups.problems) == {"c"}
    lookups.want(dict.fromkeys(["b"], WEB))
    world.asked.clear()
    await world.until(3, "asked")
    assert set(world.asked) == {"b"}
    assert lookups.addresses("a") == ()
    assert lookups.problems == {}
    await lookups.stop()


async def test_an_error_of_ours_costs_that_name_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def resolve(name: str) -> Resolved:
        if name == "bad":
            raise ZeroDivisionError
        return Resolved(("192.0.2.1",), 60)

    lookups = Lookups(resolve, lambda name, addresses: None)
    lookups.want(dict.fromkeys(["bad", "good"], WEB))
    await all_heard(lookups, "bad", "good")
    assert lookups.addresses("good") == ("192.0.2.1",)
    assert set(lookups.problems) == {"bad"}
    assert "ZeroDivisionError" in caplog.text
    await lookups.stop()


async def test_the_machines_own_resolver() -> None:
    assert "127.0.0.1" in (await ask_machine("localhost")).addresses
    with pytest.raises(Unresolved, match=r"nowhere\.invalid"):
        await ask_machine("nowhere.invalid")
    with pytest.raises(Unresolved):
        await ask_machine("a" * 70 + ".invalid")


async def test_the_machines_own_resolver_is_not_blamed_for_what_is_lacking_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lacking(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", fail)
        with pytest.raises(Unresolved):
            await ask_machine("db.example")
        patch.setattr(socket, "socket", lacking)
        with pytest.raises(Lacking, match="too many open files"):
            await ask_machine("db.example")
    with monkeypatch.context() as patch:
        patch.setattr("threading.Thread.start", _no_thread)
        with pytest.raises(Lacking, match="can't start new thread"):
            await ask_machine("db.example")


def _no_thread(self: object) -> None:
    raise RuntimeError("can't start new thread")


async def test_a_service_with_a_thousand_dead_names_makes_nobody_elses_late() -> None:
    asked: list[str] = []
    answered = asyncio.Event()

    async def resolve(name: str) -> Resolved:
        asked.append(name)
        if name.startswith("dead"):
            await asyncio.Event().wait()
        return Resolved(("10.0.0.1",), 60)

    lookups = Lookups(resolve, lambda name, addresses: answered.set())
    dead = {f"dead{n}.example": Account("tenant") for n in range(1000)}
    lookups.want(dead)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(asked) == MAX_LOOKUPS_EACH
    lookups.want({**dead, "good.example": WEB})
    async with asyncio.timeout(5):
        await answered.wait()
    assert asked[MAX_LOOKUPS_EACH:] == ["good.example"]
    await lookups.stop()


async def test_a_thousand_services_with_a_dead_name_each_make_nobody_elses_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(under_test, "PATIENCE", 0.01)
    monkeypatch.setattr(under_test, "MIN_RETRY", 0.01)
    under_way: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    answered = asyncio.Event()

    async def resolve(name: str) -> Resolved:
        if not name.startswith("dead"):
            return Resolved(("10.0.0.1",), 60)
        under_way[name] += 1
        assert under_way.total() <= MAX_LOOKUPS + MAX_SLOW + MAX_DEAD
        try:
            await asyncio.sleep(0.05)
        finally:
            under_way[name] -= 1
            failed[name] += 1
        raise Unresolved(f"{name} is dead")

    lookups = Lookups(resolve, lambda name, addresses: answered.set() if addresses else None)
    dead = {f"dead{n}.example": Account(f"tenant{n}") for n in range(1000)}
    lookups.want(dead)
    while len(failed) < len(dead):  # noqa: ASYNC110  (each is known by then)
        await asyncio.sleep(0.01)
    before = failed.total()
    lookups.want({**dead, "good.example": WEB})
    await asyncio.wait_for(answered.wait(), 5)
    assert failed.total() - before < 2 * MAX_DEAD, "they go on, and it waited for a few at most"
    before = failed.total()
    while failed.total() == before:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await lookups.stop()


@pytest.mark.parametrize(
    ("whose", "is_among"),
    [(Account("web", 2, "r1"), True), (Account("web", 1, "r2"), True), (Account("web", 1, "r1"), False)],
    ids=["of another session", "of another registry", "that is the newest"],
)
async def test_a_new_name_waits_for_few_of_thousands_of_new_ones_that_nobody_answers_for(
    whose: Account, is_among: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have not failed yet, so nothing tells them from others but whose they are."""
    monkeypatch.setattr(under_test, "PATIENCE", 0.01)
    asked: list[str] = []

    async def resolve(name: str) -> Resolved:
        asked.append(name)
        if name.startswith("dead"):
            await asyncio.sleep(0.02)
            raise Unresolved(f"{name} is dead")
        return Resolved(("10.0.0.1",), 60)

    answered = asyncio.Event()
    lookups = Lookups(resolve, lambda name, addresses: answered.set() if addresses else None)
    dead = {f"dead{n}.example": Account(f"tenant{n}", 1, "r1") for n in range(3000)}
    if is_among:
        names = [*dead.items(), ("good.example", whose)]
        lookups.want(dict([*names[1000:], *names[:1000]]))
    else:
        lookups.want(dead)
        while len(asked) < MAX_LOOKUPS:  # noqa: ASYNC110
            await asyncio.sleep(0)
        lookups.want({**dead, "good.example": whose})
    begun = len(asked)
    await asyncio.wait_for(answered.wait(), 5)
    assert asked.index("good.example") <= max(begun, MAX_LOOKUPS) + 2 * MAX_LOOKUPS
    await lookups.stop()


async def test_a_slow_name_gives_its_place_up_as_soon_as_there_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(under_test, "PATIENCE", 0.01)
    asked: list[str] = []
    first = asyncio.Event()

    async def resolve(name: str) -> Resolved:
        asked.append(name)
        await (first if name == "dead0.example" else asyncio.Event()).wait()
        return Resolved(("10.0.0.1",), 60)

    lookups = Lookups(resolve, lambda name, addresses: None)
    lookups.want({f"dead{n}.example": Account(f"tenant{n}") for n in range(1000)})
    most = MAX_LOOKUPS + MAX_SLOW
    while len(asked) < most:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert len(asked) == most
    first.set()
    while len(asked) == most:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await lookups.stop()


async def test_names_that_fail_leave_nothing_for_a_collector_that_looks_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An error knows the frames that it went through: one that is known there is a circle."""
    monkeypatch.setattr(under_test, "PATIENCE", 0.01)
    failed = 0

    async def resolve(name: str) -> Resolved:
        nonlocal failed
        await asyncio.sleep(0.03 if name.startswith("slow") else 0)
        failed += 1
        raise Unresolved(f"{name} is dead")

    lookups = Lookups(resolve, lambda name, addresses: None)
    gc.collect()
    gc.disable()
    try:
        lookups.want({f"{kind}{n}": Account("web") for kind in ("slow", "quick") for n in range(10)})
        while failed < 20:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        assert gc.collect() == 0
    finally:
        gc.enable()
    await lookups.stop()


async def test_who_is_no_longer_wanted_while_it_is_slow_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "PATIENCE", 0.01)
    ended = asyncio.Event()

    async def resolve(name: str) -> Resolved:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()
        raise AssertionError

    lookups = Lookups(resolve, lambda name, addresses: None)
    lookups.want({"slow.example": WEB})
    await asyncio.sleep(0.05)
    lookups.want({})
    await asyncio.wait_for(ended.wait(), 5)
    await lookups.stop()


async def test_what_is_lacking_here_is_no_failure_of_a_name(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(under_test, "AGAIN", 0.001)
    asked: Counter[str] = Counter()

    async def resolve(name: str) -> Resolved:
        asked[name] += 1
        if asked[name] < 4:
            raise Lacking("too many open files")
        return Resolved(("192.0.2.1",), 60)

    told: list[str] = []
    lookups = Lookups(resolve, lambda name, addresses: told.append(name))
    assert lookups.lack == ""
    lookups.want({"a.example": WEB, "b.example": WEB})
    await all_heard(lookups, "a.example", "b.example")
    assert lookups.problems == {}
    assert sorted(told) == ["a.example", "b.example"], "nothing before there was an answer"
    assert lookups.lack == "too many open files"
    assert len(caplog.records) == 1
    await lookups.stop()


async def waits_for(outcomes: list[Resolved | Exception], monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long a name is let be after each of these outcomes."""
    waits: list[float] = []
    over = asyncio.Event()

    async def resolve(name: str) -> Resolved:
        if len(waits) == len(outcomes):
            over.set()
            await asyncio.Event().wait()
        outcome = outcomes[len(waits)]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(under_test, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep}))
    lookups = Lookups(resolve, lambda name, addresses: None)
    lookups.want({"db": WEB})
    await over.wait()
    await lookups.stop()
    return waits


async def test_a_name_that_stays_dead_is_asked_for_less_and_less_and_one_that_came_back_by_its_ttl(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dead, alive = Unresolved("db does not exist"), [Resolved(("192.0.2.1",), ttl) for ttl in (0, 30, 3600)]
    waits = await waits_for([*[dead] * 6, *alive, dead], monkeypatch)
    assert waits == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 1.0, 30.0, 60.0, 5.0]


async def test_an_error_of_ours_lets_a_name_be_for_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert await waits_for([RuntimeError("ours")], monkeypatch) == [60.0]
    assert "resolving db" in caplog.text


@pytest.mark.usefixtures("quick")
async def test_a_name_that_is_back_is_told_though_its_addresses_are_those_before() -> None:
    """Else its trouble would stand on for ever."""
    world = World()
    world.now["db"] = ("192.0.2.1",)
    lookups = Lookups(world.resolve, world.changed)
    lookups.want({"db": WEB})
    await world.until(1)
    del world.now["db"]
    await world.until(2)
    world.now["db"] = ("192.0.2.1",)
    await world.until(3)
    assert world.changes == [("db", ("192.0.2.1",))] * 3
    assert lookups.problems == {}
    await lookups.stop()


async def test_a_name_that_goes_at_the_moment_of_its_failure_leaves_no_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Somebody who registers names that are not there, and withdraws them, wrote one every few seconds: of
    both of a name's questions one had failed, and the other was still to be cancelled."""

    async def fail() -> None:
        await asyncio.sleep(0)
        lookups.want({})
        raise Unresolved("it does not exist")

    async def resolve(name: str) -> Resolved:
        await asyncio.gather(fail(), asyncio.Event().wait())
        raise AssertionError("the first of them fails")

    world = World()
    lookups = Lookups(resolve, world.changed)
    lookups.want({"dead": WEB})
    await until(lambda: not lookups._tasks)
    for _ in range(5):
        await asyncio.sleep(0)
    gc.collect()
    assert caplog.text == ""
    await lookups.stop()
