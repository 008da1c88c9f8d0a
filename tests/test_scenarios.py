"""Transcripts: tests/scenarios/*.txt, played through the server without its sockets.

`ZKDNS_REWRITE_SCENARIOS=1` writes what is printed into the files; read every line of the diff against
what was promised before it is kept.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support import scenario

FOLDER = Path(__file__).parent / "scenarios"
PLAYS = [(path, script) for path in sorted(FOLDER.glob("*.txt")) for script in scenario.read(path)]


@pytest.mark.parametrize(
    ("path", "script"), PLAYS, ids=[f"{path.stem}: {script.title}"[:100] for path, script in PLAYS]
)
@pytest.mark.parametrize("defers", [float("inf"), 0], ids=["at once", "when asked for"])
def test_transcript(path: Path, script: scenario.Script, defers: float) -> None:
    world = scenario.World(defers)
    found = {block.at: world.run(block.commands) for block in script.blocks}
    if os.environ.get("ZKDNS_REWRITE_SCENARIOS"):
        written = _rewritten.setdefault(path, {})
        if len(written) < _blocks(path):  # once: by then the lines stand elsewhere
            written.update(found)
            if len(written) == _blocks(path):
                scenario.rewrite(path, written)
        return
    for block in script.blocks:
        assert found[block.at] == block.expected, f"{path.name}:{block.at}: {' / '.join(block.commands)}"


_rewritten: dict[Path, dict[int, str]] = {}


def _blocks(path: Path) -> int:
    return sum(len(script.blocks) for p, script in PLAYS if p == path)


def test_what_a_transcript_prints_follows_its_world() -> None:
    world = scenario.World()
    said = world.run(
        ["list /services web", "list /services/web a", 'data /services/web/a {"address": "10.0.0.1"}']
    )
    assert said == ""
    assert world.run(["ask web.svc.local A"]) == "NOERROR aa\nweb.svc.local. 5 A 10.0.0.1"
    assert world.run(["list /services/web", "ask web.svc.local A bare"]) == "NOERROR aa"
