"""A server that is asked by a command, and is none: what it sends is bounded in time and size."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from support.ports import free_port
from zkdns import cli
from zkdns.cli import Failure, asking


class Endless:
    """A response that has as much as somebody reads."""

    def read1(self, most: int) -> bytes:
        return b"x" * most


@contextmanager
def saying(*parts: bytes, again: bytes = b"") -> Iterator[str]:
    """The URL of a server that says all that, and the last of it again and again until nobody listens."""

    def answer() -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            connection.recv(1024)
            connection.sendall(b"".join(parts))
            while again and not is_over.wait(0.02):
                connection.sendall(again)

    is_over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            is_over.set()
            thread.join(10)


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("said", "again"), [(b"HTTP/1.1 200 O", b"K"), (OK, b"X: y\r\n"), (OK + b"\r\n{", b" ")]
)
def test_who_sends_a_byte_now_and_then_is_given_up_wherever_it_is(said: bytes, again: bytes) -> None:
    with saying(said, again=again) as url, pytest.raises(Failure) as failure:
        asking.get_dated(url, "/api/v1/status", {}, {}, 0.2)
    assert failure.value.message == f"{url}: no answer in 0.2 s"


@pytest.mark.parametrize("said", [b"", b"\x00\x00\x00\x05imok", b"SSH-2.0-OpenSSH_9\r\n"])
def test_what_speaks_no_http_is_told_in_words(said: bytes) -> None:
    with saying(said) as url, pytest.raises(Failure) as failure:
        asking.get(url, "/api/v1/status", {}, {})
    told = "what answers there speaks no HTTP: is it the --http address of a zkdns server?"
    assert failure.value.message == f"{url}: {told}"


def test_a_redirect_is_not_followed() -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/x\r\nContent-Length: 0\r\n\r\n"
    with saying(moved) as url, pytest.raises(Failure) as failure:
        asking.get(url, "/api/v1/status", {}, {})
    assert failure.value.message == f"{url}: 302 Found"


def test_of_what_has_no_end_no_more_is_read_than_may_be() -> None:
    body = asking._read(Endless(), 100_000)
    assert 100_000 < len(body) <= 100_000 + 65_536


def test_a_reply_that_is_longer_than_may_be_is_told_in_words() -> None:
    with saying(OK + b"\r\n{}".ljust(3000)) as url, pytest.raises(Failure) as failure:
        asking.get_dated(url, "/api/v1/status", {}, {}, 2.0, 2048)
    assert failure.value.message == f"{url}: its reply is longer than 2 KiB"


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


@pytest.mark.parametrize(
    ("words", "said", "shown"),
    [
        (("history", "web"), b'{"changes": [], "since": null}', "nothing changed"),
        (("clients", "web"), b'{"clients": [], "forgotten": 0}', "nobody asked for web"),
        (("asks", "10.0.0.1"), b'{"clients": [], "forgotten": 0}', "10.0.0.1 asked for no service"),
    ],
)
def test_of_several_servers_those_that_live_are_heard_and_the_others_named(
    words: tuple[str, ...], said: bytes, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    length = f"Content-Length: {len(said)}\r\n\r\n".encode()
    dead = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]
    with saying(OK, length, said) as lives:
        urls = [word for url in (dead[0], lives, dead[1]) for word in ("--server", url)]
        code, line = cli._run([*words, *urls])
    assert shown in capsys.readouterr().out
    assert code == 1
    assert [url in line for url in (*dead, lives)] == [True, True, False]


@pytest.mark.parametrize("date", [b"x", b"Mon, 01 Jan 99999999999999999999 00:00:00 GMT"])
def test_a_date_that_is_none_is_the_time_of_who_reads_it(date: bytes) -> None:
    with saying(OK + b"Content-Length: 2\r\nDate: " + date + b"\r\n\r\n{}") as url:
        assert abs(asking.get_dated(url, "/api/v1/status", {}, {}).at - time.time()) < 3600


@pytest.mark.parametrize("url", ["http://u:SECRET@h", "http://u:SE/CRET@h:1", "ftp://SECRET@h", "u:SECRET@h"])
def test_a_secret_in_the_url_of_a_server_is_told_by_no_error(url: str) -> None:
    with pytest.raises(ValueError, match="secrets don't stand in a URL") as told:
        asking.read_url(url)
    assert "SE" not in str(told.value)
