"""The example of `zones/`, served by the program itself, changed under its hands."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dns.flags
import dns.rcode
import pytest

from support.missing import ENGINES
from support.ports import free_port
from support.server import Zkdns
from support.waiting import eventually

EXAMPLE = Path(__file__).parents[2] / "zones"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLE, tmp_path / "zones")
    (tmp_path / "registry.toml").write_text('[web]\n[[web.instances]]\nid = "a"\naddress = "10.0.0.1"\n')
    return tmp_path / "zones"


@pytest.fixture
def server(folder: Path) -> Iterator[Zkdns]:
    registry = f"file:{folder.parent / 'registry.toml'}"
    with Zkdns("--zones", str(folder), registry=registry) as running:
        yield running


def addresses(server: Zkdns, name: str) -> list[str]:
    return sorted(rd.to_text() for rrset in server.ask(name).answer for rd in rrset if rrset.rdtype == 1)


@pytest.mark.parametrize("tcp", [False, True])
def test_the_example_is_served_with_authority(server: Zkdns, tcp: bool) -> None:
    for name, rtype, rdata in (
        ("lab.example", "MX", "10 mail.lab.example."),
        ("LAB.example", "SOA", "ns1.lab.example. hostmaster.lab.example. 2024010101 3600 600 604800 30"),
        ("api.lab.example", "AAAA", "2001:db8::80"),
        ("whatever.any.lab.example", "TXT", '"from the wildcard"'),
        ("node-3.lab.example", "A", "192.0.2.3"),
        ("_sip._tcp.lab.example", "SRV", "10 60 5060 node-1.lab.example."),
        ("here.old.lab.example", "A", "192.0.2.98"),
        ("backend.lab.example", "A", "10.0.0.1"),
    ):
        answered = server.ask(name, rtype, tcp=tcp)
        assert rdata in [rd.to_text().lower() for rrset in answered.answer for rd in rrset], name
        assert answered.flags & dns.flags.AA
    assert server.ask("nope.lab.example", tcp=tcp).rcode() == dns.rcode.NXDOMAIN
    assert server.ask("_tcp.lab.example", tcp=tcp).rcode() == dns.rcode.NOERROR
    referral = server.ask("x.team.lab.example", tcp=tcp)
    assert not referral.flags & dns.flags.AA
    assert "192.0.2.54" in [rd.to_text() for rrset in referral.additional for rd in rrset]


def test_a_change_is_served_and_an_error_is_named_while_the_last_good_copy_stays(
    server: Zkdns, folder: Path
) -> None:
    path = folder / "example.zone"
    good = path.read_text()
    path.write_text(good.replace("192.0.2.25", "192.0.2.26"))
    eventually(lambda: addresses(server, "mail.lab.example") == ["192.0.2.26"])
    path.write_text(good + "broken A\n")
    server.signal(signal.SIGHUP)
    line = len(good.splitlines()) + 1
    eventually(lambda: f"example.zone:{line}" in server.log)
    assert addresses(server, "mail.lab.example") == ["192.0.2.26"]
    assert server.metrics()["zkdns_config_reload_success"] == 0
    (folder / "svc.local.zone").write_text("$TTL 60\nmail A 192.0.2.27\nweb A 192.0.2.66\n")
    eventually(lambda: addresses(server, "mail.svc.local") == ["192.0.2.27"])
    assert addresses(server, "web.svc.local") == ["10.0.0.1"]
    path.unlink()
    eventually(lambda: server.ask("mail.lab.example").rcode() == dns.rcode.REFUSED)
    assert server.metrics()["zkdns_config_reload_success"] == 1
    assert "Traceback" not in server.log


@pytest.mark.parametrize("engine", ENGINES)
def test_a_name_that_a_new_zone_file_brings_is_not_answered_on_from_what_an_upstream_said(
    folder: Path, engine: str
) -> None:
    port = free_port()
    command = [sys.executable, "-m", "support.upstream", str(port), "192.0.2.77"]
    environ = {**os.environ, "PYTHONPATH": f"{Path(__file__).parents[1]}:{Path(__file__).parents[2]}"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ) as upstream:
        assert upstream.stdout is not None
        assert b"listening" in upstream.stdout.readline()
        options = ("--zones", str(folder), "--engine", engine, "--forward", f"127.0.0.1:{port}")
        try:
            with Zkdns(*options, registry=f"file:{folder.parent / 'registry.toml'}") as server:
                assert addresses(server, "www.new.example") == ["192.0.2.77"]
                (folder / "new.example.zone").write_text(
                    "@ 60 SOA ns hostmaster 1 2 3 4 5\n@ 60 NS ns\nns 60 A 192.0.2.2\nwww 60 A 192.0.2.1\n"
                )
                server.signal(signal.SIGHUP)
                eventually(lambda: addresses(server, "www.new.example") == ["192.0.2.1"])
        finally:
            upstream.kill()


def test_an_instance_may_register_a_host_name_that_a_zone_file_has(folder: Path) -> None:
    """No upstream is asked for names in our own zones."""
    instances = [("a", "node-3.lab.example"), ("b", "box.svc.local"), ("c", "late.svc.local")]
    rows = [f'[[web.instances]]\nid = "{id}"\naddress = "{host}"\nport = 80\n' for id, host in instances]
    (folder.parent / "registry.toml").write_text("[web]\n" + "".join(rows))
    (folder / "svc.local.zone").write_text("$TTL 60\nbox A 192.0.2.77\n")
    with Zkdns("--zones", str(folder), registry=f"file:{folder.parent / 'registry.toml'}") as server:
        eventually(lambda: addresses(server, "web.svc.local") == ["192.0.2.3", "192.0.2.77"])
        (folder / "svc.local.zone").write_text("$TTL 60\nlate A 192.0.2.78\n")
        server.signal(signal.SIGHUP)
        eventually(lambda: addresses(server, "web.svc.local") == ["192.0.2.3", "192.0.2.78"])
        assert [row["path"].rpartition("/")[2] for row in server.json("/api/v1/problems")["problems"]] == [
            "b"
        ]
