"""Who builds and runs the image: Docker, Podman, or, where no container engine runs, its steps in a chroot.

Rules: nothing is pulled. The base is a tar file, given to the Dockerfile as --build-arg BASE=….
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packages.debian import unpack

BASE = "localhost/zkdns-base:debian"

CONTAINERS = """[containers]
default_ulimits = ["nofile=1024:20000", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
"""
"""Of Podman, for a machine without systemd: its own defaults ask for more than it gets there."""


class Image:
    """What was built. `run`: the image's program with these words, to its end."""

    settings: dict[str, object]

    def run(
        self, *words: str, flags: Sequence[str] = (), program: str = ""
    ) -> subprocess.CompletedProcess[str]:
        raise NotImplementedError

    def start(self, *words: str, flags: Sequence[str] = ()) -> subprocess.Popen[str]:
        raise NotImplementedError

    @property
    def megabytes(self) -> float:
        raise NotImplementedError

    def has(self, path: str) -> bool:
        raise NotImplementedError


class Engine:
    """Builds images. `runs_containers`: whether what it builds can be limited as containers are."""

    name = ""
    runs_containers = True

    def build(self, context: Path, tag: str, dockerfile: str = "Dockerfile") -> Image:
        raise NotImplementedError


def find_engine(folder: Path, base: Path) -> Engine | None:
    """One that starts a container of the base here. ZKDNS_ENGINE names it, `steps` for none."""
    wanted = os.environ.get("ZKDNS_ENGINE", "")
    for kind in (Docker, Podman):
        if wanted not in ("", kind.name) or not shutil.which(kind.name):
            continue
        engine = kind(folder, base)
        if engine.works():
            return engine
        print(f"{kind.name} is here, and starts no container: {engine.complaint}")
    return None


# --- engines of containers ----------------------------------------------------------------------------


class Docker(Engine):
    name = "docker"
    build_flags: tuple[str, ...] = ("--network", "host")

    def __init__(self, folder: Path, base: Path) -> None:
        self.folder, self._base = folder, base
        self.environment = dict(os.environ)
        self.complaint = ""

    def works(self) -> bool:
        if self.command("info").returncode != 0:
            self.complaint = "it has no engine"
            return False
        made = self.command("import", str(self._base), BASE)
        tried = self.command("run", "--rm", "--network", "none", BASE, "/bin/true")
        self.complaint = (made.stderr + tried.stderr).strip()
        return made.returncode == tried.returncode == 0

    def words(self, *words: str) -> list[str]:
        return [self.name, *words]

    def command(self, *words: str, timeout: float = 540) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.words(*words), env=self.environment, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=timeout,
        )  # fmt: skip

    def check(self, *words: str) -> str:
        done = self.command(*words)
        assert done.returncode == 0, f"{words}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def build(self, context: Path, tag: str, dockerfile: str = "Dockerfile") -> Image:
        self.check(
            "build", *self.build_flags, "--build-arg", f"BASE={BASE}", "-t", tag,
            "-f", str(context / dockerfile), str(context),
        )  # fmt: skip
        return Container(self, tag)


class Podman(Docker):
    name = "podman"
    build_flags = ("--isolation", "chroot", "--network", "host", "--format", "docker")

    def __init__(self, folder: Path, base: Path) -> None:
        super().__init__(folder, base)
        settings = folder / "containers.conf"
        settings.write_text(CONTAINERS)
        # Timers of systemd's ask for health; where there is no systemd the tests ask.
        self.environment |= {"CONTAINERS_CONF": str(settings), "DISABLE_HC_SYSTEMD": "true"}

    def words(self, *words: str) -> list[str]:
        return [self.name, *self.globals, *words]

    @property
    def globals(self) -> list[str]:
        return ["--root", str(self.folder / "storage"), "--runroot", str(self.folder / "run")]


@dataclass
class Container(Image):
    engine: Docker
    tag: str

    @property
    def settings(self) -> dict[str, object]:  # type: ignore[override]
        (told,) = json.loads(self.engine.check("image", "inspect", self.tag))
        # Podman tells of the health check beside the rest.
        config: dict[str, object] = {"Healthcheck": told.get("Healthcheck"), **told["Config"]}
        return config

    def _words(self, flags: Sequence[str], program: str, words: Sequence[str]) -> list[str]:
        entry = ["--entrypoint", program] if program else []
        return ["run", "--rm", "--no-healthcheck", *flags, *entry, self.tag, *words]

    def run(
        self, *words: str, flags: Sequence[str] = (), program: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return self.engine.command(*self._words(flags, program, words))

    def start(self, *words: str, flags: Sequence[str] = ()) -> subprocess.Popen[str]:
        command = self.engine.words(*self._words(flags, "", words))
        return subprocess.Popen(
            command, env=self.engine.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    @property
    def megabytes(self) -> float:
        (told,) = json.loads(self.engine.check("image", "inspect", self.tag))
        return float(told["Size"]) / 1e6

    def has(self, path: str) -> bool:
        name = self.engine.check("create", "--network", "none", self.tag).strip()
        try:
            return self.engine.command("cp", f"{name}:{path}", "-").returncode == 0
        finally:
            self.engine.command("rm", name)


# --- without one --------------------------------------------------------------------------------------


class Steps(Engine):
    """Takes the steps of a Dockerfile one by one. Knows those that ours has, and no more."""

    name = "steps"
    runs_containers = False

    def __init__(self, folder: Path, base: Path) -> None:
        self._folder, self._base = folder / "steps", base

    def build(self, context: Path, tag: str, dockerfile: str = "Dockerfile") -> Image:
        shutil.rmtree(self._folder, ignore_errors=True)
        stages: dict[str, Path] = {}
        root, work, settings = Path(), "/", {}
        text = (context / dockerfile).read_text().replace("\\\n", " ")
        for line in text.splitlines():
            step, _, rest = line.partition(" ")
            if step == "FROM":
                source, _, name = rest.partition(" AS ")
                root = stages[name] = self._folder / (name or "image")
                work = "/"
                if source == "scratch":
                    root.mkdir(parents=True)
                else:
                    unpack(self._base, root)
                    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
            elif step == "RUN":
                self._run(root, work, rest)
            elif step == "WORKDIR":
                work = rest
                (root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
            elif step == "COPY":
                self._copy(context, stages, root, work, rest)
            elif step in ("ENTRYPOINT", "CMD", "USER", "ENV", "HEALTHCHECK"):
                settings[step.title()] = json.loads(rest) if rest.startswith("[") else rest
            else:
                assert step in ("", "#", "ARG", "LABEL", "VOLUME", "EXPOSE") or step.startswith("#"), line
        return Tree(root, settings)

    def _run(self, root: Path, work: str, command: str) -> None:
        mounts = [(kind, root / kind) for kind in ("proc", "dev", "sys")]
        for kind, place in mounts:
            place.mkdir(exist_ok=True)
            subprocess.run(["mount", "--bind", f"/{kind}", place], check=True)
        try:
            subprocess.run(
                ["chroot", root, "/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
                 "DEBIAN_FRONTEND=noninteractive", "/bin/sh", "-c", f"cd {work} && {command}"],
                check=True, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        finally:
            for _, place in reversed(mounts):
                subprocess.run(["umount", "-l", place], check=True)

    @staticmethod
    def _copy(context: Path, stages: dict[str, Path], root: Path, work: str, rest: str) -> None:
        source = re.match(r"--from=(\S+) ", rest)
        *names, target = shlex.split(rest.removeprefix(source[0]) if source else rest)
        there = root / (target if target.startswith("/") else f"{work}/{target}").lstrip("/")
        for name in names:
            path = (stages[source[1]] if source else context) / name.lstrip("/")
            if path.is_dir():
                ignore = shutil.ignore_patterns("target", "__pycache__", "*.so")
                shutil.copytree(
                    path, there, symlinks=True, dirs_exist_ok=True, ignore=None if source else ignore
                )
            else:
                there.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, there)


@dataclass
class Tree(Image):
    """The image's files, run by a user without rights in a chroot."""

    root: Path
    settings: dict[str, object]

    def _words(self, program: str, words: Sequence[str]) -> list[str]:
        environment = str(self.settings["Env"]).split()
        user = str(self.settings["User"])
        place = ["/usr/sbin/chroot", f"--userspec={user}", str(self.root)]
        return ["env", "-i", *environment, *place, f"/opt/zkdns/bin/{program or 'zkdns'}", *words]

    def run(
        self, *words: str, flags: Sequence[str] = (), program: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._words(program, words), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )

    def start(self, *words: str, flags: Sequence[str] = ()) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._words("", words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    @property
    def megabytes(self) -> float:
        files = (path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink())
        return sum(path.stat().st_size for path in files) / 1e6

    def has(self, path: str) -> bool:
        return os.path.lexists(self.root / path.lstrip("/"))
