"""How each fault of the plan begins, how it ends, and which servers must tell of it."""

from __future__ import annotations

from bench.soak import session
from bench.soak.cast import Cast
from bench.soak.plan import Fault

NOTICED_AT_ONCE = frozenset({"kill-all", "restore"})
"""Connections break, where others just fall silent."""

ALL_AWAY = NOTICED_AT_ONCE | {"freeze-all", "cut-peers"}


def find_away(fault: Fault, cast: Cast) -> list[int]:
    """The servers that can't read the registry while it lasts."""
    if fault.kind in ALL_AWAY:
        return [replica.number for replica in cast.replicas]
    return [fault.target % len(cast.replicas)] if fault.kind == "cut-server" else []


def begin(fault: Fault, cast: Cast) -> None:
    member = cast.members[fault.target % len(cast.members)]
    replica = cast.replicas[fault.target % len(cast.replicas)]
    match fault.kind:
        case "kill":
            member.kill()
        case "freeze":
            member.freeze()
        case "kill-all":
            for each in cast.members:
                each.kill()
        case "freeze-all":
            for each in cast.members:
                each.freeze()
        case "cut-member":
            cast.network.cut(member.node, "clients")
        case "cut-peer":
            cast.network.cut(member.node, "peers")
        case "cut-peers":
            for each in cast.members:
                cast.network.cut(each.node, "peers")
        case "cut-server":
            cast.network.cut(replica.node, "clients")
        case "expire":
            session.end_of_server(cast.hosts, replica.pid)
        case "expire-all":
            for server in cast.replicas:
                session.end_of_server(cast.hosts, server.pid)
        case "restore":
            cast.set_back()


def end(fault: Fault, cast: Cast) -> None:
    member = cast.members[fault.target % len(cast.members)]
    replica = cast.replicas[fault.target % len(cast.replicas)]
    match fault.kind:
        case "kill":
            member.start()
        case "freeze":
            member.thaw()
        case "kill-all" | "restore":
            cast.start_members()
        case "freeze-all":
            for each in cast.members:
                each.thaw()
        case "cut-member":
            cast.network.mend(member.node, "clients")
        case "cut-peer":
            cast.network.mend(member.node, "peers")
        case "cut-peers":
            for each in cast.members:
                cast.network.mend(each.node, "peers")
        case "cut-server":
            cast.network.mend(replica.node, "clients")
        case "expire" | "expire-all" | "nothing":
            pass
