"""Host names that lead to services of ours: which services have them, and what they stand for.

Rules: pure. What a service gives is gathered once for all names that lead to it, and no more of it than of a
name outside: tens of thousands of them, of a service of thousands, would each have all of its addresses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from zkdns.model import Instance, Service
from zkdns.registry.fields import MAX_ADDRESSES


def key_of(label: str) -> str:
    """What stands for all names that lead to the service of this label; no host name begins so."""
    return f".{label}"


def bounded(addresses: Iterable[str]) -> tuple[str, ...]:
    """Who owns a name may say anything; of too many the same ones stay, in whichever order they come."""
    each = tuple(dict.fromkeys(addresses))
    return each if len(each) <= MAX_ADDRESSES else tuple(sorted(each)[:MAX_ADDRESSES])


class Found:
    """What these services give, which have one label: the first that has any address counts."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services
        self._whole: tuple[str, ...] | None = None
        self._by_instance: list[dict[str, list[Instance]]] | None = None

    def is_of(self, services: Sequence[Service]) -> bool:
        return len(services) == len(self._services) and all(map(_is, services, self._services))

    def addresses_of(self, instance: str) -> tuple[str, ...]:
        """Of the instances with this label; "" for those that are answered."""
        if instance:
            if self._by_instance is None:
                self._by_instance = [_by_label(service) for service in self._services]
            return _first_of(each.get(instance, ()) for each in self._by_instance)
        if self._whole is None:
            self._whole = _first_of([i for i in s.instances if i.answered] for s in self._services)
        return self._whole


def _is(one: object, other: object) -> bool:
    return one is other


def _first_of(several: Iterable[Iterable[Instance]]) -> tuple[str, ...]:
    for instances in several:
        if addresses := bounded(a for i in instances for a in i.registration.addresses):
            return addresses
    return ()


def _by_label(service: Service) -> dict[str, list[Instance]]:
    by_label: dict[str, list[Instance]] = {}
    for i in service.instances:
        by_label.setdefault(i.label, []).append(i)
    return by_label


class Leads:
    """`hosts`: each such name, and the key of what it leads to."""

    def __init__(self) -> None:
        self.hosts: dict[str, str] = {}
        self._led: dict[str, dict[str, set[str]]] = {}
        """By key, the services that have such names, and which."""

    def to(self, key: str) -> Mapping[str, Collection[str]]:
        """The services that have names that lead there, in the order in which they came."""
        return self._led.get(key, {})

    def put(self, host: str, label: str, users: Collection[str], moved: Iterable[str]) -> None:
        """These have this name now. `moved`: those for which that may be a change."""
        key = key_of(label)
        led = self._led.setdefault(key, {})
        for name in moved:
            if name in users:
                led.setdefault(name, set()).add(host)
            elif name in led:
                led[name].discard(host)
                if not led[name]:
                    del led[name]
        if not led:
            del self._led[key]
        if users:
            self.hosts[host] = key
        else:
            self.hosts.pop(host, None)
