"""Instances that registered a host name: which names are followed, and what they stand for now.

Rules: pure; what lies outside of our zones is resolved by others, who tell `take`. A name in a zone of ours
is looked up among what is registered by address, never by another host name, so that two services can't keep
each other's dead addresses alive.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from zkdns.model import Instance, Problem, Service, State
from zkdns.persistent import PersistentMap, differing, moved
from zkdns.pipeline.users import Users
from zkdns.registry.addresses import canonical, why_unusable
from zkdns.registry.fields import MAX_ADDRESSES
from zkdns.registry.unread import UNREAD
from zkdns.wall import Wall


class Account(NamedTuple):
    """Whose a host name is, in each of the ways in which that can be told: the service that has it, the
    session that registered it, the registry where it stands. `zxid`: of its registration."""

    service: str
    session: int = 0
    registry: str = ""
    zxid: int = 0


class Hostnames:
    """`services`: those that are served now, by name."""

    def __init__(
        self, zones: Iterable[str], services: Mapping[str, Service], wall: Wall | None = None
    ) -> None:
        self._wall = wall or Wall()
        self.problems: dict[str, Problem] = {}
        """By path of the instance: what doesn't resolve."""
        self.outside: PersistentMap[Account] = PersistentMap()
        """The names that others have to resolve."""
        self._zones = tuple(zones)
        self._services = services
        self._followed: Mapping[str, Service] = {}
        self._users = Users()
        self._holders: dict[str, dict[str, Account]] = {}
        """By service and host name."""
        self._by_label: dict[str, str] = {}
        """By label, the name of the service that has it."""
        self._led: dict[str, dict[str, None]] = {}
        """By the label of a service of ours, the host names that lead to it."""
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._whys: dict[str, str] = {}
        self._unheard: set[str] = set()
        self._unsorted: set[str] = set()
        """Those of which an error of ours kept us from knowing whither they lead."""

    @property
    def all_heard(self) -> bool:
        """Whether each name outside was resolved, or failed, once."""
        return not self._unheard

    def follow(self, registered: Mapping[str, Service]) -> None:
        """From now on follow the host names that are registered here."""
        if registered is self._followed:
            return
        before, self._followed = self._followed, registered
        others: dict[str, list[str]] = {host: [] for host in self._unsorted}
        for name in differing(before, registered):
            service = registered.get(name)
            instances = service.instances if service is not None else ()
            gone, come = moved(old.instances if (old := before.get(name)) is not None else (), instances)
            holders = {
                host: Account(name, i.owner, i.registry, i.zxid)
                for i in (instances if name in self._holders else come)
                if (host := i.registration.host)
            }
            needs, hosts = self._users.needs(name), frozenset(holders)
            if not (needs or hosts):
                continue  # it has no host names, and had none
            if holders:
                self._holders[name] = holders
            else:
                self._holders.pop(name, None)
            if self.problems and needs and gone:
                held = {i.path for i in instances if i.registration.host}
                for i in gone:
                    if i.path not in held:
                        self.problems.pop(i.path, None)
            if self._users.put(name, hosts):
                for host in needs | hosts:
                    others.setdefault(host, []).append(name)
        if others:
            self._unsorted = set()
            outside: dict[str, Account | None] = {}
            for host, names in others.items():
                self._unsorted.add(host)
                with self._wall.around(f"host {host}", "sorted"):
                    outside[host] = self._sort_out(host, names)
                    self._unsorted.discard(host)
            self.outside = self.outside.changed(outside)

    def take(self, host: str, addresses: tuple[str, ...], why: str) -> set[str]:
        """A name outside was asked for. The services that are to be published again; the last good addresses
        stay while it can't be resolved."""
        if host not in self.outside:
            return set()
        unheard = host in self._unheard
        self._unheard.discard(host)
        known = self._addresses.get(host, ())
        reason = self._whys.pop(host, "")
        usable = tuple(dict.fromkeys(a for text in addresses if (a := canonical(text)) is not None))
        if addresses and not usable:
            why = f"{addresses[0]} is {why_unusable(addresses[0])}"
        # Who owns the name may say anything; of too many the same ones stay, in whichever order they come.
        addresses = usable if len(usable) <= MAX_ADDRESSES else tuple(sorted(usable)[:MAX_ADDRESSES])
        if not addresses:
            self._whys[host] = why or "it has no address"
            return set(self._users.of(host)) if unheard or reason != self._whys[host] else set()
        # A server that turns its records round with each answer changes nothing.
        if set(addresses) == set(known) and not reason:
            return set()
        self._addresses[host] = addresses
        return set(self._users.of(host))

    def changed(self, before: Service | None, after: Service | None) -> set[str]:
        """A service's answers are others now: names in our zones may lead elsewhere. The services whose
        instances they are."""
        self._note_label(before, after)
        if not self._led:
            return set()
        labels = {service.label for service in (before, after) if service is not None}
        hosts = (host for label in labels for host in self._led.get(label, ()))
        return {user for host in hosts for user in self._users.of(host)}

    def complete(self, service: Service) -> Service:
        """The service with the addresses that host names stand for. One that has none costs its instance,
        which counts as unreadable as soon as its name was asked for."""
        if not self._users.needs(service.name) and not self._may_have_hosts(service):
            return service
        instances = []
        for i in service.instances:
            host = i.registration.host
            if host is None:
                instances.append(i)
                continue
            addresses = self._resolve(service.label, host)
            if addresses:
                self.problems.pop(i.path, None)
                instances.append(_resolved(i, addresses))
            else:
                problem = self.problems[i.path] = self._explain(i, host)
                if host not in self._unheard:
                    instances.append(_unresolved(i, problem.what))
        return replace(service, instances=tuple(instances))

    def _may_have_hosts(self, service: Service) -> bool:
        """Whether any of its instances may have a host name, where none is followed for it."""
        known = self._followed.get(service.name)
        if known is not None and known.instances is service.instances:
            return False
        return any(i.registration.host for i in service.instances)

    def _explain(self, i: Instance, host: str) -> Problem:
        what = f"the host name {host!r} doesn't resolve"
        return Problem(i.path, what, "register an address, or mend the name")

    def _resolve(self, label: str, host: str) -> tuple[str, ...]:
        own = self._own_labels(host)
        if own is None:
            return self._addresses.get(host, ())
        if host.rstrip(".").lower() in {f"{label}.{zone}" for zone in self._zones}:
            return ()  # the service's own name: it would keep itself alive
        *instance, wanted_label = own
        wanted = instance[0] if instance else None
        if len(instance) > 1:
            return ()
        for service in self._with_label(wanted_label):
            if service.label == wanted_label and not service.view_of:
                chosen = [i for i in service.instances if (i.label == wanted if wanted else i.answered)]
                addresses = tuple(dict.fromkeys(a for i in chosen for a in i.registration.addresses))
                if addresses:
                    return addresses
        return ()

    def _note_label(self, before: Service | None, after: Service | None) -> None:
        if before is not None and self._by_label.get(before.label) == before.name:
            del self._by_label[before.label]
        if after is not None and not after.view_of:
            self._by_label[after.label] = after.name

    def _with_label(self, label: str) -> Iterable[Service]:
        """The service that has it. It is found and not looked for: thousands of host names would each cost
        a walk through all services."""
        names = dict.fromkeys((label, self._by_label.get(label, label)))
        return [service for name in names if (service := self._services.get(name)) is not None]

    def _sort_out(self, host: str, moved: Collection[str]) -> Account | None:
        """Notes whether a name leads to services of ours, outside, or nowhere any more; outside, on whose
        account it is. `moved`: the services that have other names now, of those that have had this one."""
        users, own = self._users.of(host), self._own_labels(host)
        if not users:
            self._forget(host)
        if own is not None:
            led = self._led.setdefault(own[-1], {})
            if users:
                led[host] = None
            else:
                led.pop(host, None)
            if not led:
                del self._led[own[-1]]
            return None
        if not users:
            return None
        account = self.outside.get(host)
        if account is None:
            self._unheard.add(host)
        known = account is not None and account.service in users and account.service not in moved
        candidates = {account.service, *(users & set(moved))} if account is not None and known else users
        return self._account_of(host, candidates)

    def _forget(self, host: str) -> None:
        self._unheard.discard(host)
        self._addresses.pop(host, None)
        self._whys.pop(host, None)
        self._wall.forgive(f"host {host}", "taken")

    def _account_of(self, host: str, users: Iterable[str]) -> Account:
        """Of several that of the service with the fewest names: a stranger of many can't take it onto his."""
        service = min(users, key=lambda user: (len(self._users.needs(user)), user))
        return self._holders[service][host]

    def _own_labels(self, host: str) -> list[str] | None:
        """The labels of a name in a zone of ours, the zone left out."""
        name = host.rstrip(".").lower()
        zone = next((z for z in self._zones if name.endswith("." + z)), None)
        return None if zone is None else name.removesuffix("." + zone).split(".")


def _resolved(i: Instance, addresses: tuple[str, ...]) -> Instance:
    return i if i.resolved == addresses else replace(i, resolved=addresses)


def _unresolved(i: Instance, why: str) -> Instance:
    return replace(i, registration=UNREAD, state=State.UNREADABLE, reason=why, weight=0, answered=False)
