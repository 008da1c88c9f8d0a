"""A service's check and its instances -> what is to be probed, or why the check can't be.

Rules: pure. A check that no instance could pass because of how it is set is a Problem, and the
service goes on without it; an instance that lacks what others have fails its check, and one where checks
may not go is as one without a check.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from zkdns.model import Check, Instance, Problem, Service, State
from zkdns.rounds import Whose
from zkdns.steps import SLICE, Steps, finish, walk


class CheckPolicy(Struct, frozen=True):
    """What checks may do here. `networks`: where they may go; everywhere where none is named, and to a host
    name only then."""

    allow_command: bool = False
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def of(cls, allow_command: bool, networks: Iterable[str]) -> CheckPolicy:
        return cls(allow_command, tuple(ip_network(n, strict=False) for n in networks))

    def reaches(self, address: str) -> bool:
        if not self.networks:
            return True
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        return any(ip in network for network in self.networks)


EVERYWHERE = CheckPolicy()

WAYS: Final = 3
"""In which whose a target is can be told."""


@dataclass(frozen=True, slots=True)
class Target:
    """One instance to be probed. `path`: its `unique_key`; `unprobeable`: it can't be, which counts as a bad
    probe. `node`: that of the instance itself, where this is one of a view: a service and a view of it have
    the same one. `origin`: what it was made of, so that it need not be made again; `service`: whose share its
    probes count against, the same for a view; `session`, `registry`: who registered it, and where."""

    path: str
    id: str
    address: str
    port: int
    since: float
    check: Check
    unprobeable: str = ""
    node: str = ""
    origin: Instance | None = field(default=None, compare=False, repr=False)
    service: str = field(default="", compare=False, repr=False)
    session: int = field(default=0, compare=False, repr=False)
    registry: str = field(default="", compare=False, repr=False)

    @property
    def registered_at(self) -> str:
        """What the instance itself is known by."""
        return self.node or self.path

    @property
    def whose(self) -> Whose:
        """Whose it is, in each of the ways in which probes take turns."""
        return self.service, self.session, self.registry

    @property
    def authority(self) -> str:
        """Address and port as a URL has them (RFC 3986, section 3.2)."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    def place(self) -> Target:
        """What one probe tells of, whoever asks for it."""
        return replace(self, path=self.registered_at, node="", origin=None)

    def same_place(self, other: Target) -> bool:
        """Whether both are reached at one address and port, or for one reason at none."""
        return (self.address, self.port, self.unprobeable) == (other.address, other.port, other.unprobeable)


def targets_of(
    service: Service,
    instances: Iterable[Instance],
    types: Collection[str],
    policy: CheckPolicy,
    known: Mapping[str, Target] = MappingProxyType({}),
) -> tuple[tuple[Target, ...], Problem | None]:
    """Where to probe `instances` (the registered ones, and any that are kept). `known`: by path, the
    targets of the last time."""
    return finish(steps(service, instances, types, policy, known))


def steps(
    service: Service,
    instances: Iterable[Instance],
    types: Collection[str],
    policy: CheckPolicy,
    known: Mapping[str, Target],
) -> Steps[tuple[tuple[Target, ...], Problem | None]]:
    """The same with pauses."""
    check = service.settings.check
    if check is None:
        return (), None
    if check.type not in types:
        what = f"check.type {check.type!r} is unknown, so the service has no check"
        return (), Problem(service.path, what, f"set check.type to one of {', '.join(sorted(types))}")
    if check.type == "command" and not policy.allow_command:
        what = "command checks are not allowed on this server, so the service has no check"
        cure = "set allow_command_checks = true in the server's settings, or use tcp or http"
        return (), Problem(service.path, what, cure)
    prefix = f"{service.registries[0]}:" if service.view_of and service.registries else ""
    name = service.view_of or service.name
    each: list[Target] = []
    for at, instance in enumerate(instances, 1):
        if instance.state is not State.UNREADABLE:
            key = instance.unique_key
            each.append(_target_of(instance, name, check, known.get(key), prefix))
        if not at % SLICE:
            yield
    outside: list[Target] = []
    if policy.networks and check.type != "command":
        inside: list[Target] = []

        def sort_out(some: Sequence[Target]) -> None:
            for target in some:
                (inside if policy.reaches(target.address) else outside).append(target)

        yield from walk(each, sort_out)
        each = inside
    targets = tuple(each)
    if outside:
        first = outside[0]
        more = f" and {len(outside) - 1} more" if len(outside) > 1 else ""
        what = f"{first.id} at {first.address}{more} can't be checked from here: check_targets leaves it out"
        cure = "add its network to check_targets in the server's settings; until then it counts as unchecked"
        return targets, Problem(service.path, what, cure)
    if targets and all(t.unprobeable for t in targets):
        what = f"no instance can be checked ({targets[0].unprobeable}), so the service has no check"
        return (), Problem(service.path, what, "set check.port to a port that instances have, or register it")
    return targets, None


def _target_of(instance: Instance, of: str, check: Check, known: Target | None, prefix: str) -> Target:
    if known is not None and known.origin is instance and known.check is check:
        return known
    address = next(iter(instance.addresses), instance.registration.host or "")
    port, unprobeable = _port(instance, check)
    key = instance.unique_key
    node = key.replace(prefix, "", 1) if prefix else ""
    return Target(
        key, instance.id, address, port, instance.since, check, unprobeable, node, instance,
        of, instance.owner, instance.registry,
    )  # fmt: skip


def _port(instance: Instance, check: Check) -> tuple[int, str]:
    if isinstance(check.port, int):
        return check.port, ""
    if check.port is not None:
        port = instance.registration.port_numbers().get(check.port)
        return (0, f"has no port named {check.port!r}") if port is None else (port, "")
    if not instance.registration.port and check.type != "command":
        return 0, "has no port to check"
    return instance.registration.port, ""
