"""The registering side: sessions that come and go, an operator, and what they do at each action.

Rules: one thread. The model hears of what may be there before it is written, and of what is gone after
it was acknowledged. A call that ends in trouble may have been done all the same, or be done later, when
kazoo's queue moves again: the model takes neither side then.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, TypeVar

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NodeExistsError, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError

from bench.soak.doors import Doors
from bench.soak.model import FAR, HOME, Key, Made, Model
from bench.soak.network import Loopback
from bench.soak.plan import Action
from bench.soak.services import (
    CHECKED,
    ELSEWHERE,
    LAID,
    REGISTRIES,
    ROUTES,
    SETTINGS,
    STAYING,
    spell_instance,
    spell_path,
)
from support.waiting import eventually
from zkdns.model import Override
from zkdns.registry import overrides
from zkdns.registry.zk.connect import close
from zkdns.routes import parse_route

T = TypeVar("T")

TROUBLE: Final = (KazooException, KazooTimeoutError, ConnectionError, OSError)

PATIENCE: Final = 2.0
"""Seconds that a call may take."""

HELD_MOST: Final = 24
"""Instances of one session, above which it lets one go instead of making another."""

CHECKED_MOST: Final = 5
FOUNDED_MOST: Final = 4

STATUS: Final = ("up", "up", "up", "draining", "down", "starting", "garbage")


class Churn:
    """`hosts`: by ensemble. `done`: actions that came to an end without trouble. `spared`: the ensemble that
    nobody talks to for now, so that life goes on in the other."""

    def __init__(
        self, hosts: Mapping[str, str], model: Model, network: Loopback, doors: Doors, sessions: int = 4
    ) -> None:
        self._hosts = hosts
        self.spared = ""
        self._model = model
        self._network = network
        self._doors = doors
        self._number = 0
        self._founded: dict[str, None] = {}
        self._ordered: dict[Key, None] = {}
        self._ensembles = (*[HOME] * sessions, FAR)
        """Where each session is."""
        self._held: list[dict[Key, None]] = [{} for _ in self._ensembles]
        self._sessions: list[KazooClient] = [self._open(e) for e in self._ensembles]
        self._operator: KazooClient = self._open()
        self.done = 0

    def _open(self, ensemble: str = HOME) -> KazooClient:
        retry = {"max_tries": -1, "delay": 0.1, "backoff": 2, "max_delay": 0.5}
        client = KazooClient(self._hosts[ensemble], timeout=4, connection_retry=retry)
        client.start_async()
        return client

    @property
    def clients(self) -> list[KazooClient]:
        return [*self._sessions, self._operator]

    @property
    def far(self) -> KazooClient:
        """Somebody at the other ensemble."""
        return self._sessions[-1]

    def readers(self) -> dict[str, KazooClient]:
        """Somebody at each ensemble."""
        return {HOME: self._operator, FAR: self.far}

    def found_all(self) -> None:
        """The services that stay."""
        eventually(lambda: all(client.connected for client in self.clients))
        for name, settings in {**SETTINGS, **ROUTES}.items():
            self._model.founding(name)
            self._operator.create(f"/services/{name}", json.dumps(settings).encode(), makepath=True)
        for registry, services in ELSEWHERE.items():
            for name, settings in services.items():
                self._model.founding(name)
                path = f"{REGISTRIES[registry][1]}/{name}"
                self.far.create(path, json.dumps(settings).encode(), makepath=True)

    def close(self) -> None:
        for client in self.clients:
            close(client, 2.0)

    def begin_anew(self) -> None:
        """New sessions, as of clients that were started again: kazoo never gets back to an ensemble with
        smaller zxids than it has seen (kazoo #42)."""
        self.close()
        self._held = [{} for _ in self._sessions]
        self._sessions = [self._open(e) for e in self._ensembles]
        self._operator = self._open()

    def step(self, action: Action) -> None:
        try:
            getattr(self, f"_{action.verb}")(action)
            self.done += 1
        except TROUBLE:
            pass

    def flush(self) -> None:
        """Wait until all that was asked for is done: calls of one session are done in their order."""
        for client in self.clients:
            client.sync_async("/services").get(timeout=PATIENCE)

    def _at(self, k: int) -> int:
        """The session that a share means, or the next one where its ensemble is spared."""
        while self._ensembles[k] == self.spared:
            k = (k + 1) % len(self._sessions)
        return k

    def reconcile(
        self, owners: Mapping[Key, int], services: Collection[str], ordered: Collection[Key]
    ) -> None:
        """What ZooKeeper holds, and which session each instance is bound to."""
        for client, held in zip(self._sessions, self._held, strict=True):
            for key in [k for k in held if owners.get(k) != client.client_id[0]]:
                del held[key]
        self._founded = {name: None for name in sorted(services) if name not in STAYING}
        self._ordered = dict.fromkeys(sorted(ordered))

    # --- registrations ------------------------------------------------------------------------------

    def _call(self, client: KazooClient, verb: str, *words: Any, **options: Any) -> Any:
        return getattr(client, f"{verb}_async")(*words, **options).get(timeout=PATIENCE)

    def _whose(self, action: Action) -> tuple[KazooClient, dict[Key, None]]:
        k = self._at(int(action.who * len(self._sessions)))
        return self._sessions[k], self._held[k]

    def _create(self, action: Action) -> None:
        client, held = self._whose(action)
        if len(held) >= HELD_MOST:
            self._delete(action)
            return
        if client is self.far:
            places = [(registry, s) for registry, services in ELSEWHERE.items() for s in services]
            self._register(action, *reversed(_pick(places, action.where)))
            return
        service = _pick([*SETTINGS, *self._founded], action.where)
        if service in CHECKED and sum(k[0] == service for h in self._held for k in h) >= CHECKED_MOST:
            service = "s0"
        self._register(action, service)

    def _register(self, action: Action, service: str, registry: str = "dc1") -> None:
        client, held = self._whose(action)
        self._number += 1
        made = self._make(service, self._number, action.how, registry)
        self._model.coming(made)
        held[made.key] = None
        if service in CHECKED:
            self._doors.open(made.key, made.v4, made.port)
        data = spell_instance(made, 1 + int(action.more * 3), "up")
        self._call(client, "create", spell_path(made), data, ephemeral=True)

    def _make(self, service: str, n: int, how: float, registry: str) -> Made:
        v4 = self._network.door(n) if service in CHECKED else f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"
        v6 = f"fd00::{n:x}" if how < 0.4 and service not in CHECKED else ""
        tag = ("", "blue", "canary")[n % 3]
        return Made(service, f"i{n}", v4, v6, 7000 + n % 100, 8000 + n % 100 if n % 4 else 0, tag, registry)

    def _delete(self, action: Action) -> None:
        client, held = self._whose(action)
        if held:
            key = _pick(sorted(held), action.where)
            del held[key]
            self._model.unsure(key)
            self._remove(client, key)

    def _remove(self, client: KazooClient, key: Key) -> None:
        try:
            self._call(client, "delete", spell_path(self._model.made[key]))
        except NoNodeError:
            pass
        self._model.went(key, time.monotonic())
        self._doors.shut(key)

    def _change(self, action: Action) -> None:
        client, held = self._whose(action)
        if not held:
            return
        key = _pick(sorted(held), action.where)
        made = self._model.made[key]
        status = _pick(STATUS, action.how)
        self._model.coming(made)
        self._model.back(key, "status")
        data = b"{garbage" if status == "garbage" else spell_instance(made, 1 + int(action.more * 9), status)
        self._call(client, "set", spell_path(made), data)
        if status == "garbage":
            self._model.went(key, time.monotonic())  # what nobody can read is not registered
        elif status != "up":
            self._model.out(key, "status", time.monotonic())

    def _again(self, action: Action) -> None:
        """An instance is started anew: the same id goes and comes."""
        client, held = self._whose(action)
        if held:
            key = _pick(sorted(held), action.where)
            made = self._model.made[key]
            self._model.unsure(key)
            self._model.back(key, "status")
            self._call(client, "delete", spell_path(made))
            self._call(
                client,
                "create",
                spell_path(made),
                spell_instance(made, 1 + int(action.more * 3), "up"),
                ephemeral=True,
            )

    def _burst(self, action: Action) -> None:
        """All of a session's instances register anew in one go: their events come as one flood."""
        client, held = self._whose(action)
        calls = []
        for key in sorted(held):
            made = self._model.made[key]
            self._model.coming(made)
            self._model.back(key, "status")
            calls.append(
                client.set_async(spell_path(made), spell_instance(made, 1 + int(action.more * 9), "up"))
            )
        for call in calls:
            call.get(timeout=PATIENCE)

    def _end(self, action: Action) -> None:
        """A session ends: all that it held goes at once."""
        k = self._at(int(action.who * len(self._sessions)))
        held, self._held[k] = self._held[k], {}
        for key in held:
            self._model.unsure(key)
        close(self._sessions[k], PATIENCE)
        for key in held:
            self._doors.shut(key)
        self._sessions[k] = client = self._open(self._ensembles[k])
        for key in held:
            # Where the ensemble is dead nobody hears of the end: it is there until the session times out.
            if self._call(client, "exists", spell_path(self._model.made[key])) is None:
                self._model.went(key, time.monotonic())

    # --- services that come and go --------------------------------------------------------------------

    def _found(self, action: Action) -> None:
        if len(self._founded) >= FOUNDED_MOST:
            self._dissolve(action)
            return
        self._number += 1
        service = f"x{self._number}"
        self._founded[service] = None
        self._model.founding(service)
        self._call(self._operator, "create", f"/services/{service}", b'{"answers": 100}')
        if self._whose(action)[0] is not self.far:
            for _ in range(1 + int(action.how * 3)):
                self._register(action, service)

    def _dissolve(self, action: Action) -> None:
        if self._founded:
            service = _pick(list(self._founded), action.where)
            for held in self._held:
                for key in [k for k in held if k[0] == service]:
                    del held[key]
                    self._model.unsure(key)
                    self._remove(self._operator, key)
            self._call(self._operator, "delete", f"/services/{service}")
            self._model.dissolved(service, time.monotonic())
            del self._founded[service]

    # --- the operator -----------------------------------------------------------------------------------

    def _drain(self, action: Action) -> None:
        until = time.time() + 2 + action.more * 6 if action.how < 0.3 else None
        key = self._order(action, Override(drain=True, until=until, why="soak", who="soak", at=time.time()))
        if key is not None:
            now = time.monotonic()
            self._model.out(key, "drained", now, now + until - time.time() if until else float("inf"))

    def _weigh(self, action: Action) -> None:
        self._order(action, Override(weight=int(action.more * 9), why="soak", who="soak", at=time.time()))

    def _order(self, action: Action, order: Override) -> Key | None:
        keys = sorted(key for held in self._held for key in held)
        if not keys:
            return None
        key = _pick(keys, action.where)
        self._model.back(key, "drained")
        self._ordered[key] = None
        path, data = overrides.path(*key), overrides.spell(order)
        try:
            self._call(self._operator, "create", path, data, makepath=True)
        except NodeExistsError:
            self._call(self._operator, "set", path, data)
        return key

    def _lift(self, action: Action) -> None:
        if self._ordered:
            key = _pick(list(self._ordered), action.where)
            self._model.back(key, "drained")
            try:
                self._call(self._operator, "delete", overrides.path(*key))
            except NoNodeError:
                pass
            del self._ordered[key]

    def _lay(self, action: Action) -> None:
        """A route over a service, at once or in steps, for good or for a while."""
        share = int(action.where * 10)
        fields: dict[str, Any] = {"to": [{LAID: share, "s5": 10 - share}]}
        if action.how < 0.5:
            fields |= {"over": 1 + int(action.more * 3), "from": [{LAID: 1}]}
        until = time.time() + 2 + action.more * 6 if action.how < 0.3 else None
        route = parse_route(fields)
        order = Override(until=until, why="soak", who="soak", at=time.time(), route=route)
        self._write_route(overrides.spell(order))

    def _unlay(self, action: Action) -> None:
        self._write_route(b"")

    def _write_route(self, data: bytes) -> None:
        path = overrides.node(LAID)
        try:
            self._call(self._operator, "create", path, data, makepath=True)
        except NodeExistsError:
            self._call(self._operator, "set", path, data)

    # --- checks -------------------------------------------------------------------------------------------

    def _shut(self, action: Action) -> None:
        if keys := [k for k in self._checked() if self._doors.is_open(k)]:
            key = _pick(keys, action.where)
            self._doors.shut(key)
            self._model.out(key, "check", time.monotonic())

    def _reopen(self, action: Action) -> None:
        if keys := [k for k in self._checked() if not self._doors.is_open(k)]:
            key = _pick(keys, action.where)
            made = self._model.made[key]
            self._model.back(key, "check")
            self._doors.open(key, made.v4, made.port)

    def _checked(self) -> list[Key]:
        return sorted(key for held in self._held for key in held if key[0] in CHECKED)


def _pick(many: Sequence[T], share: float) -> T:
    return many[int(share * len(many))]
