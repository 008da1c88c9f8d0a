"""Holds one ephemeral znode for as long as it is wanted: the heart of `zkdns register`.

Rules: one thread does all the talking, serially. A node that stands in another session is never
fought over: it is taken back only where this machine's notes prove that the session is that of an
earlier run that has ended (`Notes`); else this stands by until it is gone. What keeps vanishing is made
again with growing pauses.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from kazoo.client import KazooClient
from kazoo.exceptions import (
    ConnectionLoss,
    KazooException,
    NodeExistsError,
    NoNodeError,
    OperationTimeoutError,
    SessionExpiredError,
)
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import KazooState

from zkdns.config import ZooKeeperSettings
from zkdns.registry.zk import connect

LOOK_AGAIN: Final = 5.0
"""Seconds after which a node that stands is looked at again: a watch may get lost."""

SHORTEST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 10.0
STEADY: Final = 30.0
"""Seconds that a node must have stood for the next pause to be the shortest one again."""

WATCHDOG: Final = 30.0
"""Seconds without a connection after which kazoo's client is replaced (kazoo #42)."""

NO_CONNECTION = (ConnectionLoss, SessionExpiredError, OperationTimeoutError, KazooTimeoutError)


class Stopped(Exception):
    """`stop` was called."""


class Notes:
    """The session that holds a node, kept on this machine so that a restart knows its own node.

    The file is locked while its holder lives: a second one for the same node gets no notes. It is no
    secret: a session is taken over by its password, which is not in it.
    """

    def __init__(self, hosts: str, path: str, directory: Path | None = None) -> None:
        self.session = 0
        self._file = -1
        name = hashlib.sha256(f"{','.join(sorted(hosts.split(',')))}{path}".encode()).hexdigest()[:32]
        try:
            folder = directory or _directory()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            there = folder.lstat()  # /tmp is everybody's: a link there may lead anywhere
            if not stat.S_ISDIR(there.st_mode) or there.st_uid != os.getuid() or there.st_mode & 0o022:
                return  # others could write there
            self._file = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.session = int(os.pread(self._file, 40, 0) or b"0")
        except (OSError, ValueError):
            self.close()

    def write(self, session: int) -> None:
        self.session = session
        if self._file >= 0:
            try:
                os.ftruncate(self._file, 0)
                os.pwrite(self._file, str(session).encode(), 0)
            except OSError:
                pass  # a full disk costs the quick restart alone

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _directory() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "zkdns" if runtime else Path("/tmp") / f"zkdns-{os.getuid()}"


class Holder:
    """`say`: one line for people, said when something changed. `want(True)` makes the node."""

    def __init__(
        self,
        hosts: str,
        settings: ZooKeeperSettings,
        path: str,
        data: bytes,
        say: Callable[[str], None],
        notes: Notes,
    ) -> None:
        self._hosts = hosts
        self._settings = settings
        self._path = path
        self._data = data
        self._say_now = say
        self._notes = notes
        self._own = {notes.session} - {0}
        self._wanted = False
        self._said = ""
        self._made_at = float("-inf")
        self._pause = SHORTEST_PAUSE
        self._not_before = 0.0
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._work, name="zkdns-register", daemon=True)
        self._client: KazooClient = None
        self._connected = False
        self._away_since = time.monotonic()

    # --- what others call -------------------------------------------------------------------------

    def start(self) -> None:
        self._open()
        self._thread.start()

    def want(self, wanted: bool) -> None:
        if wanted != self._wanted:
            self._wanted = wanted
            self._wake.set()

    def give_up(self, within: float = 2.0) -> None:
        """Remove the node now, and wait until it is gone or can't be reached."""
        self._gone.clear()
        self._wanted = False
        self._wake.set()
        self._gone.wait(within)

    def stop(self) -> None:
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(3.0)
        self._notes.close()

    # --- the thread -------------------------------------------------------------------------------

    def _open(self) -> None:
        client, reasons = connect.open_client(self._hosts, self._settings)
        connect.hush(client)  # we say it ourselves
        self._reasons = reasons

        def listen(state: str) -> None:  # on kazoo's connection thread, which must never wait
            if client is self._client:
                self._connected = state == KazooState.CONNECTED
                if not self._connected:
                    self._away_since = time.monotonic()
                self._wake.set()

        client.add_listener(listen)
        self._client = client
        self._connected = False
        self._away_since = time.monotonic()
        client.start_async()

    def _work(self) -> None:
        try:
            while not self._stopping.is_set():
                self._wake.clear()
                self._wake.wait(self._step())
        except Stopped:
            pass
        finally:
            connect.close(self._client, 2.0)

    def _step(self) -> float:
        """Do what is due; seconds until the next look."""
        if not self._connected:
            if not self._wanted:
                self._gone.set()
            away = time.monotonic() - self._away_since
            if away > 1.0:
                why = self._reasons.latest
                self._say(f"ZooKeeper at {self._hosts} is out of reach, trying on" + (why and f": {why}"))
            outrun = self._reasons.is_outrun(self._client, away, self._settings.session_timeout)
            if outrun or away > WATCHDOG:
                connect.close(self._client, 2.0)
                self._open()
            return 0.5
        try:
            return self._put() if self._wanted else self._remove()
        except NO_CONNECTION:
            return SHORTEST_PAUSE
        except KazooException as error:
            self._say(f"ZooKeeper refuses {self._path}: {type(error).__name__} {error}".rstrip())
            return LONGEST_PAUSE

    def _put(self) -> float:
        session = self._session()
        found = self._wait(self._client.exists_async(self._path, watch=self._look))
        if found is not None and found.ephemeralOwner == session:
            self._say(f"registered {self._path}")
            return LOOK_AGAIN
        if found is not None and found.ephemeralOwner not in self._own:
            owner = f"session {found.ephemeralOwner:#x}" if found.ephemeralOwner else "nobody's session"
            self._say(f"{self._path} is held by {owner}; standing by until it is gone")
            return LOOK_AGAIN
        now = time.monotonic()
        if found is None and now < self._not_before:
            return self._not_before - now
        try:
            if found is None:
                self._wait(self._client.create_async(self._path, self._data, ephemeral=True, makepath=True))
            else:
                self._replace(found.version)
        except (NodeExistsError, NoNodeError):
            return 0.0
        self._made(session)
        return 0.0

    def _replace(self, version: int) -> None:
        """Our own node of an ended session becomes one of this session, in one step."""
        change = self._client.transaction()
        change.delete(self._path, version)
        change.create(self._path, self._data, ephemeral=True)
        for result in self._wait(change.commit_async()):
            if isinstance(result, Exception):
                raise NodeExistsError

    def _made(self, session: int) -> None:
        now = time.monotonic()
        soon = now - self._made_at < STEADY
        self._pause = min(self._pause * 2, LONGEST_PAUSE) if soon else SHORTEST_PAUSE
        self._not_before = now + self._pause
        self._made_at = now
        self._notes.write(session)

    def _remove(self) -> float:
        self._session()
        try:
            found = self._wait(self._client.exists_async(self._path))
            if found is not None and found.ephemeralOwner in self._own:
                self._wait(self._client.delete_async(self._path, version=found.version))
                self._say(f"removed {self._path}")
        except NoNodeError:
            pass
        self._made_at = float("-inf")
        self._not_before = 0.0
        self._gone.set()
        return LOOK_AGAIN

    def _session(self) -> int:
        session: int = self._client.client_id[0]
        if session == 0:  # a lasting node's owner: it would pass for ours
            raise ConnectionLoss
        self._own.add(session)
        return session

    def _look(self, event: Any) -> None:
        self._wake.set()

    def _wait(self, result: Any) -> Any:
        """The result of a request. When we stop, one second more and no longer."""
        deadline = time.monotonic() + 15.0
        while not result.wait(0.1):
            now = time.monotonic()
            if self._stopping.is_set():
                deadline = min(deadline, now + 1.0)
            if now >= deadline:
                if self._stopping.is_set():
                    raise Stopped
                raise KazooTimeoutError
        return result.get(block=False)

    def _say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._say_now(text)
