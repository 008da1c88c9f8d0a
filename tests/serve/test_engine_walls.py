"""What can't be put in force costs the one name that it is of, whatever else came with it."""

from __future__ import annotations

import dns.message
import pytest

from support.asking import reply_of
from support.stepping import break_at
from zkdns.answers.builder import Builder
from zkdns.answers.table import Table
from zkdns.dns import names
from zkdns.model import Instance, Registration, Service
from zkdns.serve import native
from zkdns.serve.dispatch import Dispatcher
from zkdns.serve.engine import NativeEngine, PythonEngine
from zkdns.serve.native import Native

BAD = names.wire("s3.svc.local") + b"\0\1"


def builder_of(count: int) -> Builder:
    builder = Builder(["svc.local"])
    for n in range(count):
        one = Instance("a", "a", f"/services/s{n}/a", Registration((f"10.0.0.{n}",), port=80), 0)
        path = f"/services/s{n}"
        builder.replace(f"s{n}", builder.compile(Service(f"s{n}", f"s{n}", path, instances=(one,))))
    return builder


def addresses(dispatcher: Dispatcher, name: str) -> list[str]:
    reply = reply_of(dispatcher, dns.message.make_query(name, "A").to_wire())
    assert reply is not None
    return [str(one) for rrset in dns.message.from_wire(reply).answer for one in rrset]


@pytest.mark.parametrize("which", ["python", *([] if native.WHY_NOT else ["native"])])
async def test_one_name_among_ten_that_breaks_us_is_left_out_and_told(
    which: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher = Dispatcher(Table())
    broken: type
    if which == "native":
        engine: PythonEngine = NativeEngine(dispatcher, Native())
        broken = Native
    else:
        engine = PythonEngine(dispatcher)
        broken = Table
    break_at(monkeypatch, broken, "apply", lambda self, delta: BAD in delta.entries)
    engine.apply(builder_of(10).take())
    given = [addresses(dispatcher, f"s{n}.svc.local") for n in range(10)]
    assert given == [[f"10.0.0.{n}"] if n != 3 else [] for n in range(10)]
    assert engine.faults == 1
    assert repr(BAD) in caplog.text
