"""Two real ensembles side by side: what befalls one of them is told where it counts, and nowhere else."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.pair import Pair, becomes, codes, outcome, texts
from support.server import Zkdns
from support.waiting import eventually

pytestmark = [pytest.mark.zookeeper, pytest.mark.xdist_group("ensembles")]

Serve = Callable[..., Zkdns]

SETTINGS = "[zookeeper]\nsession_timeout = 6\n"  # a busy machine may keep a ping waiting
NOT_READY, STALE, OUT_OF_REACH = 14, 3, 22


@pytest.fixture
def flags(tmp_path: Path, engine: str) -> tuple[str, ...]:
    config = tmp_path / "zkdns.toml"
    config.write_text(SETTINGS)
    return ("--engine", engine, "--config", str(config))


@contextmanager
def asked_all_the_time(server: Zkdns, *names: str) -> Iterator[list[Any]]:
    """What was answered meanwhile, each kind of answer once, by name."""
    seen: list[Any] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.005):
            for name in names:
                for tcp in (False, True):
                    one = name, *outcome(server, name, tcp=tcp)
                    if one not in seen:
                        seen.append(one)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


MINE = ("NOERROR", [], ["10.1.0.9"])
STALE_THEIRS = ("NOERROR", [STALE], ["10.2.0.9"])


def test_one_that_is_away_at_start_costs_nothing_but_its_own(
    pair: Pair, serve: Serve, flags: tuple[str, ...]
) -> None:
    pair.there.stop()
    server = serve(*flags, registry=pair.urls)
    assert server.http("/ready")[0] == 200
    for tcp in (False, True):
        assert outcome(server, "mine", tcp=tcp) == MINE
        assert outcome(server, "web", tcp=tcp) == ("NOERROR", [], ["10.1.0.1"])
        # Nobody can say that these are not there.
        for name in ("theirs", "nope", "nope.deeper", "nope.mine", "x.nope.mine"):
            assert outcome(server, name, tcp=tcp) == ("SERVFAIL", [NOT_READY], [])
    before = server.json("/api/v1/services")["serial"]
    with asked_all_the_time(server, "mine") as seen:
        pair.there.start()
        becomes(server, "theirs", "NOERROR", [], ["10.2.0.9"])
        becomes(server, "web", "NOERROR", [], ["10.1.0.1", "10.2.0.2"])
        becomes(server, "nope", "NXDOMAIN", [], [])
    assert seen == [("mine", *MINE)]
    assert server.json("/api/v1/services")["serial"] != before


def test_the_first_may_be_away_at_start_as_well(pair: Pair, serve: Serve, flags: tuple[str, ...]) -> None:
    pair.here.stop()
    server = serve(*flags, registry=pair.urls)
    assert server.http("/ready")[0] == 200
    assert outcome(server, "theirs") == ("NOERROR", [], ["10.2.0.9"])
    assert outcome(server, "mine") == ("SERVFAIL", [NOT_READY], [])
    pair.here.start()
    becomes(server, "mine", *MINE)


def test_without_any_of_them_nothing_is_ready(pair: Pair, flags: tuple[str, ...]) -> None:
    pair.here.stop()
    pair.there.stop()
    server = Zkdns(*flags, registry=pair.urls)
    try:
        server.launch()
        eventually(lambda: "10.1" not in server.log and server.is_answering("mine.svc.local"))
        assert outcome(server, "mine") == ("SERVFAIL", [NOT_READY], [])
        assert server.http("/ready")[0] == 503
        pair.there.start()
        becomes(server, "theirs", "NOERROR", [], ["10.2.0.9"])
        assert server.http("/ready")[0] == 200
    finally:
        server.close()


@pytest.mark.parametrize("befalls", ["killed", "frozen", "wiped"])
def test_what_befalls_one_is_told_of_what_comes_from_it_alone(
    pair: Pair, serve: Serve, flags: tuple[str, ...], befalls: str
) -> None:
    server = serve(*flags, registry=pair.urls)
    serial = server.json("/api/v1/services")["serial"]
    with asked_all_the_time(server, "mine") as seen:
        if befalls == "frozen":
            pair.there.freeze()
        else:
            pair.there.kill()
        becomes(server, "theirs", *STALE_THEIRS)
        becomes(server, "web", "NOERROR", [STALE], ["10.1.0.1", "10.2.0.2"])
        for name in ("nope", "nope.mine", "nope.x.mine", "nope.web"):  # any of them might stand there
            becomes(server, name, "NXDOMAIN", [STALE], [])
        assert server.http("/ready")[0] == 200
        metrics = server.metrics()
        assert metrics["zkdns_registry_connected"] == 0
        assert metrics['zkdns_registry_connected{registry="here"}'] == 1
        assert metrics['zkdns_registry_connected{registry="there"}'] == 0
        assert metrics['zkdns_registry_stale_seconds{registry="here"}'] == 0
        assert server.json("/api/v1/services")["serial"] == serial
        # Here life goes on.
        pair.put("here", "mine/n", address="10.1.0.10", port=81)
        becomes(server, "mine", "NOERROR", [], ["10.1.0.10", "10.1.0.9"])
        pair.remove("here", "mine/n")
        becomes(server, "mine", *MINE)
        if befalls == "frozen":
            pair.there.thaw()
        elif befalls == "killed":
            pair.there.start()
        else:
            pair.there.wipe()
            pair.there.start()
            # What was there once is not answered for good: the grace of an outage ends.
            pair.put("there", "theirs/u", address="10.2.0.10", port=82)
            pair.put("there", "web/c", address="10.2.0.3", port=80)
            becomes(server, "theirs", "NOERROR", [], ["10.2.0.10"])
        if befalls != "wiped":
            becomes(server, "theirs", "NOERROR", [], ["10.2.0.9"])
            becomes(server, "web", "NOERROR", [], ["10.1.0.1", "10.2.0.2"])
        becomes(server, "nope", "NXDOMAIN", [], [])
    both = ("mine", "NOERROR", [], ["10.1.0.10", "10.1.0.9"])
    assert {tuple(map(str, one)) for one in seen} == {tuple(map(str, one)) for one in (("mine", *MINE), both)}


def test_stale_max_counts_for_what_comes_from_those_that_are_away(
    pair: Pair, serve: Serve, flags: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "zkdns.toml").write_text("stale_max = 2\n" + SETTINGS)
    server = serve(*flags, registry=pair.urls)
    with asked_all_the_time(server, "mine") as seen:
        pair.there.kill()
        becomes(server, "theirs", "SERVFAIL", [OUT_OF_REACH], [])
        # Here there is still somebody who is known.
        assert outcome(server, "web") == ("NOERROR", [STALE], ["10.1.0.1", "10.2.0.2"])
        assert outcome(server, "nope") == ("NXDOMAIN", [STALE], [])
        pair.there.start()
        becomes(server, "theirs", "NOERROR", [], ["10.2.0.9"])
    assert seen == [("mine", *MINE)]


def test_a_restart_answers_what_is_away_from_its_state_and_the_rest_live(
    pair: Pair, serve: Serve, flags: tuple[str, ...], tmp_path: Path
) -> None:
    flags = (*flags, "--state", str(tmp_path / "state"))
    server = serve(*flags, registry=pair.urls)
    eventually(lambda: any((tmp_path / "state").iterdir()))
    assert server.terminate() == 0
    pair.there.kill()
    pair.put("here", "mine/n", address="10.1.0.10", port=81)
    again = serve(*flags, registry=pair.urls)
    assert again.http("/ready")[0] == 200
    assert outcome(again, "theirs") == STALE_THEIRS
    assert outcome(again, "web") == ("NOERROR", [STALE], ["10.1.0.1", "10.2.0.2"])
    becomes(again, "mine", "NOERROR", [], ["10.1.0.10", "10.1.0.9"])
    assert outcome(again, "nope") == ("NXDOMAIN", [STALE], [])
    pair.there.start()
    becomes(again, "theirs", "NOERROR", [], ["10.2.0.9"])


def test_the_serial_is_the_sum_and_a_change_in_either_moves_it(
    pair: Pair, serve: Serve, flags: tuple[str, ...]
) -> None:
    both = serve(*flags, registry=pair.urls)
    alone = [serve(*flags, registry=url) for url in pair.urls]

    def serial(server: Zkdns) -> int:
        reply = server.ask("svc.local", "SOA")
        return int(reply.answer[0][0].serial)  # type: ignore[attr-defined]

    seen = {serial(both)}
    for name in ("here", "there"):
        pair.put(name, "web/z", address="10.9.0.9")
        eventually(lambda: serial(both) not in seen)
        eventually(lambda: serial(both) == sum(map(serial, alone)) % 2**32)
        seen.add(serial(both))
    assert len(seen) == 3


def test_failover_gives_the_other_registry_while_none_of_the_own_is_healthy_there_and_back(
    pair: Pair, serve: Serve, flags: tuple[str, ...]
) -> None:
    pair.put("here", "web/c", address="10.1.0.3", port=80, priority=7)
    pair.put("there", "web/a", address="10.2.0.1", port=80)
    server = serve(*flags, "--failover", "there", registry=pair.urls)
    own = ("NOERROR", [], ["10.1.0.1"])
    becomes(server, "web", *own)
    assert outcome(server, "web", "SRV")[2] == [
        "0 1 80 a.web.svc.local.", "1 1 80 c.web.svc.local.",
        "2 1 80 a-there.web.svc.local.", "2 1 80 b.web.svc.local.",
    ]  # fmt: skip
    assert outcome(server, "a.web")[2] == ["10.1.0.1"]
    assert outcome(server, "a-there.web")[2] == ["10.2.0.1"]
    for tag, wanted in (("here", ["10.1.0.1"]), ("there", ["10.2.0.1", "10.2.0.2"])):
        assert outcome(server, f"{tag}.web") == ("NOERROR", [], wanted)
    theirs = ["10.2.0.1", "10.2.0.2"]
    with asked_all_the_time(server, "web", "mine") as seen:
        for id in ("c", "a"):  # the one that stands by goes first
            pair.put("here", f"web/{id}", address="10.1.0.1", port=80, status="down")
        becomes(server, "web", "NOERROR", [0], theirs)
        assert texts(server.ask("web.svc.local", edns=True)) == ["web: failed over to there (0 of 2 healthy)"]
        pair.put("here", "web/a", address="10.1.0.1", port=80)
        becomes(server, "web", *own)
    kinds = {json.dumps(one) for one in seen}
    wanted = [("web", *own), ("web", "NOERROR", [0], theirs), ("mine", *MINE)]
    assert kinds == {json.dumps(one) for one in wanted}

    # The one behind is lost: what is given comes from the other, and is as fresh as before.
    pair.there.kill()
    becomes(server, "theirs", "NOERROR", [0, STALE], ["10.2.0.9"])
    assert outcome(server, "web") == own
    assert codes(server.ask("web.svc.local", "SRV", edns=True)) == [STALE]


def test_a_target_may_be_of_one_registry_alone_and_a_registry_is_a_tag(
    pair: Pair, serve: Serve, flags: tuple[str, ...]
) -> None:
    pair.put("there", "web/c", address="10.2.0.3", port=80, tags=["canary"])
    pair.put("here", "far", to=[{"web@there": 1}])
    pair.put("here", "near", to={"web@here": 3, "canary.web@there": 1})
    server = serve(*flags, registry=pair.urls)
    assert outcome(server, "far")[2] == ["10.2.0.2", "10.2.0.3"]
    assert outcome(server, "there.web")[2] == ["10.2.0.2", "10.2.0.3"]
    assert outcome(server, "here.web")[2] == ["10.1.0.1"]
    assert outcome(server, "canary.there.web")[2] == outcome(server, "there.canary.web")[2] == ["10.2.0.3"]
    assert outcome(server, "canary.here.web")[:2] == ("NXDOMAIN", [])
    firsts = [server.ask("near.svc.local").answer[0][0].to_text() for _ in range(40)]
    assert {one: firsts.count(one) for one in firsts} == {"10.1.0.1": 30, "10.2.0.3": 10}
    assert outcome(server, "near", "SRV")[2] == ["0 1 80 c.web.svc.local.", "0 3 80 a.web.svc.local."]
