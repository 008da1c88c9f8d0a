"""Instances that registered a host name: which names are followed, and what they stand for now.

Rules: pure; what lies outside of our zones is resolved by others, who tell `take`. A name in a zone of ours
is looked up among what is registered by address, never by another host name, so that two services can't keep
each other's dead addresses alive; where nothing is, zone files may have it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from zkdns.identity import apart_in_steps, carry
from zkdns.model import Instance, Problem, Service, State
from zkdns.persistent import PersistentMap, differing
from zkdns.pipeline.followers import Followers
from zkdns.pipeline.leads import Found, Leads, bounded, key_of
from zkdns.pipeline.sessions import NOBODY
from zkdns.pipeline.users import Users
from zkdns.registry.addresses import canonical, why_unusable
from zkdns.registry.unread import UNREAD
from zkdns.steps import Steps, walk
from zkdns.wall import Wall


class Account(NamedTuple):
    """Whose a host name is, in each of the ways in which that can be told: the service that has it, the
    session that registered it, the registry where it stands. `zxid`: of its registration."""

    service: str
    session: int = 0
    registry: str = ""
    zxid: int = 0


class Completed(NamedTuple):
    """A service as it was completed last: its label, its instances, and what stands for each, None for
    nothing yet."""

    label: str
    instances: Sequence[Instance]
    images: Sequence[Instance | None]


NOT_COMPLETED = Completed("", (), ())


class Hostnames:
    """`services`: those that are served now, by name. `is_filed`: whether a zone file has a host name."""

    def __init__(
        self, zones: Iterable[str], services: Mapping[str, Service], wall: Wall | None = None,
        is_filed: Callable[[str], bool] = lambda host: False,
    ) -> None:  # fmt: skip
        self._wall = wall or Wall()
        self._is_filed = is_filed
        self.followers = Followers(self._followers_of, self._whose, self._note_stale)
        """The services that are to be published again since a name of theirs may stand for something else."""
        self.problems: dict[str, Problem] = {}
        """By `unique_key` of the instance: what doesn't resolve."""
        self.outside: PersistentMap[Account] = PersistentMap()
        """The names that others have to resolve."""
        self._zones = tuple(zones)
        self._services = services
        self._followed: Mapping[str, Service] = {}
        """The services whose host names are followed."""
        self._users = Users()
        """Which services have a host name."""
        self._holders: dict[str, dict[str, Account]] = {}
        """By service and host name."""
        self._by_label: dict[str, str] = {}
        """By label, the name of the service that has it."""
        self._leads = Leads()
        """Which of them lead to services of ours."""
        self._found: dict[str, Found] = {}
        """By label, what names that lead there stand for."""
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._whys: dict[str, str] = {}
        """By host name, what was found last, and why nothing was."""
        self._unheard: set[str] = set()
        """Names of others, of which nothing is known yet."""
        self._completed: dict[str, Completed] = {}
        """By service, what was made of it last."""
        self._stale: dict[str, set[str]] = {}
        """By service, the host names that may stand for something else than when it was completed, or where
        they lead (`leads.key_of`)."""
        self._unsorted: set[str] = set()
        """Those of which it is not known where they lead: for an error of ours, or since files changed."""
        self.are_files_new = False
        """Whether zone files have changed since names were followed."""

    @property
    def all_heard(self) -> bool:
        """Whether each name outside was resolved, or failed, once."""
        return not self._unheard

    def follow(self, registered: Mapping[str, Service]) -> Steps[None]:
        """From now on follow the host names that are registered here."""
        before, self._followed = self._followed, registered
        self.are_files_new = False
        others: dict[str, list[str]] = {}
        if self._unsorted:
            others = {host: [] for host in self._unsorted}
            self._unsorted = set()
        for name in differing(before, registered):
            was, now = before.get(name), registered.get(name)
            with self._wall.around((now or was or NOBODY).path, "followed"):
                yield from self._follow_one(name, was, now, others)
        if others:

            def sort_out(some: Sequence[tuple[str, list[str]]]) -> None:
                outside: dict[str, Account | None] = {}
                for host, names in some:
                    self._unsorted.add(host)
                    with self._wall.around(f"host {host}", "sorted"):
                        outside[host] = self._sort_out(host, names)
                        self._unsorted.discard(host)
                self.outside = self.outside.changed(outside)

            yield from walk([*others.items()], sort_out)

    def _follow_one(
        self, name: str, before: Service | None, after: Service | None, others: dict[str, list[str]]
    ) -> Steps[None]:
        """`others`: gathers the host names that may lead elsewhere, or be another's, each with the services
        that have others now."""
        instances = after.instances if after is not None else ()
        holders: dict[str, Account] = {}
        needs = self._users.needs(name)

        def note(some: Sequence[Instance]) -> None:
            for i in some:
                if host := i.registration.host:
                    holders[host] = Account(name, i.owner, i.registry, i.zxid)

        old = before.instances if before is not None else ()
        _, come = yield from apart_in_steps(old, instances)
        yield from walk(instances if needs else come, note)
        if not (needs or holders):
            return  # it has no host names, and had none
        was = self._holders.pop(name, {})
        if holders:
            self._holders[name] = holders
        else:
            self._completed.pop(name, None)
            self._stale.pop(name, None)
        if self.problems and needs:
            yield from self._forget_problems(before, instances)
        hosts = frozenset(holders)
        if self._users.put(name, hosts):

            def look(some: Sequence[str]) -> None:
                for host in some:
                    if was.get(host) != holders.get(host) or len(self._users.of(host)) > 1:
                        others.setdefault(host, []).append(name)

            yield from walk([*(needs | hosts)], look)

    def _forget_problems(self, before: Service | None, instances: Sequence[Instance]) -> Steps[None]:
        """Of those that have no host name any more."""
        held: set[str] = set()
        yield from walk(
            instances, lambda some: held.update([i.unique_key for i in some if i.registration.host])
        )

        def forget(some: Sequence[Instance]) -> None:
            for i in some:
                if i.unique_key not in held:
                    self.problems.pop(i.unique_key, None)

        yield from walk(before.instances if before is not None else (), forget)

    def take(self, host: str, addresses: tuple[str, ...], why: str) -> None:
        """A name outside was asked for. The last good addresses stay while it can't be resolved."""
        if host not in self.outside:
            return
        unheard = host in self._unheard
        self._unheard.discard(host)
        known = self._addresses.get(host, ())
        reason = self._whys.pop(host, "")
        usable = [a for text in addresses if (a := canonical(text)) is not None]
        if addresses and not usable:
            why = f"{addresses[0]} is {why_unusable(addresses[0])}"
        addresses = bounded(usable)
        if not addresses:
            self._whys[host] = why or "it has no address"
            if unheard or reason != self._whys[host]:
                self.followers.put(host)
            return
        # A server that rotates its records with each answer changes nothing.
        if set(addresses) == set(known) and not reason:
            return
        self._addresses[host] = addresses
        self.followers.put(host)

    def take_files(self) -> None:
        """Zone files have changed: names in our zones may be theirs, or no more, as is seen when names are
        followed next."""
        self.are_files_new = True
        self._unsorted.update(self._leads.hosts)

    def _followers_of(self, key: str) -> Collection[str]:
        """The services that have this host name, or names that lead there."""
        return self._leads.to(key) or self._users.of(key)

    def _whose(self, name: str) -> str | None:
        """Who registered host names of a service; None where it has none."""
        holder = next(iter(self._holders.get(name, {}).values()), None)
        return f"{holder.registry} {holder.session}" if holder is not None else None

    def _note_stale(self, name: str, key: str) -> None:
        self._stale.setdefault(name, set()).add(key)

    def changed(self, before: Service | None, after: Service | None) -> None:
        """A service's answers have changed: names in our zones may lead elsewhere."""
        self._note_label(before, after)
        if not (self._leads.hosts or self._found):
            return
        for label in {service.label: None for service in (before, after) if service is not None}:
            self._found.pop(label, None)
            if self._leads.to(key := key_of(label)):
                self.followers.put(key)

    def complete(self, service: Service) -> Steps[Service]:
        """The service with the addresses that host names stand for. One that has none costs its instance,
        which counts as unreadable as soon as its name was asked for."""
        name, instances = service.name, service.instances
        if not self._users.needs(name) and not self._may_have_hosts(service):
            return service
        # Whoever asks for the same in a pause begins with nothing: what is stale is known here alone.
        before, stale = self._completed.pop(name, NOT_COMPLETED), self._stale.pop(name, set())
        stale |= {key for key in self.followers.sought if name in self._followers_of(key)}
        if before.label != service.label:
            before = NOT_COMPLETED

        def complete_one(i: Instance) -> Instance | None:
            return self._complete_one(service.label, i)

        images = yield from carry(before.instances, before.images, instances, complete_one)
        if stale and before is not NOT_COMPLETED:

            def look(some: Sequence[int]) -> None:
                for at in some:
                    host = instances[at].registration.host
                    if host in stale or self._leads.hosts.get(host or "") in stale:
                        image, known = complete_one(instances[at]), images[at]
                        images[at] = known if image == known else image

            yield from walk(range(len(instances)), look)
        if name in self._followed:
            self._completed[name] = Completed(service.label, instances, images)
        return replace(service, instances=tuple(filter(None, images)))

    def as_known(self, service: Service) -> Service:
        """The same of one that is registered nowhere: nothing is noted. May be called in a thread."""
        if not any(i.registration.host for i in service.instances):
            return service
        images = []
        for i in service.instances:
            if (host := i.registration.host) is None:
                images.append(i)
            elif addresses := self._resolve(service.label, host):
                images.append(_resolved(i, addresses))
            elif host not in self._unheard:
                images.append(_unresolved(i, self._explain(i, host).what))
        return replace(service, instances=tuple(images))

    def _complete_one(self, label: str, i: Instance) -> Instance | None:
        """None where it can't be said yet."""
        host = i.registration.host
        if host is None:
            return i
        addresses = self._resolve(label, host)
        if addresses:
            self.problems.pop(i.unique_key, None)
            return _resolved(i, addresses)
        problem = self.problems[i.unique_key] = self._explain(i, host)
        return None if host in self._unheard else _unresolved(i, problem.what)

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
        *instance, label = own
        known = [s for s in self._with_label(label) if s.label == label and not s.view_of]
        if not known:
            return self._addresses.get(host, ())
        if len(instance) > 1:
            return ()
        lead = self._found.get(label)
        if lead is None or not lead.is_of(known):
            lead = self._found[label] = Found(known)
        return lead.addresses_of(instance[0] if instance else "")

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
        """Notes whether a name leads to services of ours, outside, or nowhere any more. Returns on whose
        account it is, where that is outside. `moved`: of the services that have had this name, those whose
        names have changed."""
        users, own = self._users.of(host), self._own_labels(host)
        if not users:
            self._forget(host)
        if own is not None:
            self._leads.put(host, own[-1], users, moved or users)
            if not self._is_filed(host):
                if host in self.outside:
                    self._forget(host)
                    self.followers.put(host)
                return None
        if not users:
            return None
        account = self.outside.get(host)
        if account is None:
            self._unheard.add(host)
            for user in users:
                self._note_stale(user, host)
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
