"""Apache HBase: region servers in `/hbase/rs`, masters in `/hbase/master` and `/hbase/backup-masters`.

Source: hbase 2.5, hbase-zookeeper's ZNodePaths (the paths), RecoverableZooKeeper (`appendMetaData`: byte
FF, 4-byte length, an id of that length), ProtobufUtil (`PBUF` in front of a message), hbase-protocol's
ZooKeeper.proto (Master: 1 ServerName, 3 info_port), HBase.proto (ServerName: 1 host_name, 2 port, 3
start_code; RegionServerInfo: 1 infoPort), ServerName (`host,port,startcode`). Rules: an id is the server's
name, so that a backup that becomes active is the same instance; the info port is named `info`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from zkdns.model import Registration
from zkdns.registry.endpoints import at, named_ports
from zkdns.registry.fields import BadData, from_digits, share, show
from zkdns.registry.formats import Node
from zkdns.registry.places import Leads, Member, Part, Preset, place
from zkdns.registry.protobuf import Message

_MAGIC: Final = b"PBUF"
_CURE = "let the HBase server that it is of register again"


def _read_region_server(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    info = _body(node.data, "RegionServerInfo")
    yield _registration(node.name, info.number(1, "infoPort", 0) if info else 0)


def _read_master(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    master = _body(node.data, "Master")
    if master is None:
        raise BadData("its data is empty", _CURE)
    names = master.messages(1, "master")
    if not names:
        raise BadData("its Master names no server", _CURE)
    server = names[0]
    name = f"{server.text(1, 'host_name')},{server.number(2, 'port')},{server.number(3, 'start_code', 0)}"
    yield Member(name, _registration(name, master.number(3, "info_port", 0)))
    yield Leads(name)


def _read_backup(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    master = _body(node.data, "Master")
    info = master.number(3, "info_port", 0) if master else 0
    yield _registration(node.name, info, ("standby",))


def _registration(name: str, info: int, tags: tuple[str, ...] = ()) -> Registration:
    parts = name.split(",")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts[1:]):
        raise BadData(f"its name {show(name)} is not host,port,startcode", _CURE)
    server = at(parts[0], from_digits(parts[1]), "the name")
    ports = {"info": at(parts[0], info, "the info port").port}
    return Registration(
        server.addresses,
        server.host,
        server.port,
        tags=tags,
        ports=share(named_ports(ports)),
        format="hbase",
    )


def _body(data: bytes, what: str) -> Message | None:
    """The message behind the head that HBase's ZooKeeper client writes; None for no data."""
    body = data
    if data[:1] == b"\xff":
        size = int.from_bytes(data[1:5], "big")
        if len(data) < 5 or size > len(data) - 5:
            raise BadData(f"its {what} is cut: its head goes on past the end", _CURE)
        body = data[5 + size :]
    if not body:
        return None
    if not body.startswith(_MAGIC):
        raise BadData(f"its data is no {what}: PBUF does not stand before it", _CURE)
    return Message(body[len(_MAGIC) :], what)


PRESET = Preset(
    "hbase",
    (
        place("/hbase/rs/{id}", "hbase-rs", _read_region_server, stem="hbase"),
        place("/hbase/master", "hbase-master", _read_master, offices=("leader", "active"), stem="hbase"),
        place("/hbase/backup-masters/{id}", "hbase-master", _read_backup, stem="hbase"),
    ),
)
