"""`python -m zkdns` as a process of its own, without the half second of CPU that loading it takes.

Rules: each is forked from a process that loaded everything once and does nothing else, and gets files, an
environment and a folder of its own, and may open as many files as who asks; then it runs and ends as the
interpreter would have it. That process is its parent, and tells how it ended. Servers are forked from two of
them in turn, so that two beside each other have other seeds of hashes. A run's workers have the same two
(`share`). What is about loading, memory or the command line takes `subprocess.Popen`.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import os
import pkgutil
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAMS = ("zkdns", "support.turns")
"""Those that are loaded, as one says them after `python -m`."""

PATHS = (str(REPOSITORY), f"{REPOSITORY}:{REPOSITORY / 'tests'}")
LONGEST = 1 << 17
"""Bytes of a request: the words and the environment."""


def start(command: Sequence[str], env: Mapping[str, str], **options: Any) -> subprocess.Popen[Any]:
    """As `subprocess.Popen`: forked where this is zkdns in an environment in which it loads as ours did."""
    is_ours = command[:2] == [sys.executable, "-m"] and command[2] in PROGRAMS
    is_same = is_ours and env.get("PYTHONPATH") in PATHS and _loading(env) == _loading(os.environ)
    return (_Forked if is_same else subprocess.Popen)(list(command), env=env, **options)


def _loading(env: Mapping[str, str]) -> dict[str, str]:
    """What the interpreter itself looks at, save what is done for each of them."""
    done = ("PYTHONPATH", "PYTHONUNBUFFERED")
    words = ("PYTHON", "LC_", "LANG", "LD_")
    return {name: value for name, value in env.items() if name.startswith(words) and name not in done}


class _Forked(subprocess.Popen[Any]):
    """A child of the loaded process. What `Popen` asks of the kernel as a parent, it asks by a pipe on which
    that process writes the exit code."""

    _status = -1

    def _execute_child(self, args: Any, *rest: Any) -> None:
        cwd, env = rest[4], rest[5]
        p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite = rest[9:15]
        self._status, status = os.pipe()
        try:
            files = [here if here >= 0 else at for at, here in enumerate((p2cread, c2pwrite, errwrite))]
            self.pid = _loaded(args[2:]).fork(args[2:], env, os.fspath(cwd or Path.cwd()), [*files, status])
        finally:
            os.close(status)
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]

    def _internal_poll(self, **_: Any) -> int | None:
        return self._ended(0)

    def _wait(self, timeout: float | None) -> int:
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def _ended(self, timeout: float | None) -> int | None:
        """The exit code, once there is one."""
        if self.returncode is None and self._status >= 0:
            ready = select.poll()
            ready.register(self._status, select.POLLIN)
            if not ready.poll(None if timeout is None else max(0, timeout) * 1000):
                return None
            self.returncode = int(os.read(self._status, 16))
            os.close(self._status)
            self._status = -1
        return self.returncode


class _Loaded:
    """The process that forks, as seen from here. `at`: where others reach it as well."""

    def __init__(self, at: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        given = [theirs]
        if at is not None:
            given.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            given[1].bind(str(at))
            given[1].listen()
        files = [one.fileno() for one in given]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.loaded", *map(str, files)],
            pass_fds=files,
            stdin=subprocess.DEVNULL,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"},
        )
        for one in given:
            one.close()

    def close(self) -> None:
        self._ours.close()  # that ends it
        self._process.wait()

    def fork(self, words: Sequence[str], env: Mapping[str, str], folder: str, files: Sequence[int]) -> int:
        """The process id; `files`: its three, and where its exit code goes."""
        with self._lock:
            asked = [list(words), dict(env), folder, resource.getrlimit(resource.RLIMIT_NOFILE)]
            socket.send_fds(self._ours, [json.dumps(asked).encode()], files)
            return int(self._ours.recv(16))


class _Shared(_Loaded):
    """One that whoever started us has started (`share`)."""

    def __init__(self, at: Path) -> None:
        self._lock = threading.Lock()
        self._ours = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.connect(str(at))

    def close(self) -> None:
        self._ours.close()


SHARED = "ZKDNS_TESTS_LOADED"
"""The variable that names the folder of their sockets, behind the network in which they are."""


def _network() -> str:
    """What tells a network of its own (network_namespaces(7)) from another."""
    with suppress(OSError):  # there is one alone
        return str(Path("/proc/self/ns/net").readlink())
    return "machine"


def _shared_folder() -> Path | None:
    """None in another network: programs are to be in that of who starts them."""
    network, _, folder = os.environ.get(SHARED, "").partition(" ")
    return Path(folder) if network == _network() else None


def share() -> Callable[[], None]:
    """Loads it for all processes that are started from here on, to the call of what is returned."""
    folder = Path(tempfile.mkdtemp(prefix="zkdns-loaded-"))
    both = [_Loaded(folder / str(at)) for at in range(2)]
    os.environ[SHARED] = f"{_network()} {folder}"

    def end() -> None:
        del os.environ[SHARED]
        for one in both:
            one.close()
        shutil.rmtree(folder)

    return end


_known: dict[int, _Loaded] = {}
_turns = count()
_starting = threading.Lock()


def _loaded(words: Sequence[str]) -> _Loaded:
    with _starting:
        at = next(_turns) % 2 if "serve" in words[1:2] else 0
        if at not in _known:
            folder = _shared_folder()
            _known[at] = _Shared(folder / str(at)) if folder is not None else _Loaded()
            atexit.register(_known[at].close)
        return _known[at]


# --- there ----------------------------------------------------------------------------------------


def _load() -> None:
    import support.turns  # noqa: F401
    import zkdns

    for module in pkgutil.walk_packages(zkdns.__path__, "zkdns."):
        if module.name not in ("zkdns.__main__", "zkdns._native"):  # that one is loaded where it is asked for
            try:
                importlib.import_module(module.name)
            except ImportError:
                pass  # what needs an extra that is not here
    gc.collect()
    gc.freeze()


def _serve(first: socket.socket, *listener: socket.socket) -> str:
    """Returns in each process that is forked the program that it is to be. Ends with its first connection."""
    rang, ring = os.pipe()
    os.set_blocking(ring, False)
    os.set_blocking(rang, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    statuses: dict[int, int] = {}
    sockets = [first, *listener]
    while True:
        readable = select.select([rang, *sockets], [], [])[0]
        for one in sockets[:]:
            if one not in readable:
                continue
            if one in listener:
                sockets.append(one.accept()[0])
                continue
            asked, files, _, _ = socket.recv_fds(one, LONGEST, 4)
            if not asked:
                if one is first:
                    os._exit(0)
                one.close()
                sockets.remove(one)
                continue
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                for file in (rang, ring, *statuses.values()):
                    os.close(file)
                for other in sockets:
                    other.close()
                (program, *words), env, folder, most_files = json.loads(asked)
                resource.setrlimit(resource.RLIMIT_NOFILE, most_files)
                _become(words, env, folder, files)
                return str(program)
            for file in files[:3]:
                os.close(file)
            statuses[pid] = files[3]
            with suppress(BrokenPipeError):  # a worker that was killed
                one.send(str(pid).encode())
        if rang in readable:
            os.read(rang, 4096)
        while statuses:
            pid, code = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            status = statuses.pop(pid)
            try:
                os.write(status, str(os.waitstatus_to_exitcode(code)).encode())
            except BrokenPipeError:
                pass  # nobody waits for it
            os.close(status)


def _become(words: list[str], env: dict[str, str], folder: str, files: Sequence[int]) -> None:
    """What the interpreter does before it runs a program."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for at, file in enumerate(files[:3]):
        os.dup2(file, at)
    for file in files:
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["zkdns", *words]
    is_direct = "PYTHONUNBUFFERED" in env
    sys.stdin = sys.__stdin__ = _open(0, "r")  # type: ignore[misc]
    out = io.FileIO(1, "w", closefd=False)
    sys.stdout = sys.__stdout__ = io.TextIOWrapper(  # type: ignore[misc]
        out if is_direct else io.BufferedWriter(out),  # type: ignore[arg-type]
        write_through=is_direct,
        line_buffering=os.isatty(1),
    )
    sys.stderr = sys.__stderr__ = _open(2, "w")  # type: ignore[misc]


def _open(file: int, mode: str) -> Any:
    return open(file, mode, buffering=1, errors="backslashreplace" if file == 2 else None, closefd=False)


if __name__ == "__main__":
    _load()
    program = _serve(*(socket.socket(fileno=int(file)) for file in sys.argv[1:]))
    importlib.import_module("zkdns.cli" if program == "zkdns" else program).main()
