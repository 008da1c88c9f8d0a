"""Routes followed over services as they would be, or as they stood: nothing that is answered is asked.

Rules: pure; by the same `Resolver` as the answers.
"""

from __future__ import annotations

from collections.abc import Mapping

from zkdns.answers.notes import notes_of
from zkdns.answers.route_resolver import Resolver
from zkdns.answers.routed import NOTHING, Beyond, InForce, guests_of, targets_of
from zkdns.model import Service


class Follower:
    """`services`: all by name, views with them; `routes`: those in force, by the name of their service."""

    def __init__(self, services: Mapping[str, Service], routes: Mapping[str, InForce]) -> None:
        self._services = services
        self._routes = routes
        self._resolver = Resolver(services, routes, self._find)
        self._by_label: dict[str, str] = {}
        self._views: dict[str, list[Service]] = {}
        for service in services.values():
            if service.view_of:
                self._views.setdefault(service.view_of, []).append(service)
            else:
                self._by_label.setdefault(service.label, service.name)

    @property
    def composed(self) -> set[str]:
        """The services whose names give more than their own instances."""
        return self._routes.keys() | self._views.keys()

    def beyond(self, name: str) -> Beyond:
        """What a service's names give beside its own instances."""
        service = self._services.get(name)
        if service is None:
            return NOTHING
        if service.view_of:
            return Beyond(guests_of(self._services.get(service.view_of), [service]))
        views = self._views.get(name, ())
        guests, notes = guests_of(service, views), notes_of(views)
        if name not in self._routes:
            return Beyond(guests, notes=notes) if guests else NOTHING
        return Beyond(guests, self._resolver.follow(name), notes)

    def rests_upon(self, name: str) -> set[str]:
        """The services that decide what a service's names give: itself, and all that its route leads to."""
        known: set[str] = set()
        ahead = [name]
        while ahead:
            one = ahead.pop()
            if one in known:
                continue
            known.add(one)
            if (route := self._routes.get(one)) is not None:
                ahead += filter(None, (self._find(target.service) for target in targets_of(route)))
        return known

    def _find(self, text: str) -> str | None:
        service = self._services.get(text)
        return text if service is not None and not service.view_of else self._by_label.get(text)
