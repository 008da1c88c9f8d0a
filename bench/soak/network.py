"""Where everyone lives: network namespaces with cables that can be pulled, or else plain loopback.

The soak starts itself again inside of a network of its own (`unshare`), so that nothing of the machine's is
touched and nothing is left behind. In it each member and each server has a namespace, with cables to
switches: `peers` between the members, `clients` between them and whoever uses them, `ask` between servers
and those who ask. A cable is pulled by taking it off its switch: no error tells anybody, packets just end.

Rules: a namespace is entered by a thread and for a moment (setns(2)): what is started there stays there.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

from support.ports import free_port

SWITCHES: Final = {"peers": "10.213.1", "clients": "10.213.2", "ask": "10.213.3"}
DOORS: Final = "10.214"
CLONE_NEWNET: Final = 0x40000000
INSIDE: Final = "ZKDNS_SOAK_INSIDE"
"""In the environment of a soak that runs in a network of its own."""


class NoNamespaces(Exception):
    """Why there can be no partitions here."""


UNSHARE: Final = ("unshare", "--map-root-user", "--net", "--mount")


def is_own() -> bool:
    """Whether this process is in a network of its own already."""
    return bool(os.environ.get(INSIDE))


def enter_own(words: Sequence[str]) -> NoReturn:
    """Begin this soak again in a network of its own. NoNamespaces where that can't be."""
    if sys.platform != "linux" or not all(map(shutil.which, ("ip", "unshare"))):
        raise NoNamespaces("ip and unshare are needed (apt-get install iproute2 util-linux)")
    tried = subprocess.run([*UNSHARE, "ip", "link", "add", "switch", "type", "bridge"], capture_output=True)
    if tried.returncode:
        raise NoNamespaces(f"none may be made here ({tried.stderr.decode(errors='replace').strip()})")
    os.environ[INSIDE] = "1"
    os.execvp(UNSHARE[0], [*UNSHARE, sys.executable, "-m", "bench.soak", *words])


class Node:
    """One place to live: its address at each switch that it has a cable to."""

    def __init__(self, name: str, addresses: dict[str, str], namespace: Path | None = None) -> None:
        self.name = name
        self.addresses = addresses
        self._namespace = namespace

    @property
    def apart(self) -> bool:
        """Whether it has a network of its own, where every port is free."""
        return self._namespace is not None

    def port(self, usual: int) -> int:
        return usual if self.apart else free_port()

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread is there meanwhile, and what it starts is for good."""
        if self._namespace is None:
            yield
            return
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            there = os.open(self._namespace, os.O_RDONLY)
            try:
                _setns(there)
            finally:
                os.close(there)
            try:
                yield
            finally:
                _setns(home)
        finally:
            os.close(home)


def _setns(descriptor: int) -> None:
    # os.setns came with Python 3.12.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Loopback:
    """Everyone at 127.0.0.1; nothing can be cut."""

    parts = False

    def node(self, name: str, *switches: str) -> Node:
        return Node(name, dict.fromkeys(switches, "127.0.0.1"))

    def door(self, number: int) -> str:
        """The address of the number-th checked instance, where its listener can stand."""
        return f"127.1.{number >> 8 & 255}.{number & 255}"

    def cut(self, node: Node, switch: str) -> None:
        raise NoNamespaces("nothing can be cut on loopback")

    def mend(self, node: Node, switch: str) -> None:
        raise NoNamespaces("nothing can be cut on loopback")

    def close(self) -> None:
        pass


class Namespaces(Loopback):
    """A namespace for each node. Only inside of a network of our own (`enter_own`)."""

    parts = True

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="zkdns-soak-net-"))
        self._count = 0
        _ip("link set lo up")
        for switch, prefix in SWITCHES.items():
            _ip(f"link add {switch} type bridge")
            _ip(f"addr add {prefix}.1/24 dev {switch}")
            _ip(f"link set {switch} up")
        _ip(f"route add local {DOORS}.0.0/16 dev lo")  # every address of it is ours, to listen on

    def node(self, name: str, *switches: str) -> Node:
        self._count += 1
        namespace = self._directory / name
        namespace.touch()
        _run("unshare", f"--net={namespace}", "true")
        node = Node(name, {s: f"{SWITCHES[s]}.{10 + self._count}" for s in switches}, namespace)
        for switch in switches:
            # The far end is made in the node's own network, since its name is that of the switch here.
            _ip(f"link add {name}-{switch} type veth peer name {switch} netns {namespace}")
            _ip(f"link set {name}-{switch} master {switch} up")
        with node.inside():
            _ip("link set lo up")
            for switch, address in node.addresses.items():
                _ip(f"addr add {address}/24 dev {switch}")
                _ip(f"link set {switch} up")
            if "ask" in switches:
                _ip(f"route add {DOORS}.0.0/16 via {SWITCHES['ask']}.1")
        return node

    def door(self, number: int) -> str:
        return f"{DOORS}.{number >> 8 & 255}.{number & 255}"

    def cut(self, node: Node, switch: str) -> None:
        _ip(f"link set {node.name}-{switch} nomaster")

    def mend(self, node: Node, switch: str) -> None:
        _ip(f"link set {node.name}-{switch} master {switch}")

    def close(self) -> None:
        for namespace in self._directory.iterdir():
            subprocess.run(["umount", namespace], capture_output=True)
        shutil.rmtree(self._directory, ignore_errors=True)


def _ip(words: str) -> None:
    _run("ip", *words.split())


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise NoNamespaces(f"{' '.join(words)}: {done.stderr.strip()}")
