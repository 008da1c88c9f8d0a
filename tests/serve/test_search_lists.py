"""Names that a search list made are counted by client, on both engines, so that the guilty one is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.missing import ENGINES
from support.server import Zkdns

SERVICE = '[web]\n[[web.instances]]\nid = "a"\naddress = "10.0.0.1"\n'


@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_search_list_makes_is_counted_and_its_client_named(engine: str, tmp_path: Path) -> None:
    (tmp_path / "services.toml").write_text(SERVICE)
    with Zkdns("--engine", engine, registry=f"file:{tmp_path}/services.toml") as server:
        for tcp in (False, True):
            for name in (
                "example.com.svc.local",
                "WWW.example.com.svc.local",
                "nope.svc.local",
                "x.web.svc.local",
            ):
                server.ask(name, "A", tcp=tcp)
        assert server.metrics()["zkdns_search_misses_total"] == 4  # two names over each of UDP and TCP
        assert server.json("/api/v1/status")["search_misses"] == {"127.0.0.1": 4}
        assert "ndots" in server.http("/")[1]
