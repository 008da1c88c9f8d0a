"""HDFS with automatic failover: the active NameNode of `/hadoop-ha/<nameservice>/ActiveStandbyElectorLock`.

Source: hadoop 3.4, hadoop-common's ActiveStandbyElector (LOCK_FILENAME, ephemeral; the persistent
ActiveBreadCrumb beside it is for fencing and no lock), hadoop-hdfs' HAZKInfo.proto (ActiveNodeInfo: 1
nameserviceId, 2 namenodeId, 3 hostname, 4 port, 5 zkfcPort), DFSZKFailoverController (writes it). Rules:
ZooKeeper knows the active one alone; the id is the NameNode's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from zkdns.model import Registration
from zkdns.registry.endpoints import at, named_ports
from zkdns.registry.fields import BadData, share
from zkdns.registry.formats import Node
from zkdns.registry.places import Leads, Member, Part, Preset, place
from zkdns.registry.protobuf import Message


def _read_lock(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    if not node.data:
        raise BadData("its data is empty", "let the NameNode's ZKFC take the lock again")
    info = Message(node.data, "ActiveNodeInfo")
    active = at(info.text(3, "hostname"), info.number(4, "port"), "ActiveNodeInfo")
    ports = {"zkfc": at(active.host or active.addresses[0], info.number(5, "zkfcPort", 0), "zkfcPort").port}
    id = info.text(2, "namenodeId")
    yield Member(
        id,
        Registration(
            active.addresses,
            active.host,
            active.port,
            ports=share(named_ports(ports)),
            meta=share((("nameservice", info.text(1, "nameserviceId")),)),
            format="hdfs",
        ),
    )
    yield Leads(id)


PRESET = Preset(
    "hdfs",
    (
        place(
            "/hadoop-ha/{service}/ActiveStandbyElectorLock",
            "{service}",
            _read_lock,
            offices=("leader", "active"),
        ),
    ),
)
