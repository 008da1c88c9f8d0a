"""Apache Mesos' masters: `/mesos/json.info_<seq>`; the lowest sequence number leads.

Source: mesos 1.11, src/master/constants.hpp (MASTER_INFO_JSON_LABEL), src/zookeeper/group.cpp (the label,
`_`, the sequence, an int32_t), include/mesos/mesos.proto (MasterInfo: address{hostname, ip, port}, pid,
version). Rules: the address where there is one, else the host name, else what the pid says
(`master@ip:port`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from zkdns.model import Registration
from zkdns.registry.endpoints import Endpoint, at, host_port, sequence
from zkdns.registry.fields import BadData, loose_meta, share, show
from zkdns.registry.formats import Node, demand_object
from zkdns.registry.places import Leads, Part, Preset, place


def _read_master(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    number = sequence(node.name)
    if number is None:
        return
    yield Leads(node.name, int(number))  # though it can't be read, nobody else leads
    value = demand_object(node)
    server = _where(value.get("address"), value.get("pid"))
    texts = {"version": value.get("version"), "hostname": value.get("hostname")}
    yield Registration(
        server.addresses,
        server.host,
        server.port,
        meta=share(tuple(sorted(loose_meta(texts).items()))),
        format="mesos",
    )


def _where(address: object, pid: object) -> Endpoint:
    if isinstance(address, dict):
        host = address.get("ip")
        return at(address.get("hostname") if host is None else host, address.get("port"), "address")
    if isinstance(pid, str) and "@" in pid:
        return host_port(pid.partition("@")[2], "pid")
    raise BadData(f"address is {show(address)}, not an object", "let the master register again")


PRESET = Preset("mesos", (place("/mesos/json.info_{id}", "mesos", _read_master, offices=("leader",)),))
