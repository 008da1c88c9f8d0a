"""Where `drain --wait` asks: what a replica's node says of that is anybody's."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from zkdns.cli.replicas import http_sides


def side(http: object) -> str:
    data = json.dumps({"address": "10.0.0.1:53", "http": http}).encode()
    nodes = SimpleNamespace(get_below=lambda root: {"r1": SimpleNamespace(data=data)})
    return http_sides(nodes)["r1"]  # type: ignore[arg-type]


@pytest.mark.parametrize("http", ["10.0.0.1:8053", "[fd00::1]:8053", "ns1.example.com:8053"])
def test_a_replica_is_asked_at_its_address_and_port(http: str) -> None:
    assert side(http) == f"http://{http}"


@pytest.mark.parametrize(
    "http",
    ["", 5, None, "10.0.0.1:8080/jobs/1/stop", "10.0.0.1:8080/x?y=", "10.0.0.1:8080?x", "10.0.0.1#x",
     "u:p@h:1", "/etc", "h:1\r\nX: y", "h:0", "h:99999", "[::1"],
)  # fmt: skip
def test_who_names_anything_else_than_an_address_and_port_has_no_http_side(http: object) -> None:
    assert side(http) == ""
