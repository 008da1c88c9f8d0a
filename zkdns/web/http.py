"""HTTP: health, metrics, API, events and the page, in the server's loop.

Rules: reads only; nothing here can change an answer. What takes long in a large registry is made in a
thread, from what was read in the loop: queries don't wait for it. A client that is slow, or asks for
what is not there, costs itself; no error of ours shows a traceback.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from zkdns.config import Address
from zkdns.model import Change
from zkdns.named import find_instance, find_service
from zkdns.pipeline.journal import OutOfReach, Query
from zkdns.serve.clients import read_client
from zkdns.serve.listen.bind import bind, keep_little_unsent
from zkdns.serve.listen.refused import refused
from zkdns.web import rows, shapes
from zkdns.web.door import Door, is_own_host
from zkdns.web.events import Listeners, Stream
from zkdns.web.guest import READ_BYTES
from zkdns.web.library import OfOurs, web
from zkdns.web.moments import read_moment
from zkdns.web.pages import Pages, refuse_too_many
from zkdns.web.prometheus_sd import target_groups
from zkdns.web.scrapes import Scrapes
from zkdns.web.spelling import spell as spell_json
from zkdns.web.status import Observed
from zkdns.web.threads import Asked, Busy, Threads, load
from zkdns.web.turns import PROBES

log = logging.getLogger("zkdns.web")

STATIC = {path.name: path.read_bytes() for path in (Path(__file__).parent / "static").iterdir()}
"""Read once: no path of a client's is ever looked up on the disk."""

TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}

METRICS = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format."""

IDLE = 60.0
"""Seconds after which a connection without a request ends; aiohttp's own are an hour."""

MAX_PORT = 65_535
MAX_HISTORY = 10_000
"""Changes in one reply."""

BACKLOG_CONNECTIONS = 1024
"""Connections that wait to be accepted (listen(2))."""

_NUMBER = re.compile(r"[0-9]+")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

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
        self.listeners = Listeners()
        self._observed = observed
        self._runner: web.AppRunner | None = None
        self._door: Door | None = None
        self._threads = Threads()
        self._pages = Pages(observed)
        self._scrapes = Scrapes(observed)
        self._sampler: asyncio.Task[None] | None = None

    async def start(self, address: Address, hosts: Iterable[str] = ()) -> None:
        """Bind and serve. `hosts`: names by which browsers may know us. ConfigError where the address can't
        be had."""
        names = frozenset(host.lower().removesuffix(".") for host in hosts)
        self._runner = web.AppRunner(
            self._make_app(),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=1.0,
            keepalive_timeout=IDLE,
            lingering_time=0.0,  # nobody reads a body, and what waited for its end for long is old by then
            read_bufsize=READ_BYTES,
            auto_decompress=False,
            logger=log,
        )
        await self._runner.setup()
        server = self._runner.server
        assert server is not None  # noqa: S101  (it was set up)
        server.request_handler = partial(self._take_up, server.request_handler, names)
        try:
            # Shared like the DNS sockets, so that a restart may overlap.
            stream = bind(address, socket.SOCK_STREAM)
            keep_little_unsent(stream)
            stream.listen(BACKLOG_CONNECTIONS)
        except OSError as error:
            raise refused("--http", str(address), error) from None
        self._door = Door(server)
        self._door.open(stream)
        self._sampler = asyncio.create_task(self._pages.sample(partial(self._threads.run, "")))

    async def _take_up(self, handle: Handler, names: frozenset[str], request: Any) -> web.StreamResponse:
        """All that is done about a request that was read whole, in its turn. It stands around the
        application, which answers who expects something (RFC 9110, section 10.1.1) before any middleware."""
        guest = self._door.guest(request.transport) if self._door is not None else None
        if guest is None:
            return await _guard(request, handle, names)
        await guest.begin(is_probe=request.path in PROBES)
        try:
            return await _guard(request, handle, names)
        finally:
            guest.end(is_whole=request.content.is_eof())

    def _make_app(self) -> web.Application:
        """What is at which path."""
        app = web.Application(client_max_size=1 << 16)
        app.router.add_get("/health", self._health)
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/api/v1/services", self._services)
        app.router.add_get("/api/v1/services/{name:.+}", self._service)
        app.router.add_get("/api/v1/explain", self._explain)
        app.router.add_get("/api/v1/problems", self._problems)
        app.router.add_get("/api/v1/routes", self._routes)
        app.router.add_get("/api/v1/status", self._status)
        app.router.add_get("/api/v1/events", self._events)
        app.router.add_get("/api/v1/history", self._history)
        app.router.add_get("/api/v1/clients", self._told)
        app.router.add_get("/api/v1/prometheus", self._prometheus)
        app.router.add_get("/", self._page)
        app.router.add_get("/static/{name}", _static)
        return app

    @property
    def lack(self) -> str:
        """What is lacking here for new connections; "" for nothing."""
        return self._door.lacking.why if self._door is not None else ""

    async def stop(self) -> None:
        if self._sampler is not None:
            self._sampler.cancel()
        self._scrapes.close()
        self.listeners.end()
        if self._door is not None:
            await self._door.close()
        if self._runner is not None:
            await self._runner.cleanup()
        self._threads.close()

    # --- requests -------------------------------------------------------------------------------------

    async def _health(self, request: web.Request) -> web.Response:
        return _json({"health": "ok"})

    async def _ready(self, request: web.Request) -> web.Response:
        status = self._observed.status()
        return _json({"ready": status.ready, "why": status.why}, 200 if status.ready else 503)

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        pieces = await self._scrapes.take()
        return await rows.send_pieces(
            request, self._asked(request), pieces, {**HEADERS, "Content-Type": METRICS}
        )

    async def _services(self, request: web.Request) -> web.StreamResponse:
        status, names = self._observed.status(), self._observed.names()
        return await self._send(
            request,
            lambda: shapes.services(
                status.services,
                names(),
                ttl=status.ttl,
                serial=status.serial,
                stale_seconds=status.stale_seconds or None,
                gather=iter,
            ),
        )

    async def _service(self, request: web.Request) -> web.StreamResponse:
        status = self._observed.status()
        name = request.match_info["name"]
        service = find_service(status.services, name)
        if service is None:
            return _json({"error": f"no service {name!r}"}, 404)
        firsts = self._observed.firsts(service.name)
        return await self._send(
            request, lambda: shapes.service(service, status.ttl, status.zones[0], firsts(), gather=iter)
        )

    async def _send(
        self, request: web.Request, work: Callable[[], object], *, is_long: bool = False
    ) -> web.StreamResponse:
        """A document that may be long, as JSON. `is_long`: whether it takes long to be made."""
        return await rows.send(request, self._asked(request, is_long=is_long), work, HEADERS)

    def _asked(self, request: web.Request, *, is_long: bool = False) -> Asked:
        guest = self._door.guest(request.transport) if self._door is not None else None
        return Asked(
            self._threads,
            lambda: request.transport is None or (guest is not None and guest.has_ended),
            is_long=is_long,
        )

    async def _explain(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        if not query.get("name"):
            return _json({"error": "name=… is missing"}, 400)
        changes = query.getall("if", [])
        await load("zkdns.explain.what_if")
        try:
            refuse_too_many(changes)
            at = read_moment(query, "at", ends=True)
            if at is not None:
                await self._observed.recorded()
            work = self._observed.explain(
                query["name"], query.get("type", "A"), query.get("client"), changes, at
            )
            return await self._send(request, lambda: shapes.explained(work()), is_long=True)
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        except OutOfReach as error:
            return _json({"error": str(error)}, 410)

    async def _history(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        try:
            limit = read_limit(query.get("limit", "1000"))
            service, id = query.get("service", ""), query.get("id", "")
            known = find_service(self._observed.status().services, service) if service else None
            one = find_instance(known.instances, id) if known is not None else None
            # One that is gone has its changes all the same.
            asked = Query(
                known.name if known is not None else service, one.id if one is not None else id,
                read_moment(query, "since"), read_moment(query, "until", ends=True), min(limit, MAX_HISTORY),
            )  # fmt: skip
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        await self._observed.recorded()
        read = self._observed.history(asked)
        return await self._send(request, lambda: shapes.history(read(), iter), is_long=True)

    async def _told(self, request: web.Request) -> web.StreamResponse:
        name, address = request.query.get("service"), request.query.get("client")
        try:
            client = read_client(address) if address else None
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        service = None
        if name:
            # One that is gone may still be in somebody's cache.
            known = find_service(self._observed.status().services, name)
            service = known.name if known is not None else name
        read = self._observed.told(service, client)
        return await self._send(request, lambda: shapes.clients(read(), iter))

    async def _prometheus(self, request: web.Request) -> web.StreamResponse:
        services, query = self._observed.status().services, request.query
        if name := query.get("service"):
            service = find_service(services, name)
            if service is None:
                return _json({"error": f"no service {name!r}"}, 404)
            services = {service.name: service}
        try:
            port = read_port(query.get("port", ""))
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        return await self._send(request, partial(target_groups, services.values(), port))

    async def _problems(self, request: web.Request) -> web.StreamResponse:
        problems = self._observed.status().problems
        return await self._send(request, lambda: shapes.problems(problems, iter))

    async def _routes(self, request: web.Request) -> web.StreamResponse:
        routes = self._observed.routes()
        return await self._send(request, lambda: shapes.routes(routes, iter))

    async def _status(self, request: web.Request) -> web.StreamResponse:
        status = self._observed.status()
        return await self._send(request, status.spell)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        await load("zkdns.web.page")
        work = self._pages.prepare(request.query, request.query.getall("if", []))
        headers = {**HEADERS, "Content-Type": "text/html; charset=utf-8"}
        asked = self._asked(request, is_long=bool(request.query.get("explain")))
        return await rows.send_pieces(request, asked, lambda: rows.encode(work()), headers)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"} | HEADERS)
        if request.method == "HEAD":
            return response
        if (transport := request.transport) is None:  # it has gone already
            return response
        if self._door is not None and (guest := self._door.guest(transport)) is not None:
            guest.listens = True
        stream = Stream(transport.abort)
        self.listeners.open(stream, request.remote or "")
        try:
            await response.prepare(request)
            await response.write(b"retry: 2000\n\n")
            async for events in stream:
                await response.write(events)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.listeners.close(stream)
        return response

    def tell(self, changes: Collection[Change]) -> None:
        """Tell those who listen to events what has changed in the answers."""
        self.listeners.tell(changes)


log.addFilter(OfOurs())


async def _static(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in STATIC:
        raise web.HTTPNotFound
    return web.Response(body=STATIC[name], content_type=TYPES[name.rpartition(".")[2]], charset="utf-8")


def read_limit(text: str) -> int:
    """ValueError where it is no whole number from 0 up; more than there are is all."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"limit is a whole number from 0 up, not {text[:40]!r}")
    return _read_number(text)


def read_port(text: str) -> str:
    """A port's name, or its number as it is usually written; ValueError where no port has that number."""
    if not _NUMBER.fullmatch(text):
        return text
    if not 0 < (number := _read_number(text)) <= MAX_PORT:
        raise ValueError(f"port is a name, or a number from 1 to {MAX_PORT}")
    return str(number)


def _read_number(text: str) -> int:
    """Of a large one its first digits, which are beyond whatever there is."""
    return int(text.lstrip("0")[:9] or "0")


def _json(document: Any, status: int = 200) -> web.Response:
    return web.Response(
        body=spell_json(document) + b"\n",
        status=status,
        content_type="application/json",
        charset="utf-8",
    )


async def _guard(request: web.Request, handler: Handler, names: frozenset[str]) -> web.StreamResponse:
    """Errors as JSON, ours without their inside; the headers that keep a browser strict."""
    response: web.StreamResponse
    try:
        # Who sends none (HTTP/1.0) is no browser.
        if "Host" in request.headers and not is_own_host(request.headers["Host"], names):
            error = "this server is no such host: ask it by address, or name the host in http_hosts"
            response = _json({"error": error}, 421)
        else:
            response = await handler(request)
    except web.HTTPException as error:
        error.__traceback__ = None  # its frames know what it is of, which knows it
        if request.match_info.http_exception is not None:
            vars(request.match_info.route).clear()  # a cycle for each path at which nothing is
        response = _json({"error": error.reason.lower()}, error.status)
        if allow := error.headers.get("Allow"):
            response.headers["Allow"] = allow
    except Busy:
        response = _json({"error": "too many requests of yours are under way"}, 503)
        response.headers["Retry-After"] = "1"
    except (ConnectionError, asyncio.CancelledError):
        raise
    except Exception:
        log.exception("%s %s failed", request.method, request.rel_url)
        response = _json({"error": "internal error"}, 500)
    if not response.prepared:
        response.headers.update(HEADERS)
    return response
