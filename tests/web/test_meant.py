"""Which DNS name is explained, whatever a person writes for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from support.server import Zkdns, run, serving
from support.values import a_service, an_instance
from zkdns.dns import names
from zkdns.named import find_service
from zkdns.registry.labels import to_label
from zkdns.web.meant import read_meant

WEB = a_service(an_instance("a", "10.0.0.1"))
HOST = replace(an_instance("Host.One:8080", "10.0.0.2"), label="host-one-8080")
ODD = a_service(HOST, name="Odd_App.x")
LONG, FAR, FILED = (a_service(name=name) for name in ("b" * 80, "bücher", "www.filed.test"))
SERVICES = {s.name: s for s in (WEB, ODD, LONG, FAR, FILED)}


def is_inside(qname: bytes) -> bool:
    zones = {names.wire(zone) for zone in ("svc.local", "lan", "filed.test")}
    return any(name in zones for name in (qname, *names.suffixes(qname)))


def meant(text: str) -> str:
    return names.text(read_meant(text, "svc.local", is_inside, SERVICES)).rstrip(".")


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("web", "web.svc.local"), ("web/a", "a.web.svc.local"), ("WEB/A", "a.web.svc.local"),
        ("web.svc.local", "web.svc.local"), ("web.", "web"), ("a.b/c", "a.b/c"), ("/", "/"),
        ("10.0.0.1", "1.0.0.10.in-addr.arpa"), ("0/25.2.0.192.in-addr.arpa", "0/25.2.0.192.in-addr.arpa"),
        # Nobody registered these: as they would be folded.
        ("nope", "nope.svc.local"), ("No_App/A.1", "a-1.no-app.svc.local"),
        # As registered, and as in DNS.
        ("Odd_App.x", "odd-app-x.svc.local"), ("odd-APP-x", "odd-app-x.svc.local"),
        ("Odd_App.x/Host.One:8080", "host-one-8080.odd-app-x.svc.local"),
        ("odd-app-x/host-one-8080", "host-one-8080.odd-app-x.svc.local"),
        ("Odd_App.x/none", "none.odd-app-x.svc.local"),
        ("b" * 80, f"{to_label('b' * 80)}.svc.local"), ("bücher", f"{to_label('bücher')}.svc.local"),
        # What is in a zone is a name of that zone, whoever has registered one like it.
        ("lan", "lan"), ("www.filed.test", "www.filed.test"), ("Odd_App.x.", "odd_app.x"),
    ],
)  # fmt: skip
def test_a_name_is_one_of_a_zone_or_else_a_services_as_in_the_other_commands(typed: str, name: str) -> None:
    assert meant(typed) == name


@pytest.mark.parametrize("typed", ["bucher é", "x" * 64, "a..b", "b" * 80 + "/", "/a" + "x" * 64])
def test_what_is_neither_a_name_nor_registered_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="is no domain name"):
        meant(typed)


def test_what_one_registry_holds_of_a_service_goes_by_no_label() -> None:
    view = replace(ODD, name="Odd_App.x@dc2", view_of=ODD.name)
    assert find_service({view.name: view, "Odd_App.x": ODD}, "ODD-app-x") is ODD
    assert find_service({view.name: view, "Odd_App.x": ODD}, "Odd_App.x@dc2") is view


FILE = """
["Odd_App.x"]
[["Odd_App.x".instances]]
id = "Host.One:8080"
address = "10.0.0.2"
port = 80
["bücher"]
[["bücher".instances]]
id = "a"
address = "10.0.0.3"
"""


def test_explain_and_history_find_what_is_folded_by_both_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "services.toml").write_text(FILE)
    state = tmp_path / "state"
    state.mkdir()
    with Zkdns("--state", str(state), registry=f"file:{tmp_path}/services.toml") as server:
        url = f"http://127.0.0.1:{server.http_port}"
        asked = ["--registry", f"file:{tmp_path}/services.toml"], ["--server", url]
        kept = ["--server", url], ["--state", str(state)]
        for name in ("Odd_App.x/Host.One:8080", "ODD-app-x/host-ONE-8080"):
            for where in asked:
                said = run("explain", name, *where, "--json").json
                assert (said["name"], said["type"]) == ("host-one-8080.odd-app-x.svc.local", "A"), where
            for where in kept:
                told = run("history", name, *where, "--json").json["changes"]
                assert [(c["service"], c["id"]) for c in told] == [("Odd_App.x", "Host.One:8080")], where
        for where in asked:
            assert run("explain", "Odd_App.x", *where, "--json").json["answer"] == ["10.0.0.2"], where


def test_a_name_that_no_dns_name_has_is_known_where_it_is_registered_and_wrong_usage_elsewhere(
    tmp_path: Path,
) -> None:
    with serving(FILE, tmp_path) as server:
        file, url = f"file:{tmp_path}/services.toml", f"http://127.0.0.1:{server.http_port}"
        for where in (["--registry", file], ["--server", url]):
            assert run("explain", "bücher", *where, "--json").json["answer"] == ["10.0.0.3"], where
        run("explain", "bächer", "--registry", file).fails(2, "bächer", "no domain name")
        status, body = server.http("/api/v1/explain?name=b%C3%A4cher")
        assert (status, "no domain name" in body) == (400, True)
        assert "10.0.0.3" in server.http("/?explain=b%C3%BCcher")[1]
