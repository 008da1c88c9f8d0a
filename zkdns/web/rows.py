"""Long bodies in pieces: made as they are sent, each in a thread, none longer than a moment's work.

Rules: a document of JSON is what `spell` makes of it; a value of it (or all of it) that is an Iterator is a
list whose rows are made one by one. One call that encodes 100,000 rows would keep every thread from running
meanwhile, and a client that reads slowly would have all of its text kept for it. Who breaks off is told of by
nobody: a traceback for each would let anyone fill the log.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final, Protocol

from zkdns.web.library import web
from zkdns.web.spelling import spell

log = logging.getLogger("zkdns.web")

PIECE_BYTES: Final = 1 << 16
"""Of the text of rows that are sent at once."""

JSON: Final = "application/json; charset=utf-8"


class Threads(Protocol):
    """Where pieces are made: `run` may refuse (Busy), `go_on` waits."""

    def run(self, address: str, work: Callable[[], Any]) -> Awaitable[Any]: ...

    def go_on(self, address: str, work: Callable[[], Any]) -> Awaitable[Any]: ...


def pieces(document: object) -> Iterator[bytes]:
    """The text of a document; the last piece alone may be empty of rows, none is empty."""
    text = bytearray()
    if isinstance(document, Iterator):
        yield from _rows(text, document)
    elif isinstance(document, dict) and any(isinstance(value, Iterator) for value in document.values()):
        for n, (key, value) in enumerate(document.items()):
            text += (b"," if n else b"{") + spell(key) + b":"
            if isinstance(value, Iterator):
                yield from _rows(text, value)
            else:
                text += spell(value)
        text += b"}"
    else:
        text += spell(document)
    yield bytes(text + b"\n")


def _rows(text: bytearray, rows: Iterator[object]) -> Iterator[bytes]:
    """Adds the list to the text; gives what there is of it whenever it is long enough."""
    text += b"["
    is_next = False
    for row in rows:
        if is_next:
            text += b","
        is_next = True
        text += spell(row)
        if len(text) >= PIECE_BYTES:
            yield bytes(text)
            text.clear()
    text += b"]"


def encode(text: str) -> Iterator[bytes]:
    """What is made as a whole; what others wrote may be megabytes of it."""
    for at in range(0, len(text) or 1, PIECE_BYTES):
        yield text[at : at + PIECE_BYTES].encode()


async def send(
    request: web.Request, threads: Threads, work: Callable[[], object], headers: Mapping[str, str]
) -> web.StreamResponse:
    """What `work` makes, as JSON."""
    return await send_pieces(request, threads, lambda: pieces(work()), {**headers, "Content-Type": JSON})


async def send_pieces(
    request: web.Request, threads: Threads, work: Callable[[], Iterator[bytes]], headers: Mapping[str, str]
) -> web.StreamResponse:
    """What `work` gives. Little goes out whole, as any reply does; of much a piece is made when the client
    has taken the one before."""
    address = request.remote or ""

    def begin() -> tuple[Iterator[bytes], bytes, bytes]:
        walk = work()
        return walk, next(walk), next(walk, b"")

    walk, *begun = await threads.run(address, begin)
    if not begun[1]:
        return web.Response(body=begun[0], headers=headers)
    response = web.StreamResponse(headers=headers)
    if request.method == "HEAD":
        return response
    try:
        await response.prepare(request)
        for part in begun:
            await response.write(part)
        while part := await threads.go_on(address, lambda: next(walk, b"")):
            await response.write(part)
    except ConnectionError:
        pass
    except Exception:
        log.exception("%s %s failed", request.method, request.rel_url)
        if request.transport is not None:  # what was sent is no document: its client must not take it for one
            request.transport.abort()
    return response
