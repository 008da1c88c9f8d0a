"""The status page in a real Chromium: live with script, whole without, for keyboards, phones, many services.

ZKDNS_PICTURES=1 writes the pictures of docs/images anew.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from kazoo.client import KazooClient

from support import contrast
from support.browser import ENTER, TAB, Browser, demand
from support.server import Zkdns
from support.waiting import eventually
from support.zookeeper import ZooKeeperServer

PICTURES = Path(__file__).parents[2] / "docs" / "images"

FILE = '[[web.instances]]\nid = "a"\naddress = "10.0.0.1"\n'

EVIL = "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>'\"&amp;"

NAMELESS = """
  return [...document.querySelectorAll("a, button, input, meter, [role=search]")].filter((e) =>
    !(e.getAttribute("aria-label") || e.textContent.trim() || (e.labels && e.labels.length))
    && e.getAttribute("role") !== "search").map((e) => e.outerHTML);
"""


@pytest.fixture(scope="module")
def world(zookeeper: ZooKeeperServer) -> Iterator[tuple[Zkdns, KazooClient, str]]:
    """A server over a registry with some of everything, and the operator's client."""
    demand()
    root = "/page"
    client = zookeeper.client()
    with Zkdns(registry=f"zk://{zookeeper.hosts}{root}") as server:
        fill(client, root)
        eventually(lambda: len(server.json("/api/v1/services")["services"]) == 6)
        for _ in range(60):
            server.ask("web.svc.local")
        yield server, client, root
    client.delete(root, recursive=True)
    client.stop()
    client.close()


def fill(client: KazooClient, root: str) -> None:
    def put(path: str, **data: Any) -> None:
        client.create(f"{root}/{path}", json.dumps(data).encode(), makepath=True)

    put(
        "web/a",
        address="10.0.0.11",
        port=8080,
        weight=10,
        tags=["canary"],
        meta={"version": "1.4"},
        zone="eu-1a",
        ports={"metrics": 9100},
    )
    put("web/b", address="10.0.0.12", port=8080, weight=30)
    put("web/c", address="10.0.0.13", port=8080, weight=20, status="draining")
    put("web/d", address="10.0.0.14", port=8080, weight=20, priority=10)
    put("api/one", address=["10.0.1.1", "fd00::1"], port=9090)
    put("api/two", address="10.0.1.2", port=9090, status="starting")
    put("db/main", address="10.0.2.1", port=5432, status="down")
    put("cache/x", address="10.0.3.300")
    put("queue/q1", address="10.0.4.1", port=5672)
    name = EVIL.replace("/", "")
    put(f"{name}/{name}", address="10.0.9.9", tags=[EVIL], meta={EVIL: EVIL})
    put(f"{name}/bad{name}", address=EVIL)


@pytest.fixture(scope="module")
def chromium(world: tuple[Zkdns, KazooClient, str]) -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def page(world: tuple[Zkdns, KazooClient, str], chromium: Browser) -> Browser:
    """The page as it opens."""
    chromium.cdp("Emulation.clearDeviceMetricsOverride")
    chromium.scheme("light")
    chromium.complaints()
    chromium.go(at(world[0]))
    eventually(lambda: chromium.text("#live") == "Live")
    return chromium


def at(server: Zkdns, query: str = "") -> str:
    return f"http://127.0.0.1:{server.http_port}/{query}"


def row(page: Browser, service: str) -> str:
    """The text of a service's row."""
    found = [line for line in page.text("#services tbody tr").splitlines() if line.startswith(service + " ")]
    return found[0] if found else ""


World = tuple[Zkdns, KazooClient, str]


def test_the_page_shows_services_problems_and_how_the_registry_stands(page: Browser) -> None:
    services = page.text("#services")
    assert "Services (6)" in services
    assert "healthy" in services
    assert "10.0.3.300" in page.text("#problems")
    assert "set address to" in page.text("#problems")
    assert "2 services without a healthy instance." in page.text("#summary")
    assert "connected" in page.text("#registry")
    assert "svc.local" in page.text("#registry")


def test_a_service_opened_shows_share_due_beside_share_given(page: Browser) -> None:
    page.click("#services a[href*='service=web']")
    eventually(lambda: "25.0%" in page.text("#opened"))
    opened = page.text("#opened")
    assert "75.0%" in opened
    assert "registered as draining" in opened
    page.click("#opened tr[data-key=a] summary")
    more = page.text("#opened tr[data-key=a] dl")
    for said in ("/page/web/a", "port metrics\n9100", "zone\neu-1a", "meta version\n1.4", "a.web.svc.local"):
        assert said in more
    meters = page.run(
        "return [...document.querySelectorAll('#opened tbody tr')].map(r =>"
        " [...r.querySelectorAll('meter')].map(m => m.value))"
    )
    assert meters == [[0.25, 0.25], [0.75, 0.75], [0, 0], [0, 0]]


def test_nothing_comes_from_outside_and_the_policy_forbids_nothing_that_is_used(
    page: Browser, world: World
) -> None:
    script = "return performance.getEntriesByType('resource').map(e => e.name)"
    eventually(lambda: len(page.run(script)) >= 3)  # the styles, the script, and what the script asks for
    loaded = page.run(script)
    assert all(url.startswith(at(world[0])) for url in loaded), loaded
    assert page.complaints() == []
    assert page.run("return document.querySelectorAll('[style], style, script:not([src])').length") == 0


def test_a_change_shows_by_itself(page: Browser, world: World) -> None:
    _, client, root = world
    client.create(f"{root}/queue/q2", b'{"address": "10.0.4.2"}')
    try:
        eventually(lambda: "queue/q2" in page.text("#events"))
        eventually(lambda: "2 / 2" in row(page, "queue"))
        client.set(f"{root}/queue/q2", b'{"address": "10.0.4.2", "status": "draining"}')
        eventually(lambda: "healthy → draining" in page.text("#events"))
        assert " s ago" in page.text("#events time")
        eventually(lambda: "1 / 2" in row(page, "queue"))
    finally:
        client.delete(f"{root}/queue/q2")
    eventually(lambda: "removed" in page.text("#events"))
    assert page.complaints() == []


def test_a_name_that_would_turn_the_page_around_is_written_out(page: Browser, world: World) -> None:
    _, client, root = world
    name = f"{root}/queue/q\u202e3"
    client.create(name, b'{"address": "10.0.4.3"}')
    try:
        eventually(lambda: "queue/q\\u202e3" in page.text("#events"))
        page.go(at(world[0], "?service=queue"))
        eventually(lambda: "q\\u202e3" in page.text("#opened"))
        assert "\u202e" not in page.text()
    finally:
        client.delete(name)
        page.go(at(world[0]))


def test_what_is_typed_and_where_the_focus_is_outlives_a_refresh(page: Browser, world: World) -> None:
    _, client, root = world
    page.type("#q", "half a wor")
    page.run("document.querySelector(\"#services a[href*='service=queue']\").focus()")
    client.set(f"{root}/queue/q1", b'{"address": "10.0.4.1", "port": 5672, "status": "down"}')
    try:
        eventually(lambda: "0 / 1" in row(page, "queue"))
        assert page.run("return document.activeElement.textContent") == "queue"
        assert page.run("return document.getElementById('q').value") == "half a wor"
    finally:
        client.set(f"{root}/queue/q1", b'{"address": "10.0.4.1", "port": 5672}')


def test_what_the_registry_holds_runs_nothing(page: Browser, world: World) -> None:
    _, client, root = world
    name = EVIL.replace("/", "")
    for query in (f"?service={quote(name)}", f"?service={quote(EVIL)}", f"?q={quote(EVIL)}", "?q=%3Cimg"):
        page.go(at(world[0], query))
        eventually(lambda: page.text("#live") == "Live")
        client.set(
            f"{root}/{name}/{name}", json.dumps({"address": "10.0.9.9", "tags": [EVIL, query]}).encode()
        )
        eventually(lambda: "changed" in page.text("#events"))
        assert "pwned" not in page.run("return document.title")
        assert page.run("return document.querySelectorAll('img').length") == 0
        assert page.run("return document.scripts.length") == 1
    assert EVIL.replace("/", "") in page.text("#events")


def test_a_server_that_went_away_is_told(serve: Callable[..., Zkdns], chromium: Browser, file: Path) -> None:
    server = serve(registry=f"file:{file}")
    chromium.go(at(server))
    eventually(lambda: chromium.text("#live") == "Live")
    server.kill()
    eventually(lambda: "has not answered since" in chromium.text("#lost"))
    assert "web" in chromium.text("#services")
    assert chromium.run("return document.title") == "(lost) zkdns"
    assert "grayscale" in chromium.run("return getComputedStyle(document.querySelector('main')).filter")
    server.start()
    eventually(lambda: chromium.text("#live") == "Live")
    eventually(lambda: chromium.text("#lost") == "")
    eventually(lambda: chromium.run("return document.title") == "zkdns")


def test_a_server_that_hangs_is_told_too(serve: Callable[..., Zkdns], chromium: Browser, file: Path) -> None:
    server = serve(registry=f"file:{file}")
    chromium.go(at(server))
    eventually(lambda: chromium.text("#live") == "Live")
    server.signal(signal.SIGSTOP)
    try:
        eventually(lambda: "has not answered since" in chromium.text("#lost"), 20)
    finally:
        server.signal(signal.SIGCONT)
    eventually(lambda: chromium.text("#lost") == "", 20)


def test_what_was_not_there_at_first_comes_by_itself_and_so_does_the_count_in_the_title(
    serve: Callable[..., Zkdns], chromium: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "services.toml"
    whole = '[web]\n[[web.instances]]\nid = "a"\naddress = "10.0.0.1"\n'
    path.write_text(whole)
    chromium.go(at(serve(registry=f"file:{path}")))
    eventually(lambda: chromium.text("#live") == "Live")
    assert chromium.text("#problems") == chromium.text("#empty") == ""
    path.write_text("[web]\n")
    eventually(lambda: "a is gone" in chromium.text("#empty"))
    assert chromium.run("return document.title") == "(1) zkdns"
    assert "1 service without a healthy instance." in chromium.text("#summary")
    path.write_text(whole + '[[web.instances]]\nid = "b"\naddress = 7\n')
    eventually(lambda: "address" in chromium.text("#problems"))
    eventually(lambda: chromium.text("#empty") == "")
    assert chromium.run("return document.title") == "zkdns"


def test_a_fold_that_was_opened_stays_open_when_the_page_is_made_fresh(page: Browser, world: World) -> None:
    _, client, root = world
    page.go(at(world[0], "?service=queue"))
    eventually(lambda: page.text("#live") == "Live")
    page.click("#opened tr[data-key=q1] summary")
    client.create(f"{root}/queue/q0", b'{"address": "10.0.4.9"}')
    try:
        eventually(lambda: "q0" in page.text("#opened"))
        assert "/page/queue/q1" in page.text("#opened tr[data-key=q1] dl")
    finally:
        client.delete(f"{root}/queue/q0")
    eventually(lambda: "q0" not in page.text("#opened"))


def test_badges_filter_and_words_find_instances(page: Browser) -> None:
    page.click("#summary a[href*='state=starting']")
    eventually(lambda: "Services (1)" in page.text("#services h2"))
    assert row(page, "api")
    page.click("#services .chosen a")
    eventually(lambda: "Services (6)" in page.text("#services h2"))
    for words, found in (
        ("canary", "web a"),
        ("10.0.0.14", "web d"),
        ("version=1.4", "web a"),
        ("fd00", "api one"),
    ):
        page.run("document.getElementById('q').value = ''")
        page.type("#q", words)
        page.press(ENTER)
        eventually(lambda: page.text("#services tbody tr").startswith(found))  # noqa: B023


def test_explain_is_a_form_whose_result_has_an_address(page: Browser) -> None:
    page.type("#explain-name", "web")
    page.type("#explain-if", "drain=web/a drain=web/d")
    page.click("#explain button")
    eventually(lambda: "web.svc.local A: NOERROR" in page.text("#explained"))
    assert page.text("#explained ul:first-of-type") == "10.0.0.12"
    assert "explain=web&" in page.url
    page.go(page.url.replace("explain=web", "explain=no%20name..x"))
    assert "is no domain name" in page.text("#explained")


def test_a_mark_of_the_timeline_is_reached_by_keyboard_and_leads_to_its_change(
    page: Browser, world: World
) -> None:
    page.go(at(world[0], "?service=web"))
    page.run("document.querySelector('.day a').focus()")
    assert page.run("return document.activeElement.getAttribute('aria-label')").startswith("a: registered")
    page.press(ENTER)
    eventually(lambda: "#at-" in page.url)
    assert "registered" in page.run("return document.querySelector('tr:target').textContent")


def test_rows_that_are_told_apart_by_nothing_are_all_kept_fresh(page: Browser) -> None:
    """A node may have two problems of one kind, and a service an instance for each of two registries."""
    for rows in ("ab aB", "ab ac", "ab ac ad", "xz ab ac", "ac ab xy", "ab", ""):
        drawn = page.run(
            """
            const rows = arguments[0].split(" ").filter(Boolean);
            const cells = rows.map(([key, text]) => `<tr data-key="${key}"><td>${text}`).join("");
            const text = `<section id="problems" data-live><table><tbody>${cells}</tbody></table></section>`;
            put(new DOMParser().parseFromString(text, "text/html"));
            return [...document.querySelectorAll("#problems tr")].map((e) => e.dataset.key + e.textContent);
            """,
            rows,
        )
        assert drawn == rows.split()


# --- for everyone ------------------------------------------------------------------------------------------


def test_without_javascript_the_page_is_whole(page: Browser, world: World) -> None:
    server = world[0]
    with page.without_script():
        page.go(at(server))
        assert page.text("#live") == ""
        assert "Services (6)" in page.text("#services")
        assert "They need JavaScript" in page.text("#changes")
        page.type("#q", "ap")
        page.click("form button")
        eventually(lambda: page.url.endswith("?q=ap"))
        eventually(lambda: "Services (1)" in page.text("#services"))
        page.click("#services tbody a")
        eventually(lambda: "fd00::1" in page.text("#opened"))
        assert "registered as starting" in page.text("#opened")


def test_the_keyboard_reaches_everything(page: Browser) -> None:
    page.press(TAB)
    assert page.run("return document.activeElement.textContent") == "Skip to content"
    assert page.run(
        "const r = document.activeElement.getBoundingClientRect(); return r.left >= 0 && r.top >= 0"
    )
    reached = []
    for _ in range(90):
        page.press(TAB)
        reached.append(page.run("const e = document.activeElement; return e.id || e.textContent"))
        if page.run("return getComputedStyle(document.activeElement).outlineStyle") == "none":
            assert page.run("return document.activeElement === document.body")
        if reached[-1] == "web":
            break
    assert "q" in reached
    assert "Find" in reached
    page.press(ENTER)
    eventually(lambda: "10.0.0.12" in page.text("#opened"))


def test_a_screen_reader_finds_names_headings_and_languages(page: Browser, world: World) -> None:
    for query in ("", "?service=web"):
        page.go(at(world[0], query))
        assert page.run(NAMELESS) == []
        assert page.run("return document.documentElement.lang") == "en"
        assert page.run("return document.querySelectorAll('h1').length") == 1
        assert page.run("return document.querySelectorAll('main').length") == 1
        assert page.run("return [...document.querySelectorAll('th:not([scope])')].length") == 0
        ids = page.run("return [...document.querySelectorAll('[id]')].map(e => e.id)")
        assert len(ids) == len(set(ids))
        assert page.run("return document.getElementById('live').getAttribute('role')") == "status"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(page: Browser, world: World, scheme: str) -> None:
    page.scheme(scheme)
    for query in ("", "?service=web"):
        page.go(at(world[0], query))
        dark = page.run("return getComputedStyle(document.body).backgroundColor")
        assert (dark == "rgb(255, 255, 255)") == (scheme == "light")
        assert contrast.poor(page) == []


@pytest.mark.parametrize("width", [320, 390, 800])
def test_the_page_fits_a_narrow_screen(page: Browser, world: World, width: int) -> None:
    page.screen(width, 700, phone=True)
    for query in ("", "?service=web"):
        page.go(at(world[0], query))
        assert page.run("return document.documentElement.scrollWidth") <= width
        assert page.run("return innerWidth") <= width


def test_five_thousand_services_stay_usable(
    serve: Callable[..., Zkdns], chromium: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "services.toml"
    rows = (f'[[svc-{n:04}.instances]]\nid = "a"\naddress = "10.{n >> 8}.{n & 255}.1"\n' for n in range(5000))
    path.write_text("".join(rows))
    server = serve(registry=f"file:{path}")
    chromium.go(at(server))
    assert "Services (5,000)" in chromium.text("#services h2")
    assert chromium.run("return document.querySelectorAll('#services tbody tr').length") == 100
    assert len(server.http("/")[1]) < 100_000
    assert "Page 1 of 50" in chromium.text("#services nav")
    chromium.click("a[rel=next]")
    eventually(lambda: "svc-0100" in chromium.text("#services tbody tr:first-child"))
    chromium.click("a[rel=prev]")
    eventually(lambda: "svc-0000" in chromium.text("#services tbody tr:first-child"))
    chromium.type("#q", "svc-43")
    chromium.press(ENTER)
    eventually(lambda: "Services (100)" in chromium.text("#services h2"))
    chromium.go(at(server, "?page=999999"))
    assert "Page 50 of 50" in chromium.text("#services nav")
    assert "svc-4999" in chromium.text("#services tbody tr:last-child")


# --- pictures --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def calm(zookeeper: ZooKeeperServer) -> Iterator[World]:
    """What a person might meet at three in the morning."""
    demand()
    root = "/services"
    client = zookeeper.client()
    with Zkdns(registry=f"zk://{zookeeper.hosts}{root}") as server:
        fill(client, root)
        name = EVIL.replace("/", "")
        client.delete(f"{root}/{name}", recursive=True)
        client.create(f"{root}/mail/m1", b'{"address": "10.0.6.1", "port": 25}', makepath=True)
        eventually(lambda: len(server.json("/api/v1/services")["services"]) == 6)
        for _ in range(60):
            server.ask("web.svc.local")
        client.delete(f"{root}/mail/m1")
        for status in ("draining", "up"):
            time.sleep(1.5)  # long enough to be seen in the picture
            data = {"address": "10.0.0.12", "port": 8080, "weight": 30, "status": status}
            client.set(f"{root}/web/b", json.dumps(data).encode())
        for _ in range(20):
            server.ask("web.svc.local")
        time.sleep(1.5)
        yield server, client, root
    client.delete(root, recursive=True)
    client.stop()
    client.close()


@pytest.mark.parametrize(
    ("name", "query", "scheme", "width", "height"),
    [
        ("page", "?service=web", "light", 1200, 1400),
        ("page-dark", "?service=web", "dark", 1800, 1100),
        ("page-phone", "", "dark", 390, 844),
    ],
)
def test_the_pictures_of_the_documents_are_taken_here(
    calm: World, chromium: Browser, name: str, query: str, scheme: str, width: int, height: int
) -> None:
    server, client, root = calm
    chromium.scheme(scheme)
    chromium.screen(width, height, phone=width < 500)
    chromium.go(at(server, query))
    eventually(lambda: chromium.text("#live") == "Live")
    client.create(f"{root}/queue/q2", b'{"address": "10.0.4.2", "port": 5672}')
    eventually(lambda: "added" in chromium.text("#events"))
    client.delete(f"{root}/queue/q2")
    eventually(lambda: "removed" in chromium.text("#events"))
    picture = chromium.picture()
    size = struct.unpack("!II", picture[16:24])
    assert size == ((width * 2, height * 2) if width < 500 else (width, height))
    kept = PICTURES / f"{name}.png"
    if os.environ.get("ZKDNS_PICTURES"):
        PICTURES.mkdir(exist_ok=True)
        kept.write_bytes(picture)
    assert struct.unpack("!II", kept.read_bytes()[16:24]) == size
