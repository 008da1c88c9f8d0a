"""Services without an instance: which are told as that, where no ensemble says whether they ever had one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from zkdns.cli.emptied import UNUSED, tell
from zkdns.config import Settings
from zkdns.model import Instance, Registration, Service
from zkdns.routes import Target

ONE = Instance("a", "a", "/s/web/a", Registration(("10.0.0.1",)), 0.0)


def service(name: str, *instances: Instance, path: str = "") -> Service:
    return Service(name, name, path or f"/s/{name}", instances=instances)


def route(to: str, *given: Instance) -> Any:
    """One that leads to this service, and gives these."""
    return SimpleNamespace(
        name=SimpleNamespace(first=(given,) if given else ()), healthy={Target(to): (0, 0)}
    )


def told(one: Service, of: Any = None) -> list[str]:
    problems, notes = tell([one], Settings(), lambda service: of)
    assert problems == []
    return [note.what for note in notes]


def test_one_that_never_had_an_instance_is_a_note_and_one_that_has_is_none() -> None:
    assert told(service("web")) == [UNUSED]
    assert told(service("web", ONE)) == []
    assert told(service("members", path="/zookeeper/config")) == [], (
        "a server's own folder is nobody's to delete"
    )


def test_one_whose_name_gives_what_stands_behind_it_is_none_and_an_alias_needs_no_instance() -> None:
    assert told(service("web"), route("web", ONE)) == []
    assert told(service("web"), route("web")) == [UNUSED]
    assert told(service("alias"), route("web")) == []
