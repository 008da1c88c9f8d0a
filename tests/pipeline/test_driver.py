"""The driver: what is due is done item by item, and an error of ours in one of them is no other's."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from support.stepping import break_at, settings_of
from zkdns.forward.addresses import Resolved
from zkdns.health.prober import Prober
from zkdns.health.targets import Target
from zkdns.pipeline.driver import Driver
from zkdns.pipeline.inputs import Ready
from zkdns.pipeline.pipeline import Pipeline
from zkdns.pipeline.replica import Replica
from zkdns.registry.access import ZooKeeperSettings


async def no_address(host: str) -> Resolved:
    raise OSError(host)


async def test_a_probe_that_breaks_us_and_a_page_that_does_cost_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "r.toml"
    text = '[web]\ncheck = {type = "tcp"}\n'
    text += "".join(
        f'[[web.instances]]\nid = "i{n}"\naddress = "127.0.0.1"\nport = {n + 1}\n' for n in range(9)
    )
    file.write_text(text)
    settings = settings_of(f"file:{file}")
    scheduled: list[str] = []
    all_but_one = asyncio.Event()

    def schedule(self: Prober, target: Target) -> None:
        scheduled.append(target.id)
        if len(scheduled) == 8:
            all_but_one.set()

    monkeypatch.setattr(Prober, "schedule", schedule)
    break_at(monkeypatch, Prober, "schedule", lambda self, target: target.id == "i3")
    taken: list[Ready] = []

    def take(ready: Ready) -> None:
        taken.append(ready)
        raise RuntimeError("a page that can't be told")

    pipeline = Pipeline(settings, 0.0, replica=Replica("z1"))
    driver = Driver(pipeline, ZooKeeperSettings(), no_address, take, replica="z1")
    driver.start()
    try:
        await asyncio.wait_for(all_but_one.wait(), 10)
    finally:
        await driver.stop()
    assert sorted(scheduled) == [f"i{n}" for n in range(9) if n != 3]
    assert taken
    assert driver.errors == len(taken) + 1
