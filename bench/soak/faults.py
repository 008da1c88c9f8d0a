"""How each fault of the plan begins, how it ends, and which servers must tell of it."""

from __future__ import annotations

from bench.soak import session
from bench.soak.cast import Cast
from bench.soak.model import FAR, HOME
from bench.soak.plan import Fault

NOTICED_AT_ONCE = frozenset({"kill-all", "kill-far", "restore"})
"""Connections break, where others just fall silent."""

ALL_AWAY = frozenset({"kill-all", "restore", "freeze-all", "cut-peers"})


def find_touched(fault: Fault) -> frozenset[str]:
    """The ensembles of which servers may be cut off meanwhile, be it for a moment."""
    if fault.kind == "nothing":
        return frozenset()
    if fault.kind == "cut-server":
        return frozenset({HOME, FAR})
    return frozenset({FAR if fault.kind.endswith("-far") else HOME})


def find_away(fault: Fault, cast: Cast) -> list[tuple[int, str]]:
    """The servers that can't read an ensemble while it lasts, and which."""
    if fault.kind in ALL_AWAY or fault.kind.endswith("-far"):
        (ensemble,) = find_touched(fault)
        return [(replica.number, ensemble) for replica in cast.replicas]
    if fault.kind == "cut-server":
        return [(fault.target % len(cast.replicas), ensemble) for ensemble in (HOME, FAR)]
    return []


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
        case "kill-far":
            cast.far.kill()
        case "freeze-far":
            cast.far.freeze()
        case "cut-far":
            cast.network.cut(cast.far.node, "clients")
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
        case "kill-far":
            cast.far.start()
        case "freeze-far":
            cast.far.thaw()
        case "cut-far":
            cast.network.mend(cast.far.node, "clients")
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
