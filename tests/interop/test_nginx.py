"""nginx takes an upstream from a variable, and so resolves it again while it runs.

Proves: requests reach the instances that are registered and, soon after a change, the new ones, without a
reload; a draining instance gets none; a service with no healthy instance is a 502 that ends with the first.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.ports import free_port
from support.programs import find, running
from support.services import Backend, Registry
from support.waiting import eventually

pytestmark = pytest.mark.zookeeper

CONFIG = """
daemon off;
pid {folder}/pid;
error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    resolver 127.0.0.1:{dns} valid=1s ipv6=off;
    resolver_timeout 10s;
    server {{
        listen 127.0.0.1:{port};
        set $web nginx.svc.local;
        location / {{
            proxy_pass http://$web:{backends};
        }}
    }}
}}
"""

Get = Callable[[], str]


@pytest.fixture
def backends() -> int:
    """The port of all backends: an A record tells none."""
    return free_port("127.0.2.1")


@pytest.fixture
def get(registry: Registry, tmp_path: Path, backends: int) -> Iterator[Get]:
    """What a request to nginx gives: a backend's name, or the status of an error."""
    port = free_port()
    config = tmp_path / "nginx.conf"
    config.write_text(CONFIG.format(folder=tmp_path, dns=registry.server.port, port=port, backends=backends))

    def ask() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as response:
                return str(response.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return str(error.code)
        except urllib.error.URLError:
            return "not up"

    with running(tmp_path / "log", find("nginx", "nginx-light"), "-p", tmp_path, "-c", config) as process:
        eventually(lambda: ask() != "not up" or process.poll() is not None)
        assert process.poll() is None, (tmp_path / "log").read_text()
        yield ask


def test_a_variable_upstream_follows_the_service(
    registry: Registry, backend: Callable[..., Backend], get: Get, backends: int
) -> None:
    def put(name: str, number: int, **more: object) -> None:
        registry.put(f"nginx/{name}", address=f"127.0.2.{number}", port=backends, **more)

    def reach(*expected: str) -> None:
        def is_so() -> bool:
            assert {get() for _ in range(12)} == set(expected)
            return True

        eventually(is_so, 60, 0.2)  # what it resolved it keeps for a second

    for number, name in enumerate("abc", 1):
        backend(name, f"127.0.2.{number}", backends)
    assert get() == "502"
    put("a", 1)
    put("b", 2)
    reach("a", "b")
    put("c", 3)
    registry.remove("nginx/a")
    reach("b", "c")
    put("b", 2, status="draining")
    reach("c")
    put("c", 3, status="down")
    reach("502")
    put("b", 2)
    reach("b")
