"""What this room takes of aiohttp: its server side, without what the machine has for the sides not used here.

`aiohttp.connector` makes two TLS contexts as it is imported, for a client that is not used here, and each
reads all certificates of the machine: a tenth of a start, and two MiB. OpenSSL looks for them where
SSL_CERT_FILE and SSL_CERT_DIR say (SSL_CTX_set_default_verify_paths(3)): nowhere, for that moment. Nor are
files served here: `aiohttp.web_fileresponse` would read the machine's list of two thousand media types.
"""

from __future__ import annotations

import logging
import mimetypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["HttpProcessingError", "OfOurs", "web"]


@contextmanager
def _without_the_machines() -> Iterator[None]:
    places = {name: os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")}
    os.environ.update(dict.fromkeys(places, os.devnull))
    types, mimetypes.knownfiles = mimetypes.knownfiles, []
    try:
        yield
    finally:
        mimetypes.knownfiles = types
        for name, place in places.items():
            del os.environ[name]
            if place is not None:
                os.environ[name] = place


with _without_the_machines():
    from aiohttp import web, web_response
    from aiohttp.http_exceptions import HttpProcessingError

# It stands in each reply, in those that aiohttp makes by itself too. What it names otherwise, the
# versions of Python and of aiohttp, helps nobody but who looks for a hole (RFC 9110, section 10.2.4).
web_response.SERVER_SOFTWARE = "zkdns"  # type: ignore[attr-defined]


_handle_error = web.RequestHandler.handle_error


def _tell(
    handler: web.RequestHandler,
    request: web.BaseRequest,
    status: int = 500,
    exc: BaseException | None = None,
    message: str | None = None,
) -> web.StreamResponse:
    """What can't be read is told; what was raised for it knows the frame that caught it, which knows that."""
    if isinstance(exc, HttpProcessingError):
        exc.__traceback__ = None
    return _handle_error(handler, request, status, exc, message)


web.RequestHandler.handle_error = _tell  # type: ignore[method-assign, assignment]


class OfOurs(logging.Filter):
    """A request that can't be read is its client's affair, and so is who has gone: a line for each would let
    anyone fill the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError | ConnectionError))
