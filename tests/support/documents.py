"""The documents as data: their fenced blocks, and the sessions that their console blocks are.

A block's first word says what it is; a comment on the line above says more:

    ```console                   commands after `$ `, and what they print: run, in order, by `Session`
    <!-- run: COMMAND -->        a command that is run there and not shown
    <!-- file: NAME -->          the block is written to that file of the session
    <!-- payload: FORMAT -->     a znode's data (`<!-- node: NAME -->` a node's name) of that format
    <!-- service -->             the data of a service's own node
    <!-- settings -->            a file for `zkdns serve --config`
    <!-- check: PROGRAM -->      read by that program's own check
    <!-- not run: why -->        neither; so is ```text

In what is expected, `...` stands for anything in a line, or, alone in one, for any lines.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support import loaded
from support.closing import Closing
from support.ports import free_port
from support.server import REPOSITORY
from support.waiting import eventually
from support.zookeeper import ZooKeeperServer
from zkdns.ensemble import end

DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]

WORDS = {path: path.read_text() for path in DOCUMENTS}

DNS, HTTP, ZOOKEEPER = "5300", "8053", "2181"
"""The ports in the documents; a session has others."""

_COMMENT = re.compile(r"<!-- ([a-z ]+?)(?:: (.*?))? -->")


@dataclass(frozen=True)
class Block:
    """One fenced block, or one command that is not shown (`language` ""). `line` is where it starts."""

    path: Path
    line: int
    language: str
    kind: str
    about: str
    text: str

    def __str__(self) -> str:
        return f"{self.path.name}:{self.line}"


def rows(path: Path, heading: str) -> list[list[str]]:
    """The cells of the table under a heading."""
    part = re.search(rf"^#+ {re.escape(heading)}$(.*?)(?=^#|\Z)", WORDS[path], re.M | re.S)
    assert part, f"{path.name} has no heading {heading!r}"
    lines = [line for line in part[1].splitlines() if line.startswith("|")]
    return [[c.strip().strip("`") for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def slug(heading: str) -> str:
    """What leads to a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def blocks(path: Path) -> Iterator[Block]:
    """The blocks of a document, in order."""
    kind = about = language = ""
    inside: list[str] = []
    start = 0
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if start:
            if line == "```":
                yield Block(path, start, language, kind, about, "\n".join(inside) + "\n")
                start, kind, about, inside = 0, "", "", []
            else:
                inside.append(line)
        elif line.startswith("```"):
            start, language = number, line.removeprefix("```")
        elif found := _COMMENT.fullmatch(line):
            kind, about = found[1], found[2] or ""
            if kind == "run":
                yield Block(path, number, "", kind, about, f"$ {about}\n")
                kind = about = ""
        else:
            kind = about = ""
    assert not start, f"{path.name}:{start}: the block has no end"


def all_blocks() -> list[Block]:
    return [block for path in DOCUMENTS for block in blocks(path)]


def steps(block: Block) -> Iterator[tuple[str, str]]:
    """Each command of a console block, and what it is said to print. `\\` goes on in the next line."""
    command, expected = "", ""
    for line in block.text.splitlines(keepends=True):
        if command.endswith("\\\n"):
            command += line
        elif line.startswith("$ "):
            if command:
                yield command.strip(), expected
            command, expected = line[2:], ""
        else:
            expected += line
    assert command, f"{block}: no command"
    yield command.strip(), expected


_MASKS = (
    (re.compile(r"\bid: \d+"), "id: 1"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\dZ"), "2024-01-01 00:00:00Z"),
    (re.compile(r"(hostmaster\.\S+) \d+ "), r"\1 1 "),
    (re.compile(r"[ \t]+"), " "),
)


def fits(expected: str, printed: str) -> bool:
    """Whether what was printed is what was expected, ids and times aside."""
    for pattern, mask in _MASKS:
        expected, printed = pattern.sub(mask, expected), pattern.sub(mask, printed)
    rule = ""
    for line in expected.splitlines():
        line = line.strip()
        rule += r"(?:.*\n)*?" if line == "..." else ".*".join(map(re.escape, line.split("..."))) + r"\n"
    stripped = "".join(line.strip() + "\n" for line in printed.splitlines())
    return re.fullmatch(rule, stripped) is not None


class Session(Closing):
    """A shell in a folder of its own, in which a document's commands are run. What the document
    starts in the background ends with the session; a server or a demo also when the next one starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports: dict[str, str] = {}
        self._zookeeper: ZooKeeperServer | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._others: list[subprocess.Popen[bytes]] = []
        for place in ("bin", ".venv/bin"):
            program = folder / place / "zkdns"
            program.parent.mkdir(parents=True)
            program.write_text(f'#!/bin/sh\nexec {sys.executable} -m zkdns "$@"\n')
            program.chmod(0o755)

    def close(self) -> None:
        self._end_server()
        for process in self._others:
            end(process)
        if self._zookeeper is not None:
            self._zookeeper.stop()

    # --- what a document asks for -------------------------------------------------------------------

    def play(self, block: Block) -> None:
        """Do what the block says; AssertionError with what was printed where that is not as shown."""
        if block.kind == "file":
            path = self.folder / block.about
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._ours(block.text))
        elif block.kind == "run" or (block.language == "console" and block.kind != "not run"):
            for command, expected in steps(block):
                shown = block.language == "console"
                self._step(f"{block}: {command}", command, expected if shown else "...\n")

    def _step(self, where: str, command: str, expected: str) -> None:
        if command == "make demo":
            self._demo(where, expected)
        elif command == "zookeeper &":
            self._zookeeper = ZooKeeperServer()
            self._zookeeper.start()
            self.ports[ZOOKEEPER] = str(self._zookeeper.port)
        elif re.match(r"zkdns serve .*&$", command):
            self._serve(where, command.removesuffix("&"), expected)
        elif command.endswith("&"):
            log = self._start(command.removesuffix("&"), self._others)
            eventually(lambda: self._compare(where, expected, log.read_text()), 30)
        else:
            # Again and again: a change takes a moment to be everywhere, and a deal has its turns.
            eventually(lambda: self._compare(where, expected, self._run(command)), 20, 0.2)

    def _demo(self, where: str, expected: str) -> None:
        self._end_server()
        log = self._start("zkdns demo --every 1000")
        eventually(lambda: "Ctrl-C" in log.read_text() or self._alive(where, log), 90)
        said = log.read_text()
        for port, pattern in (
            (DNS, r"-p (\d+)"),
            (HTTP, r"status page\s+http://[^:]*:(\d+)"),
            (ZOOKEEPER, r"registry\s+zk://[^:]*:(\d+)"),
        ):
            found = re.search(pattern, said)
            assert found, f"{where}: {said}"
            self.ports[port] = found[1]
        self._compare(where, expected, said)

    def _serve(self, where: str, command: str, expected: str) -> None:
        self._end_server()
        for port, flag in ((DNS, "--listen"), (HTTP, "--http")):
            self.ports[port] = str(free_port())
            if flag not in command:
                command += f" {flag} 127.0.0.1:{port}"
        log = self._start(command)
        eventually(lambda: "ready" in log.read_text() or self._alive(where, log), 60)
        self._compare(where, expected or "...\n", log.read_text())

    def _alive(self, where: str, log: Path) -> bool:
        if self._server is None or self._server.poll() is not None:
            raise RuntimeError(f"{where}: it ended: {log.read_text()}")
        return False

    def _compare(self, where: str, expected: str, printed: str) -> bool:
        for port, own in self.ports.items():
            printed = re.sub(rf"\b{own}\b", port, printed)
        assert fits(expected, printed), f"{where}\nprinted:\n{printed}\nexpected:\n{expected}"
        return True

    # --- processes ----------------------------------------------------------------------------------

    def _ours(self, text: str) -> str:
        return re.sub(r"\b(5300|8053|2181)\b", lambda found: self.ports.get(found[1], "1"), text)

    @property
    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ZKDNS_")}
        return kept | {
            "PATH": f"{self.folder}/bin:{kept['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONUNBUFFERED": "1",
            "ZKDNS_REGISTRY": self._ours(f"zk://127.0.0.1:{ZOOKEEPER}/services"),
            "COLUMNS": "100",
        }

    def _run(self, command: str) -> str:
        with loaded.start(
            _words(self._ours(command)),
            self._environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                return process.communicate(timeout=60)[0]
            except BaseException:
                process.kill()
                raise

    def _start(self, command: str, others: list[subprocess.Popen[bytes]] | None = None) -> Path:
        log = self.folder / f"log-{len(list(self.folder.glob('log-*')))}"
        with log.open("wb") as file:
            process = loaded.start(
                _words(self._ours(command), "exec "),
                self._environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        if others is None:
            self._server = process
        else:
            others.append(process)
        return log

    def _end_server(self) -> None:
        if self._server is not None:
            end(self._server)
        self._server = None


def _words(command: str, before: str = "") -> list[str]:
    """What is to be run: a shell that reads the command, save for one of zkdns alone in which a shell has
    nothing to do but to split words."""
    if re.match(r"(\.venv/bin/)?zkdns ", command) and not re.search(r"[|&;<>()$`*?~#\[\]{}\n\\]", command):
        return [sys.executable, "-m", "zkdns", *shlex.split(command)[1:]]
    return ["bash", "-c", before + command]


def missing(program: str) -> bool:
    """Whether a program is not here; sbin counts, for whoever runs the tests without it in PATH."""
    return find(program) is None


def find(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/local/sbin")
