"""Apache Solr's cloud: `/live_nodes/<host>:<port>_<context>`, and the overseer in `/overseer_elect/leader`.

Source: solr 9, solrj-zookeeper's ZkStateReader (LIVE_NODES_ZKNODE), Utils.getBaseUrlForNodeName (the
context is URL-encoded, and what stands before the first `_` is host and port), solr/core's
LeaderElector and ElectionContext (the id is <session>-<node>-n_<sequence>). Rules: the node has no data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from zkdns.model import Registration
from zkdns.registry.endpoints import host_port
from zkdns.registry.fields import BadData, Rule, share, show, text
from zkdns.registry.formats import Node, demand_object
from zkdns.registry.places import Leads, Part, Preset, place

_NODE = re.compile(r"([^_]*(?:_[^_:]*)*:[0-9]+)_(.*)", re.DOTALL)
_ELECTED = re.compile(r"-?[0-9]+-(.+)-n_[0-9]+", re.DOTALL)
_TEXT = Rule("a text", text)


def _read_node(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    name = _NODE.fullmatch(node.name)
    if name is None:
        cure = "let Solr register itself as host:8983_solr"
        raise BadData(f"its name {show(node.name)} is not host:port_context", cure)
    server = host_port(name[1], "the name's start")
    context = unquote(name[2])
    yield Registration(
        server.addresses,
        server.host,
        server.port,
        meta=share((("context", f"/{context}"),)),
        format="solr",
    )


def _read_overseer(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    id: str = _TEXT.take("id", demand_object(node).get("id"))
    elected = _ELECTED.fullmatch(id)
    if elected is None:
        raise BadData(f"id is {show(id)}, not <session>-<node>-n_<sequence>", "wait for the next election")
    yield Leads(elected[1])


PRESET = Preset(
    "solr",
    (
        place("/live_nodes/{id}", "solr", _read_node),
        place(
            "/overseer_elect/leader", "solr", _read_overseer, members=False, offices=("leader", "overseer")
        ),
    ),
)
