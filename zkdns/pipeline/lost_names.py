"""The names that a service does not get, since others have them: each is a row among the problems.

Rules: pure. A name has one holder: what a zone says of itself, then services, then instances, then tags; and
where zones nest the longest zone of which a service has it (`nested`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from zkdns.answers.owners import SERVER, by_tag
from zkdns.answers.ports import by_port, tag_labels
from zkdns.lists import some_of
from zkdns.model import Problem, Service, State
from zkdns.registry.labels import to_label

MAX_TOLD: Final = 3
"""Names of one service that a Problem lists."""


def with_own_names(service: Service) -> Service:
    """The same with a name for each instance: `ns.dns` is each zone's own server."""
    server, of = SERVER
    if service.label != of or all(i.label != server for i in service.instances):
        return service
    others = tuple(replace(i, label=to_label(i.id, 1)) if i.label == server else i for i in service.instances)
    return replace(service, instances=others)


def tell_lost(service: Service) -> Iterator[Problem]:
    """What a service loses within any zone."""
    server, of = SERVER
    for i in service.instances if service.label == of else ():
        if i.label == to_label(i.id, 1) and to_label(i.id) == server:
            what = f"its name {server}.{of} is that of each zone's own server; it is served as {i.label}.{of}"
            yield Problem(i.path, what, "give it another id")
    # Of 50,000 instances few say something else than the one before: what they say is looked at once.
    words = {(*i.registration.tags, i.registry) for i in service.instances}
    tags = {tag_labels(word)[0] for some in words for word in some if word}
    if not tags:
        return
    lost = sorted({i.label for i in service.instances if i.label in tags and i.state is not State.UNREADABLE})
    if service.label == of and server in tags:
        lost.append(server)
    if lost:
        what = f"{_list(lost, service.label)}: not the tag's, since an instance or the zone has the name"
        yield Problem(service.path, what, "choose tags that are no instance's id")


def tell_nested(services: Mapping[str, Service], zones: Sequence[str]) -> Iterator[Problem]:
    """What services lose to a zone that begins below their names, or to its services."""
    pairs = [(inner, outer) for inner in zones for outer in zones if inner.endswith("." + outer)]
    if not pairs:
        return
    by_label = {s.label: s for s in services.values() if not s.view_of}
    for inner, outer in pairs:
        *below, label = inner.removesuffix("." + outer).split(".")
        service = by_label.get(label)
        if service is None:
            continue
        own = {i.label for i in service.instances} | by_tag(service.instances).keys() | {*service.offices}
        if not below:
            what = f"its name {inner} is that of a zone, which says nothing there but what it is"
            yield Problem(service.path, what, f"ask for it as {label}.{inner}, or rename it or the zone")
            # Each zone has a folder `dns`, in which its server stands.
            lost = [name for name in own if name in by_label or name == SERVER[1]]
            ports = by_port(service.instances)
            lost += [f"_{port}._tcp" for port in ports if port in by_label]
        else:
            lost = [name for name in own if below == [name]]
        if lost:
            what = f"{_list(sorted(lost), f'{label}.{outer}')}: not its own, for {inner} has the name"
            yield Problem(service.path, what, "rename them, or one of the zones")


def _list(lost: Sequence[str], below: str) -> str:
    return some_of([f"{name}.{below}" for name in lost[:MAX_TOLD]], MAX_TOLD, len(lost))
