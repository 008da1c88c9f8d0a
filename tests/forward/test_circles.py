"""Real servers that forward in a circle: found out, told with a cure, and bounded meanwhile."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import dns.rcode
import pytest

from support.server import Zkdns
from support.waiting import eventually

FILE = """
[web]
[[web.instances]]
id = "a"
address = "10.0.0.1"
"""


def loops(server: Zkdns) -> list[str]:
    rows = server.json("/api/v1/problems")["problems"]
    return [row["what"] for row in rows if "does not forward to this server" in row["cure"]]


@pytest.mark.parametrize(
    "leads_to",
    [
        ("127.0.0.1",),
        ("127.0.0.9",),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.2", "127.0.0.3"),
    ],
    ids=["itself", "itself by another address", "two", "three"],
)
@pytest.mark.parametrize("engine", ["python", "native"])
def test_who_forwards_in_a_circle_is_told_and_goes_on(
    leads_to: tuple[str, ...], engine: str, tmp_path: Path
) -> None:
    """Each forwards to the next, the last one to the first."""
    path = tmp_path / "services.toml"
    path.write_text(FILE)
    servers = [Zkdns("--engine", engine, registry=f"file:{path}") for _ in leads_to]
    for n, server in enumerate(servers):
        server.command[server.command.index("--listen") + 1] = f"0.0.0.0:{server.port}"
        following = servers[(n + 1) % len(servers)]
        server.command += ["--forward", f"{leads_to[n]}:{following.port}"]
    with ExitStack() as stack:
        for server in servers:
            stack.enter_context(server)
        eventually(lambda: any(map(loops, servers)))
        for server in servers:
            assert server.ask("outside.example", rd=True).rcode() == dns.rcode.SERVFAIL
            assert server.answers("web.svc.local") == ["10.0.0.1"]
        told = next(server for server in servers if loops(server))
        (what,) = loops(told)
        assert "leads back to this server" in what
        assert told.log.count(what) == 1
        assert told.metrics()["zkdns_registry_problems"] >= 1
