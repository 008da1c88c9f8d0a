"""How each fault of the plan begins, how it ends, and which servers must tell of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, TypeAlias

from bench.soak import session
from bench.soak.cast import Cast, Member, Replica
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


class _Scene(NamedTuple):
    """Who runs, and whom of them the fault aims at."""

    cast: Cast
    member: Member
    replica: Replica


_Act: TypeAlias = Callable[[_Scene], object]


def _to(whom: Callable[[_Scene], Iterable[Member]], act: Callable[[Member], object]) -> _Act:
    return lambda scene: [act(member) for member in whom(scene)]


def _cables(whom: Callable[[_Scene], Iterable[Member | Replica]], switch: str) -> tuple[_Act, _Act]:
    return (
        lambda scene: [scene.cast.network.cut(one.node, switch) for one in whom(scene)],
        lambda scene: [scene.cast.network.mend(one.node, switch) for one in whom(scene)],
    )


def _expire(scene: _Scene, *replicas: Replica) -> None:
    for replica in replicas:
        session.end_of_server(scene.cast.hosts, replica.pid)


def _one(scene: _Scene) -> list[Member]:
    return [scene.member]


def _all(scene: _Scene) -> list[Member]:
    return scene.cast.members


def _far(scene: _Scene) -> list[Member]:
    return [scene.cast.far]


def _nothing(scene: _Scene) -> None:
    pass


ACTS: Final[dict[str, tuple[_Act, _Act]]] = {
    "nothing": (_nothing, _nothing),
    "kill": (_to(_one, Member.kill), _to(_one, Member.start)),
    "freeze": (_to(_one, Member.freeze), _to(_one, Member.thaw)),
    "kill-all": (_to(_all, Member.kill), lambda scene: scene.cast.start_members()),
    "freeze-all": (_to(_all, Member.freeze), _to(_all, Member.thaw)),
    "cut-member": _cables(_one, "clients"),
    "cut-peer": _cables(_one, "peers"),
    "cut-peers": _cables(_all, "peers"),
    "cut-server": _cables(lambda scene: [scene.replica], "clients"),
    "expire": (lambda scene: _expire(scene, scene.replica), _nothing),
    "expire-all": (lambda scene: _expire(scene, *scene.cast.replicas), _nothing),
    "kill-far": (_to(_far, Member.kill), _to(_far, Member.start)),
    "freeze-far": (_to(_far, Member.freeze), _to(_far, Member.thaw)),
    "cut-far": _cables(_far, "clients"),
    "restore": (lambda scene: scene.cast.set_back(), lambda scene: scene.cast.start_members()),
}
"""By the kind of a fault, how it begins and how it ends."""


def begin(fault: Fault, cast: Cast) -> None:
    act, _ = ACTS[fault.kind]
    act(_set_scene(fault, cast))


def end(fault: Fault, cast: Cast) -> None:
    _, act = ACTS[fault.kind]
    act(_set_scene(fault, cast))


def _set_scene(fault: Fault, cast: Cast) -> _Scene:
    member = cast.members[fault.target % len(cast.members)]
    return _Scene(cast, member, cast.replicas[fault.target % len(cast.replicas)])
