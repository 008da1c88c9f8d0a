"""Finds the ZooKeeper that is installed on this machine, and runs one of it on loopback.

For the demo and the tests: a server started here forces nothing to disk, listens on loopback alone
and ends with the process that started it. Not a way to run an ensemble that anybody relies on.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from msgspec import Struct

MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
SHELL = "org.apache.zookeeper.ZooKeeperMain"

INSTALL = "apt-get install zookeeper (Debian, Ubuntu), brew install zookeeper (macOS), or set ZOOKEEPER_HOME"

TARBALLS = (
    "/opt/zookeeper",
    "/usr/share/zookeeper",
    "/opt/homebrew/opt/zookeeper/libexec",
    "/usr/local/opt/zookeeper/libexec",
)
"""Where an unpacked release may stand; its jars are in lib/."""

DEBIAN = Path("/usr/share/java")

DEBIAN_JARS = ("zookeeper.jar", "slf4j-simple.jar", "netty-codec.jar", "netty-resolver.jar")
"""zookeeper.jar's manifest names the rest, but no log binding, and not all of Netty that TLS needs."""


class Missing(Exception):
    """ZooKeeper or Java is not here; the text says what to install."""


class NotStarted(Exception):
    """The server ended, or did not answer in time; the text ends with what it logged."""


class Program(Struct, frozen=True):
    """An installed ZooKeeper: the Java to run it with and the jars to run."""

    java: str
    classpath: str

    def command(self, main: str, *arguments: str, options: Sequence[str] = ()) -> list[str]:
        return [self.java, *options, "-cp", self.classpath, main, *arguments]


def find() -> Program:
    """The ZooKeeper of this machine, or `Missing`."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin") if home else None
    java = java or shutil.which("java")
    classpath = _find_jars()
    if not classpath:
        raise Missing(f"no ZooKeeper found on this machine: {INSTALL}")
    # macOS has a /usr/bin/java that does nothing but ask to install one.
    if not java or not _runs(java):
        raise Missing("no Java found on this machine: apt-get install default-jre-headless (Debian, Ubuntu)")
    return Program(java, classpath)


@lru_cache
def _runs(java: str) -> bool:
    return subprocess.run([java, "-version"], capture_output=True).returncode == 0


def _find_jars() -> str:
    homes = [home] if (home := os.environ.get("ZOOKEEPER_HOME")) else []
    for home in [*homes, *TARBALLS]:
        if any(Path(home, "lib").glob("zookeeper-[0-9]*.jar")):
            return f"{home}/lib/*"
    if (DEBIAN / "zookeeper.jar").exists():
        return os.pathsep.join(str(DEBIAN / jar) for jar in DEBIAN_JARS)
    return ""


def tie(command: Sequence[str]) -> list[str]:
    """The same command, killed with whoever started it. The kernel can do that, but Python can't ask it
    safely (preexec_fn and threads); util-linux can. Elsewhere than on Linux: the command as it is."""
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv else list(command)


def end(process: subprocess.Popen[bytes]) -> None:
    """Have it end in order; one that does not is killed."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Server:
    """One ZooKeeper process on loopback, its files in `directory`.

    `settings` go to zoo.cfg over the ones chosen here, `options` to Java.
    """

    def __init__(
        self,
        directory: Path,
        port: int,
        settings: Mapping[str, str | int] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.log = directory / "zookeeper.log"
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None
        self._settings = dict(settings or {})
        self._options = tuple(options)

    @property
    def hosts(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def launch(self) -> None:
        """Start the process and return at once."""
        if self.running:
            return
        program = find()
        self.data.mkdir(parents=True, exist_ok=True)
        command = program.command(MAIN, str(self._configure()), options=[*OPTIONS, *self._options])
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                tie(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                start_new_session=True,  # Ctrl-C in the terminal is for the parent, which ends this in order
            )

    def wait(self, timeout: float = 60.0) -> None:
        """Until it serves clients, or `NotStarted`."""
        deadline = time.monotonic() + timeout
        while "Mode:" not in self.ask("srvr"):
            if not self.running:
                raise NotStarted(f"ZooKeeper ended while starting: {self._last_words()}")
            if time.monotonic() > deadline:
                raise NotStarted(f"ZooKeeper did not serve within {timeout:.0f} s: {self._last_words()}")
            time.sleep(0.05)

    def start(self, timeout: float = 60.0) -> None:
        self.launch()
        self.wait(timeout)

    def stop(self) -> None:
        """End it in order; a server that was frozen or doesn't listen is killed."""
        if self.process is None:
            return
        if self.running:
            self.process.send_signal(signal.SIGCONT)
        end(self.process)
        self.process = None

    def ask(self, word: str) -> str:
        """One of ZooKeeper's four-letter words (`srvr`, `wchc`, `mntr`); "" when it doesn't answer."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(word.encode())
                reply = bytearray()
                while part := connection.recv(65536):
                    reply += part
        except OSError:
            return ""
        return reply.decode(errors="replace")

    def _configure(self) -> Path:
        settings: dict[str, str | int] = {
            "tickTime": 500,  # sessions may be as short as two ticks, and end to within one
            "maxSessionTimeout": 60_000,
            "dataDir": str(self.data),
            "clientPort": self.port,
            "clientPortAddress": "127.0.0.1",
            "maxClientCnxns": 0,
            "4lw.commands.whitelist": "*",
            "admin.enableServer": "false",
            "extendedTypesEnabled": "true",
            "forceSync": "no",
            "preAllocSize": 1024,  # KiB; the default makes a 64 MiB log for every server
            **self._settings,
        }
        path = self.directory / "zoo.cfg"
        path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        return path

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        for sign in ("Exception", "ERROR", ""):
            if telling := [line.strip() for line in lines if sign in line]:
                return telling[-1][:300]
        return f"nothing in {self.log}"


OPTIONS = (
    "-Xms32m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:CompileThresholdScaling=6",  # compiling took a third of a start
    "-XX:-UsePerfData",
    "-Dzookeeper.jmx.log4j.disable=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    "-Djava.net.preferIPv4Stack=true",
)
"""Small and quick to start: this serves a demo or a test, not a fleet."""
