"""HTTP as the outside relies on it: a real server, real sockets, every shape held to docs/openapi.yaml."""

from __future__ import annotations

import contextlib
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kazoo.client import KazooClient

from support.ports import free_port
from support.schema import OPENAPI, faults, resolve
from support.server import Zkdns, serving
from support.waiting import eventually
from support.zookeeper import ZooKeeperServer
from zkdns.config import Address
from zkdns.serve.clients import NO_DEMAND
from zkdns.web.http import MAX_PORT, Web, read_limit, read_port
from zkdns.web.pages import MAX_CHANGES
from zkdns.web.status import Observed

REGISTRY = """
[shop]
ttl = 7
[[shop.instances]]
id = "a"
address = "10.0.0.1"
port = 80
weight = 10
tags = ["canary"]
ports = {http = 80}
meta = {version = "1"}
[[shop.instances]]
id = "b"
address = ["10.0.0.2", "fd00::2"]
port = 80
weight = 30
[[shop.instances]]
id = "gone"
address = "10.0.0.3"
status = "draining"
[[shop.instances]]
id = "bad"
address = "10.0.0.300"
[sick]
fail_open = 0.5
check = {type = "tcp", interval = 60}
[[sick.instances]]
id = "a"
address = "127.0.0.1"
port = 1
["My Service"]
policy = "first"
[empty]
[door]
to = [{shop = 3, sick = 1}, {"My Service" = 1}]
spill = 0.5
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zkdns]:
    with serving(REGISTRY, tmp_path_factory.mktemp("http")) as running:
        yield running


def send(server: Zkdns, raw: bytes) -> bytes:
    """What comes back for these bytes, until the server closes or is silent."""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=5) as connection:
        connection.sendall(raw)
        with contextlib.suppress(OSError):  # it may have closed before it read all, which is a reset
            connection.shutdown(socket.SHUT_WR)
        reply = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            while chunk := connection.recv(65536):
                reply += chunk
        return reply


def get(server: Zkdns, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(f"http://127.0.0.1:{server.http_port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, dict(reply.headers), reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


# --- the description -----------------------------------------------------------------------------------

ASKED = {
    "/health": {"": 200},
    "/ready": {"": 200},
    "/api/v1/services": {"": 200},
    "/api/v1/services/{name}": {
        "/shop": 200,
        "/sick": 200,
        "/empty": 200,
        "/door": 200,
        "/My%20Service": 200,
        "/my-service": 200,
        "/nope": 404,
    },
    "/api/v1/explain": {
        "?name=shop.svc.local&type=SRV": 200,
        "?name=door.svc.local": 200,
        "?name=shop.svc.local&if=drain%3Dshop/a&if=weight:shop/b%3D5": 200,
        "?name=elsewhere.example&client=10.1.2.3": 200,
        "?name=nope.svc.local&type=AAAA": 200,
        "": 400,
        "?name=shop.svc.local&type=BOGUS": 400,
        "?name=shop.svc.local&client=me": 400,
        "?name=shop.svc.local&if=drain%3Dshop/nope": 400,
        f"?name=a.svc.local{'&if=drain:shop/a' * MAX_CHANGES}": 200,
        f"?name=a.svc.local{'&if=drain:shop/a' * (MAX_CHANGES + 1)}": 400,
        "?name=shop.svc.local&at=17": 410,
        "?name=shop.svc.local&at=9999999999": 410,
        "?name=shop.svc.local&at=yesterday": 400,
        "?name=shop.svc.local&at=nan": 400,
    },
    "/api/v1/history": {
        "": 200,
        "?service=shop&id=a&since=2026-01-01&until=9999999999&limit=3": 200,
        "?since=noon": 400,
        "?until=inf": 400,
        "?limit=many": 400,
        "?limit=-1": 400,
        "?limit=0": 200,
        f"?limit={'9' * 5000}": 200,
    },
    "/api/v1/clients": {
        "": 200,
        "?service=shop&client=127.0.0.1": 200,
        "?client=nobody": 400,
    },
    "/api/v1/routes": {"": 200},
    "/api/v1/prometheus": {
        "": 200,
        "?service=shop&port=http": 200,
        "?service=nope": 404,
        "?service=shop&port=65536": 400,
        f"?service=shop&port={'9' * 5000}": 400,
    },
    "/api/v1/problems": {"": 200},
    "/api/v1/status": {"": 200},
}
"""By what is described: what is asked behind the fixed part of its path, and the status that comes back."""


@pytest.mark.parametrize(
    ("described", "rest", "status"),
    [(described, rest, status) for described, asked in ASKED.items() for rest, status in asked.items()],
)
def test_what_is_said_is_what_is_described(server: Zkdns, described: str, rest: str, status: int) -> None:
    got, headers, body = get(server, described.partition("/{")[0] + rest)
    assert got == status, body
    content = OPENAPI["paths"][described]["get"]["responses"][str(status)]["content"]
    assert headers["Content-Type"].partition(";")[0] in content
    assert not faults(json.loads(body), content["application/json"]["schema"])


async def test_every_path_is_described_and_every_described_path_is_there() -> None:
    nobody: Observed = SimpleNamespace(demand=lambda since, most: lambda: NO_DEMAND)  # type: ignore[assignment]
    web = Web(nobody)
    await web.start(Address("127.0.0.1", free_port()))
    try:
        assert web._runner is not None
        resources = web._runner.app.router.resources()
        assert {r.canonical for r in resources} - {"/static/{name}"} == set(OPENAPI["paths"])
    finally:
        await web.stop()


def test_a_wrong_shape_would_be_found() -> None:
    row = {"name": "a", "instances": 1, "healthy": 1, "policy": "weighted", "ttl": 5, "names": []}
    schema = resolve({"$ref": "#/components/schemas/ServiceRow"})
    assert not faults(row, schema)
    assert faults({**row, "policy": "best"}, schema)
    assert faults({**row, "ttl": "5"}, schema)
    assert faults({**row, "healthy": True}, schema)
    assert faults({**row, "more": 1}, schema)
    assert faults({k: v for k, v in row.items() if k != "names"}, schema)


# --- what the values say ---------------------------------------------------------------------------------


def test_the_list_counts_healthy_instances_and_names_the_service(server: Zkdns) -> None:
    said = server.json("/api/v1/services")
    rows = {row["name"]: row for row in said["services"]}
    assert list(rows) == sorted(rows)
    assert (rows["shop"]["instances"], rows["shop"]["healthy"], rows["shop"]["ttl"]) == (4, 2, 7)
    assert (rows["empty"]["instances"], rows["empty"]["healthy"], rows["empty"]["ttl"]) == (0, 0, 5)
    assert (rows["My Service"]["policy"], rows["My Service"]["names"][0]) == ("first", "my-service.svc.local")
    for name in ("shop.svc.local", "_shop._tcp.svc.local", "_http._tcp.shop.svc.local"):
        assert name in rows["shop"]["names"]
    assert (said["stale"], said["age_seconds"]) == (False, 0)
    assert said["serial"] == server.ask("svc.local", "SOA").answer[0][0].serial  # type: ignore[attr-defined]


def test_every_name_that_the_list_gives_exists(server: Zkdns) -> None:
    names = [name for row in server.json("/api/v1/services")["services"] for name in row["names"]]
    assert len(names) > 5
    for name in names:
        assert server.ask(name, "TXT").rcode() == 0, name


def test_shares_and_counted_first_answers_stand_beside_each_other(server: Zkdns) -> None:
    before = {i["id"]: i["first_answers"] for i in server.json("/api/v1/services/shop")["instances"]}
    for _ in range(40):
        server.ask("shop.svc.local", "A")
    after = {i["id"]: i for i in server.json("/api/v1/services/shop")["instances"]}
    assert {id: i["share"] for id, i in after.items()} == {"a": 0.25, "b": 0.75, "gone": 0, "bad": 0}
    assert {id: i["first_answers"] - before[id] for id, i in after.items()} == {
        "a": 10,
        "b": 30,
        "gone": 0,
        "bad": 0,
    }
    assert {id: i["given"] for id, i in after.items()} == {"a": 0.25, "b": 0.75, "gone": 0, "bad": 0}


def test_each_instance_tells_its_state_and_reason(server: Zkdns) -> None:
    by_id = {i["id"]: i for i in server.json("/api/v1/services/shop")["instances"]}
    assert (by_id["gone"]["state"], by_id["gone"]["reason"]) == ("draining", "registered as draining")
    assert by_id["b"]["address"] == ["10.0.0.2", "fd00::2"]
    assert (by_id["a"]["ports"], by_id["a"]["meta"]) == ({"http": 80}, {"version": "1"})
    (sick,) = server.json("/api/v1/services/sick")["instances"]
    assert (sick["state"], sick["in"], sick["share"]) == ("failing", True, 1)
    assert "fail_open" in sick["reason"]
    assert "fail_open" in server.json("/api/v1/services/sick")["note"]


def test_a_problem_names_path_what_and_cure(server: Zkdns) -> None:
    (problem,) = server.json("/api/v1/problems")["problems"]
    assert problem["path"].endswith("shop/bad")
    assert "10.0.0.300" in problem["what"]
    assert problem["cure"]
    assert server.metrics()["zkdns_registry_problems"] == 1


def test_the_page_explains_what_it_is_asked_and_no_part_of_it(server: Zkdns) -> None:
    """A name that is cut is another one, and so is a weight."""
    name = ".".join(["x" * 63, "y" * 63, "z" * 63, "shop.svc.local"])
    assert f"{name} A: NXDOMAIN" in server.http(f"/?explain={name}")[1]
    for count in (MAX_CHANGES, MAX_CHANGES + 1):
        changes = ["drain=shop/a"] * (count - 1) + ["weight:shop/b=7531"]
        _, shown = server.http(f"/?explain=shop&{urlencode([('if', one) for one in changes])}")
        assert ("if weight:shop/b=7531: b has the weight 7531, not 30" in shown) == (count == MAX_CHANGES)
        assert (f"more than {MAX_CHANGES} changes" in shown) == (count > MAX_CHANGES)


def test_an_explanation_changes_nothing(server: Zkdns) -> None:
    path = "/api/v1/explain?name=shop.svc.local&type=A"
    first = server.json(path)
    assert first["answer"] == server.json(path)["answer"]
    tried = server.json(path + "&if=drain%3Dshop/b")
    assert tried["answer"] == ["10.0.0.1"]
    assert server.json(path) == first
    reply = server.ask("shop.svc.local", "A")
    assert [rdata.to_text() for rdata in reply.answer[0]] == first["answer"]


# --- requests that are wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/nope", "/api/v1/nope", "/api/v1/services/nope", "/api/v2/services", "/static/nope"]
)
def test_what_is_not_there_is_404_as_json(server: Zkdns, path: str) -> None:
    status, headers, body = get(server, path)
    assert status == 404
    assert headers["Content-Type"].startswith("application/json")
    assert isinstance(json.loads(body)["error"], str)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/api/v1/services", "/api/v1/events", "/metrics"])
def test_only_get_and_head_are_taken(server: Zkdns, method: str, path: str) -> None:
    status, headers, body = get(server, path, method)
    assert status == 405
    assert {"GET", "HEAD"} <= set(headers["Allow"].replace(" ", "").split(","))
    assert json.loads(body).keys() == {"error"}


@pytest.mark.parametrize(
    "path", ["/", "/health", "/ready", "/metrics", "/api/v1/services", "/api/v1/events", "/static/page.css"]
)
def test_head_is_get_without_the_body(server: Zkdns, path: str) -> None:
    status, headers, body = get(server, path, "HEAD")
    assert (status, body) == (200, b"")
    if path != "/api/v1/events":  # whose GET has no end
        assert headers["Content-Type"] == get(server, path)[1]["Content-Type"]


@pytest.mark.parametrize(
    "raw",
    [
        b"\0\xff\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /%ff%fe?name=%ff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/v1/explain?name=%00%ff&type=%00&if=%ff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /static/../http.py HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /static/%2e%2e/http.py HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzzzzz\r\n",
        b"GET /?page=99999999999999999999999&q="
        + b"%25" * 300
        + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /api/v1/explain?name="
        + b"a." * 2000
        + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ],
)
def test_no_request_shows_our_inside_or_ends_the_server(server: Zkdns, raw: bytes) -> None:
    reply = send(server, raw)
    for inside in (b"Traceback", b"site-packages", b'File "', b"root:x:", b"class Web"):
        assert inside not in reply
    if reply:
        assert reply.startswith(b"HTTP/1.")
        assert not reply.split(b" ")[1].startswith(b"5"), reply[:200]
    assert "Traceback" not in server.log
    assert server.http("/health")[0] == 200


def test_every_reply_keeps_a_browser_strict(server: Zkdns) -> None:
    for path in ("/", "/api/v1/services", "/nope", "/static/page.js", "/metrics"):
        _, headers, _ = get(server, path)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"


# --- life ------------------------------------------------------------------------------------------------


def test_ready_is_503_until_there_is_a_catalog(serve: Callable[..., Zkdns]) -> None:
    waiting = Zkdns(registry=f"zk://127.0.0.1:{free_port()}/services")
    waiting.launch()
    try:
        eventually(lambda: _reaches(waiting))
        status, body = waiting.http("/ready")
        assert status == 503
        assert not faults(json.loads(body), {"$ref": "#/components/schemas/Ready"})
        assert waiting.json("/api/v1/services")["services"] == []
        assert waiting.metrics()["zkdns_registry_connected"] == 0
        assert "SERVFAIL" in waiting.json("/api/v1/explain?name=web.svc.local")["rcode"]
        assert "Not ready" in waiting.http("/")[1]
    finally:
        waiting.close()


def _reaches(server: Zkdns) -> bool:
    try:
        return server.http("/health")[0] == 200
    except OSError:
        return False


def test_in_lameduck_ready_is_503_and_answers_go_on(tmp_path: Path) -> None:
    path = tmp_path / "services.toml"
    path.write_text(REGISTRY)
    with Zkdns("--lameduck", "4", registry=f"file:{path}") as leaving:
        assert leaving.http("/ready")[0] == 200
        assert leaving.process is not None
        leaving.process.terminate()
        eventually(lambda: leaving.http("/ready")[0] == 503)
        assert json.loads(leaving.http("/ready")[1])["why"] == "lameduck"
        assert leaving.http("/health")[0] == 200
        assert leaving.answers("shop.svc.local") == ["10.0.0.1", "10.0.0.2"]
        assert leaving.process.wait(15) == 0


def test_without_an_address_there_is_no_http(serve: Callable[..., Zkdns], tmp_path: Path) -> None:
    path = tmp_path / "services.toml"
    path.write_text(REGISTRY)
    silent = serve("--http", "", registry=f"file:{path}")
    assert silent.answers("shop.svc.local")
    with pytest.raises(urllib.error.URLError, match="refused"):
        silent.http("/health")


# --- events ----------------------------------------------------------------------------------------------


class Stream:
    """A client of /api/v1/events that reads line by line."""

    def __init__(self, server: Zkdns) -> None:
        self._reply = urllib.request.urlopen(f"http://127.0.0.1:{server.http_port}/api/v1/events", timeout=20)
        assert self._reply.headers["Content-Type"].startswith("text/event-stream")
        assert self._reply.readline().startswith(b"retry:")

    def next(self) -> dict[str, Any]:
        while True:
            line = self._reply.readline()
            assert line, "the stream ended"
            if line.startswith(b"data: "):
                event: dict[str, Any] = json.loads(line[6:])
                assert not faults(event, {"$ref": "#/components/schemas/Change"})
                return event

    def ended(self) -> bool:
        try:
            return not self._reply.read().strip()
        except OSError:
            return True

    def close(self) -> None:
        self._reply.close()


@pytest.fixture
def live(zookeeper: ZooKeeperServer, zk_root: str, serve: Callable[..., Zkdns]) -> Zkdns:
    return serve(registry=f"zk://{zookeeper.hosts}{zk_root}")


def test_each_change_is_one_event(live: Zkdns, zk: KazooClient, zk_root: str) -> None:
    stream = Stream(live)
    try:
        zk.create(f"{zk_root}/web/a", b'{"address": "10.0.0.1"}', makepath=True)
        event = stream.next()
        if "instance" not in event:  # the service itself, where it was seen first
            assert event["change"] == "added"
            event = stream.next()
        assert (event["service"], event["instance"], event["change"]) == ("web", "a", "added")
        assert (event["state"], event["in"]) == ("healthy", True)
        zk.set(f"{zk_root}/web/a", b'{"address": "10.0.0.1", "status": "draining"}')
        event = stream.next()
        assert (event["change"], event["was"], event["state"]) == ("changed", "healthy", "draining")
        assert event["reason"]
        zk.set(f"{zk_root}/web/a", b'{"address": "10.0.0.1", "weight": 5}')
        event = stream.next()
        assert (event["state"], event["weight"]) == ("healthy", 5)
        zk.delete(f"{zk_root}/web/a")
        event = stream.next()
        assert (event["instance"], event["change"], event["was"]) == ("a", "removed", "healthy")
        zk.delete(f"{zk_root}/web")
        event = stream.next()
        assert (event["service"], event["change"]) == ("web", "removed")
        assert "instance" not in event
    finally:
        stream.close()


def whole(server: Zkdns, request: str) -> bytes:
    """The reply to a request that ends its connection."""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=10) as connection:
        connection.sendall(request.encode())
        reply = b""
        while chunk := connection.recv(65536):
            reply += chunk
        return reply


@pytest.mark.parametrize(
    ("begins", "code"),
    [
        ("GET /health HTTP/1.1", 200),
        ("GET /nope HTTP/1.1", 404),
        ("NO HTTP", 400),
        ("GET / HTTP/1.1\r\nExpect: much", 417),
        ("POST / HTTP/1.1", 405),
    ],
)
def test_no_reply_tells_which_versions_run_here(server: Zkdns, begins: str, code: int) -> None:
    reply = whole(server, f"{begins}\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    head = reply.partition(b"\r\n\r\n")[0]
    assert head.split()[1] == b"%d" % code
    assert b"\r\nServer: zkdns\r\n" in head + b"\r\n"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "svc.local"])
def test_a_host_that_is_not_ours_is_misdirected(server: Zkdns, host: str) -> None:
    for path in ("/", "/health", "/metrics", "/api/v1/services", "/nope"):
        reply = whole(server, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        assert reply.startswith(b"HTTP/1.1 421 "), path
        assert b"http_hosts" in reply


def test_hosts_that_are_named_are_ours_and_who_sends_none_is_no_browser(
    serve: Callable[..., Zkdns], tmp_path: Path
) -> None:
    registry, settings = tmp_path / "r.toml", tmp_path / "s.toml"
    registry.write_text(REGISTRY)
    settings.write_text('http_hosts = ["ZKDNS.example"]\n')
    server = serve("--config", str(settings), registry=f"file:{registry}")
    for head in ("HTTP/1.1\r\nHost: zkdns.example:80", "HTTP/1.1\r\nHost: localhost", "HTTP/1.0"):
        reply = whole(server, f"GET /health {head}\r\nConnection: close\r\n\r\n")
        assert b" 200 OK" in reply.split(b"\r\n")[0], head


def test_a_request_that_trickles_is_ended(server: Zkdns) -> None:
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=30) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\n")

        def is_ended() -> bool:
            try:
                slow.sendall(b"X: y\r\n")
            except OSError:
                return True
            return False

        eventually(is_ended, 25, 0.5)


def test_the_page_of_a_large_service_stays_short_and_the_json_is_whole(
    serve: Callable[..., Zkdns], tmp_path: Path
) -> None:
    one = '[[big.instances]]\nid = "i{0}"\naddress = "10.0.{1}.{2}"\n'
    many = "".join(one.format(n, n >> 8, n & 255) for n in range(620))
    path = tmp_path / "services.toml"
    path.write_text(f"[big]\n{many}")
    server = serve(registry=f"file:{path}")
    status, _, page = get(server, "/?service=big")
    assert status == 200
    assert b"and 120 more in the JSON" in page
    assert page.count(b'<meter min="0" max="1"') == 500
    assert len(server.json("/api/v1/services/big")["instances"]) == 620


def test_the_server_ends_in_time_with_streams_open(live: Zkdns) -> None:
    streams = [Stream(live) for _ in range(5)]
    try:
        assert live.terminate(10) == 0
    finally:
        for stream in streams:
            stream.close()


def test_what_the_registry_holds_is_never_markup(live: Zkdns, zk: KazooClient, zk_root: str) -> None:
    evil = "<script>alert(1)</script>\"'&"
    name = evil.replace("/", "")
    body = {"address": "10.0.0.1", "tags": [evil], "meta": {evil: evil}, "zone": evil}
    zk.create(f"{zk_root}/{name}/{name}", json.dumps(body).encode(), makepath=True)
    zk.create(f"{zk_root}/{name}/bad{name}", json.dumps({"address": evil}).encode())
    eventually(lambda: len(live.json("/api/v1/services")["services"]) == 1)
    eventually(lambda: live.json("/api/v1/problems")["problems"])
    for path in ("/", f"/?service={quote(name)}", f"/?q={quote(evil)}", f"/?service={quote(evil)}"):
        page = live.http(path)[1]
        assert "<script>alert" not in page
        assert "&lt;script&gt;" in page, path
    status, headers, _ = get(live, f"/api/v1/services/{quote(name)}")
    assert status == 200
    assert headers["Content-Type"].startswith("application/json")
    assert live.metrics()


@pytest.mark.parametrize(
    ("text", "limit"), [("0", 0), ("0005", 5), (f"{'0' * 9}7", 7), ("9" * 5000, 999_999_999)]
)
def test_a_limit_is_the_number_that_stands_there_or_all(text: str, limit: int) -> None:
    assert read_limit(text) == limit


@given(number=st.integers(0, 2 * MAX_PORT) | st.integers(0, 10**30), zeros=st.integers(0, 6000))
def test_a_port_is_the_number_that_stands_there_or_none(number: int, zeros: int) -> None:
    text = f"{'0' * zeros}{number}"
    if 0 < number <= MAX_PORT:
        assert read_port(text) == str(number)
    else:
        with pytest.raises(ValueError, match=str(MAX_PORT)):
            read_port(text)
