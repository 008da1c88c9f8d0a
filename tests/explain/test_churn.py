"""While a service scales in and out, explain tells of one moment: it neither fails nor contradicts itself."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from support.tables import Answers
from support.values import a_service, an_instance
from zkdns.answers.builder import Builder
from zkdns.explain.explain import explain
from zkdns.model import Service

CALLS = 800
EACH = 1 / 200
"""Seconds between two changes of the service."""


def service(count: int) -> Service:
    return a_service(*(an_instance(f"i{n}", f"10.0.0.{n}") for n in range(1, count + 1)), answers=100)


def test_explain_does_not_tear_while_a_service_scales() -> None:
    builder: Builder = Answers(["svc.local"])
    builder.replace("web", builder.compile(service(3)))
    snapshots = [builder.snapshot()]
    wrong: list[str] = []

    def ask(calls: int) -> None:
        for n in range(calls):
            rtype = ("A", "SRV", "TXT")[n % 3]
            try:
                # As the server does it: the snapshot is of the loop, all else is the thread's.
                said = explain(
                    snapshots[-1],
                    "web.svc.local",
                    rtype,
                    client=None,
                    changes=(),
                    forwards=lambda client: False,
                )
            except Exception as error:
                wrong.append(repr(error))
                continue
            given = {i["address"][0] for i in said["instances"] if i["in"]}
            shares = sum(i["share"] for i in said["instances"])
            if rtype == "A" and (given != set(said["answer"]) or abs(shares - 1) > 0.001):
                wrong.append(f"{said['answer']} and {sorted(given)}")
            if rtype == "SRV" and len(said["answer"]) != len(given):
                wrong.append(f"{said['answer']} and {sorted(given)}")
            if rtype == "TXT" and f'"instances={len(said["instances"])}"' not in said["answer"][0]:
                wrong.append(f"{said['answer']} and {len(said['instances'])} instances")

    threads = [threading.Thread(target=ask, args=(CALLS // 4,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    changes = 0
    while any(thread.is_alive() for thread in threads):
        changes += 1
        builder.replace("web", builder.compile(service(1 + changes * 7 % 20)))
        snapshots.append(builder.snapshot())
        del snapshots[:-1]
        time.sleep(EACH)
    assert wrong == []
    assert changes > 10, "it changed while it was asked"


def test_a_snapshot_stays_as_it_was_whatever_comes_after() -> None:
    builder = Answers(["svc.local"])
    builder.replace("web", builder.compile(service(2)))
    before = builder.snapshot()
    builder.replace("web", builder.compile(replace(service(5), name="web")))
    builder.set_serial(9)

    def names() -> list[str]:
        said = explain(before, "web.svc.local", "A", client=None, changes=(), forwards=lambda client: False)
        return [i["id"] for i in said["instances"]]

    assert names() == ["i1", "i2"]
    builder.replace("web", None)
    assert names() == ["i1", "i2"]
    assert before.serial == 0
