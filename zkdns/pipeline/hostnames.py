"""Instances that registered a host name: which names are followed, and what they stand for now.

Rules: lives in the loop. A name in a zone of ours is looked up among what is registered by address,
never by another host name, so that two services can't keep each other's dead addresses alive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from zkdns.forward.forwarder import Forwarder
from zkdns.forward.hosts import Hosts, Resolved, Unresolved, ask_machine
from zkdns.model import Catalog, Instance, Service

OWN_TTL = 60
"""Seconds: what leads to another place is asked again at once (`changed`)."""


class Hostnames:
    """`mark`: these services must be published again. `services`: those that are served now, by name."""

    def __init__(
        self, zones: Iterable[str], forwarder: Forwarder, mark: Callable[[Iterable[str]], None]
    ) -> None:
        self.services: Mapping[str, Service] = {}
        self._zones = tuple(zones)
        self._forwarder = forwarder
        self._mark = mark
        self._followed: Catalog | None = None
        self._users: dict[str, set[str]] = {}
        self._led: dict[str, list[str]] = {}
        """By the label of a service of ours, the host names that lead to it."""
        self._hosts = Hosts(self._look_up, lambda host, addresses: self._mark(self._users.get(host, ())))

    def follow(self, registered: Catalog) -> None:
        """From now on follow the host names that are registered here."""
        if self._followed is not None and registered.services is self._followed.services:
            return
        before = self._followed.services if self._followed is not None else {}
        self._followed = registered
        for name, service in registered.services.items():
            if before.get(name) is service:
                continue
            for users in self._users.values():
                users.discard(name)
            for i in service.instances:
                if i.registration.host:
                    self._users.setdefault(i.registration.host, set()).add(name)
        self._led = {}
        for host, users in list(self._users.items()):
            users &= registered.services.keys()
            if not users:
                del self._users[host]
            elif (own := self._own_labels(host)) is not None:
                self._led.setdefault(own[-1], []).append(host)
        self._hosts.want(self._users)

    def resolve(self, service: str, instance: Instance) -> tuple[str, ...]:
        """The addresses of an instance of the service with this label; none where it doesn't resolve."""
        host = instance.registration.host or ""
        if host.rstrip(".").lower() in {f"{service}.{zone}" for zone in self._zones}:
            return ()  # the service's own name: it would keep itself alive
        return self._hosts.addresses(host)

    def changed(self, before: Service | None, after: Service | None) -> None:
        """A service's answers are others now: names in our zones may lead elsewhere."""
        for label in {service.label for service in (before, after) if service is not None}:
            for host in self._led.get(label, ()):
                self._hosts.ask_again(host)

    async def settled(self) -> None:
        """Returns when each name was resolved or failed once."""
        await self._hosts.settled()

    async def stop(self) -> None:
        await self._hosts.stop()

    async def _look_up(self, host: str) -> Resolved:
        labels = self._own_labels(host)
        if labels is not None:
            return self._look_up_own(host, labels)
        return await (self._forwarder.resolve(host) if self._forwarder.enabled else ask_machine(host))

    def _own_labels(self, host: str) -> list[str] | None:
        """The labels of a name in a zone of ours, the zone left out."""
        name = host.rstrip(".").lower()
        zone = next((z for z in self._zones if name.endswith("." + z)), None)
        return None if zone is None else name.removesuffix("." + zone).split(".")

    def _look_up_own(self, name: str, labels: list[str]) -> Resolved:
        *instance, label = labels
        wanted = instance[0] if instance else None
        for service in self.services.values():
            if service.label == label and len(instance) < 2:
                chosen = [i for i in service.instances if (i.label == wanted if wanted else i.answered)]
                addresses = tuple(dict.fromkeys(a for i in chosen for a in i.registration.addresses))
                if addresses:
                    return Resolved(addresses, OWN_TTL)
        raise Unresolved(f"{name} has no address here")
