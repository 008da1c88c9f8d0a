"""One row that we fall over, of page, API, metrics or events, is told in its place; the others are there."""

from __future__ import annotations

import os
from dataclasses import replace

import msgspec
import pytest

from zkdns.model import Change, Instance, Registration, Service
from zkdns.pipeline.journal import History
from zkdns.web import prometheus_sd, shapes
from zkdns.web.spelling import spell

SERVICES = {
    name: Service(
        name, name, f"/services/{name}",
        instances=tuple(
            Instance(id, id, f"/services/{name}/{id}", Registration(("10.0.0.1",), port=80), 0.0)
            for id in "ab"
        ),
    )
    for name in ("hostile", "web")
}  # fmt: skip


def break_for(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, word: str) -> None:
    real = getattr(owner, name)

    def breaking(*args: object, **named: object) -> object:
        if word in repr(args[0]):
            raise RuntimeError("planted")
        return real(*args, **named)

    monkeypatch.setattr(owner, name, breaking)


def test_a_service_that_breaks_its_row_is_named_in_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    break_for(monkeypatch, shapes, "service_row", "hostile")
    rows = shapes.services(SERVICES, {}, ttl=5, serial=1, stale_seconds=None)["services"]
    assert [row["name"] for row in rows] == ["hostile", "web"]
    assert "planted" in rows[0]["error"]
    assert rows[1]["instances"] == 2


def test_an_instance_that_breaks_its_row_is_named_in_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    break_for(monkeypatch, shapes, "instance", "hostile/a")
    rows = shapes.service(SERVICES["hostile"], 5, "svc.local", shapes.Firsts())["instances"]
    assert [row["id"] for row in rows] == ["a", "b"]
    assert "planted" in rows[0]["error"]
    assert rows[1]["address"] == ["10.0.0.1"]


def test_a_target_that_breaks_us_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    break_for(monkeypatch, prometheus_sd, "_target", "hostile/a")
    groups = list(prometheus_sd.target_groups(SERVICES.values()))
    assert [group["labels"]["__meta_zkdns_instance"] for group in groups] == ["b", "a", "b"]


def test_a_change_that_breaks_its_line_is_named_in_history_and_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad = Change(0.0, 1, "hostile", "a", "gone", "healthy", "")
    good = replace(bad, service="web")
    break_for(monkeypatch, shapes, "change", "hostile")
    break_for(monkeypatch, shapes, "event", "hostile")
    for rows in (shapes.history(History([bad, good]))["changes"], list(shapes.events([bad, good]))):
        assert [row["service"] for row in rows] == ["hostile", "web"]
        assert "planted" in rows[0]["error"]
        assert "error" not in rows[1]


def test_a_row_of_a_file_whose_name_is_no_text_is_one_that_anybody_can_read() -> None:
    name = os.fsdecode(b"/zones/\xff\xc3\xa9.zone")
    rows = [{"path": name, "what": 'a "word"'}, {"path": "/zones/b", "what": ""}]
    assert msgspec.json.decode(spell(rows)) == [{**rows[0], "path": r"/zones/\udcffé.zone"}, rows[1]]
