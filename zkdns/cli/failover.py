"""Which registries are for failover: as the command was told, else as the registered servers have it.

Rules: what can't be known is said, once and on stderr; a command goes on without it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from zkdns.cli.say import say
from zkdns.config import Settings
from zkdns.pipeline.replica import ServerNode


def as_servers_have_it(settings: Settings, servers: Iterable[ServerNode]) -> Settings:
    """The settings with the servers' `--failover`, where none was given."""
    if settings.failover:
        return settings
    choices = {server.failover for server in servers}
    if not choices or choices == {()}:
        return settings
    if len(choices) > 1:
        spelled = "; ".join(sorted(_spell(names) for names in choices))
        _say(f"the servers differ in --failover ({spelled}): none is taken; give the one that is meant")
        return settings
    (names,) = choices
    known = {url.name for url in settings.registry}
    if missing := [name for name in names if name not in known]:
        _say(
            f"the servers have --failover {_spell(names)}, and no --registry here is named "
            f"{' or '.join(missing)}: what stands behind is left out"
        )
        return settings
    return replace(settings, failover=names)


def _spell(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"


def _say(what: str) -> None:
    say(f"note: {what}", err=True)
