"""A server that is asked by a command, and is none: what it sends is bounded in time and size."""

from __future__ import annotations

import socket
import threading

import pytest

from zkdns.cli import Failure, asking


class Dripping:
    """A response that comes byte by byte, as long as somebody reads."""

    def __init__(self, clock: list[float], step: float, size: int) -> None:
        self.clock, self.step, self.size = clock, step, size

    def read1(self, most: int) -> bytes:
        self.clock[0] += self.step
        return b"x" * min(most, self.size)


def test_who_sends_a_byte_now_and_then_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(asking.time, "monotonic", lambda: clock[0])
    with pytest.raises(TimeoutError):
        asking._read(Dripping(clock, 1.0, 1), 10.0)
    assert clock[0] == 11.0


def test_of_what_has_no_end_no_more_is_read_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "MAX_REPLY_BYTES", 100_000)
    body = asking._read(Dripping([0.0], 0.0, 65_536), float("inf"))
    assert 100_000 < len(body) <= 100_000 + 65_536
    assert asking._parse(body) is None


def test_one_that_speaks_no_tls_is_told_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(Failure) as failure:
            asking.get(url, "/api/v1/status", {}, {})
        thread.join(10)
    assert str(failure.value.message).startswith(f"{url}: TLS failed there: ")
    assert "zkdns itself speaks http://" in failure.value.message
    assert "_ssl.c" not in failure.value.message
