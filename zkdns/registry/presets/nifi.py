"""Apache NiFi's cluster: `/nifi/leaders/<role>/_c_<uuid>-lock-<seq>`; the lowest sequence number leads.

Source: nifi 2.0, CuratorLeaderElectionManager (`<root>/leaders/<role>`, Curator's LeaderSelector, whose id
is the node's host:port), ClusterRoles ("Cluster Coordinator", "Primary Node"), NiFiProperties
(nifi.zookeeper.root.node, `/nifi`). Rules: a node votes once a role, and is one instance, by its host:port;
`leader` is the coordinator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from zkdns.model import Registration
from zkdns.registry.elections import standing, voter
from zkdns.registry.endpoints import host_port
from zkdns.registry.fields import BadData
from zkdns.registry.formats import Node
from zkdns.registry.places import Leads, Member, Part, Preset, place

_OFFICES = {
    "Cluster Coordinator": ("leader", "cluster-coordinator"),
    "Primary Node": ("primary-node",),
}


def _read_vote(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    order = standing(node.name)
    if order is None:
        return
    office = _OFFICES.get(holes.get("role", ""), ())
    try:
        id = voter(node)
    except BadData:
        yield Leads("", order, office)
        raise
    yield Leads(id, order, office)
    if id:
        server = host_port(id, "its data")
        yield Member(id, Registration(server.addresses, server.host, server.port, format="nifi"))


PRESET = Preset(
    "nifi",
    (
        place(
            "/nifi/leaders/{role}/{id}",
            "nifi",
            _read_vote,
            offices=("leader", "cluster-coordinator", "primary-node"),
        ),
    ),
)
