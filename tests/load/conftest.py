"""A server to be loaded, on each engine, and what an ordinary client may expect of it meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.missing import ENGINES
from support.ordinary import Row
from support.process import allow_files
from support.registry_file import instance
from support.server import Zkdns

HEAD = f"""
[web]
policy = "first"
{instance("web", "a", "10.0.0.1")}
{instance("web", "b", "10.0.0.2", 81)}
[big]
answers = 4000
policy = "first"
"""
INSTANCES = 3000

OWN = (
    Row("web.svc.local", "A", ("10.0.0.1", "10.0.0.2")),
    Row("web.svc.local", "SRV", ("0 1 80 a.web.svc.local.", "0 1 81 b.web.svc.local.")),
    Row("b.web.svc.local", "A", ("10.0.0.2",)),
    Row("web.svc.local", "A", ("10.0.0.1", "10.0.0.2"), tcp=True),
    Row("nope.svc.local", "A", rcode="NXDOMAIN"),
    Row("1.0.0.10.in-addr.arpa", "PTR", ("a.web.svc.local.",)),
)

Start = Callable[..., Zkdns]


@pytest.fixture(params=ENGINES)
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """`start(*flags)`: a ready server that knows `OWN` and a service of 3,000 instances."""
    allow_files(8192)
    path = tmp_path / "registry.toml"
    rows = (
        f'[[big.instances]]\nid = "i{n}"\naddress = "10.1.{n // 256}.{n % 256}"\n' for n in range(INSTANCES)
    )
    path.write_text(HEAD + "".join(rows))
    with ExitStack() as stack:

        def run(*flags: str) -> Zkdns:
            engine = ("--engine", request.param)
            return stack.enter_context(Zkdns(*engine, *flags, registry=f"file:{path}"))

        yield run
