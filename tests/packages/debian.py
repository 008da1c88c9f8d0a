"""A bare Debian made of Debian's packages, and one that has booted with systemd."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from support.waiting import eventually

PACKAGES = ("python3-venv", "systemd", "dbus", "bind9-dnsutils", "ca-certificates")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def make_base(folder: Path, suite: str) -> Path:
    """A tar file of the release with what the tests need; an earlier one's is taken again."""
    path = folder / f"{suite}.tar"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".aside.tar")
        # Whoever looks into this machine's connections, a proxy perhaps, is known to the machine alone.
        hook = (
            [f"--customize-hook=copy-in {CERTIFICATES} {CERTIFICATES.parent}"]
            if CERTIFICATES.exists()
            else []
        )
        subprocess.run(
            [
                "mmdebstrap",
                "--quiet",
                "--variant=minbase",
                f"--include={','.join(PACKAGES)}",
                *hook,
                suite,
                aside,
            ],
            check=True,
            stdin=subprocess.DEVNULL,
        )
        aside.rename(path)
    return path


def unpack(base: Path, root: Path) -> None:
    root.mkdir(parents=True)
    subprocess.run(["tar", "-xf", base, "-C", root, "--exclude=./dev/*"], check=True)


class Machine:
    """Boots in a container of systemd's own (nspawn), with loopback alone for a network."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.root = folder / "root"
        self._log = folder / "console"
        unpack(base, self.root)
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def prepare(self, source: Path, *words: str) -> None:
        """Runs a program before it boots, in this machine's network, with `source` at /src."""
        nspawn = ["systemd-nspawn", "--quiet", "--directory", self.root, "--register=no", "--keep-unit"]
        binds = [f"--bind-ro={source}:/src", "--resolv-conf=copy-host"]
        subprocess.run([*nspawn, *binds, "--", *words], check=True, stdin=subprocess.DEVNULL)

    def __enter__(self) -> Machine:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "systemd-nspawn", "--quiet", "--directory", self.root, "--register=no", "--keep-unit",
                    "--private-network", "--boot",
                ],
                # A systemd of today starts on control groups of version 2 alone, whatever this machine has.
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            eventually(self._has_booted, 90, 0.2)
        except BaseException:
            print(self._log.read_text(errors="replace"))
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        with contextlib.suppress(OSError):
            os.kill(self._leader or self._process.pid, signal.SIGRTMIN + 4)  # systemd: power off
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _has_booted(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text(errors="replace")
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # helpers come and go meanwhile
            self._find_leader(self._process.pid)
        if not self._leader:
            return False
        state = self.run("systemctl is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def _find_leader(self, nspawn: int) -> None:
        """nspawn's child is a helper or the leader itself, who is process 1 of its own."""
        for pid in Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split():
            for candidate in (pid, *Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
                status = Path(f"/proc/{candidate}/status").read_text()
                if status.split("NSpid:")[1].splitlines()[0].split()[-1] == "1":
                    self._leader = int(candidate)

    def run(self, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        words = ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"]
        done = subprocess.run(
            [*words, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}"
        return done

    def shell(self, command: str) -> str:
        """What a command prints that must succeed."""
        return self.run(command).stdout

    def write(self, path: str, text: str) -> None:
        (self.root / path.lstrip("/")).write_text(text)

    def until(self, command: str, part: str, seconds: float = 60.0) -> str:
        """Until what it prints has `part` in it."""
        deadline = time.monotonic() + seconds
        while part not in (told := self.run(command, check=False).stdout):
            assert time.monotonic() < deadline, f"{command} never said {part!r}: {told}"
            time.sleep(0.3)
        return told
