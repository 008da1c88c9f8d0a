"""A registry of more services than are compiled before somebody asks: nobody sees a difference."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.server import Zkdns
from zkdns.server.lifecycle import DEFERS


@pytest.fixture(scope="module", params=["native", "python"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zkdns]:
    file = tmp_path_factory.mktemp("many") / "services.toml"
    file.write_text(registry(DEFERS))
    with Zkdns("--engine", request.param, registry=f"file:{file}") as server:
        yield server


def registry(services: int, port: int = 80) -> str:
    return "".join(
        f'[[s{n}.instances]]\nid = "a"\naddress = "10.0.{n >> 8}.{n & 255}"\nport = {port}\ntags = ["t"]\n'
        for n in range(services)
    )


def test_the_first_question_is_answered_as_the_next_ones(server: Zkdns) -> None:
    assert [server.answers("s1.svc.local") for _ in range(3)] == [["10.0.0.1"]] * 3
    assert server.answers("a.s2.svc.local") == ["10.0.0.2"]
    assert server.answers("t.s3.svc.local") == ["10.0.0.3"]
    assert server.answers("_s4._tcp.svc.local", "SRV") == ["0 1 80 a.s4.svc.local."]
    assert server.answers("5.0.0.10.in-addr.arpa", "PTR") == ["a.s5.svc.local."]


def test_what_is_not_there_is_told_of_services_that_nobody_asked_for(server: Zkdns) -> None:
    assert server.ask("nope.s6.svc.local").rcode() == 3
    assert server.ask("s7.svc.local", "AAAA").rcode() == 0
    assert server.answers("s7.svc.local", "AAAA") == []


def test_people_see_them_whole(server: Zkdns) -> None:
    services = {one["name"]: one for one in server.json("/api/v1/services")["services"]}
    assert len(services) == DEFERS
    assert "t.s8.svc.local" in services["s8"]["names"]
    assert server.json("/api/v1/explain?name=s9.svc.local&type=A")["answer"] == ["10.0.0.9"]
