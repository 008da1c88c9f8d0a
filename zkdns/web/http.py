"""HTTP: health, metrics, API, events and the page, in the server's loop.

Rules: reads only; nothing here can change an answer. What takes long in a large registry is made in a
thread, from what was read in the loop: queries don't wait for it. A client that is slow, or asks for
what is not there, costs itself; no error of ours shows a traceback.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from zkdns.config import Address
from zkdns.model import Change, Service
from zkdns.serve.listen.refused import refused
from zkdns.web import metrics, shapes
from zkdns.web.page import View, render
from zkdns.web.status import Observed

log = logging.getLogger("zkdns.web")

STATIC = {path.name: path.read_bytes() for path in (Path(__file__).parent / "static").iterdir()}
"""Read once: no path of a client's is ever looked up on the disk."""

TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}

IDLE = 60.0
"""Seconds after which a connection without a request ends; aiohttp's own are an hour."""

BACKLOG = 1000
"""Events that wait for one client; one that is further behind is cut off."""

HEARTBEAT = 15.0
"""Seconds between comments on an idle stream: proxies and clients see that it lives."""

CLIENTS = 200
"""Event streams at once."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Web:
    """The HTTP side of one server."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._clients: set[asyncio.Queue[dict[str, Any] | None]] = set()
        self._runner: web.AppRunner | None = None

    async def start(self, address: Address) -> None:
        """Bind and serve. ConfigError where the address can't be had."""
        app = web.Application(middlewares=[_guard], client_max_size=1 << 16)
        app.router.add_get("/health", self._health)
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/api/v1/services", self._services)
        app.router.add_get("/api/v1/services/{name:.+}", self._service)
        app.router.add_get("/api/v1/explain", self._explain)
        app.router.add_get("/api/v1/problems", self._problems)
        app.router.add_get("/api/v1/status", self._status)
        app.router.add_get("/api/v1/events", self._events)
        app.router.add_get("/", self._page)
        app.router.add_get("/static/{name}", _static)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=1.0,
            keepalive_timeout=IDLE,
            logger=log,
        )
        await self._runner.setup()
        try:
            # Shared like the DNS sockets, so that a restart may overlap.
            await web.TCPSite(self._runner, address.host, address.port, reuse_port=True).start()
        except OSError as error:
            raise refused("--http", str(address), error) from None

    async def stop(self) -> None:
        for queue in list(self._clients):
            _put(queue, None)
        if self._runner is not None:
            await self._runner.cleanup()

    # --- requests -------------------------------------------------------------------------------------

    async def _health(self, request: web.Request) -> web.Response:
        return _json({"health": "ok"})

    async def _ready(self, request: web.Request) -> web.Response:
        status = self._observed.status()
        return _json({"ready": status.ready, "why": status.why}, 200 if status.ready else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        text = await asyncio.to_thread(metrics.take(self._observed).text)
        return web.Response(body=text, headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _services(self, request: web.Request) -> web.Response:
        status, names = self._observed.status(), self._observed.names()
        return await asyncio.to_thread(
            lambda: _json(
                shapes.services(
                    status.services,
                    names(),
                    ttl=status.ttl,
                    serial=status.serial,
                    stale_seconds=status.stale_seconds or None,
                )
            )
        )

    async def _service(self, request: web.Request) -> web.Response:
        status = self._observed.status()
        name = request.match_info["name"]
        service = _find(status.services, name)
        if service is None:
            return _json({"error": f"no service {name!r}"}, 404)
        firsts = self._observed.first_answers(service.name)
        return await asyncio.to_thread(
            lambda: _json(shapes.service(service, status.ttl, status.zones[0], firsts))
        )

    async def _explain(self, request: web.Request) -> web.Response:
        query = request.query
        if not query.get("name"):
            return _json({"error": "name=… is missing"}, 400)
        try:
            work = self._observed.explain(
                query["name"], query.get("type", "A"), query.get("client"), query.getall("if", [])
            )
            return _json(await asyncio.to_thread(work))
        except ValueError as error:
            return _json({"error": str(error)}, 400)

    async def _problems(self, request: web.Request) -> web.Response:
        return _json(shapes.problems(self._observed.status().problems))

    async def _status(self, request: web.Request) -> web.Response:
        return _json(self._observed.status().spell())

    async def _page(self, request: web.Request) -> web.Response:
        status, query = self._observed.status(), request.query
        opened = status.services.get(query.get("service", ""))
        firsts = self._observed.first_answers(opened.name) if opened else {}
        view = View(
            status.spell(), status.loaded, status.services, status.problems, status.ttl, firsts, time.time()
        )
        return web.Response(text=await asyncio.to_thread(render, view, query), content_type="text/html")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if len(self._clients) >= CLIENTS:
            return _json({"error": "too many event streams"}, 503)
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"} | HEADERS)
        if request.method == "HEAD":
            return stream
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(BACKLOG)
        self._clients.add(queue)
        try:
            await stream.prepare(request)
            await stream.write(b"retry: 2000\n\n")
            while True:
                try:
                    event = await asyncio.wait_for(queue.get(), HEARTBEAT)
                except TimeoutError:
                    await stream.write(b": alive\n\n")
                    continue
                if event is None:
                    break
                await stream.write(b"event: change\ndata: " + msgspec.json.encode(event) + b"\n\n")
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._clients.discard(queue)
        return stream

    # --- from the pipeline --------------------------------------------------------------------------------

    def tell(self, changes: Iterable[Change]) -> None:
        """Tell those who listen what is another in the answers."""
        if not self._clients:
            return
        for event in shapes.events(changes):
            for queue in list(self._clients):
                _put(queue, event)


def _find(services: Mapping[str, Service], name: str) -> Service | None:
    return services.get(name) or next((s for s in services.values() if s.label == name), None)


def _put(queue: asyncio.Queue[dict[str, Any] | None], event: dict[str, Any] | None) -> None:
    if queue.full():  # too far behind: what it missed it can read again after it reconnects
        while not queue.empty():
            queue.get_nowait()
        event = None
    queue.put_nowait(event)


class _OfOurs(logging.Filter):
    """A request that can't be read is its client's affair: a line for each would let anyone fill the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


log.addFilter(_OfOurs())


async def _static(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in STATIC:
        raise web.HTTPNotFound
    return web.Response(body=STATIC[name], content_type=TYPES[name.rpartition(".")[2]], charset="utf-8")


def _json(said: Any, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(said) + b"\n",
        status=status,
        content_type="application/json",
        charset="utf-8",
    )


@web.middleware
async def _guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Errors as JSON, ours without their inside; the headers that keep a browser strict."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = _json({"error": error.reason.lower()}, error.status)
        if allow := error.headers.get("Allow"):
            response.headers["Allow"] = allow
    except (ConnectionError, asyncio.CancelledError):
        raise
    except Exception:
        log.exception("%s %s failed", request.method, request.rel_url)
        response = _json({"error": "internal error"}, 500)
    if not response.prepared:
        response.headers.update(HEADERS)
    return response
