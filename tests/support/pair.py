"""Two real ensembles side by side, and what a server that has both of them answers."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import dns.edns
import dns.message
import dns.rcode

from support.server import Zkdns
from support.waiting import eventually
from support.zookeeper import ZooKeeperServer, finish


class Pair(NamedTuple):
    """Two ensembles, and the root of this test's own in both."""

    here: ZooKeeperServer
    there: ZooKeeperServer
    root: str

    def url(self, name: str) -> str:
        return f"{name}=zk://{getattr(self, name).hosts}{self.root}"

    @property
    def urls(self) -> list[str]:
        return [self.url("here"), self.url("there")]

    def put(self, name: str, path: str, **fields: Any) -> None:
        client = getattr(self, name).client()
        whole, data = f"{self.root}/{path}", json.dumps(fields).encode()
        client.ensure_path(whole)
        client.set(whole, data)
        finish(client)

    def remove(self, name: str, path: str) -> None:
        client = getattr(self, name).client()
        client.delete(f"{self.root}/{path}", recursive=True)
        finish(client)


def codes(reply: dns.message.Message) -> list[int]:
    return sorted(int(option.code) for option in reply.options if isinstance(option, dns.edns.EDEOption))


def texts(reply: dns.message.Message) -> list[str]:
    return [option.text or "" for option in reply.options if isinstance(option, dns.edns.EDEOption)]


def outcome(server: Zkdns, name: str, type: str = "A", tcp: bool = False) -> tuple[str, list[int], list[str]]:
    """The code, the codes of its EDEs, and the rdata."""
    reply = server.ask(f"{name}.svc.local", type, edns=True, tcp=tcp)
    rdata = sorted(item.to_text() for rrset in reply.answer for item in rrset)
    return dns.rcode.to_text(reply.rcode()), codes(reply), rdata


def becomes(server: Zkdns, name: str, *wanted: Any, type: str = "A") -> None:
    def is_so() -> bool:
        assert outcome(server, name, type) == wanted
        return True

    eventually(is_so)
