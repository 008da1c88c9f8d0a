"""A running server asked over HTTP, for commands that tell what it says.

Rules: one GET, bounded in time and size. What comes back may be anything: it is an object of the API's
shape, or a Failure in one line.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import ProxyHandler, build_opener

from zkdns.cli import Failure, show

TIMEOUT: Final = 10.0
MAX_REPLY_BYTES: Final = 64 << 20
"""Bytes: a service of 50,000 instances takes a fifth of it."""

EXAMPLE: Final = "write http://HOST:PORT, as in http://127.0.0.1:8053"

Value = str | Sequence[str] | None
Shape = Mapping[str, type | tuple[type, ...]]


def read_url(text: str) -> str:
    """The URL of a server, without a last slash. ValueError says what is wrong with it."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}; {EXAMPLE}") from None
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise ValueError(f"{text!r} is no URL of a server; {EXAMPLE}")
    if "@" in parts.netloc:
        raise ValueError(f"{text.rpartition('@')[2]!r}: secrets don't stand in a URL")
    if parts.query or parts.fragment or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"{text!r}: nothing but a path may follow the port; {EXAMPLE}")
    return text.rstrip("/")


class Told(NamedTuple):
    """What a server said, and when by its own clock: to the second, as its Date header tells."""

    said: dict[str, Any]
    at: float


def get(server: str, path: str, asked: Mapping[str, Value], shape: Shape) -> dict[str, Any]:
    """The object at `path` of the server. `shape`: the keys it must have, with the types of their values."""
    return get_dated(server, path, asked, shape).said


def get_dated(
    server: str, path: str, asked: Mapping[str, Value], shape: Shape, timeout: float = TIMEOUT
) -> Told:
    """The same, with the time at which it was said."""
    given = {key: value for key, value in asked.items() if value}
    url = f"{server}{path}?{urlencode(given, doseq=True)}"
    # A proxy of the environment's is the way out; this goes to a server of one's own.
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=timeout) as response:
            body, date = _read(response, time.monotonic() + timeout), response.headers.get("Date", "")
    except HTTPError as error:
        with error:
            raise Failure(f"{server}: {_told(error, path)}") from None
    except TimeoutError:
        raise Failure(f"{server}: no answer in {timeout:g} s") from None
    except Exception as error:  # http.client has errors of many kinds for what is no HTTP
        raise Failure(f"{server}: {_reason(error, timeout)}") from None
    try:
        at = parsedate_to_datetime(date).timestamp()
    except ValueError:
        at = time.time()
    return Told(hold_to(server, _parse(body), shape), at)


def _read(response: Any, deadline: float) -> bytes:
    """All of it, or as much as is more than may be. Who sends a byte now and then is no answer either."""
    parts = bytearray()
    while len(parts) <= MAX_REPLY_BYTES:
        part = response.read1(65_536)
        if not part:
            break
        parts += part
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(parts)


def hold_to(server: str, reply: Any, shape: Shape) -> dict[str, Any]:
    """What was said, where it has that shape."""
    if not isinstance(reply, dict) or not all(isinstance(reply.get(k), kind) for k, kind in shape.items()):
        raise Failure(f"{server}: what answers there is no zkdns server, or one of another version")
    return reply


def _told(error: HTTPError, path: str) -> str:
    """What the server says itself, where it is one of ours."""
    try:
        reply = _parse(error.read(65536))
    except Exception:
        reply = None
    if reply is not None and isinstance(reply.get("error"), str) and error.code != 404:
        return show.clean(reply["error"])
    if error.code == 404:
        return f"404, there is no {path}: is it the --http address of a zkdns server?"
    return show.clean(f"{error.code} {error.reason}")


def _reason(error: Exception, timeout: float) -> str:
    inner = getattr(error, "reason", error)
    if isinstance(inner, TimeoutError):
        return f"no answer in {timeout:g} s"
    if isinstance(inner, ssl.SSLError):
        what = str(inner.reason or inner.strerror).replace("_", " ").lower()
        return f"TLS failed there: {what}; zkdns itself speaks http://"
    if isinstance(inner, OSError) and inner.strerror:
        refused = isinstance(inner, ConnectionRefusedError)
        return inner.strerror + ": is `zkdns serve` running there, with this --http?" * refused
    return show.clean(f"{type(inner).__name__}: {inner}")


def _parse(body: bytes) -> dict[str, Any] | None:
    try:
        reply = json.loads(body) if len(body) <= MAX_REPLY_BYTES else None
    except (ValueError, RecursionError):
        return None
    return reply if isinstance(reply, dict) else None
