"""SmartStack's Nerve: `{"host": "10.0.0.5", "port": 8080, "name": "i-1234", "weight": 10}`.

Schema: airbnb/nerve, `lib/nerve/reporter/base.rb` (`get_service_data`), with the `labels` and
`haproxy_server_options` that later versions and airbnb/synapse know. Nerve's own layout is
`/nerve/services/<service>/services/<id>_0000000001`, hence the folder; a flat one is read as well.
Where that JSON stands in the node's name (`base64_<length>_<base64>_<sequence>`, as synapse reads it) and
the data is empty, the name is read. Rules: labels become meta; a port or weight may be digits in a text
(nerve hands on its settings).
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode

from zkdns.model import Registration
from zkdns.registry.addresses import endpoint
from zkdns.registry.fields import BadData, digits, loose_meta, share
from zkdns.registry.formats import Node, demand_object

RANK = 50
FOLDERS: frozenset[str] = frozenset({"services"})
QUIET: frozenset[str] = frozenset()
KEPT: frozenset[str] = frozenset()


_PORT = digits(1, 65535)
_WEIGHT = digits(0, 65535)


def claims(node: Node) -> bool:
    value = _open(node).object
    return "host" in value and "port" in value


def parse(node: Node) -> Registration:
    value = demand_object(_open(node))
    if value.get("host") is None:
        raise BadData("it has no host", 'add "host": an IPv4 or IPv6 address or a host name')
    addresses, host, port = endpoint(value, "", _PORT)
    weight = value.get("weight")
    meta = loose_meta(value.get("labels"))
    if isinstance(value.get("name"), str) and value["name"]:
        meta.setdefault("name", value["name"])
    return Registration(
        addresses,
        host,
        port,
        1 if weight is None else _WEIGHT.take("weight", weight),
        meta=share(tuple(sorted(meta.items()))),
        format="nerve",
    )


def _open(node: Node) -> Node:
    """The node with the data that its name holds, where it holds some and has none itself."""
    marker, _, rest = node.name.partition("_")
    if marker != "base64" or node.data.strip():
        return node
    length, _, text = rest.partition("_")
    if not (length.isascii() and length.isdigit() and len(length) < 6):
        return node
    try:
        return Node(node.name, urlsafe_b64decode(text[: int(length)]))
    except (binascii.Error, ValueError):
        return node
