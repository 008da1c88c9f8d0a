"""One question on its way: a Resolution's decisions carried out by sockets and alarms.

Rules: one asyncio loop; never raises out of it; `done` is told the outcome once. Each question
goes out on a socket of its own, so on a source port of its own (RFC 5452, section 9.2).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial

from zkdns.dns.message import Message, read_reply
from zkdns.forward.alarms import Alarm, Alarms
from zkdns.forward.intake import LARGE_BYTES, Intake
from zkdns.forward.readers import Readers
from zkdns.forward.resolution import OURS, Answered, Attempt, Failed, Resolution
from zkdns.forward.sockets import Stream, begin_stream, connect
from zkdns.lack import is_local_lack, reason

log = logging.getLogger("zkdns.forward")

DATAGRAMS_PER_TURN = 32
"""Datagrams read of one socket before the others have their turn."""


class Transport:
    """Starts when `step` is called first; over when `done` was called. `whose`: the network that asked."""

    def __init__(
        self,
        resolution: Resolution,
        clock: Callable[[], float],
        done: Callable[[Answered | Failed], None],
        readers: Readers,
        intake: Intake,
        alarms: Alarms,
        *,
        whose: bytes = b"",
    ) -> None:
        self.resolution = resolution
        self._clock = clock
        self._done = done
        self._readers = readers
        self._intake = intake
        self._whose = whose
        self._alarms = alarms
        self._over = False
        self._sockets: dict[Attempt, socket.socket] = {}
        self._streams: set[asyncio.Task[None]] = set()
        self._alarm: Alarm | None = None

    def step(self) -> None:
        """Does what is due, and comes again when something will be."""
        try:
            self._step()
        except Exception:
            self._break()

    def _break(self) -> None:
        """An error of ours costs this question, and nobody else's."""
        log.exception("a question to upstreams broke: %s", self.resolution.question.hex())
        self.end(OURS)

    def _step(self) -> None:
        if self._over:
            return
        resolution = self.resolution
        if resolution.outcome is not None:
            self.end(resolution.outcome)
            return
        while (attempt := resolution.due(self._clock())) is not None:
            self._send(attempt)
        for attempt in [a for a in self._sockets if a.done]:
            self._readers.close(self._sockets.pop(attempt))
        if resolution.outcome is not None:
            self.end(resolution.outcome)
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._alarms.set(max(0.0, resolution.wake - self._clock()), self.step)

    def end(self, outcome: Answered | Failed) -> None:
        """Lets go of all it holds, and tells the outcome."""
        if self._over:
            return
        self._over = True
        try:
            self._let_go()
        finally:  # else its place would be taken for good
            self._done(outcome)

    def _let_go(self) -> None:
        while self._sockets:
            self._readers.close(self._sockets.popitem()[1])
        if self._streams:
            current = asyncio.current_task()
            for task in self._streams:
                if task is not current:
                    task.cancel()
        if self._alarm is not None:
            self._alarm.cancel()

    def _send(self, attempt: Attempt) -> None:
        if attempt.tcp:
            task = asyncio.get_running_loop().create_task(self._converse(attempt))
            self._streams.add(task)
            task.add_done_callback(self._streams.discard)
            return
        try:
            sock = self._sockets.get(attempt)
            if sock is None:
                sock = self._sockets[attempt] = connect(attempt.upstream)
                self._readers.watch(sock, partial(self._read, attempt, sock), self._whose)
            sock.send(attempt.packet)
        except BlockingIOError:
            pass  # lost, as any datagram may be
        except OSError as error:
            self.resolution.fail(attempt, reason(error), self._clock(), local=is_local_lack(error))

    def _read(self, attempt: Attempt, sock: socket.socket) -> None:
        try:
            self._read_all(attempt, sock)
        except Exception:
            self._break()

    def _read_all(self, attempt: Attempt, sock: socket.socket) -> None:
        for _ in range(DATAGRAMS_PER_TURN):
            try:
                data = sock.recv(LARGE_BYTES)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                self.resolution.fail(attempt, reason(error), self._clock())
                break
            self.resolution.receive(attempt, data, self._clock())
            if attempt.done:
                break
        else:
            return
        self.step()

    async def _converse(self, attempt: Attempt) -> None:
        """The attempt over TCP."""
        try:
            sock = await begin_stream(attempt.upstream, attempt.packet)
        except OSError as error:
            self._intake.put(partial(self._lose, attempt, reason(error), local=is_local_lack(error)))
        except Exception:
            self._break()
        else:
            self._sockets[attempt] = sock
            self._readers.watch(sock, partial(self._read_stream, attempt, Stream(sock)), self._whose)

    def _lose(self, attempt: Attempt, why: str, *, local: bool = False) -> None:
        self.resolution.fail(attempt, why, self._clock(), local=local)
        self.step()

    def _read_stream(self, attempt: Attempt, stream: Stream) -> None:
        try:
            data = stream.read()
        except EOFError:
            self._lose(attempt, "the connection ended early")
        except OSError as error:
            self._lose(attempt, reason(error), local=is_local_lack(error))
        else:
            if data is not None:
                self._readers.close(self._sockets.pop(attempt))
                if len(data) > LARGE_BYTES:
                    reading = partial(read_reply, self.resolution.respell(data))
                    take = partial(self._hear, attempt, data)
                    self._intake.read(reading, take, self._whose, lambda: not (self._over or attempt.done))
                else:
                    self._hear(attempt, data)

    def _hear(self, attempt: Attempt, data: bytes, read: Callable[[], Message | None] = lambda: None) -> None:
        try:
            self.resolution.receive(attempt, data, self._clock(), read())
        except Exception:
            self._break()
        self.step()
