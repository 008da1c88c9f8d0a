"""Prometheus finds its targets by `dns_sd_configs`.

Proves: SRV gives a target for each instance, at the port of the name `metrics`, and A one at the port of its
own settings; they are scraped; instances that come, go and fall ill are followed.
"""

from __future__ import annotations

import json
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
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: srv
    dns_sd_configs:
      - names: [_metrics._tcp.prom.svc.local]
        type: SRV
        refresh_interval: 1s
  - job_name: a
    dns_sd_configs:
      - names: [prom.svc.local]
        type: A
        port: 1
        refresh_interval: 1s
"""

Targets = Callable[[str], dict[str, str]]


@pytest.fixture
def targets(registry: Registry, tmp_path: Path) -> Iterator[Targets]:
    """The targets of a job, by Prometheus' API: address -> health."""
    port = free_port()
    (tmp_path / "prometheus.yml").write_text(CONFIG)
    command = [
        find("prometheus", "prometheus"),
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]

    def ask(job: str) -> dict[str, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/targets", timeout=30) as response:
                found = json.load(response)["data"]["activeTargets"]
        except OSError as error:
            raise AssertionError(f"not up: {error}") from None
        return {t["discoveredLabels"]["__address__"]: t["health"] for t in found if t["scrapePool"] == job}

    with running(tmp_path / "log", *command):
        yield ask


def test_targets_are_found_by_srv_and_by_a_and_follow_the_registry(
    registry: Registry, backend: Callable[..., Backend], targets: Targets
) -> None:
    a, b, c = (backend(name, f"127.0.1.{n}") for n, name in enumerate("abc", 1))

    def put(name: str, one: Backend, **more: object) -> None:
        registry.put(f"prom/{name}", address=one.host, port=2, ports={"metrics": one.port}, **more)

    def finds(**expected: Backend) -> None:
        def is_so() -> bool:
            assert targets("srv") == {
                f"{name}.prom.svc.local:{one.port}": "up" for name, one in expected.items()
            }
            assert set(targets("a")) == {f"{one.host}:1" for one in expected.values()}
            return True

        eventually(is_so, 90, 0.1)

    put("a", a)
    put("b", b)
    finds(a=a, b=b)
    put("c", c)
    registry.remove("prom/a")
    finds(b=b, c=c)
    put("b", b, status="down")
    finds(c=c)
