"""Host names that instances gave: resolved, again at their TTL, the last good addresses kept."""

from __future__ import annotations

import asyncio
import time

import pytest

from zkdns.dns import names
from zkdns.dns.message import Message, Record
from zkdns.forward import hosts as under_test
from zkdns.forward.hosts import Hosts, Resolved, Unresolved, addresses_in, ask_machine


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


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MIN_WAIT", "MIN_RETRY"):
        monkeypatch.setattr(under_test, name, 0.01)


@pytest.mark.usefixtures("quick")
async def test_changes_are_told_and_the_last_good_addresses_stay() -> None:
    world = World()
    world.now["db"] = ("192.0.2.1", "192.0.2.2")
    hosts = Hosts(world.resolve, world.changed)
    hosts.want(["db"])
    await hosts.settled()
    assert world.changes == [("db", ("192.0.2.1", "192.0.2.2"))]
    world.now["db"] = ("192.0.2.2", "192.0.2.1")  # turned round: the same
    await world.until(len(world.asked) + 3, "asked")
    assert len(world.changes) == 1
    del world.now["db"]
    await world.until(2)
    assert hosts.problems == {"db": "db does not exist"}
    assert set(hosts.addresses("db")) == {"192.0.2.1", "192.0.2.2"}
    world.now["db"] = ("192.0.2.3",)
    await world.until(3)
    assert hosts.addresses("db") == ("192.0.2.3",)
    assert hosts.problems == {}
    await hosts.stop()


@pytest.mark.usefixtures("quick")
async def test_names_that_are_no_longer_wanted_are_forgotten() -> None:
    world = World()
    world.now = {"a": ("192.0.2.1",), "b": ("192.0.2.2",)}
    hosts = Hosts(world.resolve, world.changed)
    hosts.want(["a", "b", "c"])
    await hosts.settled()
    assert set(hosts.problems) == {"c"}
    hosts.want(["b"])
    world.asked.clear()
    await world.until(3, "asked")
    assert set(world.asked) == {"b"}
    assert hosts.addresses("a") == ()
    assert hosts.problems == {}
    await hosts.stop()


async def test_an_error_of_ours_costs_that_name_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def resolve(name: str) -> Resolved:
        if name == "bad":
            raise ZeroDivisionError
        return Resolved(("192.0.2.1",), 60)

    hosts = Hosts(resolve, lambda name, addresses: None)
    hosts.want(["bad", "good"])
    await hosts.settled()
    assert hosts.addresses("good") == ("192.0.2.1",)
    assert set(hosts.problems) == {"bad"}
    assert "ZeroDivisionError" in caplog.text
    await hosts.stop()


async def test_the_machines_own_resolver() -> None:
    assert "127.0.0.1" in (await ask_machine("localhost")).addresses
    with pytest.raises(Unresolved, match=r"nowhere\.invalid"):
        await ask_machine("nowhere.invalid")
    with pytest.raises(Unresolved):
        await ask_machine("a" * 70 + ".invalid")


def record(owner: str, rtype: int, rdata: bytes | str) -> Record:
    parts = (b"", names.wire(rdata)) if isinstance(rdata, str) else (rdata,)
    return Record(names.wire(owner), rtype, 1, 60, parts)


def test_addresses_are_those_of_the_name_and_of_what_it_is_an_alias_of_alone() -> None:
    records = (
        record("other.example", 1, b"\x0a\0\0\x66"),
        record("b.example", 1, b"\x0a\0\0\2"),
        record("web.example", 5, "b.example"),
        record("b.example", 28, bytes(16)),
    )
    message = Message(0, 0, b"", records, (), (record("web.example", 1, b"\x0a\0\0\x67"),), True)
    assert addresses_in(message, names.wire("web.example"), 1) == Resolved(("10.0.0.2",), 60)
    assert addresses_in(message, names.wire("nope.example"), 1) == Resolved((), 0)


def test_a_circle_of_aliases_has_no_address() -> None:
    records = (record("a.example", 5, "b.example"), record("b.example", 5, "a.example"))
    message = Message(0, 0, b"", records, (), (), True)
    assert addresses_in(message, names.wire("a.example"), 1) == Resolved((), 0)
