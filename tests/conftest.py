"""The fixtures that every room's tests may use: real ZooKeeper servers and plain clients of them."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from kazoo.client import KazooClient

from support import loaded
from support import zookeeper as real
from support.order import longest_first
from support.sasl import sasl_server
from support.server import Zkdns

hypothesis.settings.register_profile(
    # How long an example takes, or its data takes to draw, is no law of ours: a loaded machine breaks it.
    "untimed",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "quick", parent=hypothesis.settings.get_profile("untimed"), max_examples=20
)
hypothesis.settings.load_profile("untimed")


# Minutes, root, and what `make packages` has built: not a part of the suite.
collect_ignore = [] if os.environ.get("ZKDNS_PACKAGES") else ["packages"]
# Programs of others, from Maven Central: `make matrix`.
collect_ignore += [] if os.environ.get("ZKDNS_WRITERS") else ["writers"]


def pytest_configure(config: pytest.Config) -> None:
    Zkdns.watched = True
    if config.getoption("numprocesses", None):  # who starts the workers (pytest-xdist)
        config.add_cleanup(loaded.share())
    # A shell that runs us in the background has us, and whom we start, ignore Ctrl-C. The programs under
    # test are to heed it, as from a terminal.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is loaded and collected stays to the end. The collector, which walks all of it again and again,
    takes as long as the loading itself, in each of a run's workers."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # one of several (pytest-xdist)
        items[:] = longest_first(items)


@pytest.fixture(scope="session")
def zookeeper() -> Iterator[real.ZooKeeperServer]:
    """One server for the whole run. Not to be stopped: tests that need that take `own_zookeeper`."""
    real.demand()
    with real.ZooKeeperServer() as server:
        yield server


@pytest.fixture
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file registry with what the test's module has in `FILE`."""
    path = tmp_path / "services.toml"
    path.write_text(request.module.FILE)
    return path


@pytest.fixture
def zk_root() -> str:
    """A path of this test's own in the shared server; nothing is there yet."""
    return real.unique_root()


@pytest.fixture
def zk(zookeeper: real.ZooKeeperServer) -> Iterator[KazooClient]:
    """A plain kazoo client of the shared server: the operator, or a service that registers itself."""
    client = zookeeper.client(timeout=30.0)  # a busy machine may keep it waiting
    yield client
    real.finish(client)


@pytest.fixture(scope="module")
def sasl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real.ZooKeeperServer]:
    """A server whose users log in, for one file's tests."""
    real.demand()
    with sasl_server(tmp_path_factory.mktemp("sasl")) as server:
        yield server


@pytest.fixture(scope="session")
def lent() -> Iterator[real.Lent]:
    with real.Lent() as servers:
        yield servers


@pytest.fixture
def own_zookeeper(lent: real.Lent) -> Iterator[real.ZooKeeperServer]:
    """A server of this test's own: to kill, freeze, wipe and set back."""
    real.demand()
    server = lent.take()
    yield server
    lent.give_back(server)


@pytest.fixture
def ensemble() -> Iterator[real.Ensemble]:
    """Three servers and a leader, of this test's own."""
    real.demand()
    with real.Ensemble(3) as servers:
        yield servers


@pytest.fixture
def serve() -> Iterator[Callable[..., Zkdns]]:
    """Starts `zkdns serve` processes: `serve("--ttl", "1", registry="zk://…")` gives a ready server."""
    with ExitStack() as servers:

        def start(*flags: str, **options: Any) -> Zkdns:
            return servers.enter_context(Zkdns(*flags, **options))

        yield start
