"""Who may still hold an instance that was drained: clients that were given it, until they ask again.

Rules: `Holders` is pure. What each replica tells is compared with what it told itself before, so that no two
clocks are compared. A client is one address, at whichever replica it asks. Names that a route leads to the
instance's service give it too: a client that asked for such a name is back once it asks for that again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from msgspec import Struct

from zkdns.cli import Failure, asking, told
from zkdns.cli.waiting import Waiting
from zkdns.lists import plural, some_of
from zkdns.registry.labels import to_label
from zkdns.routes import parse_target
from zkdns.serve.clients import ClientRow, Told

TIMES_TTL: Final = 2
"""How many TTLs a client is waited for that doesn't ask: one for what it holds, one for caches between."""

POLL_SECONDS: Final = 0.5
ASK_SECONDS: Final = 3.0
"""How long one replica may take for one reply: longer, and it is away."""

HOPELESS_SECONDS: Final = 15.0
"""After which nobody is waited for where no replica at all can be asked."""

MAX_THREADS: Final = 64
"""Replicas that are asked at a time: whoever may write under /zkdns/servers says how many there are."""

MAX_TOLD_BYTES: Final = asking.MAX_REPLY_BYTES
"""Of what all replicas tell at a time; each has the same part, whatever the others say."""

ROW_BYTES: Final = 100
"""Of a reply, that a client takes at least: so many are kept of each replica as are told in one of its."""

MAX_NAMES: Final = 1000
"""Services that a replica is asked for: names whose routes lead to the instance."""

MAX_NAMED: Final = 3
"""Replicas that are named in one line."""

STILL_GIVES: Final = "it has not taken the drain yet"
NO_TIME: Final = "there was no time to ask it"


Asker: TypeAlias = tuple[str, str]
"""A client, and the service that it asked for."""


def _asker(row: ClientRow) -> Asker:
    return row.client, row.service


class Holders(Struct):
    """`given`: the clients that were given it, by the service that they asked for, each with its latest row.
    `back`: those that asked again."""

    given: dict[Asker, ClientRow] = {}
    back: set[Asker] = set()
    _before: dict[str, dict[Asker, ClientRow]] = {}

    def begin(self, replica: str, rows: Sequence[ClientRow], since: float, zone: str = "") -> None:
        """What a replica tells once it gives the instance no more. `since`: who was last told before is no
        holder, by the replica's clock, nor who was told of other zones alone than the instance's `zone`."""
        self._before[replica] = {_asker(row): row for row in rows}
        for row in rows:
            known = self.given.get(_asker(row))
            if row.may_hold(zone, since) and (known is None or known.last < row.last):
                self.given[_asker(row)] = row

    def has_begun(self, replica: str) -> bool:
        return replica in self._before

    def see(self, replica: str, rows: Sequence[ClientRow]) -> None:
        """What it tells later: whoever it answered since has asked again."""
        before = self._before[replica]
        for row in rows:
            asker = _asker(row)
            if asker in self.given:
                old = before.get(asker)
                if old is None or (old.last, old.queries) != (row.last, row.queries):
                    self.back.add(asker)

    @property
    def left(self) -> list[ClientRow]:
        """Those that were given it and did not ask again, the latest first."""
        rows = [row for asker, row in self.given.items() if asker not in self.back]
        return sorted(rows, key=lambda row: (-row.last, row.client))


class Outcome(Struct, frozen=True):
    """How waiting ended. `is_over`: nobody is waited for any more. `unheard`: by replica, why it told
    nothing; `ttls`: seconds, of the service's records, by the replica that says so; `is_known`: no replica
    had to forget whom it told."""

    is_over: bool
    holders: Holders
    unheard: Mapping[str, str]
    ttls: Mapping[str, float]
    is_known: bool = True

    @property
    def ttl(self) -> float:
        return max(self.ttls.values(), default=0.0)

    @property
    def giving(self) -> list[str]:
        """The replicas that give it still."""
        return sorted(replica for replica, reason in self.unheard.items() if reason == STILL_GIVES)

    @property
    def alone_with_its_ttl(self) -> tuple[str, float] | None:
        """The replica for whose word alone all are waited for, and what the others' longest is."""
        longest = [replica for replica, ttl in self.ttls.items() if ttl == self.ttl]
        others = [ttl for ttl in self.ttls.values() if ttl < self.ttl]
        return (longest[0], max(others)) if len(longest) == 1 and others else None


class Vigil:
    """Asks the replicas until all clients are back or it is too late for them. `replicas`: by id, the URL of
    its HTTP side, "" where it has none. `ttl`: what the service itself sets, None where it leaves that to
    them: whoever may write under /zkdns/servers says what it likes, and nobody would be waited for less."""

    def __init__(
        self,
        service: str,
        id: str,
        replicas: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        ttl: int | None = None,
    ) -> None:
        self.holders = Holders()
        self._service, self._id = service, id
        self._asked = service.partition("@")[0]
        """The service whose names give it: that of a view, which has none itself."""
        self._replicas = replicas
        self._most = MAX_TOLD_BYTES // max(1, len(replicas))
        """Bytes of a reply."""
        self._clock, self._sleep = clock, sleep
        self._names: dict[str, tuple[str, ...]] = {}
        """By replica, the services whose names give the instance."""
        self._set_ttl = ttl
        self._ttls: dict[str, float] = {}
        self._unheard: dict[str, str] = {}
        self._forgetful: set[str] = set()
        """Replicas with no room for all rows: whoever asks from ever other addresses pushes out others."""
        self._deadline = clock()
        self._given_until = clock()
        """When the last replica that was heard gave it no more; that of the others is the beginning."""

    def wait(self, timeout: float) -> Outcome:
        deadline = self._deadline = self._clock() + timeout
        most = max(1, min(len(self._replicas), MAX_THREADS))
        with ThreadPoolExecutor(most) as threads, Waiting().phase("drained") as phase:
            while True:
                list(threads.map(self._ask, self._replicas))
                total, back = len(self.holders.given), len(self.holders.back)
                outcome = self._outcome()
                text = tell_back(back, total, self._id)
                if giving := outcome.giving:
                    text += f"; {some_of(giving, MAX_NAMED)} may give it still"
                phase.tell(text, back / total if total else None)
                if outcome.is_over or self._clock() >= deadline or self._is_hopeless():
                    return outcome
                self._sleep(min(POLL_SECONDS, max(0.0, deadline - self._clock())))

    def _outcome(self) -> Outcome:
        """As it is now."""
        ttls, is_known = dict(self._ttls), not self._forgetful
        return Outcome(self._is_over(), self.holders, dict(self._unheard), ttls, is_known)

    def _is_over(self) -> bool:
        begun = [self.holders.has_begun(replica) for replica in self._replicas]
        if not any(begun):
            return False
        if all(begun) and not self._unheard and not self._forgetful and not self.holders.left:
            return True
        # One that is not heard, or had to forget some, may have told anybody; who gives it is waited for.
        if any(reason == STILL_GIVES for reason in self._unheard.values()):
            return False
        return self._clock() >= self._given_until + TIMES_TTL * self._ttl

    def _is_hopeless(self) -> bool:
        """Whether no replica was ever heard, and none gives it still."""
        if any(map(self.holders.has_begun, self._replicas)) or STILL_GIVES in self._unheard.values():
            return False
        return self._clock() >= self._given_until + HOPELESS_SECONDS

    def _ask(self, replica: str) -> None:
        url = self._replicas[replica]
        try:
            if not url:
                raise Failure("it has no HTTP side")
            if not self.holders.has_begun(replica):
                if replica not in self._names:
                    self._names[replica] = self._find_names(replica, url)
                is_drained, zone = self._look(replica, url)
                if not is_drained:
                    self._unheard[replica] = STILL_GIVES
                    return
                rows, now = self._rows(replica, url)
                self._given_until = self._clock()
                self.holders.begin(replica, rows, now - TIMES_TTL * self._ttl, zone)
            else:
                self.holders.see(replica, self._rows(replica, url)[0])
            self._unheard.pop(replica, None)
        except Failure as error:
            self._unheard[replica] = error.message
        except Exception:  # whoever may write under /zkdns/servers says where it is asked, and what it says
            self._unheard[replica] = f"{url}: {asking.NO_SERVER}"

    def _patience(self) -> float:
        """How long a question may take now: one that names ever more to be asked for is away at last."""
        left = self._deadline - self._clock()
        if left < -POLL_SECONDS:
            raise Failure(NO_TIME)
        return min(ASK_SECONDS, max(POLL_SECONDS, left))

    def _rows(self, replica: str, url: str) -> tuple[Sequence[ClientRow], float]:
        rows: list[ClientRow] = []
        at = 0.0
        for name in self._names[replica]:
            account: Told
            account, at = told.ask(url, name, timeout=self._patience(), most=self._most)
            if not account.is_kept:
                raise Failure(f"{url}: who was told is not kept there: client_table is false")
            rows += account.rows
            if len(rows) > self._most // ROW_BYTES:
                raise Failure(f"{url}: it tells of more than {self._most // ROW_BYTES} clients")
            if account.forgotten:
                self._forgetful.add(replica)
        return rows, at

    def _find_names(self, replica: str, url: str) -> tuple[str, ...]:
        """The service itself, and those whose routes lead to it, as far as may be."""
        path, shape = "/api/v1/routes", {"routes": list}
        reply = asking.get_dated(url, path, {}, shape, self._patience(), self._most).said
        names = names_giving(self._asked, reply["routes"])
        if len(names) > MAX_NAMES:
            raise Failure(f"{url}: routes of more than {MAX_NAMES} services lead to it there")
        for name in [name for name in names if name != self._service]:
            self._note_ttl(replica, self._ask_service(url, name)["ttl"])
        return names

    def _look(self, replica: str, url: str) -> tuple[bool, str]:
        """Whether a replica gives it no more, and where it says that it stands."""
        reply = self._ask_service(url, self._service)
        self._note_ttl(replica, reply["ttl"] if self._set_ttl is None else self._set_ttl)
        those = [i for i in reply["instances"] if i.get("id") == self._id]
        zones = {str(i.get("zone") or "") for i in those}
        zone = zones.pop().rpartition("/")[2] if len(zones) == 1 else ""
        return all(i.get("state") == "drained" for i in those), zone

    def _note_ttl(self, replica: str, ttl: int) -> None:
        self._ttls[replica] = max(self._ttls.get(replica, 0.0), float(ttl))

    @property
    def _ttl(self) -> float:
        """The longest that any of them tells: who asked there may hold it for so long."""
        return max(dict(self._ttls).values(), default=0.0)

    def _ask_service(self, url: str, name: str) -> dict[str, Any]:
        path = f"/api/v1/services/{quote(name)}"
        shape = {"ttl": int, "instances": list}
        return asking.get_dated(url, path, {}, shape, self._patience(), self._most).said


def tell_back(back: int, given: int, whom: str) -> str:
    """How many of those that were given one have asked again."""
    return f"{back} of {plural(given, 'client')} given {whom} {'has' if back == 1 else 'have'} asked again"


def names_giving(service: str, routes: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """`service`, and every one of which a route (a row of /api/v1/routes) leads to it."""
    leading: dict[str, list[str]] = {}
    for row in routes:
        for label in {to_label(parse_target(text).service) for tier in row["tiers"] for text in tier}:
            leading.setdefault(label, []).append(row["service"])
    names = {service: None}
    waiting = [service]
    for name in waiting:
        new = [other for other in sorted(leading.get(to_label(name), ())) if other not in names]
        names |= dict.fromkeys(new)
        waiting += new
    return tuple(names)
