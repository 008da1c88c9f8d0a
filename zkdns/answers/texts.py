"""What people read in an answer: TXT records, and how many of a service's instances are well.

Rules: pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from zkdns.dns import ede
from zkdns.model import SERVING, Instance, Service, State


def counts(about: str, group: Collection[Instance]) -> str:
    """`web: 3 registered, 0 healthy (2 failing, 1 draining)`: under 100 bytes, the rarest states
    left out where it would be longer."""
    states = [i.state for i in group]
    text = f"{len(group)} registered, {sum(map(SERVING.__contains__, states))} healthy"
    if any(i.answered for i in group):  # those that fail_open gives are not healthy
        return ede.about(about, f"{text}, none for this type")
    text, detail = ede.about(about, text), ""
    for state, n in Counter(states).most_common():
        longer = f"{detail}, {n} {state}" if detail else f"{n} {state}"
        if len(text) + len(longer) + 3 > ede.MAX_TEXT_BYTES:
            break
        detail = longer
    return f"{text} ({detail})" if detail else text


def about_service(service: Service) -> list[str]:
    """What a person with dig reads of a service."""
    each = [i.state for i in service.instances]
    states = {state: each.count(state) for state in sorted({*each})}
    texts = [
        f"instances={len(service.instances)}",
        f"healthy={service.healthy()}",
        f"policy={service.settings.policy}",
    ]
    if service.settings.near != "off":
        texts.append(f"near={service.settings.near}")
    texts += [f"{state}={n}" for state, n in states.items() if state is not State.HEALTHY]
    return texts + ([f"note={service.note}"] if service.note else [])


def about_instance(instance: Instance) -> list[str]:
    """What a person with dig reads of an instance: its state and why, then its own meta."""
    r = instance.registration
    texts = [f"id={instance.id}", f"state={instance.state}"]
    if instance.reason:
        texts.append(f"reason={instance.reason}")
    texts += [f"weight={instance.weight}", f"priority={r.priority}"]
    if r.tags:
        texts.append("tags=" + ",".join(r.tags))
    if r.zone:
        texts.append(f"zone={r.zone}")
    return texts + [f"{k}={v}" for k, v in r.meta]
