"""No turn of the loop takes long, whatever is registered or asked: every server of the tests is watched."""

from __future__ import annotations

import asyncio
import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.server import Zkdns
from support.turns import MOST, SLOWEST, USUAL, Recorder, slowness

FILE = """
[web]
[[web.instances]]
id = "a"
address = "10.0.0.1"
"""

PLANTED = """
import time
from support import turns
from zkdns.web import door
from zkdns.web.http import Web

asked = Web._health
async def slow(self, request):
    until = time.thread_time() + {seconds}
    while time.thread_time() < until:
        pass
    return await asked(self, request)

Web._health = slow
turns.main()
"""


def spin(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def recorded(*calls: Callable[[], object], slow: float = 1.0) -> list[str]:
    """What is said of a turn in which all of these are called, on a machine that is so many times as slow."""
    lines: list[str] = []
    undo = Recorder(lines.append, slow=lambda: slow).install()

    async def main() -> None:
        await asyncio.sleep(0)
        for call in calls:
            asyncio.get_running_loop().call_soon(call)
        await asyncio.sleep(0.001)

    try:
        asyncio.run(main())
    finally:
        undo()
    return lines


def test_a_call_that_takes_long_is_seen_and_named() -> None:
    (line,) = recorded(lambda: spin(1.2 * MOST))
    assert "test_a_call_that_takes_long" in line


class Spelled:
    """Who asks for its words pays for them."""

    def __repr__(self) -> str:
        raise AssertionError("spelled")


def test_what_a_call_was_given_is_not_spelled() -> None:
    async def step(_: object) -> None:
        spin(1.2 * MOST)

    def called(*_: object) -> None:
        spin(1.2 * MOST)

    (line,) = recorded(functools.partial(called, Spelled()))
    assert "called" in line
    (line,) = recorded(lambda: asyncio.ensure_future(step(Spelled())))
    assert ".step " in line
    assert Path(__file__).name in line


def test_many_short_calls_of_one_turn_count_together() -> None:
    (line,) = recorded(*[lambda: spin(MOST / 10)] * 12)
    assert "in 1" in line


def test_a_slow_machine_may_take_longer_and_no_more_than_it_is_slow() -> None:
    assert recorded(lambda: spin(1.2 * MOST), slow=1.4) == []
    assert len(recorded(lambda: spin(1.6 * MOST), slow=1.4)) == 1


@pytest.mark.parametrize(("took", "slow"), [(0.5, 1.0), (1.0, 1.0), (1.5, 1.5), (9.0, SLOWEST)])
def test_how_slow_a_machine_is_goes_by_what_the_same_takes(took: float, slow: float) -> None:
    times = iter([0.0, USUAL * took, 0.0, USUAL * 100, 0.0, 0.0])
    assert slowness(lambda: next(times)) == pytest.approx(slow)


def test_who_only_waits_takes_no_cpu() -> None:
    assert recorded(lambda: time.sleep(2 * MOST)) == []


def test_a_long_turn_of_a_server_fails_its_test(file: Path, tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text(PLANTED.format(seconds=1.2 * SLOWEST * MOST))
    server = Zkdns(registry=f"file:{file}")
    server.command = [sys.executable, str(planted), *server.command[3:]]
    with pytest.raises(AssertionError, match="took too much CPU"), server:
        assert server.http("/health")[0] == 200
