"""One ZooKeeper and one `zkdns serve` for all programs, and backends that say who they are.

Each test has a service of its own there. The TTL is 1, so that programs that cache ask again soon.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from kazoo.client import KazooClient

from support import zookeeper as real
from support.ports import free_port
from support.server import Zkdns


class Registry:
    """The services, as their operator sees them, and the server that gives them out."""

    def __init__(self, client: KazooClient, hosts: str, root: str, server: Zkdns) -> None:
        self.client, self.hosts, self.root, self.server = client, hosts, root, server

    def put(self, path: str, **fields: Any) -> None:
        """Register `service/id`, or change it; `service` alone is its settings."""
        path, data = f"{self.root}/{path}", json.dumps(fields).encode()
        self.client.ensure_path(path)
        self.client.set(path, data)

    def remove(self, path: str) -> None:
        self.client.delete(f"{self.root}/{path}", recursive=True)


@pytest.fixture(scope="session")
def registry(zookeeper: real.ZooKeeperServer) -> Iterator[Registry]:
    root = real.unique_root()
    client = zookeeper.client()
    try:
        with Zkdns("--ttl", "1", registry=f"zk://{zookeeper.hosts}{root}") as server:
            yield Registry(client, zookeeper.hosts, root, server)
    finally:
        real.finish(client)


class Backend(ThreadingHTTPServer):
    """An HTTP server that says its name to whoever asks, as a metric to Prometheus."""

    daemon_threads = True

    def __init__(self, name: str, host: str, port: int) -> None:
        class Reply(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = f"who{{name={json.dumps(name)}}} 1\n" if self.path == "/metrics" else name
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        super().__init__((host, port), Reply)
        self.host, self.port = host, port
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


@pytest.fixture
def backend() -> Iterator[Callable[..., Backend]]:
    """Starts backends: `backend("a", "127.0.1.1")`, with a port of its own unless told."""
    with ExitStack() as started:

        def start(name: str, host: str, port: int = 0) -> Backend:
            one = Backend(name, host, port or free_port(host))
            started.callback(one.server_close)
            started.callback(one.shutdown)
            return one

        yield start
