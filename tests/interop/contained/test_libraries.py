"""Programs that look names up by their C library: glibc, musl, and the JVM above it.

Proves: full names and short ones (by `search`) resolve, of both families; what isn't there is "none" and not
a failure; each look-up sees the registry as it is then, in the JVM once its cache's own time is over.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.programs import Dialogue, find
from support.services import Registry
from support.waiting import eventually

pytestmark = pytest.mark.zookeeper

CLIENTS = Path(__file__).parents[1] / "clients"

Look = Callable[[str], list[str]]


@pytest.fixture(params=["glibc", "musl", "jvm"])
def look(request: pytest.FixtureRequest, registry: Registry, tmp_path: Path) -> Iterator[Look]:
    """The sorted addresses of a name, or what is said instead."""
    command: list[str | Path]
    if request.param == "jvm":
        find("javac", "default-jdk-headless")
        cache = ["-Dsun.net.inetaddr.ttl=1", "-Dsun.net.inetaddr.negative.ttl=0"]
        java = find("java", "default-jdk-headless")
        command = [java, *cache, "-XX:TieredStopAtLevel=1", CLIENTS / "Host.java"]
    else:
        compiler, flags = {
            "glibc": (find("gcc", "gcc libc6-dev"), ["-D_GNU_SOURCE"]),
            "musl": (find("musl-gcc", "musl-tools"), ["-D_GNU_SOURCE", "-static"]),
        }[request.param]
        subprocess.run([compiler, *flags, "-o", tmp_path / "lookup", CLIENTS / "lookup.c"], check=True)
        command = [tmp_path / "lookup"]
    with Dialogue(*command, log=tmp_path / "log") as dialogue:
        # Java writes no `::`.
        yield lambda name: sorted(word.replace(":0:0:0:0:0:", "::") for word in dialogue.ask(name).split())


def test_a_programs_c_library_resolves_services_and_follows_changes(
    registry: Registry, look: Look, request: pytest.FixtureRequest
) -> None:
    service = request.node.callspec.params["look"]
    registry.put(f"{service}/a", address="10.0.0.1", port=80)
    registry.put(f"{service}/b", address=["10.0.0.2", "fd00::12:34"], port=80)
    eventually(lambda: len(registry.server.answers(f"{service}.svc.local")) == 2)
    all_three = ["10.0.0.1", "10.0.0.2", "fd00::12:34"]
    assert look(f"{service}.svc.local") == all_three
    assert look(service) == all_three
    assert look(f"a.{service}.svc.local") == ["10.0.0.1"]
    assert look(f"nope.{service}.svc.local") == ["none"]

    registry.put(f"{service}/a", address="10.0.0.9", port=80)
    registry.remove(f"{service}/b")
    eventually(lambda: look(service) == ["10.0.0.9"], pause=0.1)
    registry.put(f"{service}/a", address="10.0.0.9", status="down")
    eventually(lambda: look(service) == ["none"], pause=0.1)
