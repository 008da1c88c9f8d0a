"""Services of a real ZooKeeper as their operator sees them, and backends that say who they are."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kazoo.client import KazooClient

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

    def fill(self, service: str, network: str, count: int = 120) -> None:
        """Give it so many instances, and all of them in each answer."""
        self.put(service, answers=count)
        for n in range(1, count + 1):
            self.put(f"{service}/i{n}", address=f"{network}.{n}", port=80)

    def remove(self, path: str) -> None:
        self.client.delete(f"{self.root}/{path}", recursive=True)


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
