"""`zkdns explain --server`: what a running server says, and what else may answer at its URL."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from support.ports import free_port
from support.server import Zkdns, run
from support.waiting import eventually

FILE = """
[web]
[[web.instances]]
id = "a"
address = "127.0.0.1"
port = {good}
weight = 3
[[web.instances]]
id = "b"
address = "10.0.0.2"
port = 80
status = "draining"
[sick]
check = {{ type = "tcp", interval = 1, timeout = 1, fall = 1 }}
[[sick.instances]]
id = "one"
address = "127.0.0.1"
port = {bad}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zkdns]:
    path = tmp_path_factory.mktemp("registry") / "services.toml"
    path.write_text(FILE.format(good=80, bad=free_port()))
    with Zkdns(registry=f"file:{path}") as running:
        yield running


def url(server: Zkdns) -> str:
    return f"http://127.0.0.1:{server.http_port}"


@contextmanager
def answering(status: int, body: bytes, kind: str = "application/json") -> Iterator[str]:
    """A web server that says this to everything; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


# --- what it says ---------------------------------------------------------------------------------------


def test_the_server_is_asked_and_not_the_registry(server: Zkdns) -> None:
    nowhere = {"ZKDNS_REGISTRY": "file:/nothing/here.toml"}
    done = run("explain", "web.svc.local", "--server", url(server), env=nowhere)
    assert done.code == 0, done
    assert done.out.startswith("web.svc.local A: NOERROR\n  127.0.0.1\n")
    assert "registered as draining" in done.out
    assert not done.err


def test_a_service_s_name_is_meant_in_the_zone_of_the_server(server: Zkdns) -> None:
    said = run("explain", "web", "--server", url(server), "--json").json
    assert said["name"] == "web.svc.local"
    assert run("explain", "web/b", "--server", url(server), "--json").json["answer"] == ["10.0.0.2"]


def test_its_checks_have_a_part_in_what_is_told(server: Zkdns) -> None:
    eventually(lambda: server.json("/api/v1/services/sick")["instances"][0]["state"] == "failing")
    done = run("explain", "sick.svc.local", "--server", url(server) + "/")
    assert "failing" in done.out, done


def test_as_json_it_is_what_the_api_says(server: Zkdns) -> None:
    done = run("explain", "web.svc.local", "SRV", "--server", url(server), "--json")
    assert done.json == server.json("/api/v1/explain?name=web.svc.local&type=SRV")
    assert done.json["type"] == "SRV"


def test_client_and_changes_are_passed_on(server: Zkdns) -> None:
    words = ("explain", "web.svc.local", "--server", url(server), "--client", "198.51.100.7")
    tried = run(*words, "--if", "drain=web/a")
    assert tried.code == 0, tried
    (line,) = (line for line in tried.out.splitlines() if line.startswith("a "))
    assert line.split()[1:3] == ["out", "drained"]
    assert "100.0 %" in line, "what is now stands beside what would be"
    outside = run("explain", "example.com", "--server", url(server), "--client", "198.51.100.7")
    assert "198.51.100.7" in outside.out, outside


def test_an_address_stands_for_its_reverse_name(server: Zkdns) -> None:
    assert run("explain", "10.0.0.2", "--server", url(server), "--json").json["answer"] == [
        "b.web.svc.local."
    ]


# --- what goes wrong ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        "127.0.0.1:8053",
        "ftp://127.0.0.1",
        "http://",
        "http://:8053",
        "http://h:99999",
        "http://h:0",
        "http://h:x",
        "http://[::1",
        "http://h/?a=b",
        "http://h/#there",
        "http://h /",
        "http://h\x1b",
        "",
    ],
)
def test_a_url_that_is_none_is_wrong_usage(wrong: str) -> None:
    run("explain", "web.svc.local", "--server", wrong).fails(2, "http://HOST:PORT")


def test_a_secret_in_the_url_is_refused_and_not_shown() -> None:
    done = run("explain", "web.svc.local", "--server", "http://me:hunter2@127.0.0.1:1")
    done.fails(2, "secrets")
    assert "hunter2" not in done.err


@pytest.mark.parametrize(
    "words", [("--registry", "file:x"), ("--config", "x"), ("--zone", "x.test")], ids=lambda words: words[0]
)
def test_what_is_about_the_registry_does_not_go_with_a_server(words: tuple[str, ...]) -> None:
    run("explain", "web.svc.local", "--server", "http://127.0.0.1:1", *words).fails(2, words[0], "--server")


def test_a_server_that_is_not_there_is_one_line_that_says_what_to_look_at() -> None:
    there = f"http://127.0.0.1:{free_port()}"
    run("explain", "web.svc.local", "--server", there).fails(1, there, "Connection refused", "zkdns serve")


def test_a_path_that_is_not_the_server_s_is_one_line(server: Zkdns) -> None:
    run("explain", "web.svc.local", "--server", url(server) + "/nowhere").fails(1, "404", "--http")


def test_what_the_server_refuses_is_told_in_its_words(server: Zkdns) -> None:
    words = ("explain", "web.svc.local", "--server", url(server))
    run(*words, "--client", "nobody").fails(2, "nobody")
    run(*words, "--if", "drain=web/z").fails(1, "there are a, b")


GOOD = {"name": "x", "type": "A", "rcode": "NOERROR", "stale": False, "answer": [], "notes": []}
ROW = {"id": "a", "in": True, "state": "healthy", "reason": "", "share": 1}


@pytest.mark.parametrize(
    ("status", "body", "code", "said"),
    [
        (200, b"<html>hello</html>", 1, "no zkdns server"),
        (200, b"[1]", 1, "no zkdns server"),
        (200, b"[" * 100_000, 1, "no zkdns server"),
        (200, b'{"name": 7}', 1, "no zkdns server"),
        (200, json.dumps(GOOD | {"instances": [1]}).encode(), 1, "no zkdns server"),
        (200, json.dumps(GOOD | {"instances": [{"id": "a"}]}).encode(), 1, "no zkdns server"),
        (200, json.dumps(GOOD | {"instances": [ROW | {"address": None}]}).encode(), 1, "no zkdns server"),
        (200, json.dumps(GOOD | {"instances": [ROW | {"weight": "x"}]}).encode(), 1, "no zkdns server"),
        (200, json.dumps(GOOD | {"instances": [ROW | {"service": {}}]}).encode(), 1, "no zkdns server"),
        (500, b"oh", 1, "500"),
        (404, b"{}", 1, "404"),
        (503, b'{"error": "too\\u001b[31m busy"}', 1, "busy"),
    ],
)
def test_whatever_else_answers_there_is_one_line(status: int, body: bytes, code: int, said: str) -> None:
    with answering(status, body) as there:
        done = run("explain", "web.svc.local", "--server", there)
    done.fails(code, there, said)
    assert "\x1b" not in done.err


def test_what_a_server_says_cannot_move_the_cursor() -> None:
    row = {"id": "a\x1b[2J", "in": True, "state": "\x1b", "reason": "\x1b", "share": 1}
    said = GOOD | {"rcode": "\x1b[2J", "answer": ["\x1b"], "notes": ["\x1b"], "instances": [row]}
    with answering(200, json.dumps(said).encode()) as there:
        done = run("explain", "x", "--server", there)
    assert done.code == 0, done
    assert "\x1b" not in done.out


def test_a_port_that_speaks_no_http_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            accepted, _ = listening.accept()
            accepted.sendall(b"220 mail\r\n")
            accepted.close()

        thread = threading.Thread(target=greet)
        thread.start()
        there = f"http://127.0.0.1:{listening.getsockname()[1]}"
        run("explain", "web.svc.local", "--server", there).fails(1, there)
        thread.join()
