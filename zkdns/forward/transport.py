"""One question on its way: an Inquiry's decisions carried out by sockets and timers.

Rules: one asyncio loop; never raises out of it; `landed` is told the outcome once. Each question
goes out on a socket of its own, so on a source port of its own (RFC 5452, section 9.2).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from zkdns.forward.resolution import Answered, Attempt, Failed, Inquiry
from zkdns.forward.sockets import connect, converse, is_local_lack, reason

AT_ONCE = 32
"""Datagrams read of one socket before the others have their turn."""


class Flight:
    """Starts when `step` is called first; over when `landed` was called."""

    def __init__(
        self, inquiry: Inquiry, clock: Callable[[], float], landed: Callable[[Answered | Failed], None]
    ) -> None:
        self.inquiry = inquiry
        self._clock = clock
        self._landed = landed
        self._over = False
        self._sockets: dict[Attempt, socket.socket] = {}
        self._streams: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def step(self) -> None:
        """Does what is due, and comes again when something will be."""
        if self._over:
            return
        inquiry = self.inquiry
        while (attempt := inquiry.due(self._clock())) is not None:
            self._send(attempt)
        for attempt in [a for a in self._sockets if a.done]:
            _close(self._sockets.pop(attempt))
        if inquiry.outcome is not None:
            self.end(inquiry.outcome)
            return
        if self._timer is not None:
            self._timer.cancel()
        delay = max(0.0, inquiry.wake - self._clock())
        self._timer = asyncio.get_running_loop().call_later(delay, self.step)

    def end(self, outcome: Answered | Failed) -> None:
        """Lets go of all it holds, and tells the outcome."""
        if self._over:
            return
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        for sock in self._sockets.values():
            _close(sock)
        self._sockets.clear()
        current = asyncio.current_task()
        for task in self._streams:
            if task is not current:
                task.cancel()
        self._landed(outcome)

    def _send(self, attempt: Attempt) -> None:
        loop = asyncio.get_running_loop()
        if attempt.tcp:
            task = loop.create_task(self._converse(attempt))
            self._streams.add(task)
            task.add_done_callback(self._streams.discard)
            return
        try:
            sock = self._sockets.get(attempt)
            if sock is None:
                sock = self._sockets[attempt] = connect(attempt.upstream)
                loop.add_reader(sock.fileno(), self._read, attempt, sock)
            sock.send(attempt.packet)
        except BlockingIOError:
            pass  # lost, as any datagram may be
        except OSError as error:
            self.inquiry.fail(attempt, reason(error), self._clock(), local=is_local_lack(error))

    def _read(self, attempt: Attempt, sock: socket.socket) -> None:
        for _ in range(AT_ONCE):
            try:
                data = sock.recv(65535)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                self.inquiry.fail(attempt, reason(error), self._clock())
                break
            self.inquiry.receive(attempt, data, self._clock())
            if attempt.done:
                break
        else:
            return
        self.step()

    async def _converse(self, attempt: Attempt) -> None:
        """The attempt over TCP."""
        try:
            data = await converse(attempt.upstream, attempt.packet)
            self.inquiry.receive(attempt, data, self._clock())
        except OSError as error:
            self.inquiry.fail(attempt, reason(error), self._clock(), local=is_local_lack(error))
        except EOFError:
            self.inquiry.fail(attempt, "the connection ended early", self._clock())
        self.step()


def _close(sock: socket.socket) -> None:
    asyncio.get_running_loop().remove_reader(sock.fileno())
    sock.close()
