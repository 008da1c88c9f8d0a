"""What CONTRIBUTING says of adding a part: it is one new file, in a copy of the package, and it works."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "zkdns"

PARTS = {
    "answers/policies/last.py": """
        def arrange(weights, cut):
            return ((tuple(reversed(range(len(weights))))[:cut],), (0,))

        def shares(weights):
            return [0.0] * (len(weights) - 1) + [1.0]
        """,
    "health/checks/coin.py": """
        async def probe(target):
            return "tails" if target.check.port == 2 else ""
        """,
    "registry/formats/arrow.py": """
        from zkdns.model import Registration

        RANK = 1
        FOLDERS = QUIET = KEPT = frozenset()

        def claims(node):
            return b"->" in node.data

        def parse(node):
            address, port = node.data.decode().split("->")
            return Registration((address,), None, int(port), format="arrow")
        """,
    "registry/presets/pigeon.py": """
        from zkdns.model import Registration
        from zkdns.registry.places import Preset, place

        def read(node, holes):
            yield Registration((node.data.decode(),), None, 7, format="pigeon")

        PRESET = Preset("pigeon", (place("/lofts/{id}", "loft", read),))
        """,
}

SEES = {
    "answers/policies/last.py": """
        from zkdns.answers import policies
        from zkdns.registry.settings import SETTINGS
        assert "last" in policies.names() and SETTINGS["policy"].take("policy", "last") == "last"
        assert [*map(tuple, policies.rotate("last", [1, 1, 1], 8).orders)] == [(2, 1, 0)]
        assert policies.shares("last", [1, 2]) == [0.0, 1.0] and policies.knows_weights("last")
        """,
    "health/checks/coin.py": """
        import asyncio
        from zkdns.health import checks
        from zkdns.health.targets import Target
        from zkdns.model import Check
        from zkdns.registry.settings import read_table
        settings, wrong = read_table({"check": {"type": "coin", "port": 2}})
        assert settings.check.type == "coin" and not wrong
        target = Target("/s/web/a", "a", "10.0.0.1", 2, 0.0, settings.check)
        assert "coin" in checks.names() and asyncio.run(checks.named("coin")(target)) == "tails"
        """,
    "registry/formats/arrow.py": """
        from zkdns.registry import formats
        from zkdns.registry.formats import Node, auto
        from zkdns.registry.url import parse_registry
        assert parse_registry("zk://127.0.0.1/s?format=arrow").format == "arrow"
        assert formats.claimant(Node("a", b"10.0.0.1->80")) == "arrow"
        assert auto.parse(Node("a", b"10.0.0.1->80")).port == 80
        """,
    "registry/presets/pigeon.py": """
        from zkdns.registry import presets
        from zkdns.registry.formats import Node
        from zkdns.registry.url import parse_registry
        preset = parse_registry("zk://127.0.0.1/?preset=pigeon").preset
        assert preset is presets.named("pigeon")
        assert presets.parse(preset, Node("a", b"10.0.0.1")).addresses == ("10.0.0.1",)
        """,
}


def trim(source: str) -> str:
    return "\n".join(line[8:] for line in source.strip("\n").splitlines())


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_one_new_file(part: str, tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "zkdns", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    (tmp_path / "zkdns" / part).write_text(trim(PARTS[part]) + "\n")
    done = subprocess.run(
        [sys.executable, "-c", trim(SEES[part])], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
