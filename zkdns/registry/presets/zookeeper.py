"""The ensemble's own servers: the lines of `/zookeeper/config`.

    server.1=10.0.0.1:2888:3888:participant;0.0.0.0:2181
    version=100000000

Source: zookeeper 3.8, QuorumPeer.QuorumServer (`server.N=host:peer:election[:role][;[host:]client]`, several
addresses of a server separated by `|`), QuorumMaj.toString. Rules: a wildcard client address is the server's
own host; a server whose line has no client port (a static configuration has none there) has the one that the
registry's URL gives its host, else the one that all others share, and none where another server stands on
its host, since two can't have one port there. A standalone server writes nothing there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final

from zkdns.model import Registration
from zkdns.registry.endpoints import Endpoint, at, host_port, named_ports
from zkdns.registry.fields import BadData, from_digits, share, show
from zkdns.registry.formats import Node
from zkdns.registry.places import Member, Part, Place, Preset, Read, place

MAX_BYTES: Final = 64 * 1024
MAX_SERVERS: Final = 255
"""A server's id is a number from 1 to 255 (ZooKeeper's administrator's guide)."""

_HOST = r"(?:\[[^\[\]]*\]|[^\[\]:|;]*)"
_SERVER = re.compile(
    rf"server\.([0-9]+)=({_HOST}):([0-9]{{1,9}}):([0-9]{{1,9}})(?:\|[^;]*?)?(?::([a-z]+))?(?:;(.*))?"
)
_WILDCARDS = frozenset({"", "0.0.0.0", "[::]", "[0:0:0:0:0:0:0:0]", "::"})
_CURE = "let the ensemble write its configuration again"


def _reader(hosts: str) -> Read:
    """`hosts`: how the ensemble is reached, as HOST:PORT,…; "" where that is not known."""
    ends = list(_read_hosts(hosts))
    by_place = {end.place: end.port for end in ends}
    # Several on one host can't be told apart.
    known = by_place if len(by_place) == len(ends) else {}
    numbers = {end.port for end in ends}

    def read(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
        return _read_config(node, known, numbers)

    return read


def _read_hosts(text: str) -> Iterator[Endpoint]:
    for one in text.split(",") if text else ():
        with suppress(BadData):  # whether it is a host is for who connects to say
            yield host_port(one, "the URL")


def _read_config(
    node: Node, known: Mapping[tuple[tuple[str, ...], str | None], int], numbers: set[int]
) -> Iterator[Part]:
    if len(node.data) > MAX_BYTES:
        raise BadData(f"its data has more than {MAX_BYTES} bytes", _CURE)
    try:
        lines = node.data.decode().split()
    except UnicodeDecodeError:
        raise BadData("its data is not UTF-8", _CURE) from None
    servers = []
    for line in lines:
        if line.startswith("server."):
            server = _SERVER.fullmatch(line)
            if server is None:
                raise BadData(f"a line is {show(line)}, not server.N=host:peer:election:role;client", _CURE)
            servers.append(server.groups())
    if len(servers) > MAX_SERVERS:
        raise BadData(f"it names more than {MAX_SERVERS} servers", _CURE)
    clients = [_split_client(client) for *_, client in servers]
    shared = {port for _, port in clients if port} or numbers
    usual = next(iter(shared)) if len(shared) == 1 else 0
    reaches = [
        at(host.strip("[]") if client in _WILDCARDS else client.strip("[]"), port, f"server.{number}")
        for (number, host, *_), (client, port) in zip(servers, clients, strict=True)
    ]
    on_one_host = Counter(end.place for end in reaches)
    for (number, host, peer, election, role, _), reached in zip(servers, reaches, strict=True):
        own = host.strip("[]")
        if not reached.port and on_one_host[reached.place] == 1:
            reached = replace(reached, port=known.get(reached.place, usual))
        ports = {
            "client": reached.port,
            "peer": at(own, int(peer), f"server.{number}'s peer port").port,
            "election": at(own, int(election), f"server.{number}'s election port").port,
        }
        yield Member(
            number,
            Registration(
                reached.addresses,
                reached.host,
                reached.port,
                tags=share((role or "participant",)),
                ports=share(named_ports(ports)),
                format="zookeeper",
            ),
        )


def _split_client(text: str | None) -> tuple[str, int]:
    """Host and port behind the `;`, which may be the port alone."""
    if not text:
        return "", 0
    host, _, port = text.rpartition(":")
    if host in _WILDCARDS and isinstance(number := from_digits(port), int):
        return host, number
    host_port(text, "the client's address")
    return host, int(port)


def _places(hosts: str) -> tuple[Place, ...]:
    return (place("/zookeeper/config", "zookeeper", _reader(hosts)),)


PRESET = Preset("zookeeper", _places(""), chroot=False, with_hosts=_places)
