"""`[service_defaults]`: the server's own settings for services that don't set them.

Rules: pure. A service that is the same object comes back as the same one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from zkdns.lists import list_near
from zkdns.model import ConfigError, Service
from zkdns.registry.settings import SETTINGS, read_table


class ServiceDefaults:
    """`table`: as a service's own znode would write them; `file`: where it stands. ConfigError where one is
    wrong."""

    def __init__(self, table: Mapping[str, Any], file: str = "") -> None:
        where = f"{file}: [service_defaults]" if file else "[service_defaults]"
        for name in table:
            if name not in SETTINGS and name != "check":
                there_are = list_near(name, [*SETTINGS, "check"])
                raise ConfigError(f"{where} {name}", f"no such setting; {there_are}")
        read, wrong = read_table(table)
        if wrong:
            raise ConfigError(where, wrong[0].what)
        self._values = {name: getattr(read, name) for name in read.given}
        self._completed: dict[str, tuple[Service, Service]] = {}

    def complete(self, service: Service, is_registered: bool = True) -> Service:
        """The service with the defaults for what it doesn't set. One that is not registered any more is not
        remembered."""
        if not self._values:
            return service
        known = self._completed.get(service.name)
        if known is None or known[0] is not service:
            given = service.settings.given
            lacking = {name: value for name, value in self._values.items() if name not in given}
            known = service, replace(service, settings=replace(service.settings, **lacking))
            if is_registered:
                self._completed[service.name] = known
        return known[1]

    def forget(self, names: Iterable[str]) -> None:
        """These services have changed, or have gone."""
        for name in names:
            self._completed.pop(name, None)
