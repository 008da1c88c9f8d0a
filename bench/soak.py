"""A long unkind life: an ensemble of three, several servers, churn and faults, and a model beside them.

    python -m bench.soak [--seconds 600] [--replicas 3] [--seed N] [--calm 15]

Clients create, change and delete instances and end sessions; members of the ensemble are killed and
frozen, in turn, and once in a while all of them. All the while every answer is held against the model:

  1. no answer holds an address that was never registered there;
  2. an answer without EDE 3 holds no address that went more than BOUND seconds ago;
  3. no answer holds an instance that an operator drained more than BOUND seconds ago;
  4. at each quiet moment every server answers exactly what ZooKeeper holds, with the same serial;
  5. memory, threads and descriptors end where they were after the first quiet moment.

Prints its seed first; the same seed plans the same life. Exit 1 with the first lines of what was wrong.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import dns.exception
import dns.message
import dns.query
import dns.rdatatype
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.retry import KazooRetry

from support.server import Zkdns
from support.zookeeper import Ensemble, ZooKeeperServer

BOUND = 2.0
"""Seconds after which what is gone must be out of the answers, while the registry is within reach."""

SESSION = 10.0
"""The servers' session timeout, seconds."""

QUIET = 30.0
"""Seconds within which all servers must agree with ZooKeeper once nothing moves."""

SERVICES = 12
STALE = 3
TROUBLE = (KazooException, KazooTimeoutError, ConnectionError, OSError)


class Model:
    """What was ever registered, and when each address went. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.ever: dict[str, set[str]] = {}
        self.gone: dict[tuple[str, str], float] = {}
        self.broken: list[str] = []
        self.slack = 0.0

    def coming(self, service: str, address: str) -> None:
        with self.lock:
            self.ever.setdefault(service, set()).add(address)
            self.gone.pop((service, address), None)

    def went(self, service: str, address: str) -> None:
        with self.lock:
            self.gone[service, address] = time.monotonic()

    def unsure(self, service: str, address: str) -> None:
        """A write failed half way: it may be there or not until the next quiet moment."""
        with self.lock:
            self.gone.pop((service, address), None)

    def check(self, server: int, service: str, asked: float, addresses: set[str], stale: bool) -> None:
        with self.lock:
            for address in addresses:
                if address not in self.ever.get(service, ()):
                    self.broken.append(f"server {server}: {service} {address} was never registered")
                at = self.gone.get((service, address))
                if not stale and at is not None and asked - at > BOUND + self.slack:
                    self.broken.append(f"server {server}: {service} {address} went {asked - at:.1f} s ago")


def ask(server: Zkdns, name: str) -> tuple[set[str], bool] | None:
    """The addresses and whether they are marked stale; None where nothing could be had."""
    try:
        reply = dns.query.udp(
            dns.message.make_query(name, "A", use_edns=0), "127.0.0.1", port=server.port, timeout=2
        )
    except (dns.exception.DNSException, OSError):
        return None
    found = {rdata.to_text() for rrset in reply.answer for rdata in rrset}
    return found, any(o.otype == 15 and o.code == STALE for o in reply.options)


class Churn:
    """The registering side: several sessions that come and go."""

    def __init__(self, hosts: str, model: Model, chance: random.Random) -> None:
        self.hosts = hosts
        self.model = model
        self.chance = chance
        self.sessions: list[KazooClient] = []
        self.held: list[dict[tuple[str, str], str]] = []
        self.ended: set[int] = set()
        self.number = 0
        self.done = 0

    def open(self) -> None:
        retry = KazooRetry(max_tries=-1, delay=0.1, max_delay=0.5)
        client = KazooClient(self.hosts, timeout=4, connection_retry=retry)
        client.start(timeout=30)
        self.sessions.append(client)
        self.held.append({})

    def close(self) -> None:
        for client in self.sessions:
            client.stop()
            client.close()

    def step(self) -> None:
        k = self.chance.randrange(len(self.sessions))
        if k in self.ended:
            try:
                self.sessions[k].start(timeout=2)
                self.ended.discard(k)
            except TROUBLE:
                return
        action = self.chance.choices(("create", "delete", "status", "end"), (6, 4, 3, 0.3))[0]
        try:
            getattr(self, action)(k)
            self.done += 1
        except TROUBLE:
            pass

    def call(self, k: int, verb: str, *args: object, **options: object) -> None:
        """kazoo keeps calls that it can't send; one that times out may still be done later."""
        getattr(self.sessions[k], f"{verb}_async")(*args, **options).get(timeout=2)

    def create(self, k: int) -> None:
        service = f"s{self.chance.randrange(SERVICES)}"
        self.number += 1
        address = f"10.{self.number >> 16 & 255}.{self.number >> 8 & 255}.{self.number & 255}"
        id = f"i{self.number}"
        self.model.coming(service, address)
        self.held[k][service, id] = address
        data = json.dumps({"address": address, "port": 80, "weight": self.chance.randrange(1, 4)})
        self.call(k, "create", f"/services/{service}/{id}", data.encode(), ephemeral=True, makepath=True)

    def delete(self, k: int) -> None:
        if self.held[k]:
            service, id = self.chance.choice(sorted(self.held[k]))
            address = self.held[k].pop((service, id))
            self.model.unsure(service, address)
            try:
                self.call(k, "delete", f"/services/{service}/{id}")
            except NoNodeError:
                pass
            self.model.went(service, address)

    def status(self, k: int) -> None:
        if self.held[k]:
            service, id = self.chance.choice(sorted(self.held[k]))
            address = self.held[k][service, id]
            word = self.chance.choice(("up", "draining", "down"))
            self.model.coming(service, address)
            data = json.dumps({"address": address, "port": 80, "status": word})
            self.call(k, "set", f"/services/{service}/{id}", data.encode())
            if word != "up":
                self.model.went(service, address)

    def end(self, k: int) -> None:
        """The session ends: all that it held goes at once."""
        held, self.held[k] = self.held[k], {}
        for (service, _), address in held.items():
            self.model.unsure(service, address)
        self.sessions[k].stop()
        for (service, _), address in held.items():
            self.model.went(service, address)
        self.ended.add(k)


def truth(client: KazooClient) -> dict[str, set[str]]:
    """What ZooKeeper holds now: the addresses by service that must be answered."""
    found: dict[str, set[str]] = {}
    client.sync("/services")
    for service in client.get_children("/services"):
        found[service] = set()
        for id in client.get_children(f"/services/{service}"):
            said = json.loads(client.get(f"/services/{service}/{id}")[0])
            if said.get("status", "up") == "up":
                found[service].add(said["address"])
    return found


def agree(servers: list[Zkdns], expected: dict[str, set[str]]) -> str:
    """ "" where every server answers exactly this; else the first difference."""
    for k, server in enumerate(servers):
        for service, addresses in expected.items():
            got = ask(server, f"{service}.svc.local")
            if got is None:
                return f"server {k} doesn't answer for {service}"
            wrong = got[0] - addresses if len(addresses) > 60 else got[0] ^ addresses
            if wrong or got[1]:
                return f"server {k}: {service} is off by {sorted(wrong)[:5]}, stale {got[1]}"
    serials = {server.json("/api/v1/services")["serial"] for server in servers}
    return f"serials differ: {serials}" if len(serials) > 1 else ""


def size(server: Zkdns) -> tuple[int, int, int]:
    """Resident KiB, threads, descriptors."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    rss, threads = (int(status.split(key)[1].split()[0]) for key in ("VmRSS:", "Threads:"))
    return rss, threads, sum(1 for _ in Path(f"/proc/{server.pid}/fd").iterdir())


Fault: TypeAlias = tuple[str, Callable[[], None], Callable[[], None]]


def faults(ensemble: Ensemble, chance: random.Random) -> Iterator[Fault]:
    """What befalls the ensemble: a name, how it begins, how it ends."""

    def all_of(act: Callable[[ZooKeeperServer], None]) -> Callable[[], None]:
        return lambda: [act(member) for member in ensemble.servers] and None  # type: ignore[func-returns-value]

    while True:
        for member in chance.sample(ensemble.servers, len(ensemble.servers)):
            yield f"kill {member.port}", member.kill, member.start
            yield f"freeze {member.port}", member.freeze, member.thaw
        yield "freeze all", all_of(ZooKeeperServer.freeze), all_of(ZooKeeperServer.thaw)
        yield "kill all", all_of(ZooKeeperServer.kill), all_of(ZooKeeperServer.launch)


def live(args: argparse.Namespace) -> list[str]:
    chance = random.Random(args.seed)
    model = Model()
    stopping = threading.Event()
    began = time.monotonic()
    with Ensemble() as ensemble:
        servers = [
            Zkdns("--engine", "native" if k % 2 == 0 and args.native else "python",
                  registry=f"zk://{ensemble.hosts}/services")
            for k in range(args.replicas)
        ]  # fmt: skip
        churn = Churn(ensemble.hosts, model, chance)
        try:
            for _ in range(4):
                churn.open()
            churn.sessions[0].ensure_path("/services")
            for k in range(SERVICES):
                churn.sessions[0].ensure_path(f"/services/s{k}")
            for server in servers:
                server.start()
            answered = [0]

            def watch() -> None:
                turn = random.Random(args.seed + 1)
                while not stopping.is_set():
                    k, service = turn.randrange(len(servers)), f"s{turn.randrange(SERVICES)}"
                    asked = time.monotonic()
                    got = ask(servers[k], f"{service}.svc.local")
                    if got is not None:
                        answered[0] += 1
                        model.check(k, service, asked, *got)

            watcher = threading.Thread(target=watch)
            watcher.start()
            sizes: list[list[tuple[int, int, int]]] = []
            plan = faults(ensemble, chance)
            while time.monotonic() - began < args.seconds and not model.broken:
                name, begin, end = next(plan)
                act(churn, args.calm / 3)
                at = f"{time.monotonic() - began:6.0f} s"
                print(f"{at}  {churn.done} changes, {answered[0]} answers; {name}", flush=True)
                # A frozen member says nothing: who hangs on it learns that from the missing ping. And a
                # session that ends while there is no leader goes on until it expires.
                model.slack = SESSION
                begin()
                act(churn, args.calm / 3)
                end()
                act(churn, args.calm / 3)
                settle(churn, servers, model)
                model.slack = 0.0
                sizes.append([size(server) for server in servers])
            stopping.set()
            watcher.join()
            return model.broken[:20] + grown(sizes)
        finally:
            stopping.set()
            churn.close()
            for server in servers:
                server.close()


def act(churn: Churn, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        churn.step()
        time.sleep(0.01)


def settle(churn: Churn, servers: list[Zkdns], model: Model) -> None:
    """A quiet moment: nothing moves until all agree."""
    until = time.monotonic() + QUIET
    why = "ZooKeeper can't be read"
    while time.monotonic() < until:
        try:
            client = next(c for c in churn.sessions if c.connected)
            why = agree(servers, truth(client))
        except (StopIteration, *TROUBLE):
            why = "ZooKeeper can't be read"
        if not why:
            return
        time.sleep(0.1)
    model.broken.append(f"no agreement {QUIET:.0f} s after all was quiet: {why}")


def grown(sizes: list[list[tuple[int, int, int]]]) -> list[str]:
    """Which server ended larger than it was after the first quiet moments."""
    if len(sizes) < 3:
        return []
    wrong = []
    for k, (before, after) in enumerate(zip(sizes[1], sizes[-1], strict=True)):
        print(f"server {k}: {before[0]} -> {after[0]} KiB, {before[1]} -> {after[1]} threads, "
              f"{before[2]} -> {after[2]} descriptors")  # fmt: skip
        if after[0] > before[0] * 1.5 + 20_000 or after[1] > before[1] + 3 or after[2] > before[2] + 10:
            wrong.append(f"server {k} grew")
    return wrong


def main(words: list[str] | None = None) -> int:
    from zkdns.serve import native

    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    logging.getLogger("kazoo").setLevel(logging.CRITICAL)
    parser.add_argument("--calm", type=float, default=15, help="seconds of churn for one fault")
    args = parser.parse_args(words)
    args.native = not native.WHY_NOT
    print(f"seed {args.seed}", flush=True)
    broken = live(args)
    for line in broken:
        print(f"BROKEN {line}")
    print("broken" if broken else "all held")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
