"""Who takes part: the members of the ensembles and the servers that read them, each in its place."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.soak.model import FAR, HOME
from bench.soak.network import Loopback, Node
from bench.soak.services import FAILOVER, REGISTRIES
from support.closing import Starting
from support.process import descriptors, resident
from support.server import Zkdns
from support.waiting import eventually
from support.zookeeper import ZooKeeperServer

SYNC_LIMIT = 10
"""Ticks (of half a second) after which a member that hears nothing of the others serves no more."""


class Member(ZooKeeperServer):
    """One ZooKeeper of the ensemble."""

    def __init__(self, node: Node, number: int, directory: Path) -> None:
        self.node = node
        self.number = number
        self.ballots = f"{node.addresses['peers']}:{node.port(2888)}:{node.port(3888)}:participant"
        (directory / "data").mkdir(parents=True)
        (directory / "data" / "myid").write_text(f"{number}\n")
        super().__init__(directory, port=node.port(2181))

    def join(self, members: Sequence[Member]) -> None:
        """Know the others, which is needed before the start."""
        self._settings |= {"initLimit": 20, "syncLimit": SYNC_LIMIT}
        self._settings |= {f"server.{m.number}": m.ballots for m in members}
        if self.node.apart:
            self._settings["clientPortAddress"] = "0.0.0.0"

    @property
    def hosts(self) -> str:
        return f"{self.node.addresses['clients']}:{self.port}"

    @property
    def epoch(self) -> int:
        """The epoch of its latest zxid; 0 while it doesn't serve."""
        for line in self.ask("srvr").splitlines():
            if line.startswith("Zxid:"):
                return int(line.split()[1], 16) >> 32
        return 0

    def launch(self) -> None:
        with self.node.inside():
            super().launch()

    def ask(self, word: str) -> str:
        with self.node.inside():
            return super().ask(word)

    def copy(self, to: Path) -> None:
        """Its data as of now. What it acknowledged is in the log file; nothing may be half written."""
        self.freeze()
        try:
            shutil.copytree(self.data, to)
        finally:
            self.thaw()


class Replica(Zkdns):
    """One server of ours."""

    def __init__(
        self, node: Node, number: int, engine: str, hosts: Mapping[str, str], state: Path, upstream: str
    ) -> None:
        self.node = node
        self.number = number
        self.engine = engine
        self.state = state
        address = node.addresses["ask"]
        port, http_port = node.port(5300), node.port(8053)
        flags = ["--engine", engine, "--listen", f"{address}:{port}", "--http", f"{address}:{http_port}"]
        # The judge counts the seconds since an instance went: nothing that an outage took along is kept.
        settings = state.with_suffix(".toml")
        settings.write_text("grace = 0\n")
        flags += ["--state", str(state), "--config", str(settings)]
        flags += [word for name in FAILOVER for word in ("--failover", name)]
        flags += ["--forward", upstream] if upstream else []
        urls = [f"{name}=zk://{hosts[ensemble]}{root}" for name, (ensemble, root) in REGISTRIES.items()]
        super().__init__(*flags, registry=urls)
        self.host = self.http_host = address
        self.port, self.http_port = port, http_port

    def launch(self) -> None:
        with self.node.inside():
            super().launch()

    @property
    def is_connected(self) -> bool:
        return self.metrics()['zkdns_registry_connected{registry="dc1"}'] == 1

    def size(self) -> tuple[int, int, int]:
        """Resident KiB, threads, descriptors."""
        threads = sum(1 for _ in Path(f"/proc/{self.pid}/task").iterdir())
        return resident(self.pid) // 1024, threads, descriptors(self.pid)

    def __str__(self) -> str:
        return f"server {self.number} ({self.engine})"


class Cast(Starting):
    """All of them. The members run from the start, the servers from `start_replicas` on. `far`: the other
    ensemble, which is one member."""

    def __init__(self, network: Loopback, members: int, engines: Sequence[str], upstream: str = "") -> None:
        self.network = network
        self.directory = Path(tempfile.mkdtemp(prefix="zkdns-soak-"))
        self.members = [
            Member(network.node(f"m{k}", "peers", "clients"), k + 1, self.directory / f"m{k}")
            for k in range(members)
        ]
        for member in self.members:
            member.join(self.members)
        self.far = Member(network.node("far", "peers", "clients"), 1, self.directory / "far")
        self.far.join([])
        hosts = {HOME: self.hosts, FAR: self.far.hosts}
        self.replicas = [
            Replica(
                network.node(f"s{k}", "clients", "ask"), k, engine, hosts, self.directory / f"s{k}", upstream
            )
            for k, engine in enumerate(engines)
        ]
        self.backup: Path | None = None
        self.backup_epoch = 0

    @property
    def hosts(self) -> str:
        return ",".join(member.hosts for member in self.members)

    def start_members(self) -> None:
        for member in (*self.members, self.far):
            member.launch()
        for member in (*self.members, self.far):
            member.wait()

    def restart_members(self) -> None:
        """Those at home, all at once."""
        for member in self.members:
            member.kill()
        self.start_members()

    def start_replicas(self) -> None:
        for replica in self.replicas:
            replica.start()

    def back_up(self) -> None:
        """Keep all members' data as of now, in the place of what was kept before."""
        self.backup = self.directory / "backup"
        shutil.rmtree(self.backup, ignore_errors=True)
        self.backup_epoch = max(member.epoch for member in self.members)
        for member in self.members:
            member.copy(self.backup / str(member.number))

    def set_back(self) -> None:
        """All members stopped and given the data that was kept; they are to be started again.

        Each election is an epoch, the upper half of every zxid: unless there were two since, and clients
        saw the second, the one that follows brings larger zxids than theirs, and is no older data to them.
        """
        assert self.backup is not None, "nothing was kept yet"
        while max(member.epoch for member in self.members) < self.backup_epoch + 2:
            self.restart_members()
        eventually(lambda: all(replica.is_connected for replica in self.replicas), 60)
        for member in self.members:
            member.stop()
            shutil.rmtree(member.data)
            shutil.copytree(self.backup / str(member.number), member.data)
        self.backup = None

    def start(self) -> None:
        self.start_members()

    def close(self, show: bool = False) -> None:
        """End everyone; the servers' logs are printed where `show` says so. A second time does nothing."""
        for replica in self.replicas:
            with contextlib.ExitStack() as stack:
                if not show:
                    stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
                replica.close()
        self.replicas = []
        for member in (*self.members, self.far):
            member.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
