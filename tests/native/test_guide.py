"""What native/README.md and docs/security.md say of the engine's files is so."""

from __future__ import annotations

import re

from support.server import REPOSITORY

SOURCES = {
    path.name: path.read_text()
    for path in (REPOSITORY / "native/src").glob("*.rs")
    if not path.stem.endswith("_tests")
}


def test_the_guide_to_the_engine_says_what_each_file_is_for() -> None:
    guide = (REPOSITORY / "native/README.md").read_text()
    named = re.findall(r"`(\w+\.rs)`", "".join(re.findall(r"^\| (.*?) \|", guide, re.M)))
    assert sorted(named) == sorted(SOURCES.keys() - {"lib.rs"})


def test_unsafe_code_is_in_the_files_that_are_told_and_no_others() -> None:
    told = re.search(r"`unsafe` lines [^(]*\(([^)]*)\)", (REPOSITORY / "docs/security.md").read_text())
    assert told
    unsafe = {name for name, source in SOURCES.items() if re.search(r"\bunsafe \{", source)}
    assert set(re.findall(r"`(\w+\.rs)`", told[1])) == unsafe
