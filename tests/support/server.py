"""`zkdns serve` as a process of its own, as an operator runs it, with clients to ask it.

    with Zkdns(registry=f"zk://{zookeeper.hosts}{zk_root}") as server:
        assert server.answers("web.svc.local") == ["10.0.0.1"]

What it logged is printed when it ends; pytest shows that where the test failed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.rdatatype

from support import loaded, turns
from support.closing import Starting
from support.ports import free_port
from support.waiting import eventually

REPOSITORY = Path(__file__).resolve().parents[2]


@contextmanager
def serving(text: str, folder: Path) -> Iterator[Zkdns]:
    """A server of this registry file, which is written to the folder."""
    path = folder / "services.toml"
    path.write_text(text)
    with Zkdns(registry=f"file:{path}") as running:
        yield running


class Zkdns(Starting):
    """One server. `flags` are those of `zkdns serve`; `--listen` and `--http` are chosen here unless
    given. `env` is added to the environment. Where it is `watched` no turn of its loop may be long.
    `is_fresh`: started by the interpreter itself (see `loaded`), as benches' always are."""

    watched = False
    """Tests watch every server (`conftest.py`); benches none, since it takes a part of what they measure."""

    def __init__(
        self,
        *flags: str,
        registry: str | Sequence[str] = (),
        host: str = "127.0.0.1",
        env: Mapping[str, str] | None = None,
        is_fresh: bool = False,
    ) -> None:
        self.host = host
        self.is_fresh = is_fresh
        self.port = free_port(host)
        self.http_host = "127.0.0.1"
        self.http_port = free_port()
        registries = [registry] if isinstance(registry, str) else registry
        self.command = [sys.executable, "-m", "support.turns" if self.watched else "zkdns", "serve", *flags]
        for url in registries:
            self.command += ["--registry", url]
        if "--listen" not in flags:
            self.command += ["--listen", f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"]
        if "--http" not in flags:
            self.command += ["--http", f"{self.http_host}:{self.http_port}"]
        self.process: subprocess.Popen[bytes] | None = None
        self._log, self._turns = (_file(f"zkdns-{what}-") for what in ("log", "turns"))
        self.env = {
            **os.environ,
            "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}" if self.watched else str(REPOSITORY),
            "PYTHONUNBUFFERED": "1",
            turns.VARIABLE: str(self._turns),
            **(env or {}),
        }

    def launch(self) -> None:
        """Start it and return at once."""
        with self._log.open("ab") as log:
            start = loaded.start if self.watched and not self.is_fresh else subprocess.Popen
            self.process = start(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env)

    def start(self, timeout: float = 30.0) -> None:
        """Start it and wait for the line that says `ready`."""
        before = len(self.log)
        self.launch()
        eventually(lambda: "ready" in self.log[before:] or self._check_alive(), timeout)

    def _check_alive(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            code = None if self.process is None else self.process.returncode
            raise RuntimeError(f"zkdns serve ended with {code}: {self.log}")
        return False

    @property
    def log(self) -> str:
        """What it wrote to stdout and stderr so far."""
        return self._log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def terminate(self, timeout: float = 15.0) -> int:
        """SIGTERM; the exit code. A server that doesn't end is killed, and that fails the test."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"zkdns serve went on for {timeout:.0f} s after SIGTERM") from None

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()

    def ask(
        self,
        name: str,
        type: str = "A",
        *,
        tcp: bool = False,
        edns: bool | int = False,
        rd: bool = False,
        cls: str = "IN",
        timeout: float = 5.0,
        source: str | None = None,
    ) -> dns.message.Message:
        """One query and its reply. `edns`: True for EDNS with 1232, a number for that size."""
        query = dns.message.make_query(name, type, rdclass=cls, use_edns=0 if edns else False)
        if edns:
            query.use_edns(0, payload=1232 if edns is True else edns)
        query.flags = dns.flags.Flag(dns.flags.RD if rd else 0)
        if tcp:
            return dns.query.tcp(query, self.host, timeout, self.port, source=source)
        # What somebody else sends to whoever had our port before us is none of our replies.
        return dns.query.udp(query, self.host, timeout, self.port, source=source, ignore_unexpected=True)

    def answers(self, name: str, type: str = "A", **how: Any) -> list[str]:
        """The rdata of the answer section as text, sorted; names without the last dot's surprises."""
        reply = self.ask(name, type, **how)
        wanted = dns.rdatatype.from_text(type)
        return sorted(item.to_text() for rrset in reply.answer if rrset.rdtype == wanted for item in rrset)

    def dig(self, *words: str) -> str:
        """What the real dig prints, given `words` beside the address and port."""
        command = ["dig", f"@{self.host}", "-p", str(self.port), "+tries=1", "+time=5", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise AssertionError(f"{' '.join(command)}: exit {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def http(self, path: str, timeout: float = 10.0) -> tuple[int, str]:
        """Status and body of `GET path`, for a status of any kind."""
        url = f"http://{self.http_host}:{self.http_port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=timeout) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def json(self, path: str) -> Any:
        status, body = self.http(path)
        assert status == 200, f"GET {path}: {status}: {body[:300]}"
        return json.loads(body)

    def is_answering(self, name: str) -> bool:
        """Whether it says anything of this name yet; AssertionError where it has ended."""
        try:
            self.ask(name, timeout=0.3)
        except (OSError, dns.exception.Timeout):
            assert self.process is not None
            assert self.process.poll() is None, self.log
            return False
        return True

    def metrics(self) -> dict[str, float]:
        """Each sample of /metrics: `name{labels}` as it is spelled there -> value."""
        status, body = self.http("/metrics")
        assert status == 200, f"GET /metrics: {status}"
        lines = (line for line in body.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def close(self) -> None:
        """End it if it still runs, and print its log. AssertionError for a turn that took too long."""
        try:
            if self.process is not None and self.process.poll() is None:
                self.terminate()
        finally:
            print(f"--- {' '.join(self.command[1:])}\n{self.log}---")
            late = self.late
            self._log.unlink(missing_ok=True)
            self._turns.unlink(missing_ok=True)
        assert not late, f"turns of the loop that took too much CPU: {late}"

    @property
    def late(self) -> list[str]:
        """The turns that took too long so far, in the recorder's words."""
        return self._turns.read_text().splitlines() if self._turns.exists() else []


def _file(prefix: str) -> Path:
    descriptor, path = tempfile.mkstemp(prefix=prefix)
    os.close(descriptor)
    return Path(path)


class Ran:
    """A command that ended: `code`, `out`, `err`."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def __repr__(self) -> str:
        return f"Ran(code={self.code}, out={self.out!r}, err={self.err!r})"

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def fails(self, code: int, *words: str) -> None:
        """It must have ended with `code` and one line on stderr that has `words` in it."""
        assert self.code == code, self
        assert "Traceback" not in self.err, self
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self
        for word in words:
            assert word in lines[0], self


def run(
    *words: str, timeout: float = 60.0, env: Mapping[str, str] | None = None, input: str | None = None
) -> Ran:
    """One command, `zkdns WORDS`, to its end."""
    pipe = subprocess.PIPE
    with loaded.start(
        [sys.executable, "-m", "zkdns", *words],
        {**os.environ, "PYTHONPATH": str(REPOSITORY), **(env or {})},
        stdin=pipe, stdout=pipe, stderr=pipe, text=True,
    ) as process:  # fmt: skip
        try:
            out, err = process.communicate(input or "", timeout)
        except BaseException:
            process.kill()
            raise
    return Ran(process.returncode, out, err)
