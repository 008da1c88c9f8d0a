"""Mirror and ServiceTree on a real ZooKeeper: what a server that followed says, and one that came last."""

from __future__ import annotations

import queue
import random
import time

import pytest
from kazoo.client import KazooClient

from support import zookeeper as real
from support.closing import Closing
from support.trees import open_root
from zkdns.model import Catalog, Event
from zkdns.registry.access import ZooKeeperSettings
from zkdns.registry.zk.mirror import Mirror

pytestmark = pytest.mark.zookeeper

DUBBO = "dubbo%3A%2F%2F10.0.0.{}%3A20880%2Fcom.example.Greeter%3Fweight%3D7"
NERVE = b'{"host": "10.0.1.5", "port": 80, "name": "i-1"}'


class Follower(Closing):
    def __init__(self, hosts: str, root: str, format: str = "auto") -> None:
        self.tree = open_root(root, format)
        self._inbox: queue.SimpleQueue[list[Event]] = queue.SimpleQueue()
        self._mirror = Mirror(
            hosts,
            self.tree.scopes,
            ZooKeeperSettings(),
            lambda _, events: self._inbox.put(events),
        )
        self._mirror.start()

    def close(self) -> None:
        self._mirror.stop()

    def until(self, zxid: int) -> Catalog:
        """The catalog once everything up to `zxid` was told; a generous deadline."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            catalog = self.tree.catalog()
            if catalog.complete and self.tree.zxid >= zxid and self._inbox.empty():
                return catalog
            try:
                for event in self._inbox.get(timeout=0.2):
                    self.tree.apply(event)
            except queue.Empty:
                pass
        raise AssertionError(f"zxid {zxid} was not told; {self.tree.zxid} was")

    def comes_to(self, expected: Catalog) -> None:
        """Those up to some zxid are read in batches: the one with the newest may come before another."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.tree.catalog() != expected:
            try:
                for event in self._inbox.get(timeout=0.2):
                    self.tree.apply(event)
            except queue.Empty:
                pass
        assert self.tree.catalog() == expected


def write_something(zk: KazooClient, root: str, random: random.Random) -> None:
    service = random.choice(["web", "db", "com.example.Greeter"])
    flat = f"{root}/{service}/{random.choice('abcC')}"
    deep = random.choice(
        [
            f"{root}/{service}/providers/{DUBBO.format(random.randrange(3))}",
            f"{root}/{service}/services/i-1_0000000001",
        ]
    )
    action = random.randrange(7)
    if action == 0 and zk.exists(f"{root}/{service}"):
        zk.delete(f"{root}/{service}", recursive=True)
    elif action == 1:
        zk.ensure_path(f"{root}/{service}")
        zk.set(f"{root}/{service}", random.choice([b"", b'{"ttl": 9}', b"junk", b"10.0.0.1"]))
    else:
        path = deep if action in (2, 3) else flat
        if zk.exists(path):
            if random.random() < 0.6:
                zk.delete(path)
            else:
                zk.set(path, NERVE)
        else:
            data = random.choice([b'{"address": "10.0.0.1"}', b"10.0.0.2:80", b"{", b""])
            zk.create(path, NERVE if path == deep else data, ephemeral=True, makepath=True)


def newest(zk: KazooClient, path: str) -> int:
    """The largest mzxid or pzxid at and below a path."""
    _, stat = zk.get(path)
    return max([stat.mzxid, stat.pzxid, *(newest(zk, f"{path}/{name}") for name in zk.get_children(path))])


def test_one_that_followed_and_one_that_came_last_say_the_same(
    zookeeper: real.ZooKeeperServer, zk: KazooClient, zk_root: str
) -> None:
    chance = random.Random(7)
    zk.create(zk_root, makepath=True)
    with Follower(zookeeper.hosts, zk_root) as follower:
        for _ in range(8):
            for _ in range(25):
                write_something(zk, zk_root, chance)
            zxid = newest(zk, zk_root)
            with Follower(zookeeper.hosts, zk_root) as fresh:
                followed = fresh.until(zxid)
            follower.comes_to(followed)
            assert set(followed.services) == set(zk.get_children(zk_root))
        assert any(service.instances for service in followed.services.values())


def test_instances_below_folders_are_followed(
    zookeeper: real.ZooKeeperServer, zk: KazooClient, zk_root: str
) -> None:
    greeter = f"{zk_root}/com.example.Greeter"
    with Follower(zookeeper.hosts, zk_root) as follower:
        zk.create(f"{greeter}/providers/{DUBBO.format(1)}", b"10.9.9.9", ephemeral=True, makepath=True)
        zk.create(f"{greeter}/consumers/consumer%3A%2F%2F10.0.0.9%2Fx", ephemeral=True, makepath=True)
        zk.create(f"{zk_root}/mail/services/i-1_", NERVE, ephemeral=True, sequence=True, makepath=True)
        zxid = newest(zk, zk_root)
        catalog = follower.until(zxid)
        while not all(s.instances for s in catalog.services.values()):
            time.sleep(0.02)  # its folder was listed already, and its data is on the way
            catalog = follower.until(zxid)
        assert catalog.problems == ()
        formats = {
            name: [(i.registration.format, i.registration.addresses) for i in service.instances]
            for name, service in catalog.services.items()
        }
        assert formats == {
            "com.example.Greeter": [("dubbo", ("10.0.0.1",))],
            "mail": [("nerve", ("10.0.1.5",))],
        }
        zk.delete(f"{greeter}/providers/{DUBBO.format(1)}")
        catalog = follower.until(newest(zk, zk_root))
        assert catalog.services["com.example.Greeter"].instances == ()
