"""What is to be told of those that a name gives: the notes of the services that they are of.

Rules: pure. A note is told where one of those is given that it is of, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain

from msgspec import Struct

from zkdns.model import Instance, Service


class Notes(Struct, frozen=True):
    """`own`: on the service's own instances; `views`: by registry, on what that alone holds, whose instances
    have the keys `guests`."""

    own: str
    guests: frozenset[str]
    views: Mapping[str, str]

    def on(self, given: Iterable[Sequence[Instance]]) -> str:
        """Those to be told where these are given."""
        if not self.guests or not (self.own or self.views):
            return self.own
        has_own = False
        registries: dict[str, None] = {}
        for i in chain.from_iterable(given):
            if i.key in self.guests:
                registries[i.registry] = None
            else:
                has_own = True
                if not self.views:
                    break
        texts = [self.own] if has_own and self.own else []
        is_one = not has_own and len(registries) == 1
        for registry in registries:
            if note := self.views.get(registry, ""):
                texts.append(note if is_one else f"{registry}: {note}")
        return "; ".join(texts)


def notes_on_names(service: Service, guests: Iterable[Instance], views: Mapping[str, str]) -> Notes:
    """Of a service whose names give these guests too."""
    return Notes(service.note, frozenset([i.key for i in guests]), views)


def notes_of(views: Collection[Service]) -> Mapping[str, str]:
    """By registry, the notes of what single registries hold."""
    return {view.registries[0]: view.note for view in views if view.note and view.registries}
