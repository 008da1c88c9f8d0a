"""Each preset over znodes as its system writes them: what comes of them, who leads, and what is no one's
business. `tests/fixtures/presets/README.md` says which program wrote what."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from support.placing import arrange_all, read_fixture, summaries
from zkdns.model import State
from zkdns.registry import presets
from zkdns.registry.fields import BadData
from zkdns.registry.formats import Node

EXPECTED = {
    "kafka": {
        "kafka": [
            "1 10.0.0.11:9092 client=9092 replication=9093 zone=eu-1a [leader controller]",
            "2 fd00::12:9092 external=29092 plaintext=9092",
            "3 kafka-3.example:9093 sasl_ssl=9094 ssl=9093 zone=eu-1b",
            "4 10.0.0.14:9092 plaintext=9092",
        ]
    },
    "solr": {
        "solr": [
            "10.0.7.1:8983_solr 10.0.7.1:8983",
            "10.0.7.3:7574_admin%2Fsearch 10.0.7.3:7574",
            "solr-2.example:8983_solr solr-2.example:8983 [leader overseer]",
        ]
    },
    "hbase": {
        "hbase-master": [
            "hm1.example,16000,1700000000001 hm1.example:16000 info=16010 [leader active]",
            "hm2.example,16000,1700000000002 hm2.example:16000 info=16010 [standby]",
        ],
        "hbase-rs": [
            "10.0.1.1,16020,1700000000011 10.0.1.1:16020 info=16030",
            "10.0.1.2,16020,1700000000012 10.0.1.2:16020 info=16030",
        ],
    },
    "hdfs": {"ns1": ["nn2 nn2.example:8020 zkfc=8019 [leader active]"]},
    "hive": {
        "hiveserver2": [
            "serverUri=10.0.8.2:10001;version=3.1.3;sequence=0000000008 10.0.8.2:10001",
            "serverUri=hs1.example:10000;version=3.1.3;sequence=0000000007 hs1.example:10000",
        ]
    },
    "kyuubi": {
        "kyuubi": [
            "serverUri=10.0.9.1:10009;version=1.9.2;sequence=0000000000 10.0.9.1:10009",
            "serverUri=kyuubi-2.example:10009;version=1.9.2;refId=0d2b7a1c-3f2e-4b7e-9a51-0a4b8f1a9f1e;"
            "sequence=0000000001 kyuubi-2.example:10009",
        ]
    },
    "druid": {
        "druid-broker": ["10.0.2.4:8282 10.0.2.4:8282 https=8282"],
        "druid-coordinator": [
            "10.0.2.1:8081 10.0.2.1:8081 [leader]",
            "10.0.2.2:8081 10.0.2.2:8081",
        ],
        "druid-middle_manager": ["10.0.2.5:8091 10.0.2.5:8091"],
        "druid-overlord": ["druid-2.example:8090 druid-2.example:8090 https=8290 [leader]"],
    },
    "pulsar": {
        "pulsar": [
            "10.0.10.1:8080 10.0.10.1:6650 http=8080 https=8443 pulsar=6650 pulsar-ssl=6651",
            "pulsar-2.example:8080 pulsar-2.example:6650 http=8080 pulsar=6650",
        ]
    },
    "bookkeeper": {
        "bookie": [
            "10.0.4.1:3181 10.0.4.1:3181 httpserver=8000",
            "10.0.4.3:3181 10.0.4.3:3181 httpserver=8000 status=draining [readonly]",
            "10.0.4.4:3181 10.0.4.4:3181",
            "bookie-2 bk2.example:3181 httpserver=8000",
        ]
    },
    "patroni": {
        "pg1": [
            "pg-a 10.0.6.1:5432 api=8008 [replica]",
            "pg-b 10.0.6.2:5432 api=8008 [leader primary]",
            "pg-c pg-c.example:5432 api=8008",
            "pg-d 10.0.6.4:5432 api=8008 status=down [replica]",
        ]
    },
    "clickhouse": {
        "clickhouse": [
            "aaaaaaaa-0000-4000-8000-000000000001 10.0.11.1:9000 [shard-1]",
            "bbbbbbbb-0000-4000-8000-000000000002 ch-2.example:9000 [shard-2]",
        ]
    },
    "mesos": {
        "mesos": [
            "json.info_0000000003 10.0.12.3:5050 [leader]",
            "json.info_0000000005 10.0.12.1:5050",
        ]
    },
    "nifi": {
        "nifi": [
            "10.0.3.1:11443 10.0.3.1:11443 [leader cluster-coordinator]",
            "10.0.3.2:11443 10.0.3.2:11443 [primary-node]",
            "nifi-3.example:11443 nifi-3.example:11443",
        ]
    },
    "storm": {
        "storm-nimbus": [
            "nimbus1.example:6627 nimbus1.example:6627",
            "nimbus2.example:6627 nimbus2.example:6627 [leader]",
        ]
    },
    "helix": {
        "pinot": [
            "Broker_pinot-1.example_8099 pinot-1.example:8099 [broker]",
            "Controller_10.0.5.4_9000 10.0.5.4:9000 status=draining [controller]",
            "Server_10.0.5.1_8098 10.0.5.1:8098 [server]",
            "node-x 10.0.5.3:8100",
        ]
    },
    "d2": {
        "Greetings": [
            "10.0.13.1-0000000001 10.0.13.1:1338 http=1338 weight=100",
            "d2-2.example-0000000002 d2-2.example:1339 https=1339 weight=26",
        ],
        "Parted": ["10.0.13.3-0000000007 10.0.13.3:1340 http=1340 weight=200"],
    },
    "jodis": {
        "codis-demo": [
            "proxy-c7a51ba2a3f9d0e8 10.0.14.1:19000 admin=11080",
            "proxy-d00d codis-2.example:19000 status=down",
        ]
    },
    "kratos": {
        "helloworld": [
            "3e5b0a3a-web 10.0.15.1:9000 grpc=9000 http=8000",
            "7 fd00::15:9000 grpc=9000",
        ]
    },
    "registrator": {
        "redis": [
            "10.0.16.1:32768 10.0.16.1:32768 [cache eu]",
            "10.0.16.2:32769 10.0.16.2:32769",
        ]
    },
    "zookeeper": {
        "zookeeper": [
            "1 10.0.17.1:2181 client=2181 election=3888 peer=2888 [participant]",
            "2 zk-2.example:2181 client=2181 election=3888 peer=2888 [participant]",
            "3 10.0.17.13:2182 client=2182 election=3888 peer=2888 [observer]",
        ]
    },
}


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_makes_services_of_what_its_system_writes(name: str) -> None:
    assert summaries(presets.named(name), read_fixture(name)) == EXPECTED[name]


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_finds_nothing_wrong_with_what_its_system_writes(name: str) -> None:
    arranged = arrange_all(presets.named(name), read_fixture(name))
    assert [problem for one in arranged.values() for problem in one.problems] == []


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_bears_its_files_name_and_says_which_format_was_read(name: str) -> None:
    preset = presets.named(name)
    assert preset.name == name
    for one in arrange_all(preset, read_fixture(name)).values():
        assert {instance.registration.format for instance in one.instances} <= {name}


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_is_a_format_for_a_layout_of_ones_own(name: str) -> None:
    """The same nodes, by their name and data alone."""
    preset = presets.named(name)
    for path, data in read_fixture(name).items():
        names = tuple(path.strip("/").split("/"))
        for place in preset.places:
            holes = place.layout.match(names)
            if place.members and holes is not None and names[-1] not in ("readonly", "leader"):
                if name == "helix" and names[-1] == "node-x":
                    continue  # its name alone does not say where it is
                assert presets.parse(preset, Node(names[-1], data)).format == name


@pytest.mark.parametrize("name", presets.names())
def test_a_presets_header_names_the_source_of_its_fields(name: str) -> None:
    text = Path(presets.__file__).with_name(f"{name}.py").read_text()
    assert "\nSource: " in text.partition('"""')[2].partition('"""')[0]


ZOOKEEPER = "server.{}=h{}:2888:3888:participant;0.0.0.0:2181\n"
MASTER, REGION_SERVER = "/hbase/master", "/hbase/rs/h,16020,1"
UNREADABLE: list[tuple[str, str, object, str]] = [
    ("clickhouse", "/shards/a", {"address": "h"}, 'address is "h", not host:port'),
    ("d2", "/d2/uris/web/h-1", {}, "neither weights nor partitionDesc"),
    ("d2", "/d2/uris/web/h-1", {"weights": ["http://h:1"]}, "weights is"),
    ("d2", "/d2/uris/web/h-1", {"weights": {"http://h:1": 656}}, "weight is 656"),
    ("druid", "/druid/internal-discovery/BROKER/h:1", {"druidNode": []}, "druidNode is [], not an object"),
    (
        "druid",
        "/druid/internal-discovery/BROKER/h:1",
        {"druidNode": {"host": "h", "plaintextPort": 1, "enablePlaintextPort": 0}},
        "enablePlaintextPort is 0",
    ),
    ("hbase", MASTER, b"", "its data is empty"),
    ("hbase", MASTER, b"PBUF", "names no server"),
    ("hbase", MASTER, b"PBU", "PBUF does not stand before it"),
    ("hbase", REGION_SERVER, b"\xff\0\0\0", "its head goes on past the end"),
    ("hbase", REGION_SERVER, b"\xff\0\0\0\5mark", "its head goes on past the end"),
    ("hbase", "/hbase/rs/h,16020", b"", "is not host,port,startcode"),
    ("hbase", "/hbase/rs/h,16020,x", b"", "is not host,port,startcode"),
    ("hdfs", "/hadoop-ha/ns/ActiveStandbyElectorLock", b"", "its data is empty"),
    ("helix", "/pinot/LIVEINSTANCES/node-x", {}, "its name is not host_port"),
    ("kafka", "/brokers/ids/1", {"endpoints": {"a": "PLAINTEXT://h:1"}}, "not a list of URLs"),
    ("kratos", "/web/a", {"endpoints": []}, "not a list of URLs"),
    ("kratos", "/web/a", {"endpoints": ["grpc://h:1"], "metadata": {"weight": "x"}}, "weight is"),
    ("mesos", "/mesos/json.info_0000000001", {"address": 1}, "address is 1, not an object"),
    ("mesos", "/mesos/json.info_0000000001", {"pid": 5}, "address is null, not an object"),
    ("mesos", "/mesos/json.info_0000000001", {"pid": "master"}, "address is null, not an object"),
    ("patroni", "/service/pg/members/a", {}, "it has no conn_url"),
    ("patroni", "/service/pg1/leader", b"\xff", "no member's name"),
    ("patroni", "/service/pg1/leader", b"a" * 1025, "no member's name"),
    ("pulsar", "/loadbalance/brokers/h:1", {}, "none of the URLs"),
    ("solr", "/live_nodes/h_solr", b"", "is not host:port_context"),
    ("solr", "/overseer_elect/leader", {"id": "h:1_solr"}, "not <session>-<node>-n_<sequence>"),
    ("zookeeper", "/zookeeper/config", b"server.1=h:1\n", "not server.N="),
    ("zookeeper", "/zookeeper/config", b"\xff", "not UTF-8"),
    ("zookeeper", "/zookeeper/config", b"v" * (64 * 1024 + 1), "more than 65536 bytes"),
    (
        "zookeeper",
        "/zookeeper/config",
        "".join(ZOOKEEPER.format(n, n) for n in range(256)).encode(),
        "more than 255 servers",
    ),
]


@pytest.mark.parametrize(("name", "path", "data", "what"), UNREADABLE)
def test_what_can_not_be_read_is_told_in_words(name: str, path: str, data: object, what: str) -> None:
    """And is no error of ours."""
    node = data if isinstance(data, bytes) else json.dumps(data).encode()
    members = read_fixture(name) if "leader" in path else {}  # without any nobody is to lead
    arranged = arrange_all(presets.named(name), {**members, path: node})
    (problem,) = [problem for one in arranged.values() for problem in one.problems]
    assert (problem.path, what in problem.what) == (path, True), problem
    assert "error of ours" not in problem.what


def test_as_much_as_may_be_is_read() -> None:
    most = "".join(ZOOKEEPER.format(n, n) for n in range(255)).encode().ljust(64 * 1024)
    assert (
        len(arrange_all(presets.named("zookeeper"), {"/zookeeper/config": most})["zookeeper"].instances)
        == 255
    )


def test_a_node_without_a_number_is_no_vote_for_a_mesos_master() -> None:
    arranged = arrange_all(presets.named("mesos"), {"/mesos/json.info_x": b"{}"})
    assert [(one.instances, one.problems) for one in arranged.values()] in ([], [((), ())])


def test_patronis_port_is_that_of_its_url_and_postgresqls_where_that_has_none() -> None:
    for url, port in (("postgres://h:6432/x", 6432), ("postgres://h/x", 5432)):
        member = {"/service/pg/members/a": json.dumps({"conn_url": url}).encode()}
        assert summaries(presets.named("patroni"), member)["pg"] == [f"a h:{port} [replica]"]


def test_a_namenode_tells_of_which_name_service_it_is() -> None:
    (one,) = arrange_all(presets.named("hdfs"), read_fixture("hdfs"))["ns1"].instances
    assert dict(one.registration.meta) == {"nameservice": "ns1"}


def test_what_a_system_tells_beside_where_it_is_is_told_in_meta() -> None:
    (kratos,) = arrange_all(
        presets.named("kratos"),
        {"/web/a": b'{"endpoints": ["grpc://h:1"], "version": "v2", "metadata": {"weight": "5"}}'},
    )["web"].instances
    assert (kratos.registration.weight, dict(kratos.registration.meta)) == (
        5,
        {"version": "v2", "weight": "5"},
    )
    container = {"IP": "10.0.0.1", "PublicPort": 80, "Attrs": {"owner": "ann"}}
    (one,) = arrange_all(presets.named("registrator"), {"/web/a": json.dumps(container)})["web"].instances
    assert dict(one.registration.meta) == {"owner": "ann"}
    (solr,) = arrange_all(presets.named("solr"), {"/live_nodes/h:1_a%2Fb": b""})["solr"].instances
    assert dict(solr.registration.meta) == {"context": "/a/b"}


def test_a_mesos_master_without_an_address_is_where_its_pid_says() -> None:
    znodes = {"/mesos/json.info_0000000001": b'{"pid": "master@10.0.0.5:5050"}'}
    assert summaries(presets.named("mesos"), znodes)["mesos"] == [
        "json.info_0000000001 10.0.0.5:5050 [leader]"
    ]


def test_what_stands_beside_nifis_votes_is_none() -> None:
    votes = {f"/nifi/leaders/Primary Node/{name}": b"h:1" for name in ("_c_x-lock-0000000001", "other")}
    arranged = arrange_all(presets.named("nifi"), votes)["nifi"]
    assert ([i.id for i in arranged.instances], arranged.problems) == (["h:1"], ())


@pytest.mark.parametrize(
    ("fields", "where"), [({"HELIX_HOST": "x"}, "x:80"), ({"HELIX_PORT": "81"}, "h:81"), ({}, "h:80")]
)
def test_what_helix_says_of_host_or_port_alone_counts(fields: dict[str, str], where: str) -> None:
    znodes = {
        "/pinot/LIVEINSTANCES/Server_h_80": b"{}",
        "/pinot/CONFIGS/PARTICIPANT/Server_h_80": json.dumps({"simpleFields": fields}).encode(),
    }
    assert summaries(presets.named("helix"), znodes)["pinot"] == [f"Server_h_80 {where} [server]"]


def test_an_empty_field_of_helix_says_nothing() -> None:
    znodes = {
        "/pinot/LIVEINSTANCES/Server_h_80": b"{}",
        "/pinot/CONFIGS/PARTICIPANT/Server_h_80": b'{"simpleFields": {"HELIX_HOST": "", "HELIX_PORT": ""}}',
    }
    assert summaries(presets.named("helix"), znodes)["pinot"] == ["Server_h_80 h:80 [server]"]


def test_of_several_places_what_the_first_refuses_is_told() -> None:
    """Whoever reads bookies by a layout of his own has one place, and may mean either."""
    with pytest.raises(BadData, match='its name is "nonsense"'):
        presets.parse(presets.named("bookkeeper"), Node("nonsense", b""))


# --- leaders ------------------------------------------------------------------------------------------


def leaders(name: str, znodes: dict[str, bytes], service: str, tag: str = "leader") -> list[str]:
    return [
        i.id
        for i in arrange_all(presets.named(name), znodes)[service].instances
        if tag in i.registration.tags
    ]


def test_patronis_leader_is_who_has_the_node_and_not_who_says_so() -> None:
    znodes = read_fixture("patroni") | {"/service/pg1/leader": b"pg-a"}
    arranged = summaries(presets.named("patroni"), znodes)["pg1"]
    assert arranged[0] == "pg-a 10.0.6.1:5432 api=8008 [leader primary]"
    assert arranged[1] == "pg-b 10.0.6.2:5432 api=8008"


def test_whoever_patroni_keeps_out_of_balancing_is_no_replica() -> None:
    """Whatever stands there that is not false: `patroni/tags.py` takes it as Python does."""
    for says, tags in ((True, ()), ("true", ()), (1, ()), (False, ("replica",)), (None, ("replica",))):
        member = {
            "conn_url": "postgres://10.0.6.1:5432/x",
            "role": "replica",
            "tags": {"noloadbalance": says},
        }
        znodes = {"/service/pg1/members/a": json.dumps(member).encode()}
        (found,) = arrange_all(presets.named("patroni"), znodes)["pg1"].instances
        assert found.registration.tags == tags


def test_while_patroni_has_no_leader_nobody_is_primary() -> None:
    znodes = read_fixture("patroni")
    del znodes["/service/pg1/leader"]
    assert leaders("patroni", znodes, "pg1") == leaders("patroni", znodes, "pg1", "primary") == []
    assert arrange_all(presets.named("patroni"), znodes)["pg1"].offices == ("leader", "primary")


def test_a_standby_cluster_has_a_standby_leader_and_no_primary() -> None:
    znodes = read_fixture("patroni")
    member = json.loads(znodes["/service/pg1/members/pg-b"])
    znodes["/service/pg1/members/pg-b"] = json.dumps(member | {"role": "standby_leader"}).encode()
    arranged = summaries(presets.named("patroni"), znodes)["pg1"]
    assert arranged[1] == "pg-b 10.0.6.2:5432 api=8008 [leader standby-leader]"


def test_patronis_older_word_for_a_primary_is_read_too() -> None:
    znodes = read_fixture("patroni")
    member = json.loads(znodes["/service/pg1/members/pg-b"])
    znodes["/service/pg1/members/pg-b"] = json.dumps(member | {"role": "master"}).encode()
    assert leaders("patroni", znodes, "pg1", "primary") == ["pg-b"]


def test_an_hbase_backup_that_becomes_active_is_the_same_instance() -> None:
    znodes = read_fixture("hbase")
    backup = "/hbase/backup-masters/hm2.example,16000,1700000000002"
    before = {i.id for i in arrange_all(presets.named("hbase"), znodes)["hbase-master"].instances}
    znodes["/hbase/master"] = znodes[backup]
    # For a moment both nodes are there: it is active, and once.
    assert leaders("hbase", znodes, "hbase-master", "active") == ["hm2.example,16000,1700000000002"]
    assert leaders("hbase", znodes, "hbase-master", "standby") == []
    assert {i.id for i in arrange_all(presets.named("hbase"), znodes)["hbase-master"].instances} < before


def test_a_name_service_without_an_active_namenode_is_there_and_empty() -> None:
    znodes = read_fixture("hdfs")
    del znodes["/hadoop-ha/ns1/ActiveStandbyElectorLock"]
    ns1 = arrange_all(presets.named("hdfs"), znodes)["ns1"]
    assert (ns1.instances, ns1.offices) == ((), ("leader", "active"))


def test_nifis_roles_have_a_leader_each() -> None:
    znodes = read_fixture("nifi")
    first = next(path for path in znodes if "Cluster Coordinator" in path and path.endswith("0000000000"))
    del znodes[first]
    assert leaders("nifi", znodes, "nifi") == ["10.0.3.2:11443"]
    assert leaders("nifi", znodes, "nifi", "primary-node") == ["10.0.3.2:11443"]


def test_where_the_counter_began_again_below_0_who_leads_is_who_the_system_itself_takes() -> None:
    """Mesos sorts numbers; Curator's recipes sort strings, of which -2147483647 comes before -2147483648."""
    (master,) = [data for path, data in read_fixture("mesos").items() if path.endswith("0000000003")]
    for numbers, first in (
        (["2147483647", "-2147483648"], "-2147483648"),
        (["-2147483648", "-2147483647"], "-2147483648"),
        (["-1000000000", "-999999999"], "-1000000000"),
        (["0000000000", "-000000001"], "-000000001"),
    ):
        masters = {f"/mesos/json.info_{number}": master for number in numbers}
        assert leaders("mesos", masters, "mesos") == [f"json.info_{first}"]
    for (one, two), first in (
        (("2147483647", "-2147483648"), "h1"),
        (("-2147483648", "-2147483647"), "h1"),
        (("-1000000000", "-999999999"), "h0"),
        (("0000000000", "-000000001"), "h1"),
    ):
        for preset, folder, kind, service in (
            ("storm", "/storm/leader-lock", "latch", "storm-nimbus"),
            ("nifi", "/nifi/leaders/Cluster Coordinator", "lock", "nifi"),
        ):
            votes = {f"{folder}/_c_{n}f-{kind}-{seq}": b"h%d:80" % n for n, seq in enumerate((one, two))}
            nimbuses = {f"/storm/nimbuses/h{n}:80": b"" for n in range(2)} if preset == "storm" else {}
            assert leaders(preset, votes | nimbuses, service) == [f"{first}:80"]


def test_a_vote_that_can_not_be_read_lets_nobody_else_lead() -> None:
    """The second in line would be a wrong leader."""
    for name, service, start, data in (
        ("mesos", "mesos", "/mesos/json.info_0000000003", b"{"),
        ("nifi", "nifi", "/nifi/leaders/Cluster Coordinator/", b"\xff\xfe"),
        ("storm", "storm-nimbus", "/storm/leader-lock/", b"no host"),
    ):
        znodes = read_fixture(name)
        votes = [path for path in znodes if path.startswith(start)]
        first = min(votes, key=lambda path: path[-10:])
        znodes[first] = data
        arranged = arrange_all(presets.named(name), znodes)[service]
        assert leaders(name, znodes, service) == []
        assert [problem.path for problem in arranged.problems] == [first]


def test_a_kafka_controller_that_is_no_broker_leads_nothing() -> None:
    """While a cluster moves to KRaft, the node names one of KRaft's controllers."""
    znodes = read_fixture("kafka") | {"/controller": b'{"version":2,"brokerid":3000}'}
    assert leaders("kafka", znodes, "kafka") == []


# --- the details of single systems ----------------------------------------------------------------


def test_a_pulsar_brokers_load_report_makes_no_other_registration() -> None:
    znodes = read_fixture("pulsar")
    before = arrange_all(presets.named("pulsar"), znodes)
    path = "/loadbalance/brokers/10.0.10.1:8080"
    report = json.loads(znodes[path])
    znodes[path] = json.dumps(report | {"cpu": {"usage": 99.0, "limit": 100.0}, "lastUpdate": 2}).encode()
    assert arrange_all(presets.named("pulsar"), znodes) == before


def test_a_kafka_listener_on_another_host_is_told_where() -> None:
    arranged = arrange_all(presets.named("kafka"), read_fixture("kafka"))["kafka"]
    assert ("listener-external", "kafka-2.example:29092") in arranged.instances[1].registration.meta


def test_a_kafka_broker_of_the_first_version_has_host_and_port_alone() -> None:
    znodes = {"/brokers/ids/0": b'{"jmx_port":-1,"timestamp":"1","host":"k0","version":1,"port":9092}'}
    assert summaries(presets.named("kafka"), znodes) == {"kafka": ["0 k0:9092"]}


def test_a_kafka_broker_without_any_endpoint_is_a_problem() -> None:
    znodes = {"/brokers/ids/0": b'{"endpoints":[],"host":null,"version":5,"port":-1}'}
    kafka = arrange_all(presets.named("kafka"), znodes)["kafka"]
    assert kafka.instances == ()
    assert "host is null" in kafka.problems[0].what


def test_a_druid_port_of_minus_one_is_none_whatever_its_switch_says() -> None:
    """DruidNode spells an absent port so."""
    node = {"host": "d.example", "plaintextPort": 8082, "tlsPort": -1, "enableTlsPort": True}
    path = "/druid/internal-discovery/BROKER/d.example:8082"
    znodes = {path: json.dumps({"druidNode": node}).encode()}
    assert summaries(presets.named("druid"), znodes) == {"druid-broker": ["d.example:8082 d.example:8082"]}


def test_a_helix_instance_whose_name_says_nothing_needs_its_config() -> None:
    znodes = read_fixture("helix")
    del znodes["/pinot/CONFIGS/PARTICIPANT/node-x"]
    pinot = arrange_all(presets.named("helix"), znodes)["pinot"]
    assert [problem.path for problem in pinot.problems] == ["/pinot/LIVEINSTANCES/node-x"]
    assert [i.id for i in pinot.instances if i.state is State.UNREADABLE] == ["node-x"]


def test_a_helix_config_alone_is_no_instance() -> None:
    znodes = read_fixture("helix")
    del znodes["/pinot/LIVEINSTANCES/node-x"]
    assert len(arrange_all(presets.named("helix"), znodes)["pinot"].instances) == 3


def test_a_standalone_zookeeper_has_no_servers_to_tell() -> None:
    arranged = arrange_all(presets.named("zookeeper"), {"/zookeeper/config": b""})["zookeeper"]
    assert (arranged.instances, arranged.problems) == ((), ())


def test_servers_of_a_static_configuration_share_the_client_port_that_one_of_them_tells() -> None:
    lines = b"server.1=a:2888:3888:participant;0.0.0.0:2181\nserver.2=b:2888:3888:participant\nversion=0"
    arranged = summaries(presets.named("zookeeper"), {"/zookeeper/config": lines})["zookeeper"]
    assert arranged[1] == "2 b:2181 client=2181 election=3888 peer=2888 [participant]"


@pytest.mark.parametrize("hosts", ["", "127.0.0.1:2181", "127.0.0.1:2181,127.0.0.1:2182"])
def test_a_client_port_is_guessed_for_none_of_several_servers_on_one_host(hosts: str) -> None:
    """Two can't have one port there: the third's is no other's."""
    preset = presets.named("zookeeper")
    assert preset.with_hosts is not None
    preset = replace(preset, places=preset.with_hosts(hosts))
    lines = (
        b"server.1=127.0.0.1:2888:3888:participant\nserver.2=127.0.0.1:2889:3889:participant\n"
        b"server.3=127.0.0.1:2890:3890:observer;127.0.0.1:2183\nserver.4=b:2888:3888:participant"
    )
    arranged = arrange_all(preset, {"/zookeeper/config": lines})["zookeeper"]
    ports = {i.id: i.registration.port for i in arranged.instances}
    assert (ports["1"], ports["2"], ports["3"], ports["4"]) == (0, 0, 2183, 2183)


STATIC = b"server.1=a:2888:3888:participant\nserver.2=10.0.0.2:2888:3888:participant\nversion=0"


@pytest.mark.parametrize(
    ("hosts", "ports"),
    [
        ("a:2181,10.0.0.2:2182", {"1": 2181, "2": 2182}),
        ("elsewhere:2181", {"1": 2181, "2": 2181}),
        ("a:2181", {"1": 2181, "2": 2181}),
        ("127.0.0.1:2181,127.0.0.1:2182", {"1": 0, "2": 0}),
        ("", {"1": 0, "2": 0}),
        ("1:2181,::2181", {"1": 0, "2": 0}),
    ],
)
def test_a_static_configuration_has_the_client_ports_of_the_url(hosts: str, ports: dict[str, int]) -> None:
    preset = presets.named("zookeeper")
    assert preset.with_hosts is not None
    preset = replace(preset, places=preset.with_hosts(hosts))
    arranged = arrange_all(preset, {"/zookeeper/config": STATIC})["zookeeper"]
    assert {i.id: i.registration.port for i in arranged.instances} == ports
    assert {i.id: dict(i.registration.ports).get("client", 0) for i in arranged.instances} == ports


def test_zookeepers_several_addresses_and_ipv6_are_read() -> None:
    lines = b"server.1=[fd00::1]:2888:3888|10.0.0.1:2888:3888:participant;[fd00::9]:2181"
    arranged = summaries(presets.named("zookeeper"), {"/zookeeper/config": lines})["zookeeper"]
    assert arranged == ["1 fd00::9:2181 client=2181 election=3888 peer=2888 [participant]"]


@pytest.mark.parametrize(
    ("name", "other", "service"),
    [
        ("kafka", "events", "events"),
        ("kafka", "prod-{service}", "prod-kafka"),
        ("druid", "olap", "olap-coordinator"),
        ("hbase", "base", "base-rs"),
        ("patroni", "db-{service}", "db-pg1"),
    ],
)
def test_as_gives_a_presets_services_another_name(name: str, other: str, service: str) -> None:
    preset = presets.named(name).renamed(other)
    arranged = arrange_all(preset, read_fixture(name))
    assert service in arranged
    assert arranged[service].instances
    if name != "hbase":
        assert arranged[service].offices[:1] == ("leader",)


def test_as_without_the_service_is_refused_where_the_path_names_it() -> None:
    with pytest.raises(ValueError, match=r"as=db-\{service\}"):
        presets.named("patroni").renamed("db")
