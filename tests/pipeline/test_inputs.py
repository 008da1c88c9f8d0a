"""What happens to the pipeline is told of by what it is about."""

from __future__ import annotations

from typing import get_args

import pytest

from zkdns.answers.first_places import Counted
from zkdns.client_map import client_map
from zkdns.config import Settings
from zkdns.health.targets import Target
from zkdns.model import Catalog, Check, Verdict
from zkdns.pipeline import inputs
from zkdns.roots import TOPOLOGY
from zkdns.topology import Topology

WEB_A = "/services/web/a"
ABOUT = (
    (inputs.Heard("r1", "/services", ()), "registry r1"),
    (inputs.FileRead("f", Catalog()), "registry f"),
    (inputs.Remembered("r2", Catalog()), "registry r2"),
    (inputs.Probed(Target(WEB_A, "a", "10.0.0.1", 80, 0.0, Check("tcp")), Verdict(WEB_A, True)), WEB_A),
    (inputs.HostResolved("db.example", ()), "host db.example"),
    (inputs.ZoneFilesRead({}), "zone files"),
    (inputs.ClockSet(3600.0), "clock"),
    (inputs.Advertised("192.0.2.9:53", ""), "our own address"),
    (inputs.Compiled("web", None), "service web"),
    (inputs.Followed("api", None), "service api"),
    (Counted("db", (), None), "service db"),
    (inputs.MapRead(None, Settings(), None, Topology(), (), client_map(Topology())), TOPOLOGY),
)


@pytest.mark.parametrize(("happened", "about"), ABOUT, ids=lambda one: type(one).__name__)
def test_each_thing_that_happens_is_told_of_by_what_it_is_about(
    happened: inputs.Happened, about: str
) -> None:
    assert inputs.subject(happened) == about


def test_there_is_nothing_else_that_happens_but_new_settings() -> None:
    assert {type(happened) for happened, _ in ABOUT} == {*get_args(inputs.Happened)} - {Settings}
