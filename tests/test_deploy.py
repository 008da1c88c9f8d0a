"""What stands in deploy/ and the Dockerfile is understood by the program that it starts."""

from __future__ import annotations

import ipaddress
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

from zkdns import __version__, config
from zkdns.cli import commands
from zkdns.registry.url import parse_registry

HERE = Path(__file__).parents[1]
DOCKERFILE = (HERE / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((HERE / "deploy/compose.yaml").read_text())


def read(name: str) -> dict[str, Any]:
    """The resources of a manifest by kind."""
    resources = yaml.safe_load_all((HERE / "deploy" / name).read_text())
    return {resource["kind"]: resource for resource in resources}


KUBERNETES, NODELOCAL = read("kubernetes.yaml"), read("kubernetes-nodelocal.yaml")
MONITORING = read("kubernetes-monitoring.yaml")
UNITS = {name: (HERE / "deploy" / name).read_text() for name in ("zkdns.service", "zkdns@.service")}


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
    parse_registry(service["environment"]["ZKDNS_REGISTRY"])


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
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_image_needs_no_capability_and_holds_no_second_python() -> None:
    # The kernel starts no program whose file capability is outside of the bounding set.
    assert "setcap" not in DOCKERFILE
    assert "--copies" not in DOCKERFILE
    assert re.search(r"^FROM scratch$", DOCKERFILE, re.MULTILINE)
    for service in COMPOSE["services"].values():
        if service.get("image") == "zkdns":
            assert service["cap_drop"] == ["ALL"]
            assert "cap_add" not in service
            assert service["security_opt"] == ["no-new-privileges:true"]
            assert service["sysctls"] == {"net.ipv4.ip_unprivileged_port_start": "0"}


@pytest.mark.parametrize("workload", [KUBERNETES["Deployment"], NODELOCAL["DaemonSet"]], ids=["pair", "node"])
def test_the_image_that_the_manifests_run_is_of_this_version(workload: dict[str, Any]) -> None:
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"zkdns:{__version__}"


def test_what_compose_gives_out_by_itself_is_none_of_the_addresses_that_it_names() -> None:
    (pool,) = COMPOSE["networks"]["services"]["ipam"]["config"]
    subnet, dynamic = (ipaddress.ip_network(pool[key]) for key in ("subnet", "ip_range"))
    assert dynamic.subnet_of(subnet)
    named = [
        ipaddress.ip_address(network["ipv4_address"])
        for service in COMPOSE["services"].values()
        for network in (service["networks"] or {}).values()
        if network
    ]
    assert len(set(named)) == len(named) == 4
    assert all(address in subnet and address not in dynamic for address in named)


def test_the_pods_of_kubernetes_are_found_by_what_selects_them() -> None:
    labels = KUBERNETES["Deployment"]["spec"]["template"]["metadata"]["labels"]
    pod = KUBERNETES["Deployment"]["spec"]["template"]["spec"]
    apart = pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    spread = pod["topologySpreadConstraints"]
    for selector in (
        KUBERNETES["Deployment"]["spec"]["selector"]["matchLabels"],
        KUBERNETES["Service"]["spec"]["selector"],
        KUBERNETES["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        KUBERNETES["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        MONITORING["PodMonitor"]["spec"]["selector"]["matchLabels"],
        apart[0]["podAffinityTerm"]["labelSelector"]["matchLabels"],
        spread[0]["labelSelector"]["matchLabels"],
    ):
        assert selector == labels


def test_every_port_of_the_pod_is_let_in_and_the_service_has_a_fixed_address() -> None:
    (container,) = KUBERNETES["Deployment"]["spec"]["template"]["spec"]["containers"]
    policy = KUBERNETES["NetworkPolicy"]["spec"]
    let_in = {(port["port"], port["protocol"]) for rule in policy["ingress"] for port in rule["ports"]}
    assert let_in == {(port["name"], port["protocol"]) for port in container["ports"]}
    assert policy["policyTypes"] == ["Ingress"]  # checks go to instances, wherever these are
    address = KUBERNETES["Service"]["spec"]["clusterIP"]
    ipaddress.ip_address(address)
    assert f"forward . {address}" in (HERE / "deploy/kubernetes.yaml").read_text()


def test_the_job_of_the_pod_monitor_is_the_one_that_the_alerts_ask_for() -> None:
    monitor = MONITORING["PodMonitor"]
    labels = KUBERNETES["Deployment"]["spec"]["template"]["metadata"]["labels"]
    job = labels[monitor["spec"]["jobLabel"]]
    assert f'up{{job="{job}"}}' in (HERE / "deploy/prometheus-rules.yaml").read_text()
    assert monitor["metadata"]["namespace"] == KUBERNETES["Deployment"]["metadata"]["namespace"]
    (container,) = KUBERNETES["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert monitor["spec"]["podMetricsEndpoints"][0]["port"] in {port["name"] for port in container["ports"]}


def test_the_pods_of_a_node_overlap_on_one_address_of_the_nodes_own(tmp_path: Path) -> None:
    path = tmp_path / "zkdns.toml"
    path.write_text(NODELOCAL["ConfigMap"]["data"]["zkdns.toml"])
    pod = NODELOCAL["DaemonSet"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    words = [word.replace("/etc/zkdns/zkdns.toml", str(path)) for word in container["args"]]
    given = {env["name"] for env in container["env"]}
    words = [re.sub(r"\$\((\w+)\)", lambda m: "192.0.2.1" if m[1] in given else m[0], word) for word in words]
    settings = serving(words)
    (listen,) = settings.listen
    (init,) = pod["initContainers"]
    assert f"{listen.host}/32" in " ".join(init["command"])
    # A declared port is the node's, and then two pods are not of one node (SO_REUSEPORT would do).
    assert pod["hostNetwork"]
    assert "ports" not in container
    assert NODELOCAL["DaemonSet"]["spec"]["updateStrategy"]["rollingUpdate"]["maxSurge"] == 1
    assert settings.http is not None
    for probe in ("livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == settings.http.port
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}
    assert pod["terminationGracePeriodSeconds"] > settings.lameduck + 5
    assert settings.advertise is not None


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize("action", ["ExecStart", "ExecReload"])
def test_the_units_start_the_server_with_flags_that_it_has(name: str, action: str, tmp_path: Path) -> None:
    found = re.search(rf"^{action}=/opt/zkdns/bin/zkdns (.*)$", UNITS[name], re.MULTILINE)
    assert found
    settings_file = tmp_path / "zkdns.toml"
    settings_file.write_text('listen = "0.0.0.0:53"\n')
    words = found[1].replace("/etc/zkdns/zkdns.toml", str(settings_file)).replace("${STATE_DIRECTORY}", "/s")
    settings = serving(words.split())
    assert settings.state == ("/s" if action == "ExecStart" else "")
    assert parse(words.split())["test"] == (action == "ExecReload")


def test_the_pair_is_the_single_unit_in_all_that_is_not_its_name() -> None:
    def lines(name: str) -> list[str]:
        text = UNITS[name].replace(" (%i of a pair)", "").replace("=zkdns-%i", "=zkdns")
        return [line for line in text.splitlines() if line and not line.startswith("#")]

    assert lines("zkdns@.service") == lines("zkdns.service")
    # One user's servers alone may share an address.
    assert "User=zkdns" in lines("zkdns.service")


def as_for(version: int, unit: str) -> str:
    """The unit as its comment says that a systemd of this version needs it."""
    if version >= 253:
        return unit
    assert "Type=notify, and one line more,\n# ExecReload=/bin/kill -HUP $MAINPID" in unit
    more = "Type=notify\nExecReload=/bin/kill -HUP $MAINPID"
    return unit.replace("Type=notify-reload", more)


@pytest.mark.skipif(
    not shutil.which("systemd-analyze") and not os.environ.get("CI"), reason="no systemd on this machine"
)
@pytest.mark.parametrize("name", UNITS)
def test_the_units_are_understood_by_systemd_and_little_exposed(name: str, tmp_path: Path) -> None:
    told = subprocess.check_output(["systemd-analyze", "--version"], text=True)
    version = int(told.split()[1])
    unit = tmp_path / name.replace("@", "@a")
    unit.write_text(as_for(version, UNITS[name]).replace("/opt/zkdns/bin/zkdns", sys.executable))
    verified = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit],
        capture_output=True,
        text=True,
    )
    assert rated.returncode == 0, rated.stdout
