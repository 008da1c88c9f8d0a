"""Apache BookKeeper's bookies: `/ledgers/available/<id>`, and those that take no more writes in `readonly`.

Source: bookkeeper 4.16, bookkeeper-server's ZKRegistrationManager (the paths, `serializeBookieServiceInfo`)
and bookkeeper-proto's DataFormats.proto (BookieServiceInfoFormat: 6 endpoints; Endpoint: 1 id, 2 port, 3
host, 4 protocol), BookieServiceInfoUtils (without data, the id is host:port). Rules: the endpoint `bookie`
wins over the id; the others are ports by their id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from zkdns.model import Registration, Status
from zkdns.registry.endpoints import Endpoint, at, host_port, named_ports
from zkdns.registry.fields import share
from zkdns.registry.formats import Node
from zkdns.registry.places import Part, Preset, Read, place
from zkdns.registry.protobuf import Message

_MAIN: Final = "bookie"
_READONLY: Final = "readonly"


def _reader(status: Status, tags: tuple[str, ...]) -> Read:
    def read(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
        if node.name == _READONLY:
            return
        endpoints = _endpoints(node.data)
        server = endpoints.get(_MAIN) or host_port(node.name, "its name")
        ports = {id.lower(): end.port for id, end in endpoints.items() if id != _MAIN}
        yield Registration(
            server.addresses,
            server.host,
            server.port,
            status=status,
            tags=tags,
            ports=share(named_ports(ports)),
            format="bookkeeper",
        )

    return read


def _endpoints(data: bytes) -> dict[str, Endpoint]:
    info = Message(data, "BookieServiceInfoFormat")
    return {
        end.text(1, "id"): at(end.text(3, "host"), end.number(2, "port"), "the endpoint")
        for end in info.messages(6, "endpoint")
    }


PRESET = Preset(
    "bookkeeper",
    (
        place("/ledgers/available/{id}", "bookie", _reader("up", ())),
        place("/ledgers/available/readonly/{id}", "bookie", _reader("draining", (_READONLY,))),
    ),
)
