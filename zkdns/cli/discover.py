"""`zkdns discover`: which systems an ensemble holds already, and the `--registry` that serves each.

Rules: it only reads, within the survey's bounds. Two systems that would give one name get `as=`, so that
all lines can be pasted at once.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import Any, Final
from urllib.parse import quote, urlsplit

import click
from msgspec import Struct

from zkdns.cli import options
from zkdns.cli.say import say, say_json
from zkdns.cli.show import clean
from zkdns.cli.waiting import Waiting
from zkdns.registry.labels import to_label
from zkdns.registry.survey import Finding, Survey
from zkdns.registry.url import parse_registry
from zkdns.registry.zk.nodes import Refused, open_nodes

MAX_NAMES: Final = 6
MAX_SERVICES: Final = 8
"""Of one system that are told."""


class System(Struct, frozen=True):
    """A finding as it is told: its services by the names that they get, and the URL of its registry."""

    finding: Finding
    services: dict[str, int]
    url: str
    names: tuple[str, ...]


@click.command(short_help="What an ensemble holds already, and how to serve it.")
@click.argument("url", metavar="[zk://HOSTS[/CHROOT]]", required=False)
@options.zone
@options.reads_registry
def command(url: str | None, load: options.Load, as_json: bool) -> None:
    """Look at an ensemble and tell each system that is recognised: what, where, how many instances.

    With each comes the --registry that serves it and the first names that come of it. Without a URL, the
    ensemble of the first --registry is looked at, from its root.
    """
    if url and options.is_given("registry"):
        raise click.UsageError("a URL and --registry don't go together: one ensemble is looked at")
    settings = load()
    if url:
        hosts, start = _read_target(url)
    else:
        hosts, start = options.first_ensemble(settings, "other systems keep what they register").hosts, "/"
    waiting = Waiting()
    survey = Survey(start)
    with ExitStack() as stack:
        with waiting.phase(f"connecting to {hosts}"):
            nodes = stack.enter_context(open_nodes(hosts, settings.zookeeper))
        with waiting.phase("looking around"):
            nodes.look_around(survey)
            is_missing = False
            with suppress(Refused):
                is_missing = nodes.get(start) is None
    systems = list(name_systems(survey.findings(), hosts, settings.zone[0]))
    if as_json:
        say_json({"systems": [_shape(one) for one in systems], "cut": survey.cut})
        return
    if not systems:
        where = f"{clean(start)}{', which is not there' * is_missing}"
        say(f"nothing that is known was found at {hosts} below {where}")
    for system in systems:
        _tell(system)
    if survey.cut:
        say("there is more than was looked at: name a chroot to look below it", err=True)


def _read_target(text: str) -> tuple[str, str]:
    """Hosts and where to begin, out of zk://HOSTS[/CHROOT]."""
    try:
        url = parse_registry(text)
        parts = urlsplit(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if url.scheme != "zk" or parts.query or url.name:
        raise click.UsageError(f"{text!r}: write zk://HOSTS or zk://HOSTS/CHROOT")
    return url.hosts, url.root if parts.path else "/"


def name_systems(findings: Sequence[Finding], hosts: str, zone: str) -> Iterator[System]:
    """Each finding with names that no other has."""
    taken = Counter(service for finding in findings for service in finding.services)
    given: set[str] = set()
    for finding in findings:
        other = ""
        if any(taken[service] > 1 for service in finding.services):
            other = _other_name(finding, given)
        renamed = _services(finding, other)
        given |= renamed.keys()
        text = f"zk://{hosts}{quote(finding.path)}"
        if finding.preset is not None:
            text += f"?preset={finding.system}"
        if other:
            text += ("&" if finding.preset is not None else "?") + f"as={other}"
        yield System(finding, renamed, text, tuple(_names(finding, other, zone)))


def _other_name(finding: Finding, given: set[str]) -> str:
    """What `as=` is to say, by where the system stands. The first one keeps its own names."""
    if not given & finding.services.keys():
        return ""
    place = to_label(finding.path.strip("/").replace("/", "-") or finding.system)
    by_path = finding.preset is None or any(not p.stem for p in finding.preset.places)
    if by_path:
        return f"{place}-{{service}}"
    return place if finding.system in place else f"{place}-{finding.system}"


def _services(finding: Finding, other: str) -> dict[str, int]:
    """The services under the names that `as=` gives them."""
    return {_rename(finding, service, other): count for service, count in finding.services.items()}


def _rename(finding: Finding, service: str, other: str) -> str:
    if not other:
        return service
    if "{service}" in other:
        return other.replace("{service}", service)
    stems = [place.stem for place in finding.preset.places] if finding.preset is not None else []
    return next((service.replace(stem, other, 1) for stem in stems if stem and stem in service), service)


def _names(finding: Finding, other: str, zone: str) -> Iterator[str]:
    """The first names to try: those of leaders, then the services' own."""
    for service in list(finding.services)[:MAX_NAMES]:
        name = f"{to_label(_rename(finding, service, other))}.{zone}"
        held = {tag for i in finding.instances.get(service, ()) for tag in i.registration.tags}
        yield from (f"{tag}.{name}" for tag in finding.offices.get(service, ()) if tag in held)
        yield name


def _shape(system: System) -> dict[str, Any]:
    return {
        "system": system.finding.system,
        "path": system.finding.path,
        "services": [{"name": name, "instances": count} for name, count in system.services.items()],
        "instances": sum(system.services.values()),
        "registry": system.url,
        "names": list(system.names),
    }


def _tell(system: System) -> None:
    services = [f"{name} ({count})" for name, count in list(system.services.items())[:MAX_SERVICES]]
    if len(system.services) > MAX_SERVICES:
        services.append(f"and {len(system.services) - MAX_SERVICES} more")
    say(clean(f"{system.finding.system} at {system.finding.path}: {', '.join(services)}"))
    say(clean(f"    --registry {shlex.quote(system.url)}"))
    say(clean("    " + "  ".join(system.names[:MAX_NAMES])))
