"""Registrars that nobody here wrote, run as they are: `make matrix` fetches them from Maven Central.

Proves: what they register is read as they mean it, with no problem told; what the suite reads from
tests/fixtures/writers is what they write today.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from support import zookeeper as real
from support.programs import Dialogue, find
from support.server import Zkdns
from support.waiting import eventually
from support.writers import EXPECTED, FOLDER, WRITERS, Row, recorded

JARS = Path(os.environ.get("ZKDNS_WRITERS", ""))
OPTIONS = ["-Xmx160m", "-XX:TieredStopAtLevel=1", "--add-opens", "java.base/java.lang=ALL-UNNAMED"]


def rows(server: Zkdns, service: str) -> list[Row]:
    instances = server.json(f"/api/v1/services/{service}")["instances"]
    return sorted(
        Row(i["host"] or i["address"][0], i["port"], i["state"], i["registered_weight"], tuple(i["tags"]),
            tuple(sorted(i["ports"].items())))
        for i in instances
    )  # fmt: skip


@pytest.mark.zookeeper
@pytest.mark.parametrize("writer", WRITERS)
def test_what_a_real_registrar_writes_is_read_as_it_means_it(
    writer: str, zookeeper: real.ZooKeeperServer, tmp_path: Path
) -> None:
    root, client = real.unique_root(), zookeeper.client()
    command = [find("java", "default-jdk-headless"), *OPTIONS, "-cp", str(JARS / writer / "lib" / "*")]
    try:
        with (
            Zkdns(registry=f"zk://{zookeeper.hosts}{root}") as server,
            Dialogue(
                *command, FOLDER / writer / "Writer.java", zookeeper.hosts, root, log=tmp_path / "log"
            ) as program,
        ):
            while program.line() != "done":
                pass
            for service, expected in EXPECTED[writer].items():
                eventually(lambda s=service, e=expected: rows(server, s) == sorted(e), 60)
            assert server.json("/api/v1/problems") == {"problems": []}
            written = {}
            for path in walk(client, root):
                data, _ = client.get(path)
                text = None if data is None else re.sub(r'(?<="registrationTimeUTC":)\d+', "0", data.decode())
                written[path.removeprefix(root)] = text
            assert {path: alike(text) for path, text in written.items()} == {
                path: alike(text) for path, text in recorded(writer).items()
            }
    finally:
        real.finish(client)


def walk(client: object, path: str) -> list[str]:
    below = [f"{path}/{name}" for name in client.get_children(path)]  # type: ignore[attr-defined]
    return [each for one in below for each in (one, *walk(client, one))]


def alike(text: str | None) -> list[str] | None:
    """The members of an object have no order, and a Java map gives them another in each run."""
    return None if text is None else sorted(re.split(r"[,{}\[\]]+", text))
