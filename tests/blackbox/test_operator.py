"""An operator's day: a service moves between ensembles, a new version gets a tenth, a data centre fails over.

Each is one command, seen before, while and after, and no client needs to know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from support.pair import Pair, becomes, outcome, texts
from support.server import Ran, Zkdns, run
from support.waiting import eventually

pytestmark = [pytest.mark.zookeeper, pytest.mark.xdist_group("ensembles")]

Serve = Callable[..., Zkdns]
HERE, THERE, NEW = "10.1.0.1", "10.2.0.1", "10.1.0.7"


@pytest.fixture
def pair(pair: Pair) -> Pair:
    """`shop` is here, as it always was; the same instances are started there, and a new version here."""
    pair.put("here", "shop/a", address=HERE, port=80)
    pair.put("here", "shop-v2/a", address=NEW, port=80)
    return pair


class Day:
    """One server, and an operator at a terminal."""

    def __init__(self, pair: Pair, server: Zkdns) -> None:
        self.server = server
        self.flags = [f"--registry={url}" for url in pair.urls]

    def zkdns(self, *words: str) -> Ran:
        done = run(*words, *self.flags)
        assert done.code == 0, done
        return done

    def tried(self, change: str) -> dict[str, float]:
        said = self.zkdns("explain", "shop", "--if", change, "--json").json
        return {one["target"]: one["due"] for one in said["targets"]}

    def given(self, n: int) -> Counter[str]:
        """Who stands first in so many answers."""
        return Counter(self.server.ask("shop.svc.local").answer[0][0].to_text() for _ in range(n))

    def history(self) -> list[tuple[str, str, str]]:
        rows = self.server.json("/api/v1/history?service=shop")["changes"]
        return [(row["from"], row["to"], row["by"]) for row in rows if row["what"] == "route"]

    def routes(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.server.json("/api/v1/routes")["routes"]
        return found


def test_a_service_moves_a_new_version_gets_a_tenth_and_a_data_centre_fails_over(
    pair: Pair, serve: Serve
) -> None:
    server = serve(registry=pair.urls)
    day = Day(pair, server)
    becomes(server, "shop", "NOERROR", [], [HERE])

    # From one ensemble to the other: what is there already stands by until it is wanted.
    day.zkdns("route", "shop", "shop@here")
    eventually(lambda: [row["service"] for row in day.routes()] == ["shop"])
    pair.put("there", "shop/a", address=THERE, port=80)
    eventually(lambda: "shop@there" in day.zkdns("explain", "shop", "--if", "route:shop=shop@there").out)
    assert day.tried("route:shop=shop@there") == {"shop@there": 1}
    assert outcome(server, "shop") == ("NOERROR", [], [HERE])
    assert "over 2 s" not in day.zkdns("route", "shop").out
    done = day.zkdns("route", "shop", "shop@there", "--over", "2s", "--why", "the move")
    assert "the move" in done.out
    becomes(server, "shop", "NOERROR", [], [THERE])
    day.zkdns("route", "shop", "shop=1", "--then", "shop@there")  # and back to what it is by itself
    becomes(server, "shop", "NOERROR", [], [HERE])
    day.zkdns("route", "shop", "--end")
    eventually(lambda: day.routes() == [])

    # A tenth to the new version, for an hour.
    assert day.tried("route:shop=shop:90,shop-v2:10") == {"shop": 0.9, "shop-v2": 0.1}
    assert day.given(20) == {HERE: 20}
    day.zkdns("route", "shop", "shop=90", "shop-v2=10", "--for", "1h", "--why", "v2 is tried")
    eventually(lambda: day.routes())
    assert day.given(200) == {HERE: 180, NEW: 20}
    [row] = day.routes()
    assert (row["tiers"], row["source"], row["over"]) == ([{"shop": 90, "shop-v2": 10}], "override", None)
    assert row["until"] is not None
    shown = day.zkdns("route").out
    assert "shop=90 shop-v2=10" in shown
    said = server.json("/api/v1/explain?name=shop.svc.local")
    assert {one["target"]: (one["due"], one["given"]) for one in said["targets"]} == {
        "shop": (0.9, 0.9), "shop-v2": (0.1, 0.1),
    }  # fmt: skip
    assert "shop-v2" in server.http("/?service=shop")[1]
    day.zkdns("route", "shop", "--end")
    eventually(lambda: day.given(10) == {HERE: 10})

    # The data centre has trouble: the other one's, by hand; then as a route that looks after itself.
    day.zkdns("route", "shop", "shop@there", "--why", "power in dc1")
    becomes(server, "shop", "NOERROR", [], [THERE])
    day.zkdns("route", "shop", "shop@here", "--then", "shop@there")
    becomes(server, "shop", "NOERROR", [], [HERE])
    assert day.zkdns("explain", "shop", "--if", "drain=shop/a", "--json").json["answer"] == [THERE]
    day.zkdns("drain", "shop/a")
    becomes(server, "shop", "NOERROR", [0], [THERE])
    assert texts(server.ask("shop.svc.local", edns=True)) == ["shop: failed over to there (0 of 1 healthy)"]
    assert "failed over to there (0 of 1 healthy)" in day.zkdns("route", "shop").out
    day.zkdns("undrain", "shop/a")
    becomes(server, "shop", "NOERROR", [], [HERE])
    day.zkdns("route", "shop", "--end")
    eventually(lambda: day.routes() == [])

    told = day.history()
    assert [now for _, now, _ in told] == [
        "shop@here", "shop@there over 2 s", "shop@there", "shop, then shop@there", "",
        "shop=90 shop-v2=10", "", "shop@there", "shop@here, then shop@there", "",
    ]  # fmt: skip
    assert [was for was, _, _ in told] == ["", *(now for _, now, _ in told[:-1])]
    assert [now for _, now, by in told if now and "@" not in by] == ["shop@there"], "the end of the move"


def test_commands_know_what_stands_behind_as_the_servers_have_it_and_a_route_tells_what_it_leaves_out(
    pair: Pair, serve: Serve
) -> None:
    server = serve("--failover", "there", registry=pair.urls)
    day = Day(pair, server)
    eventually(lambda: "web@there" in day.zkdns("services").out)
    assert {row["service"]: row["source"] for row in day.zkdns("route", "--json").json["routes"]} == {
        "theirs": "failover", "web": "failover",
    }  # fmt: skip
    assert day.zkdns("explain", "web", "--json").json["targets"][1]["target"] == "web@there"
    services = day.zkdns("services")
    assert "failed over to there (0 of 0 healthy)" in services.out
    assert "without a healthy instance" not in services.err
    alone = run("services", day.flags[0])
    assert alone.err == (
        "note: the servers have --failover there, and no --registry here is named there: "
        "what stands behind is left out\n"
    )

    moved = day.zkdns("route", "web", "web=9", "shop-v2=1", "--over", "1h")
    assert moved.out.startswith("web: route to web=9 shop-v2=1 over 3600 s, by ")
    assert "moves to web=9 shop-v2=1 until " in day.zkdns("route", "web").out
    assert moved.err == (
        "note: there does not stand behind web meanwhile: add --then web@there where it should\n"
    )
    tiers = [t["tiers"] for t in day.zkdns("route", "web", "--json").json["routes"]]
    assert list(tiers[0][1]) == ["web@there", "web", "shop-v2"], "it moves away from what stood behind"
    kept = day.zkdns("route", "web", "web=9", "shop-v2=1", "--then", "web@there", "--then", "nope@there")
    assert kept.err == "note: nope@there is not there now: it counts as without instances\n"
    assert "stands for web=9 shop-v2=1, then web@there, then nope@there" in " ".join(
        day.zkdns("services").out.split()
    )


def test_a_route_is_laid_and_an_instance_drained_while_the_other_ensemble_is_away(
    pair: Pair, serve: Serve
) -> None:
    server = serve("--failover", "there", registry=pair.urls)
    pair.there.stop()
    day = Day(pair, server)
    assert day.zkdns("drain", "web/a").out.startswith("web/a: drained")
    run("drain", "web/nobody", *day.flags).fails(1, pair.there.hosts)
    assert day.zkdns("route", "web", "web@here").out.startswith("web: route to web@here")
    eventually(lambda: server.json("/api/v1/routes")["routes"][-1]["source"] == "override")
