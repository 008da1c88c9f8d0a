"""Too few descriptors: one line a minute and a problem while it lasts, no flood of tracebacks."""

from __future__ import annotations

import asyncio
import errno
import os
import socket

import pytest

from zkdns.lack import HELD_UP, NO_PORT, TELL_EVERY, Lack, problem_of
from zkdns.server.lack import Shortage


class Loop:
    def __init__(self) -> None:
        self.passed_on: list[object] = []

    def default_exception_handler(self, context: object) -> None:
        self.passed_on.append(context)


def test_a_lack_is_told_once_a_minute_and_is_a_problem_while_it_lasts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [0.0]
    lack, loop = Shortage(lambda: now[0]), Loop()
    assert lack.why == ""
    for _ in range(1000):
        lack.handle(loop, {"exception": OSError(errno.EMFILE, "Too many open files")})  # type: ignore[arg-type]
    assert len(caplog.records) == 1
    assert "too many open files" in caplog.text
    assert "Traceback" not in caplog.text
    assert lack.why == "too many open files"
    now[0] = TELL_EVERY
    assert lack.why == ""
    lack.handle(loop, {"exception": OSError(errno.ENOMEM, "Cannot allocate memory")})  # type: ignore[arg-type]
    assert len(caplog.records) == 2
    assert lack.count == 1001
    assert not loop.passed_on


def test_it_lasts_for_a_while_after_it_was_seen_last_whenever_that_was_told() -> None:
    now = [0.0]
    lack, loop = Shortage(lambda: now[0]), Loop()
    for at in (0.0, TELL_EVERY - 10):
        now[0] = at
        lack.handle(loop, {"exception": OSError(errno.EMFILE, "Too many open files")})  # type: ignore[arg-type]
    now[0] = 2 * TELL_EVERY - 11
    assert lack.why
    now[0] = 2 * TELL_EVERY - 10
    assert not lack.why


def test_an_error_of_ours_is_told_as_ever() -> None:
    lack, loop = Shortage(), Loop()
    for error in (ValueError("ours"), OSError(errno.EPIPE, "Broken pipe"), None):
        lack.handle(loop, {"message": "it failed", "exception": error})  # type: ignore[arg-type]
    assert len(loop.passed_on) == 3
    assert not lack.why


def test_what_comes_and_goes_a_thousand_times_is_told_once_and_lasts() -> None:
    lack = Lack()
    assert lack.why(0.0) == ""
    assert [lack.meet("no room", n / 1000) for n in range(1000)] == [True] + [False] * 999
    assert lack.why(0.999 + TELL_EVERY - 0.01) == "no room"
    assert lack.why(0.999 + TELL_EVERY) == ""


@pytest.mark.parametrize(
    ("why", "cure"),
    [("too many open files", "ulimit"), (HELD_UP, "CPU"), (f"{NO_PORT} 10.0.0.1:80", "port_range")],
)
def test_a_lack_is_told_with_its_cure(why: str, cure: str) -> None:
    problem = problem_of(why, "health checks wait")
    assert why in problem.what
    assert cure in problem.cure


async def test_connections_that_can_not_be_accepted_cost_no_tracebacks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = asyncio.get_running_loop()
    lack = Shortage()
    loop.set_exception_handler(lack.handle)

    class Full(socket.socket):
        def accept(self) -> tuple[socket.socket, object]:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with Full() as sock, socket.socket() as client:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        server = await loop.create_server(asyncio.Protocol, sock=sock, backlog=100)
        client.connect(sock.getsockname())
        async with asyncio.timeout(10):
            while not lack.count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        server.close()
    loop.set_exception_handler(None)
    assert "Traceback" not in caplog.text
    assert len([record for record in caplog.records if "new connections wait" in record.message]) == 1
