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
from zkdns.registry.fields import PORT, share
from zkdns.registry.formats import Node
from zkdns.registry.places import Part, Preset, Read, place
from zkdns.registry.protobuf import Message

_MAIN: Final = "bookie"
_READONLY: Final = "readonly"


def _reader(status: Status, tags: tuple[str, ...]) -> Read:
    def read(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
        if node.name == _READONLY:
            return
        info = Message(node.data, "BookieServiceInfoFormat")
        ends = {end.text(1, "id"): end for end in info.messages(6, "endpoint")}
        main = ends.pop(_MAIN, None)
        server = host_port(node.name, "its name") if main is None else _place(main)
        yield Registration(
            server.addresses,
            server.host,
            server.port,
            status=status,
            tags=tags,
            ports=share(named_ports({id.lower(): _port(end) for id, end in ends.items()})),
            format="bookkeeper",
        )

    return read


def _place(end: Message) -> Endpoint:
    return at(end.text(3, "host"), _port(end), "the endpoint")


def _port(end: Message) -> int:
    # The HTTP server's host is 0.0.0.0 unless someone sets it: of the others the port alone counts.
    port: int = PORT.take("an endpoint's port", end.number(2, "port"))
    return port


PRESET = Preset(
    "bookkeeper",
    (
        place("/ledgers/available/{id}", "bookie", _reader("up", ())),
        place("/ledgers/available/readonly/{id}", "bookie", _reader("draining", (_READONLY,))),
    ),
)
