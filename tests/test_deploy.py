"""What stands in deploy/ and the Dockerfile is understood by the program that it starts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from zkdns import config
from zkdns.cli import commands

HERE = Path(__file__).parents[1]
DOCKERFILE = (HERE / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((HERE / "deploy/compose.yaml").read_text())
KUBERNETES = {
    resource["kind"]: resource
    for resource in yaml.safe_load_all((HERE / "deploy/kubernetes.yaml").read_text())
}
UNIT = (HERE / "deploy/zkdns.service").read_text()


def parse(words: list[str]) -> dict[str, Any]:
    """The flags of `zkdns WORDS`, read by the command itself; wrong usage raises."""
    name, *arguments = words
    command = commands.get_command(click.Context(commands), name)
    assert command is not None, name
    return dict(command.make_context(name, arguments).params)


def serving(words: list[str]) -> config.Settings:
    assert words[0] == "serve"
    return config.load(parse(words), environ={})


def test_the_image_serves_port_53_and_its_health_is_asked_where_it_listens() -> None:
    found = re.search(r"^CMD (\[.*\])", DOCKERFILE, re.MULTILINE)
    assert found
    settings = serving(json.loads(found[1]))
    assert [str(address) for address in settings.listen] == ["0.0.0.0:53"]
    assert settings.http is not None
    assert f"127.0.0.1:{settings.http.port}/health" in DOCKERFILE
    for port in ("53/udp", "53/tcp", f"{settings.http.port}/tcp"):
        assert port in DOCKERFILE.partition("EXPOSE")[2].splitlines()[0]


def test_the_image_is_built_from_what_dockerignore_lets_through() -> None:
    allowed = {line[1:] for line in (HERE / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set()
    for words in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE):
        copied |= set(words.split()[:-1])
    assert copied == allowed
    assert all((HERE / name).exists() for name in copied)


@pytest.mark.parametrize("replica", ["zkdns-1", "zkdns-2"])
def test_a_replica_in_compose_starts_and_publishes_where_it_listens(replica: str) -> None:
    service = COMPOSE["services"][replica]
    settings = serving(service["command"])
    assert settings.http is not None
    listening = {f"{address.port}/{kind}" for address in settings.listen for kind in ("udp", "tcp")}
    assert {port.split(":")[-1] for port in service["ports"]} == {*listening, f"{settings.http.port}/tcp"}
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert settings.registry[0].hosts.partition(":")[0] in COMPOSE["services"]


def test_the_client_in_compose_resolves_through_both_replicas() -> None:
    services = COMPOSE["services"]
    replicas = {services[name]["networks"]["services"]["ipv4_address"] for name in ("zkdns-1", "zkdns-2")}
    assert set(services["client"]["dns"]) == replicas


@pytest.mark.parametrize("name", ["web-a", "web-b"])
def test_the_sample_services_in_compose_register_the_address_that_they_have(name: str) -> None:
    service = COMPOSE["services"][name]
    parse(service["command"])
    address = service["networks"]["services"]["ipv4_address"]
    assert f"--address={address}" in service["command"]
    config.parse_registry(service["environment"]["ZKDNS_REGISTRY"])


def test_the_settings_in_kubernetes_load_and_meet_the_ports_of_the_pod(tmp_path: Path) -> None:
    path = tmp_path / "zkdns.toml"
    path.write_text(KUBERNETES["ConfigMap"]["data"]["zkdns.toml"])
    pod = KUBERNETES["Deployment"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    words = [word.replace("/etc/zkdns/zkdns.toml", str(path)) for word in container["args"]]
    settings = serving(words)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert settings.http is not None
    assert ports == {
        "dns": settings.listen[0].port,
        "dns-tcp": settings.listen[0].port,
        "http": settings.http.port,
    }
    targets = {port["targetPort"] for port in KUBERNETES["Service"]["spec"]["ports"]}
    assert targets == set(ports)
    assert settings.state in {mount["mountPath"] for mount in container["volumeMounts"]}
    assert pod["terminationGracePeriodSeconds"] > settings.lameduck + 5
    # The kernel starts no program whose file capability is outside of the bounding set.
    assert "setcap cap_net_bind_service" in DOCKERFILE
    assert "NET_BIND_SERVICE" in container["securityContext"]["capabilities"]["add"]


def test_the_unit_starts_the_server_with_flags_that_it_has(tmp_path: Path) -> None:
    found = re.search(r"^ExecStart=/opt/zkdns/bin/zkdns (.*)$", UNIT, re.MULTILINE)
    assert found
    settings_file = tmp_path / "zkdns.toml"
    settings_file.write_text('listen = "0.0.0.0:53"\n')
    words = found[1].replace("/etc/zkdns/zkdns.toml", str(settings_file)).replace("${STATE_DIRECTORY}", "/s")
    settings = serving(words.split())
    assert settings.state == "/s"


@pytest.mark.skipif(
    not shutil.which("systemd-analyze") and not os.environ.get("CI"), reason="no systemd on this machine"
)
def test_the_unit_is_understood_by_systemd_and_little_exposed(tmp_path: Path) -> None:
    unit = tmp_path / "zkdns.service"
    unit.write_text(UNIT.replace("/opt/zkdns/bin/zkdns", sys.executable))
    verified = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit],
        capture_output=True,
        text=True,
    )
    assert rated.returncode == 0, rated.stdout
