"""The page in each of its states: what stands beside a service, live and without script; judged by axe."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kazoo.client import KazooClient

from support import contrast
from support.browser import Browser, demand
from support.missing import demand_file
from support.server import Zkdns
from support.waiting import eventually
from support.zookeeper import ZooKeeperServer

AXE = Path(__file__).parents[2] / "build" / "axe" / "axe.min.js"

FILE = '[[web.instances]]\nid = "a"\naddress = "10.0.0.1"\n'

SETTINGS = """
near = "off"
[topology]
"127.0.0.1/32" = "eu/eu-1a"
"10.9.0.0/16" = "eu/eu-1b"
"""

World = tuple[Zkdns, KazooClient, str]


@pytest.fixture(scope="module")
def world(zookeeper: ZooKeeperServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A service that is a route, one by zone, one that lost all, one whose route gives nobody, in two
    registries."""
    demand()
    root, folder = "/states", tmp_path_factory.mktemp("states")
    client = zookeeper.client()
    (folder / "settings.toml").write_text(SETTINGS)
    file = folder / "services.toml"
    file.write_text('[[files.instances]]\nid = "f"\naddress = "10.0.7.1"\n')
    flags = ("--config", str(folder / "settings.toml"), "--registry", f"dc1=zk://{zookeeper.hosts}{root}")
    with Zkdns(*flags, "--registry", f"dc2=file:{file}") as server:
        put(client, f"{root}/web", to=[{"web-v1": 75, "web-v2": 25}, {"spare": 1}])
        for path, address in (("web-v1/a", "10.0.0.1"), ("web-v2/b", "10.0.0.2"), ("spare/s", "10.0.0.3")):
            put(client, f"{root}/{path}", address=address, port=80)
        put(client, f"{root}/close", near="prefer")
        put(client, f"{root}/close/here", address="10.0.1.1", zone="eu-1a")
        put(client, f"{root}/close/there", address="10.0.1.2", zone="eu-1b")
        put(client, f"{root}/lost")
        put(client, f"{root}/lost/x", address="10.0.2.1")
        put(client, f"{root}/nobody", to=[{"lost": 1}])
        put(client, f"{root}/wrong/w", address="10.0.2.300")
        eventually(lambda: len(server.json("/api/v1/services")["services"]) == 9)
        client.delete(f"{root}/lost/x")
        for _ in range(40):
            server.ask("web.svc.local")
            server.ask("close.svc.local")
        yield server, client, root
    client.delete(root, recursive=True)
    client.stop()
    client.close()


def put(client: KazooClient, path: str, **data: Any) -> None:
    client.create(path, json.dumps(data).encode(), makepath=True)


@pytest.fixture(scope="module")
def chromium(world: World) -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


def at(server: Zkdns, query: str = "") -> str:
    return f"http://127.0.0.1:{server.http_port}/{query}"


# --- beside a service --------------------------------------------------------------------------------------


def test_a_route_shows_what_each_target_is_due_and_was_given_and_follows_a_change(
    world: World, chromium: Browser
) -> None:
    server, client, root = world
    chromium.go(at(server, "?service=web"))
    eventually(lambda: chromium.text("#live") == "Live")
    rows = chromium.text("#route tbody").splitlines()
    assert rows[0].startswith("1 web-v1 75 1 of 1")
    assert chromium.run(METERS, "#route") == [[0.75, 0.75], [0.25, 0.25], [0, 0]]
    assert "Written in its node" in chromium.text("#route")
    assert "to web-v1, web-v2" in chromium.text("#services tr[data-key=web]")
    client.set(f"{root}/web", json.dumps({"to": [{"web-v1": 1, "web-v2": 4}]}).encode())
    try:
        eventually(lambda: "20.0%" in chromium.text("#route"))
        assert "spare" not in chromium.text("#route")
    finally:
        client.set(f"{root}/web", json.dumps({"to": [{"web-v1": 75, "web-v2": 25}, {"spare": 1}]}).encode())
    eventually(lambda: "spare" in chromium.text("#route"))
    assert chromium.complaints() == []


METERS = """
  return [...document.querySelectorAll(arguments[0] + " tbody tr")].map(
    (row) => [...row.querySelectorAll("meter")].map((meter) => meter.value));
"""


def test_who_asked_is_told_and_counts_on(world: World, chromium: Browser) -> None:
    server = world[0]
    chromium.go(at(server, "?service=close"))
    assert "Who asked (1 client)" in chromium.text("#askers")
    assert chromium.text("#askers tbody tr").startswith("127.0.0.1 40 ")
    assert chromium.text("#askers tbody tr").endswith("here")
    server.ask("close.svc.local")
    eventually(lambda: chromium.text("#askers tbody tr").startswith("127.0.0.1 41 "), 20)


def test_answers_go_from_zone_to_zone(world: World, chromium: Browser) -> None:
    chromium.go(at(world[0], "?service=close"))
    assert chromium.text("#zones tbody").startswith("eu-1a eu-1a")
    assert chromium.run(METERS, "#zones") == [[1, 1], [1]]
    assert "none yet" in chromium.text("#zones tr[data-key='eu-1b eu-1b']")


def test_a_route_that_gives_nobody_is_first(world: World, chromium: Browser) -> None:
    chromium.go(at(world[0]))
    assert "3 services without a healthy instance." in chromium.text("#summary")
    assert chromium.run("return document.title") == "(3) zkdns"
    assert "x is gone" in chromium.text("#empty tr[data-key=lost]")
    assert "none of its route's targets has one" in chromium.text("#empty tr[data-key=nobody]")


def test_each_registry_stands_for_itself(world: World, chromium: Browser) -> None:
    chromium.go(at(world[0]))
    rows = chromium.text("#registry tbody").splitlines()
    assert len(rows) == 2
    assert all("connected" in row for row in rows)


def test_all_of_it_reads_without_script(world: World, chromium: Browser) -> None:
    server = world[0]
    with chromium.without_script():
        chromium.go(at(server, "?service=web"))
        assert chromium.text("#live") == ""
        assert "web-v1" in chromium.text("#route")
        assert "127.0.0.1" in chromium.text("#askers")
        chromium.click("#route a[href*='service=web-v1']")
        eventually(lambda: "10.0.0.1" in chromium.text("#opened"))
        chromium.go(at(server, "?service=close"))
        assert "eu-1b" in chromium.text("#zones")


def test_how_much_is_asked_comes_by_itself_by_service_and_client(world: World, chromium: Browser) -> None:
    server = world[0]
    chromium.go(at(server, "?sort=asked"))

    def asked() -> bool:
        server.ask("web.svc.local")
        return chromium.text("#services tbody th").startswith("web")  # what the others were asked is past

    eventually(asked, 40)
    eventually(lambda: "Who asks most" in chromium.text("#queries"))
    assert "127.0.0.1" in chromium.text("#queries")
    assert "Queries a second" in chromium.text("#services thead")


# --- judged by axe -----------------------------------------------------------------------------------------

STATES = (
    "", "?service=web", "?service=close", "?service=lost", "?service=gone", "?q=web", "?q=nothing-at-all",
    "?state=healthy&sort=-name", "?explain=web.svc.local&type=SRV&if=drain=web-v1/a", "?explain=no%20name",
)  # fmt: skip

JUDGE = """
  const done = arguments[arguments.length - 1];
  axe.run(document, { resultTypes: ["violations"] }).then(
    (found) => done(found.violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html)}`)),
    (error) => done([String(error)]));
"""


@pytest.mark.parametrize(("width", "scheme", "other"), [(390, "light", "dark"), (1600, "dark", "light")])
def test_axe_finds_nothing_wrong_in_any_state(
    world: World, chromium: Browser, width: int, scheme: str, other: str
) -> None:
    """Each width in one scheme, since it takes long: in the other nothing differs but how text stands out."""
    demand_file(AXE, "make axe")
    chromium.screen(width, 900, phone=width < 500)
    for state in STATES:
        chromium.scheme(scheme)
        chromium.go(at(world[0], state))
        eventually(lambda: chromium.text("#live") == "Live")
        assert judge(chromium) == [], state
        chromium.scheme(other)
        assert contrast.poor(chromium) == [], state


def test_axe_finds_nothing_wrong_while_nothing_is_loaded_and_when_the_server_is_lost(
    serve: Callable[..., Zkdns], chromium: Browser, file: Path
) -> None:
    demand_file(AXE, "make axe")
    chromium.cdp("Emulation.clearDeviceMetricsOverride")
    waiting = Zkdns(registry="zk://127.0.0.1:1/services")
    try:
        waiting.launch()
        eventually(lambda: lives(waiting))
        chromium.go(at(waiting))
        assert "Not ready" in chromium.text("#summary")
        assert judge(chromium) == []
    finally:
        waiting.close()
    server = serve(registry=f"file:{file}")
    chromium.go(at(server))
    eventually(lambda: chromium.text("#live") == "Live")
    server.kill()
    eventually(lambda: "has not answered since" in chromium.text("#lost"))
    assert judge(chromium) == []


def lives(server: Zkdns) -> bool:
    try:
        return bool(server.http("/health")[0] == 200)
    except OSError:
        return False


def judge(browser: Browser) -> list[str]:
    """What axe finds wrong with the page as it is."""
    browser.run(AXE.read_text())
    found: list[str] = browser.run_later(JUDGE)
    return found
