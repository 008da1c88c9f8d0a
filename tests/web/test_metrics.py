"""The metrics by their names, and what deploy/ makes of them: judged by promtool and a real Prometheus."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from kazoo.client import KazooClient

from support.missing import demand
from support.ports import free_port
from support.prometheus import DEPLOY, RULES, scraping
from support.server import Zkdns
from support.waiting import eventually
from support.zookeeper import ZooKeeperServer
from zkdns.model import State

DASHBOARD = json.loads((DEPLOY / "grafana-dashboard.json").read_text())

PROMISED = {
    "zkdns_queries_total": {"transport", "type", "rcode"},
    "zkdns_query_seconds_bucket": {"le"},
    "zkdns_instances": {"service", "state"},
    "zkdns_first_answers_total": {"service", "instance"},
    "zkdns_registry_connected": set(),
    "zkdns_registry_stale_seconds": set(),
    "zkdns_registry_problems": set(),
    "zkdns_registry_reads_total": set(),
    "zkdns_registry_audit_repairs_total": set(),
    "zkdns_change_seconds_bucket": {"le"},
    "zkdns_forward_queries_total": {"upstream", "rcode"},
    "zkdns_forward_cache_hits_total": set(),
    "zkdns_config_reload_success": set(),
}


def run(*words: str, input: str = "") -> str:
    demand("prometheus", words[0])
    done = subprocess.run(words, input=input, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def busy(zookeeper: ZooKeeperServer) -> Iterator[Zkdns]:
    """A server with something of everything behind it: services, changes, questions, an upstream."""
    root = f"/metrics{free_port()}"
    client = zookeeper.client()
    upstream = Zkdns("--zone", "up.example", registry=f"zk://{zookeeper.hosts}{root}")
    server = Zkdns(
        "--forward", f"127.0.0.1:{upstream.port}", registry=f"zk://{zookeeper.hosts}{root}?format=auto"
    )
    try:
        client.create(f"{root}/web/a", b'{"address": "10.0.0.1", "port": 80}', makepath=True)
        client.create(f"{root}/web/b", b'{"address": "10.0.0.2", "port": 80, "status": "down"}')
        client.create(f"{root}/web/bad", b"{}")
        client.create(f"{root}/idle", b"")
        upstream.start()
        server.start()
        stir(server, client, root)
        server.stir = lambda: stir(server, client, root)  # type: ignore[attr-defined]
        eventually(lambda: "zkdns_replica_lag_seconds" in server.metrics())
        yield server
    finally:
        server.close()
        upstream.close()
        client.stop()
        client.close()


def stir(server: Zkdns, client: KazooClient, root: str) -> None:
    """One more of each kind of event."""
    for name, kind in (("web.svc.local", "A"), ("web.svc.local", "SRV"), ("nope.svc.local", "A")):
        server.ask(name, kind)
        server.ask(name, kind, tcp=True)
    server.ask("web.up.example", rd=True)
    for meta in (b"2", b"1"):  # what says the same as before is no change
        client.set(f"{root}/web/a", b'{"address": "10.0.0.1", "port": 80, "meta": {"v": "%s"}}' % meta)


def families(server: Zkdns) -> dict[str, set[str]]:
    """Each sample's name and labels."""
    found: dict[str, set[str]] = {}
    for sample in server.metrics():
        name, _, labels = sample.partition("{")
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


@pytest.mark.parametrize("name", PROMISED)
def test_a_promised_metric_is_there_with_its_labels(busy: Zkdns, name: str) -> None:
    assert families(busy)[name] == PROMISED[name]


def test_promtool_finds_nothing_to_say_about_the_names(busy: Zkdns) -> None:
    assert run("promtool", "check", "metrics", input=busy.http("/metrics")[1]) == ""


def test_the_types_of_histograms_counters_and_gauges_are_told(busy: Zkdns) -> None:
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", busy.http("/metrics")[1], re.MULTILINE))
    assert kinds["zkdns_query_seconds"] == kinds["zkdns_change_seconds"] == "histogram"
    for name, kind in kinds.items():
        assert (kind == "counter") == name.endswith("_total"), name


def test_counts_move_by_what_happened(busy: Zkdns) -> None:
    label = '{rcode="NXDOMAIN",transport="udp",type="A"}'
    before = busy.metrics()
    for _ in range(5):
        busy.ask("gone.svc.local")
    after = busy.metrics()
    assert after[f"zkdns_queries_total{label}"] - before[f"zkdns_queries_total{label}"] == 5
    assert after['zkdns_instances{service="web",state="healthy"}'] == 1
    assert after['zkdns_instances{service="web",state="down"}'] == 1
    assert after["zkdns_registry_problems"] == 1
    eventually(lambda: busy.metrics()["zkdns_change_seconds_count"] > 0)


def test_a_service_without_instances_has_its_zeros_and_one_with_them_always_has_healthy(
    serve: Callable[..., Zkdns], tmp_path: Path
) -> None:
    path = tmp_path / "services.toml"
    path.write_text('[empty]\n[[ill.instances]]\nid = "a"\naddress = "10.0.0.1"\nstatus = "down"\n')
    told = serve(registry=f"file:{path}").metrics()
    found = {name: n for name, n in told.items() if name.startswith("zkdns_instances")}
    zeros = {f'zkdns_instances{{service="empty",state="{state}"}}': 0 for state in State}
    ill = {
        f'zkdns_instances{{service="ill",state="{state}"}}': n for state, n in (("healthy", 0), ("down", 1))
    }
    assert found == zeros | ill


def test_what_is_given_instead_of_a_service_without_a_healthy_instance_is_told(
    serve: Callable[..., Zkdns], tmp_path: Path
) -> None:
    """By a route, by fail_open, by another registry; the alert for an empty service leaves these alone."""
    here, there = tmp_path / "here.toml", tmp_path / "there.toml"
    ill = 'id = "a"\naddress = "10.0.0.1"\nstatus = "down"\n'
    well = '[[{}.instances]]\nid = "{}"\naddress = "10.0.0.{}"\n'
    here.write_text(
        f"[[web.instances]]\n{ill}[[gone.instances]]\n{ill}"
        f"[open]\nfail_open = true\n[[open.instances]]\n{ill}"
        "[routed]\nto = [{other = 1}]\n" + well.format("other", "b", 2) + well.format("other", "c", 3)
    )
    there.write_text(well.format("web", "b", 4))
    flags = ("--registry", f"there=file:{there}", "--failover", "there")
    server = serve(*flags, registry=f"here=file:{here}")
    told = server.metrics()
    found = {name: n for name, n in told.items() if name.startswith("zkdns_given_instead")}
    of = 'zkdns_given_instead{{service="{}"}}'.format
    assert found == {of("web"): 1, of("gone"): 0, of("open"): 1, of("routed"): 2}
    assert told["zkdns_services"] == 5, "and what a registry alone holds of one is none"
    assert "5 services, 6 instances" in server.log


def test_one_service_of_one_instance_is_told_in_the_singular(
    serve: Callable[..., Zkdns], tmp_path: Path
) -> None:
    path = tmp_path / "services.toml"
    path.write_text('[[web.instances]]\nid = "a"\naddress = "10.0.0.1"\n')
    assert ", 1 service, 1 instance, on " in serve(registry=f"file:{path}").log


def test_types_that_clients_make_up_make_no_series(busy: Zkdns) -> None:
    for number in range(4000, 4050):
        busy.ask("web.svc.local", f"TYPE{number}")
    types = {t for s in busy.metrics() for t in re.findall(r'type="(\w+)"', s) if "queries" in s}
    assert "other" in types
    assert not any(t.startswith("TYPE") or t.isdigit() for t in types)


# --- what deploy/ makes of them ---------------------------------------------------------------------------


def expressions() -> Iterator[tuple[str, str]]:
    """Where it stands, and the query."""
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield f"alert {rule['alert']}", rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']}", target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", variable["query"]


def test_every_metric_that_alerts_and_dashboard_name_exists(busy: Zkdns) -> None:
    there = families(busy).keys()
    named = {
        (where, m) for where, query in expressions() for m in re.findall(r"\b(?:zkdns|process)_\w+", query)
    }
    assert len(named) > 40
    missing = {(where, metric) for where, metric in named if metric not in there}
    assert not missing


def test_promtool_takes_the_rules_and_the_settings() -> None:
    run("promtool", "check", "rules", str(RULES))
    run("promtool", "check", "config", str(DEPLOY / "prometheus.yml"))


def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    rules = yaml.safe_load(RULES.read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    for rule in alerts:
        # promtool compares annotations word for word: what they say is not what is tried here
        assert rule.pop("annotations").keys() == {"summary", "do"}
    bare, tests = tmp_path / "rules.yaml", tmp_path / "tests.yaml"
    bare.write_text(yaml.safe_dump(rules))
    written = yaml.safe_load((Path(__file__).parent / "alerts.yaml").read_text())
    written["rule_files"] = [str(bare)]
    tests.write_text(yaml.safe_dump(written))
    run("promtool", "test", "rules", str(tests))
    fired = {t["alertname"] for each in written["tests"] for t in each["alert_rule_test"] if t["exp_alerts"]}
    assert fired == {rule["alert"] for rule in alerts}


def test_every_panel_has_data_in_a_real_prometheus(busy: Zkdns, tmp_path: Path) -> None:
    demand("prometheus", "prometheus")
    again: Callable[[], None] = busy.stir  # type: ignore[attr-defined]
    with scraping([busy], tmp_path, "1s") as prometheus:
        eventually(lambda: again() or prometheus.query("rate(zkdns_forward_queries_total[30s])"), pause=0.5)
        empty = {}
        for panel in DASHBOARD["panels"]:
            for target in panel.get("targets", []):
                query = (
                    target["expr"].replace("$job", "zkdns").replace("$instance", ".*")
                    .replace("$service", "web").replace("$__rate_interval", "30s")
                )  # fmt: skip
                assert "$" not in query, query
                if not prometheus.query(query):
                    empty[panel["title"]] = query
        assert not empty
        firsts = prometheus.query('zkdns_first_answers_total{service="web"}')
        assert {one["metric"]["exported_instance"] for one in firsts} == {"a"}
        eventually(lambda: all(r["health"] == "ok" for r in prometheus.rules()), 20)
        assert {r["name"] for r in prometheus.rules() if r["state"] == "firing"} <= {"ZkdnsErrors"}


def test_the_panels_stand_side_by_side() -> None:
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
