"""A real Prometheus over some servers, with the settings and rules of deploy/."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from support.ports import free_port
from support.server import Zkdns
from support.waiting import eventually

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus-rules.yaml"


class Prometheus:
    """`every`: how often it scrapes and judges; as deploy/prometheus.yml says without it."""

    def __init__(self, servers: Sequence[Zkdns], directory: Path, every: str = "") -> None:
        self.port = free_port()
        settings = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
        if every:
            settings["global"] = {"scrape_interval": every, "evaluation_interval": every}
        settings["rule_files"] = [str(RULES)]
        targets = [f"127.0.0.1:{server.http_port}" for server in servers]
        settings["scrape_configs"][0]["static_configs"][0]["targets"] = targets
        config = directory / "prometheus.yml"
        config.write_text(yaml.safe_dump(settings))
        self.log = (directory / "log").open("wb")
        self.process = subprocess.Popen(
            [
                "prometheus", f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            stdout=self.log,
            stderr=self.log,
        )  # fmt: skip

    def get(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as reply:
                return json.load(reply)["data"]
        except urllib.error.URLError as error:
            raise AssertionError(f"{path}: {error}") from error

    def query(self, query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/api/v1/query?" + urllib.parse.urlencode({"query": query}))[
            "result"
        ]
        return found

    def rules(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/api/v1/rules")["groups"][0]["rules"]
        return found

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


@contextmanager
def scraping(servers: Sequence[Zkdns], directory: Path, every: str = "") -> Iterator[Prometheus]:
    prometheus = Prometheus(servers, directory, every)
    try:
        eventually(lambda: prometheus.query("zkdns_ready"))
        yield prometheus
    finally:
        prometheus.close()
