"""gRPC's own resolver asks the server that stands in the target, `dns://HOST:PORT/NAME`.

Proves: `round_robin` spreads calls evenly over every instance of the answer; when an instance goes and its
connection breaks, the channel resolves again, and the calls are with those that came. gRPC's question for a
service config (TXT of `_grpc_config`) does no harm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from support.ports import free_port
from support.services import Registry
from support.waiting import eventually

pytestmark = pytest.mark.zookeeper

OPTIONS = [
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.service_config_disable_resolution", 0),
    # By default 30 s: more than a test should wait.
    ("grpc.dns_min_time_between_resolutions_ms", 200),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.enable_http_proxy", 0),
]

Start = Callable[[str, str], Any]


@pytest.fixture
def port() -> int:
    """The port of all servers: an A record tells none."""
    return free_port("127.0.3.1")


@pytest.fixture
def start(port: int) -> Iterator[Start]:
    """Starts a gRPC server that answers any call to /who/am with its name."""
    with ExitStack() as started:

        def serve(name: str, host: str) -> Any:
            answer = grpc.unary_unary_rpc_method_handler(lambda request, context: name.encode())
            server = grpc.server(futures.ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("who", {"am": answer}),))
            assert server.add_insecure_port(f"{host}:{port}")
            server.start()
            started.callback(lambda: server.stop(None).wait())
            return server

        yield serve


@pytest.fixture
def call(registry: Registry, port: int) -> Iterator[Callable[[], str]]:
    """Who answered a call on one channel, which all calls share."""
    target = f"dns://127.0.0.1:{registry.server.port}/grpc.svc.local:{port}"
    with grpc.insecure_channel(target, options=OPTIONS) as channel:
        method = channel.unary_unary("/who/am")
        yield lambda: method(b"", wait_for_ready=True, timeout=60).decode()


def test_round_robin_spreads_calls_over_the_instances_and_resolves_again(
    registry: Registry, port: int, start: Start, call: Callable[[], str]
) -> None:
    def missing_texts() -> float:
        found = registry.server.metrics().items()
        return sum(value for name, value in found if 'type="TXT"' in name and 'rcode="NXDOMAIN"' in name)

    def put(name: str, host: str) -> None:
        registry.put(f"grpc/{name}", address=host, port=port)

    def spreads(**expected: int) -> None:
        def is_so() -> bool:
            assert Counter(call() for _ in range(12)) == expected
            return True

        eventually(is_so, 60, 0.1)

    before = missing_texts()
    a = start("a", "127.0.3.1")
    for number, name in enumerate("bcd", 2):
        start(name, f"127.0.3.{number}")
    put("a", "127.0.3.1")
    put("b", "127.0.3.2")
    eventually(lambda: len(registry.server.answers("grpc.svc.local")) == 2)
    spreads(a=6, b=6)
    eventually(lambda: missing_texts() > before)

    put("c", "127.0.3.3")
    put("d", "127.0.3.4")
    registry.remove("grpc/a")
    eventually(lambda: len(registry.server.answers("grpc.svc.local")) == 3)
    a.stop(None).wait()
    spreads(b=4, c=4, d=4)
