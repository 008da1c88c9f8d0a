"""A real ZooKeeper, or an ensemble of them, that a test can kill, freeze, wipe and set back.

Everything is on loopback and in a temporary directory. Where Java or the jars are missing, starting
fails with the one line that says what to install: a test that needs ZooKeeper is never skipped.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.security import OPEN_ACL_UNSAFE

from support.closing import Closing, Starting
from support.ports import free_port
from support.tls import Certificates
from zkdns import ensemble

REPOSITORY = Path(__file__).resolve().parents[2]


class ZooKeeperServer(ensemble.Server, Starting):
    """One server. As a context manager it starts and, at the end, stops and removes its files.

    `tls=True` opens `secure_port` beside the plain one, with the keys of `certificates`; `client_auth`
    is "none", "want" or "need". `settings` go to zoo.cfg, `options` to Java.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        port: int | None = None,
        settings: Mapping[str, str | int] | None = None,
        options: Sequence[str] = (),
        tls: bool = False,
        client_auth: str = "none",
    ) -> None:
        self._temporary = directory is None
        directory = directory or Path(tempfile.mkdtemp(prefix="zkdns-zookeeper-"))
        settings = dict(settings or {})
        self._port_is_ours = port is None
        self.certificates: Certificates | None = None
        self.secure_port = 0
        if tls:
            self.secure_port = free_port()
            self.certificates = Certificates.make(directory / "tls")
            settings |= {
                "secureClientPort": self.secure_port,
                "secureClientPortAddress": "127.0.0.1",
                "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
                "ssl.keyStore.location": str(self.certificates.server_store),
                "ssl.keyStore.password": self.certificates.password,
                "ssl.trustStore.location": str(self.certificates.trust_store),
                "ssl.trustStore.password": self.certificates.password,
                "ssl.clientAuth": client_auth,
            }
        super().__init__(directory, port or free_port(), settings, options)

    @property
    def secure_hosts(self) -> str:
        return f"127.0.0.1:{self.secure_port}"

    def launch(self) -> None:
        self._options = tuple(dict.fromkeys((*archive(), *self._options)))
        super().launch()

    def start(self, timeout: float = 60.0) -> None:
        """Start it and wait until it serves. It keeps its port for good once it served there."""
        for attempts_left in (4, 3, 2, 1, 0):
            try:
                super().start(timeout)
                self._port_is_ours = False
                return
            except ensemble.NotStarted as error:
                self.stop()
                if not (self._port_is_ours and attempts_left and "BindException" in str(error)):
                    raise
                self.port = free_port()

    def kill(self) -> None:
        """SIGKILL: connections break, sessions go on until they expire, nothing is said to anybody."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing is answered."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        self.stop()
        self.start()

    def wipe(self) -> None:
        """Lose all data, as with a new disk: zxids start again at 1. Running before, running after."""
        was_running = self.running
        self.stop()
        for version in self.data.glob("version-*"):
            shutil.rmtree(version)
        if was_running:
            self.start()

    def snapshot(self) -> Path:
        """A copy of the data as of now, to be given to `restore`."""
        copy = Path(tempfile.mkdtemp(prefix="snapshot-", dir=self.directory)) / "data"
        if self.running:
            self.freeze()  # what was acknowledged is in the log file; nothing may be half written
        try:
            shutil.copytree(self.data, copy)
        finally:
            if self.running:
                self.thaw()
        return copy

    def restore(self, snapshot: Path) -> None:
        """Set the data back, as an operator does with a backup. Running before, running after."""
        was_running = self.running
        self.stop()
        shutil.rmtree(self.data)
        shutil.copytree(snapshot, self.data)
        if was_running:
            self.start()

    @property
    def mode(self) -> str:
        """standalone, leader, follower or observer; "" while it doesn't serve."""
        for line in self.ask("srvr").splitlines():
            if line.startswith("Mode:"):
                return line.removeprefix("Mode:").strip()
        return ""

    def client(self, **options: object) -> KazooClient:
        """A started kazoo client of this server; the caller stops it (`finish`)."""
        return connect(self.hosts, **options)

    def cli(self, *words: str) -> str:
        """One command of ZooKeeper's own shell (zkCli): what it printed."""
        return zk_cli(self.hosts, *words)

    def close(self) -> None:
        self.stop()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)


class Lent(Closing):
    """A server for one test after the other: a start takes a third of a second of CPU. Each has it empty; one
    that can't be emptied, or that its test ended, is replaced. In between it stands still."""

    def __init__(self) -> None:
        self._idle: ZooKeeperServer | None = None

    def take(self) -> ZooKeeperServer:
        server, self._idle = self._idle, None
        if server is not None and server.running:
            server.thaw()
            if clear(server):
                return server
        if server is not None:
            server.close()
        return ZooKeeperServer().__enter__()

    def give_back(self, server: ZooKeeperServer) -> None:
        if server.running:
            server.freeze()
        self._idle = server

    def close(self) -> None:
        if self._idle is not None:
            self._idle.close()


class Ensemble(Starting):
    """Several servers with a leader. `servers[i]` can be killed, frozen and started on its own."""

    def __init__(self, n: int = 3, *, settings: Mapping[str, str | int] | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="zkdns-ensemble-"))
        peers = {f"server.{i}": f"127.0.0.1:{free_port()}:{free_port()}:participant" for i in range(1, n + 1)}
        common: dict[str, str | int] = {"initLimit": 20, "syncLimit": 10, **peers, **(settings or {})}
        self.servers: list[ZooKeeperServer] = []
        for i in range(1, n + 1):
            directory = self.directory / str(i)
            (directory / "data").mkdir(parents=True)
            (directory / "data" / "myid").write_text(f"{i}\n")
            self.servers.append(ZooKeeperServer(directory, port=free_port(), settings=common))

    @property
    def hosts(self) -> str:
        return ",".join(server.hosts for server in self.servers)

    def start(self) -> None:
        for server in self.servers:
            server.launch()
        for server in self.servers:
            server.wait()

    def stop(self) -> None:
        for server in self.servers:
            server.stop()

    @property
    def leader(self) -> ZooKeeperServer:
        return next(server for server in self.servers if server.mode == "leader")

    @property
    def followers(self) -> list[ZooKeeperServer]:
        return [server for server in self.servers if server.mode == "follower"]

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


@cache
def archive() -> tuple[str, ...]:
    """What has Java take a server's classes as a first one, kept in build/, left them: a start then takes
    three quarters of its CPU. Java itself looks whether they are of its version and of these jars."""
    program = ensemble.find()
    key = hashlib.sha256(f"{program.classpath} {Path(program.java).stat()}".encode()).hexdigest()
    kept = REPOSITORY / "build" / "java" / f"zookeeper-{key[:12]}.jsa"
    older = "-XX:+IgnoreUnrecognizedVMOptions"  # Java 11 and before
    kept.parent.mkdir(parents=True, exist_ok=True)
    with kept.with_suffix(".lock").open("w") as lock, tempfile.TemporaryDirectory() as folder:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            part = kept.with_suffix(".part")
            server = ensemble.Server(
                Path(folder), free_port(), options=(older, f"-XX:ArchiveClassesAtExit={part}")
            )
            server.start()
            client = connect(server.hosts)
            client.create("/a/b", makepath=True)
            client.get("/a/b", watch=lambda event: None)
            client.delete("/a", recursive=True)
            finish(client)
            server.stop()
            if not part.exists():
                part.touch()  # this Java makes none
            part.rename(kept)
    return (older, f"-XX:SharedArchiveFile={kept}") if kept.stat().st_size else ()


@contextmanager
def clients() -> Iterator[Callable[[ZooKeeperServer], KazooClient]]:
    """Makes plain clients that end with it: one that is left goes on to connect for ever."""
    made: list[KazooClient] = []

    def make(server: ZooKeeperServer) -> KazooClient:
        made.append(server.client())
        return made[-1]

    yield make
    for client in made:
        finish(client)


def connect(hosts: str, timeout: float = 4.0, **options: object) -> KazooClient:
    """A started kazoo client that comes back quickly after a break (its own backoff grows to an hour)."""
    backoff = {"max_tries": -1, "delay": 0.1, "backoff": 2, "max_delay": 1}
    client = KazooClient(hosts, timeout=timeout, connection_retry=backoff, **options)
    try:
        client.start(30)
    except BaseException:
        finish(client)
        raise
    return client


def finish(client: KazooClient) -> None:
    """End a client and its sockets, whether its server lives or not."""
    client.stop()
    client.close()


def clear(server: ZooKeeperServer) -> bool:
    """Take out all that stands there; whether it is as good as a new one then."""
    try:
        client = server.client()
    except KazooTimeoutError:
        return False
    try:
        for name in client.get_children("/"):
            if name != "zookeeper":
                client.delete(f"/{name}", recursive=True)
        data, acls = client.get("/")[0], client.get_acls("/")[0]
    except (KazooException, KazooTimeoutError):
        return False
    finally:
        finish(client)
    return (data, acls) == (b"", OPEN_ACL_UNSAFE)


def expire(client: KazooClient) -> None:
    """End the client's session behind its back: a second connection takes it over and closes it."""
    hosts = ",".join(f"{host}:{port}" for host, port in client.hosts)
    finish(connect(hosts, client_id=client.client_id))


def zk_cli(hosts: str, *words: str) -> str:
    """One command of ZooKeeper's own shell, such as `zk_cli(hosts, "create", "/a", "data")`."""
    command = ensemble.find().command(
        ensemble.SHELL,
        "-server",
        hosts,
        *words,
        options=["-Xmx64m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"],
    )
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(f"zkCli {' '.join(words)}: exit {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def unique_root() -> str:
    return f"/t{uuid.uuid4().hex[:12]}"


def demand() -> None:
    """Fail the test, with what to install, where there is no ZooKeeper on this machine."""
    try:
        ensemble.find()
    except ensemble.Missing as missing:
        pytest.fail(str(missing), pytrace=False)
