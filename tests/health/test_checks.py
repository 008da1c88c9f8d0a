"""Each kind of check against a real socket or a real program."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from support.waiting import until
from zkdns.health.checks import command as command_check
from zkdns.health.checks import http
from zkdns.health.prober import Prober
from zkdns.health.targets import Target
from zkdns.model import Check, Verdict


@asynccontextmanager
async def listening(answer: bytes | None, host: str = "127.0.0.1") -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that sends `answer` to what it reads (None: it never answers)."""
    heard: list[bytes] = []
    over = asyncio.Event()
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            heard.append(await reader.read(4096))
            if answer is None:
                await over.wait()
            else:
                writer.write(answer)
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except OSError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, host, 0)
    try:
        yield server.sockets[0].getsockname()[1], heard
    finally:
        over.set()
        server.close()
        for _ in range(10):  # what was accepted already still has to reach `serve`
            await asyncio.sleep(0)
        await asyncio.gather(*serving)


async def verdict_of(check: Check, port: int, host: str = "127.0.0.1") -> Verdict:
    """The first verdict, through the prober: its limits are part of every check."""
    told: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

    def tell(target: Target, verdict: Verdict) -> None:
        if not told.done():
            told.set_result(verdict)

    prober = Prober(tell)
    prober.schedule(Target("/s/web/a", "a", host, port, 0.0, check))
    try:
        return await asyncio.wait_for(told, 30)
    finally:
        await prober.stop()


async def test_tcp_is_good_where_the_port_takes_a_connection() -> None:
    async with listening(None) as (port, _):
        assert (await verdict_of(Check("tcp"), port)).good


async def test_tcp_says_connection_refused() -> None:
    async with listening(None) as (port, _):
        pass
    assert await verdict_of(Check("tcp"), port) == Verdict("/s/web/a", False, "connection refused")


async def test_tcp_over_ipv6() -> None:
    async with listening(None, "::1") as (port, _):
        assert (await verdict_of(Check("tcp"), port, "::1")).good


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", ""),
        (b"HTTP/1.0 204 No Content\r\n\r\n", ""),
        (b"HTTP/1.1 299\r\n\r\n", ""),
        (b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", ""),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP status 503"),
        (b"HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n", "HTTP status 301"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP in the answer"),
        (b"HTTP/1.1 2x0 OK\r\n\r\n", "no HTTP in the answer"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "no HTTP in the answer"),
        (b"HTTP/1.1 200OK\r\n\r\n", "no HTTP in the answer"),
        (b"x" * 100_000, "no HTTP in the answer"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000, "no HTTP in the answer"),
        (b"HTTP/1.1 100 Continue\r\n" + b"X: y\r\n" * 100_000, "no HTTP in the answer"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000, ""),
        (b"", "connection closed without an answer"),
    ],
)
async def test_http_is_good_with_2xx_alone(answer: bytes, why: str) -> None:
    async with listening(answer) as (port, _):
        assert await verdict_of(Check("http"), port) == Verdict("/s/web/a", not why, why)


async def test_a_server_that_never_ends_its_headers_does_not_keep_the_loop() -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            writer.write(b"HTTP/1.1 100 Continue\r\n")
            while True:
                writer.write(b"X: y\r\n" * 10_000)
                await writer.drain()
        writer.transport.abort()

    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    async with server:
        verdict = await verdict_of(Check("http", timeout=10), server.sockets[0].getsockname()[1])
    assert verdict.why == "no HTTP in the answer"


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 100\n\n" * 6000,
        b"HTTP/1.1 100\n" + b"a\n" * 32_000,
        b"HTTP/1.1 100 Continue\r\n" + b"\r" * 64_000,
        b"\n" * 64_000,
    ],
)
async def test_an_answer_costs_by_what_is_read_of_it_and_not_by_how_it_is_cut_into_lines(text: bytes) -> None:
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    async with listening(text) as (port, _):
        target = Target("/s/web/a", "a", "127.0.0.1", port, 0.0, Check("http"))
        sys.setprofile(count)
        try:
            why = await http.probe(target)
        finally:
            sys.setprofile(None)
    assert why in ("no HTTP in the answer", "connection closed without an answer")
    assert calls < 8000, "of the two sides together, in one loop"


@pytest.mark.parametrize(
    "parts", [(b"\n\r", b"\nHTTP/1.1 2"), (b"\r", b"\n\r", b"\n", b"HTTP/1.1 2"), (b"\n\nHTTP/1.1 2",)]
)
async def test_headers_end_wherever_their_end_is_cut(parts: tuple[bytes, ...]) -> None:
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            for part in (b"HTTP/1.1 103 Early Hints\r\nLink: x", *parts, b"00 OK\r\n\r\n"):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.transport.abort()
        over.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        assert (await verdict_of(Check("http"), server.sockets[0].getsockname()[1])).why == ""
        await over.wait()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_connection_that_meets_itself_is_nobodys(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(None, host) as (port, _):
        pass

    class Met(socket.socket):
        def connect(self, address: object) -> None:
            self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.bind((host, port))
            super().connect(address)  # type: ignore[arg-type]

    monkeypatch.setattr("socket.socket", Met)
    assert (await verdict_of(Check("tcp"), port, host)).why == "connection refused"


@pytest.mark.parametrize("kind", ["tcp", "http"])
async def test_a_host_name_without_an_address_is_not_looked_up_by_its_probe(kind: str) -> None:
    verdict = await verdict_of(Check(kind), 80, "localhost")
    assert verdict == Verdict("/s/web/a", False, "its host name has no address")


async def test_http_asks_for_the_path_with_a_host() -> None:
    async with listening(b"HTTP/1.1 200 OK\r\n\r\n", "::1") as (port, heard):
        await verdict_of(Check("http", path="/healthz?deep=1"), port, "::1")
        lines = heard[0].decode().split("\r\n")
        assert lines[0] == "GET /healthz?deep=1 HTTP/1.1"
        assert f"Host: [::1]:{port}" in lines


async def test_a_server_that_never_answers_is_bad_after_the_timeout() -> None:
    async with listening(None) as (port, _):
        verdict = await verdict_of(Check("http", timeout=0.1), port)
        assert verdict == Verdict("/s/web/a", False, "no answer within 0.1 s")


async def test_a_server_that_drips_interim_answers_is_bad_after_the_timeout() -> None:
    over = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)
        except OSError:
            writer.transport.abort()
            over.set()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server:
        verdict = await verdict_of(Check("http", timeout=0.2), server.sockets[0].getsockname()[1])
        assert verdict.why == "no answer within 0.2 s"
        await over.wait()


def a_program(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (("true",), ""),
        (("false",), "exit code 1"),
        (a_program("import os; os.kill(os.getpid(), 9)"), "killed by signal 9"),
        (("/nonexistent/check",), "can't run /nonexistent/check: No such file or directory"),
        (("test", "$(id)", "=", "$(id)"), ""),
    ],
)
async def test_command_is_good_with_exit_code_0(command: tuple[str, ...], why: str) -> None:
    assert await verdict_of(Check("command", command=command, timeout=20), 80) == Verdict(
        "/s/web/a", not why, why
    )


async def test_no_word_of_a_command_ever_reaches_a_shell(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    command = ("echo", f"; touch {mark}", f"$(touch {mark})", f"| touch {mark}")
    assert (await verdict_of(Check("command", command=command, timeout=20), 80)).good
    assert not mark.exists()


async def test_a_command_sees_the_instance_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZKDNS_ZOOKEEPER_AUTH", "digest:user:secret")
    seen = tmp_path / "seen"
    code = f"import os; open({str(seen)!r}, 'w').write(repr(sorted(os.environ.items())))"
    assert (await verdict_of(Check("command", command=a_program(code), timeout=20), 8080)).good
    text = seen.read_text()
    assert "secret" not in text
    for pair in (("ZKDNS_ADDRESS", "127.0.0.1"), ("ZKDNS_PORT", "8080"), ("ZKDNS_ID", "a")):
        assert repr(pair) in text


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def test_a_commands_timeout_kills_its_children_too(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "import os, subprocess, sys, time; child = subprocess.Popen(['sleep', '600']);"
        f"f = open({str(pids)!r}, 'w'); f.write(f'{{os.getpid()}} {{child.pid}}'); f.close(); time.sleep(600)"
    )
    verdict = await verdict_of(Check("command", command=a_program(code), timeout=3), 80)
    assert verdict.why == "no answer within 3 s"
    for pid in map(int, pids.read_text().split()):
        await until(lambda pid=pid: not is_alive(pid))  # type: ignore[misc]


@pytest.mark.parametrize("code", [0, 1])
async def test_what_a_command_leaves_behind_ends_with_it(tmp_path: Path, code: int) -> None:
    """However it ended: each probe of a service would leave one more."""
    pid = tmp_path / "pid"
    script = f"sleep 600 & echo $! > '{pid}'; exit {code}"
    verdict = await verdict_of(Check("command", command=("sh", "-c", script), timeout=20), 80)
    assert verdict.good == (code == 0)
    left = int(pid.read_text())
    await until(lambda: not is_alive(left))


async def test_a_command_that_can_not_be_ended_is_a_bad_probe_in_time_and_is_not_started_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of another user, or one that waits for a disk: its probe never ended, and its verdict stood."""
    monkeypatch.setattr(command_check, "kill_group", lambda leader: None)
    starts, told = tmp_path / "starts", list[Verdict]()
    words = ("sh", "-c", f"echo >> '{starts}'; exec sleep 600")
    check = Check("command", command=words, timeout=1, interval=0.1)
    prober = Prober(lambda target, verdict: told.append(verdict))
    prober.schedule(Target("/s/web/a", "a", "127.0.0.1", 80, 0.0, check))
    await until(lambda: len(told) >= 3)
    goes_on = "the program of the last probe goes on, and can't be ended"
    assert [verdict.why for verdict in told[:3]] == ["no answer within 1 s", goes_on, goes_on]
    assert starts.read_text() == "\n"
    process = command_check._left["/s/web/a"]
    process.kill()
    await process.wait()
    await until(lambda: command_check._left["/s/web/a"] is not process)
    assert starts.read_text() == "\n\n"
    await prober.stop()
    command_check._left["/s/web/a"].kill()


# --- the prober -------------------------------------------------------------------------------------


async def test_no_more_probes_are_under_way_than_there_are_sockets() -> None:
    under_way = most = 0
    told: list[str] = []

    async def probe(target: Target) -> str:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.005)
        under_way -= 1
        return ""

    prober = Prober(lambda target, verdict: told.append(target.path), sockets=7, named=lambda name: probe)
    for n in range(100):
        prober.schedule(Target(f"/s/web/{n}", "", "10.0.0.1", 80, 0.0, Check("tcp", interval=60)))
    await until(lambda: len(told) == 100)
    assert most == 7
    assert len(set(told)) == 100
    await prober.stop()


class Recorder:
    """A probe that notes when it was asked, on the loop's clock."""

    def __init__(self) -> None:
        self.asked: dict[str, list[float]] = {}

    def named(self, name: str) -> Callable[[Target], Awaitable[str]]:
        return self.probe

    async def probe(self, target: Target) -> str:
        self.asked.setdefault(target.path, []).append(asyncio.get_running_loop().time())
        return ""


def test_moments_spread_over_the_interval_and_differ_between_replicas() -> None:
    def moments(salt: str) -> list[float]:
        prober = Prober(lambda target, verdict: None, salt)
        check = Check("tcp", interval=10)
        return [
            prober._next(Target(f"/s/web/{n}", "", "10.0.0.1", 80, 0.0, check), 1000.0) for n in range(200)
        ]

    one, other = moments("one"), moments("other")
    assert all(1005 <= at < 1015 for at in one)
    tenths = [sum(1005 + n <= at < 1006 + n for at in one) for n in range(10)]
    assert min(tenths) >= 8
    assert max(tenths) <= 35
    assert not set(one) & set(other)


def test_from_one_moment_to_the_next_it_is_exactly_the_interval() -> None:
    prober = Prober(lambda target, verdict: None)
    target = Target("/s/web/a", "", "10.0.0.1", 80, 0.0, Check("tcp", interval=10))
    first = prober._next(target, 1000.0)
    assert prober._next(target, first) == pytest.approx(first + 10)


async def test_a_dropped_target_is_not_probed_again_and_a_moved_one_is_probed_at_once() -> None:
    recorder = Recorder()
    prober = Prober(lambda target, verdict: None, named=recorder.named)
    check = Check("tcp", interval=0.1, timeout=600)  # a machine that is held up says nothing of a target
    for id in "ab":
        prober.schedule(Target(f"/{id}", id, "10.0.0.1", 80, 0.0, check))
    # What was begun when a target goes is asked all the same.
    await until(lambda: len(recorder.asked.get("/a", [])) > 1 and not prober._running)
    prober.drop("/a")
    before = len(recorder.asked["/a"])
    slow = Check("tcp", interval=3600, timeout=600)
    prober.schedule(Target("/b", "b", "10.0.0.2", 80, 0.0, slow))
    seen = len(recorder.asked["/b"])
    await until(lambda: len(recorder.asked["/b"]) > seen)
    prober.schedule(Target("/c", "c", "10.0.0.2", 80, 0.0, check))
    await until(lambda: len(recorder.asked.get("/c", [])) > 3)
    assert len(recorder.asked["/a"]) == before
    assert len(recorder.asked["/b"]) == seen + 1
    await prober.stop()


async def test_a_check_that_breaks_is_a_bad_probe_and_the_next_one_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[Verdict] = []

    async def probe(target: Target) -> str:
        raise RuntimeError("oops")

    prober = Prober(lambda target, verdict: told.append(verdict), named=lambda name: probe)
    prober.schedule(Target("/a", "a", "10.0.0.1", 80, 0.0, Check("tcp", interval=0.1)))
    await until(lambda: len(told) >= 2)
    assert told[0].why == "the check itself broke: RuntimeError"
    await prober.stop()


async def test_stop_ends_what_is_under_way(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    prober = Prober(lambda target, verdict: None)
    prober.schedule(Target("/a", "a", "x", 80, 0.0, Check("command", command=a_program(code), timeout=600)))
    try:
        await until(lambda: pid_file.exists() and pid_file.read_text() != "")
    finally:
        await prober.stop()
    pid = int(pid_file.read_text())
    await until(lambda: not is_alive(pid))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


async def test_what_is_lacking_here_is_no_bad_probe(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """At the edge of a limit every other probe lacks something: that is one line all the same."""
    monkeypatch.setattr("zkdns.health.prober.AGAIN", 0.01)
    told: list[Verdict] = []
    many, large = (
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    )
    left: dict[str, list[Exception]] = {
        "a": [many, large], "b": [], "c": [many],
        "d": [many, MemoryError(), RuntimeError("can't start new thread")],
    }  # fmt: skip

    async def probe(target: Target) -> str:
        if left[target.id]:
            raise left[target.id].pop()
        return ""

    prober = Prober(lambda target, verdict: told.append(verdict), named=lambda name: probe)
    assert prober.lacks == ()
    for id in left:
        prober.schedule(Target(f"/s/web/{id}", id, "10.0.0.1", 80, 0.0, Check("tcp", interval=60)))
    await until(lambda: len(told) == 4)
    await prober.stop()
    assert all(v.good for v in told)
    assert prober.lacks == ("too many open files",), "it is a problem for a while after it was met last"
    assert sum("can't be made" in r.getMessage() for r in caplog.records) == 1


async def test_ports_that_are_used_up_toward_one_place_are_told_as_that_and_are_no_bad_probe(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("zkdns.health.prober.AGAIN", 0.01)
    told: list[Verdict] = []
    sock = socket.socket

    class UsedUp(socket.socket):
        def connect(self, address: object) -> None:
            if ends:
                raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
            super().connect(address)  # type: ignore[arg-type]

    ends = [True]
    monkeypatch.setattr("zkdns.health.connection.socket.socket", UsedUp)
    with sock() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        prober = Prober(lambda target, verdict: told.append(verdict))
        prober.schedule(Target("/s/web/a", "a", "127.0.0.1", port, 0.0, Check("tcp", interval=60)))
        await until(lambda: prober.lacks)
        assert prober.lacks == (f"no port of this machine is free toward 127.0.0.1:{port}",)
        assert not told
        ends.clear()
        await until(lambda: told)
    await prober.stop()
    assert told[0].good
    assert "no port of this machine is free toward" in caplog.text


async def test_an_answer_that_nobody_looked_for_in_time_is_no_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zkdns.health.prober.AGAIN", 0.01)
    monkeypatch.setattr("zkdns.health.prober.LATE", 0.05)
    told: list[Verdict] = []
    begun = []

    async def probe(target: Target) -> str:
        begun.append(target)
        if len(begun) == 1:
            time.sleep(0.2)  # noqa: ASYNC251  (the whole server stands still)
        await asyncio.sleep(60 if len(begun) == 1 else 0)
        return ""

    prober = Prober(lambda target, verdict: told.append(verdict), named=lambda name: probe)
    prober.schedule(Target("/s/web/a", "a", "10.0.0.1", 80, 0.0, Check("tcp", interval=60, timeout=0.1)))
    await until(lambda: told)
    await prober.stop()
    assert [v.good for v in told] == [True]
    assert "held up" in prober.lacks[0]


async def test_a_service_of_silent_targets_keeps_no_other_service_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zkdns.health.prober.PATIENCE", 0.01)
    told: list[str] = []

    async def probe(target: Target) -> str:
        if target.path.startswith("/s/evil"):
            await asyncio.Event().wait()
        return ""

    come = asyncio.Event()

    def tell(target: Target, verdict: Verdict) -> None:
        told.append(target.path)
        come.set()

    prober = Prober(tell, sockets=8, named=lambda name: probe)
    for service in ("evil1", "evil2"):
        for n in range(50):
            check = Check("tcp", timeout=10)
            prober.schedule(Target(f"/s/{service}/{n}", "", "10.0.0.1", 80, 0.0, check, service=service))
    await asyncio.sleep(0.05)
    check = Check("tcp", interval=60)
    prober.schedule(Target("/s/web/a", "a", "10.0.0.1", 80, 0.0, check, service="web"))
    await come.wait()
    await prober.stop()
    assert told == ["/s/web/a"], "and those that gave their places up were told nothing of"
