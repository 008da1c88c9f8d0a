"""A running server asked over HTTP, for commands that tell what it says.

Rules: one GET, bounded in time and size. What comes back may be anything: it is an object of the API's
shape, or a Failure in one line.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import click

from zkdns.cli import Failure, show
from zkdns.cli.say import say

TIMEOUT: Final = 10.0
MAX_REPLY_BYTES: Final = 64 << 20
"""Bytes: a service of 50,000 instances takes a fifth of it."""

NO_SERVER: Final = "what answers there is no zkdns server, or one of another version"
IS_IT: Final = "is it the --http address of a zkdns server?"
EXAMPLE: Final = "write http://HOST:PORT, as in http://127.0.0.1:8053"

T = TypeVar("T")
Value = str | Sequence[str] | None
Shape = Mapping[str, type | tuple[type, ...]]


def read_url(text: str) -> str:
    """The URL of a server, without a last slash. ValueError says what is wrong with it."""
    if "@" in text:
        raise ValueError(f"{text.rpartition('@')[2]!r}: secrets don't stand in a URL")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}; {EXAMPLE}") from None
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise ValueError(f"{text!r} is no URL of a server; {EXAMPLE}")
    if parts.query or parts.fragment or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"{text!r}: nothing but a path may follow the port; {EXAMPLE}")
    return text.rstrip("/")


class NotThere(Failure):
    """The server has nothing at that path (404)."""


class Told(NamedTuple):
    """What a server said, and when by its own clock: to the second, as its Date header tells."""

    said: dict[str, Any]
    at: float


def get(server: str, path: str, asked: Mapping[str, Value], shape: Shape) -> dict[str, Any]:
    """The object at `path` of the server. `shape`: the keys it must have, with the types of their values."""
    return get_dated(server, path, asked, shape).said


def get_dated(
    server: str,
    path: str,
    asked: Mapping[str, Value],
    shape: Shape,
    timeout: float = TIMEOUT,
    most: int = MAX_REPLY_BYTES,
) -> Told:
    """The same, with the time at which it was said. `most`: bytes of the reply."""
    given = {key: value for key, value in asked.items() if value}
    query = urlencode(given, doseq=True)
    parts = urlsplit(server)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    # Neither a proxy of the environment's nor a redirect: this goes to a server of one's own.
    connection = kind(parts.hostname or "", parts.port, timeout=timeout)
    deadline = time.monotonic() + timeout
    try:
        with closing(connection), _ended_at(deadline, connection):
            connection.request("GET", f"{parts.path}{path}?{query}")
            with connection.getresponse() as response:
                if response.status != HTTPStatus.OK:
                    kind_of = NotThere if response.status == HTTPStatus.NOT_FOUND else Failure
                    raise kind_of(f"{server}: {_told(response, path)}")
                body, date = _read(response, most), response.headers.get("Date", "")
    except Failure:
        raise
    except Exception as error:  # http.client has errors of many kinds for what is no HTTP
        is_late = isinstance(error, TimeoutError) or time.monotonic() >= deadline
        raise Failure(
            f"{server}: " + (f"no answer in {timeout:g} s" if is_late else _reason(error))
        ) from None
    if len(body) > most:
        raise Failure(f"{server}: its reply is longer than {most >> 10} KiB")
    try:
        at = parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        at = time.time()
    return Told(hold_to(server, _parse(body), shape), at)


def has_service(server: str, name: str) -> bool:
    """Whether the server has such a service now, or can't be asked: one that it tells nothing of may be a
    mistyped one."""
    try:
        get(read_url(server), f"/api/v1/services/{quote(name, safe='')}", {}, {})
    except NotThere:
        return False
    except Failure:
        return True
    return True


def note_unknown(servers: Sequence[str], service: str) -> None:
    """Said where nothing is told of a service that no server has."""
    if not any(has_service(server, service) for server in servers):
        say(f"* no service {service!r} is registered now")


@contextmanager
def of_each(servers: Sequence[str], ask: Callable[[str], T]) -> Iterator[list[T]]:
    """What each of them says. Who can't be asked is named once the rest is shown, or at once where that is
    everybody: after an incident one of them may be what failed."""
    try:
        urls = [read_url(server) for server in servers]
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    accounts: list[T] = []
    failures: list[str] = []
    for server in urls:
        try:
            accounts.append(ask(server))
        except Failure as failure:
            failures.append(failure.message)
    if accounts:
        yield accounts
    if failures:
        raise Failure("; ".join(failures))


@contextmanager
def _ended_at(deadline: float, connection: HTTPConnection) -> Iterator[None]:
    """What sends a byte now and then, of its head as of its body, is no answer either."""
    connection.connect()
    sock = connection.sock

    def end() -> None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), end)
    timer.daemon = True
    timer.start()
    try:
        yield
        if time.monotonic() >= deadline:
            raise TimeoutError
    finally:
        timer.cancel()


def _read(response: HTTPResponse, most: int) -> bytes:
    """All of it, or as much as is more than may be."""
    parts = bytearray()
    while len(parts) <= most and (part := response.read1(65_536)):
        parts += part
    return bytes(parts)


def hold_to(server: str, reply: Any, shape: Shape) -> dict[str, Any]:
    """What was said, where it has that shape."""
    if not isinstance(reply, dict) or not all(isinstance(reply.get(k), kind) for k, kind in shape.items()):
        raise Failure(f"{server}: {NO_SERVER}")
    return reply


def _told(response: HTTPResponse, path: str) -> str:
    """What the server says itself, where it is one of ours."""
    try:
        reply = _parse(response.read(65536))
    except Exception:
        reply = None
    if reply is not None and isinstance(reply.get("error"), str) and response.status != 404:
        return show.clean(reply["error"])
    if response.status == 404:
        return f"404, there is no {path}: {IS_IT}"
    return show.clean(f"{response.status} {response.reason}")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        what = str(error.reason or error.strerror).replace("_", " ").lower()
        return f"TLS failed there: {what}; zkdns itself speaks http://"
    if isinstance(error, OSError) and error.strerror:
        refused = isinstance(error, ConnectionRefusedError)
        return error.strerror + ": is `zkdns serve` running there, with this --http?" * refused
    if isinstance(error, HTTPException | ConnectionError):
        return f"what answers there speaks no HTTP: {IS_IT}"
    return show.clean(f"{type(error).__name__}: {error}")


def _parse(body: bytes) -> dict[str, Any] | None:
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return reply if isinstance(reply, dict) else None
