"""What `drain`, `undrain` and `weight` share: who is meant, what is ordered already, and the writing.

Rules: a change is written on the version that was read, so two operators at once lose nothing. The
registrations themselves are only read.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

import click

from zkdns.answers.routed import view_key
from zkdns.cli import Failure, complete, failover, options
from zkdns.cli.options import Halves
from zkdns.cli.say import say, say_json
from zkdns.cli.times import Span
from zkdns.cli.waiting import Waiting
from zkdns.config import Settings
from zkdns.lists import list_near
from zkdns.model import DEFAULTS, Catalog, Instance, Override, Service, ServiceSettings
from zkdns.overrides import trim
from zkdns.pipeline.replica import MAX_APART, read_node, tell_ahead
from zkdns.registry import file, overrides
from zkdns.registry.labels import find_name, to_label
from zkdns.registry.nothing import nothing_in
from zkdns.registry.override_nodes import Overrides
from zkdns.registry.readers import open_tree
from zkdns.registry.service_tree import ServiceTree
from zkdns.registry.url import RegistryURL, is_usual
from zkdns.registry.zk.connect import Unreachable
from zkdns.registry.zk.nodes import Forbidden, HasChildren, Nodes, Overtaken, Refused, open_nodes
from zkdns.registry.znodes import Nodes as Znodes
from zkdns.roots import OVERRIDES, SERVERS
from zkdns.routes import Target as RouteTarget

TRIES = 10
"""Writings of one node, where others write it in between."""
TARGET = Halves("/", "SERVICE/ID, as in web/a; `zkdns instances SERVICE` lists the ids")
SPAN = Span(lambda seconds: 0 < seconds < 1e9, "above 0 and below 30 years")


Change = Callable[[Override | None, float], Override | None]


target = click.argument("target", metavar="SERVICE/ID", type=TARGET, shell_complete=complete.instances)
span = click.option("--for", "span", metavar="SPAN", type=SPAN, help="Ends by itself: 90s, 30m, 2h, 1d.")
why = click.option("--why", default="", metavar="TEXT", help="Shown wherever the override is.")


class Operator:
    """One connected ensemble's overrides, and the instances of all registries."""

    def __init__(self, settings: Settings, hosts: str, stack: ExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self._ensembles: dict[str, Nodes] = {}
        self._trees: dict[RegistryURL, ServiceTree] = {}
        self._away: dict[str, Unreachable] = {}
        """Ensembles that did not answer: nobody waits for one twice."""
        self.nodes = self._nodes_of(hosts)

    def _nodes_of(self, hosts: str) -> Nodes:
        if hosts in self._away:
            raise self._away[hosts]
        if hosts not in self._ensembles:
            with Waiting().phase(f"connecting to {hosts}"):
                opened = open_nodes(hosts, self._settings.zookeeper)
                try:
                    self._ensembles[hosts] = self._stack.enter_context(opened)
                except Unreachable as why:
                    self._away[hosts] = why
                    raise
        return self._ensembles[hosts]

    def find(self, service: str, id: str) -> tuple[Service, Instance]:
        """The instance that is meant, by its name as registered or as in DNS; Failure names what exists. A
        registry that is out of reach is no hindrance where another one holds the instance. Where two
        registries have the same id, the second one's is `web@dc2/a`, or `web/a-dc2` as in DNS: its service
        has the name of that view."""
        bare, at, registry = service.rpartition("@")
        if not at or registry not in {url.name for url in self._settings.registry}:
            bare, registry = service, ""
        held, names = self._held(bare)
        those = {where: one for where, one in held.items() if registry in ("", where)}
        pairs = [(where, i) for where, one in those.items() for i in one.instances]
        if self._away and not any(i.id == id for _, i in pairs):
            raise next(iter(self._away.values()))
        if not those:
            there_are = list_near(service, names) if names else self._tell_nothing()
            raise Failure(f"no service {service!r}; {there_are}")
        meant = [pair for pair in pairs if pair[1].id == id][:1]
        meant = meant or [pair for pair in pairs if pair[1].label == id.lower()]
        if len(meant) == 1:
            where, instance = meant[0]
            return (self._seen_from(where, held, instance.id) if registry else those[where]), instance
        for where, instance in pairs:
            if where and to_label(f"{instance.id}-{where}") == id.lower():
                return self._seen_from(where, held, instance.id), instance
        raise Failure(f"no instance {id!r} in service {service!r}; {list_near(id, {i.id for _, i in pairs})}")

    def _held(self, service: str) -> tuple[dict[str, Service], set[str]]:
        """What each registry within reach holds of a service, by its name, and the names of all services."""
        held: dict[str, Service] = {}
        known: dict[RegistryURL, set[str]] = {}
        for url in self._settings.registry:
            with suppress(Unreachable):
                known[url] = self._names(url)
        names = {name for those in known.values() for name in those}
        name = find_name(names, service)
        for url, those in known.items():
            if name is not None and name in those:
                with suppress(Unreachable):
                    held[url.name] = self._read(url, name)
        return held, names

    def _tell_nothing(self) -> str:
        """Where no service is registered."""
        urls = self._settings.registry
        missing: list[RegistryURL] = []
        with suppress(Refused, Unreachable):
            usual = [url for url in urls if url.scheme == "zk" and is_usual(url)]
            missing += [url for url in usual if self._nodes_of(url.hosts).get(url.root) is None]
        return nothing_in(urls, missing)

    def _seen_from(self, registry: str, held: Mapping[str, Service], id: str) -> Service:
        """The service of an instance of this registry: the service itself, or the view where that has another
        one's of this id."""
        behind = self.as_servers_have_it().failover
        own = [r for r, one in held.items() if r not in behind and any(i.id == id for i in one.instances)]
        one = held[registry]
        return one if own[:1] in ([], [registry]) else replace(one, name=view_key(one.name, registry))

    def name_of(self, service: str) -> str:
        """As registered, where a service goes by its label: what is laid over the label would be another
        service, to which that label then belongs. The same where there is none, or a route is laid there."""
        names: set[str] = set()
        for url in self._settings.registry:
            with suppress(Failure, Refused, Unreachable):
                names |= self._names(url)
        name = find_name(names, service)
        if name in (None, service) or self._has_route(service):
            return service
        return name

    def _has_route(self, service: str) -> bool:
        node = self.nodes.get(overrides.node(service))
        return node is not None and bool(node.data.strip())

    def settings_of(self, service: str) -> ServiceSettings:
        """What the service's own node says; the defaults where there is none, or its registry is away."""
        for url in self._settings.registry:
            with suppress(Refused, Unreachable):
                if service in self._names(url) and (own := self._read(url, service).settings) != DEFAULTS:
                    return own
        return DEFAULTS

    def knows(self, target: RouteTarget) -> bool:
        """Whether what a route leads to is there now, or can't be looked for."""
        try:
            for url in self._settings.registry:
                if target.registry not in ("", url.name):
                    continue
                known = self._names(url)
                # Servers take a target for a label in lower case alone.
                is_label = target.service == target.service.lower()
                if target.service in known or (is_label and find_name(known, target.service) is not None):
                    return True
            return not target.registry and self._has_route(target.service)
        except (Failure, Refused, Unreachable):
            return True

    def as_servers_have_it(self) -> Settings:
        """The settings with the `--failover` of the registered servers, where none was given."""
        nodes = Znodes(SERVERS)
        self.nodes.read_root(nodes)
        return failover.as_servers_have_it(self._settings, map(read_node, nodes.nodes().values()))

    def _names(self, url: RegistryURL) -> set[str]:
        if url.scheme == "file":
            return set(_read_file(url).services)
        if not is_usual(url):
            return set(self._whole(url).services)
        return set(self._nodes_of(url.hosts).children(url.root))

    def _read(self, url: RegistryURL, name: str) -> Service:
        """One service's znodes are enough."""
        if url.scheme == "file":
            return _read_file(url).services[name]
        if not is_usual(url):
            return self._whole(url).services[name]
        tree = open_tree(url)
        self._nodes_of(url.hosts).read_service(tree, name)
        path = f"{url.root.rstrip('/')}/{name}"
        return tree.catalog().services.get(name) or Service(name, to_label(name), path)

    def _whole(self, url: RegistryURL) -> Catalog:
        """All that a preset or a layout of one's own gives: only its reader knows which node is whose."""
        tree = self._trees.get(url)
        if tree is None:
            tree = self._trees[url] = open_tree(url)
            self._nodes_of(url.hosts).read_tree(tree)
        return tree.catalog()

    def change(self, service: str, id: str, change: Change) -> tuple[Override | None, Override | None]:
        """Give what is ordered for the instance, or for the service where `id` is "", the new form; what it
        was before and is now."""
        path = overrides.path(service, id) if id else overrides.node(service)
        try:
            for _ in range(TRIES):
                try:
                    return self._change_once(path, change, overrides.parse if id else overrides.parse_laid)
                except Overtaken:
                    continue  # somebody else wrote in between
        except Forbidden:
            raise Failure(
                f"ZooKeeper refuses to let us write {path} (zookeeper.auth in the settings)"
            ) from None
        except Refused as why:
            raise Failure(f"ZooKeeper did not take {path}: {why}") from None
        raise Failure(f"{path} was changed by others each time that we wrote; try again")

    def _change_once(
        self, path: str, change: Change, parse: Callable[[bytes, float], Override]
    ) -> tuple[Override | None, Override | None]:
        before, node = None, self.nodes.get(path)
        if node is not None:
            with suppress(ValueError):  # what nobody can read orders nothing, and is overwritten
                before = parse(node.data, node.modified)
        now = time.time()
        after = change(trim(before, now), now)
        if node is None:
            if after is not None:
                self.nodes.create(path, overrides.spell(after))
        elif after is not None:
            self.nodes.set(path, overrides.spell(after), node.version)
        else:
            try:
                self.nodes.delete(path, node.version)
            except HasChildren:  # overrides of its instances stand below
                self.nodes.set(path, b"", node.version)
            else:
                self._tidy(path.rpartition("/")[0])
        if after is not None and after.until is not None:
            self._compare_clocks(path)
        return before, after

    def _compare_clocks(self, path: str) -> None:
        """It ends by the servers' clocks, and when that is was reckoned by this machine's."""
        node = self.nodes.get(path)
        ahead = time.time() - node.modified if node is not None else 0.0
        if abs(ahead) > MAX_APART:
            ends = "later" if ahead > 0 else "earlier"
            say(
                f"this machine's clock is {tell_ahead(ahead)}: by that much it ends {ends} than you mean",
                err=True,
            )

    def _tidy(self, folder: str) -> None:
        if folder == OVERRIDES:  # it has an ACL that somebody chose, and a zxid that the serial is made of
            return
        node = self.nodes.get(folder)
        if node is not None and not node.data:  # else a route is laid there
            with suppress(HasChildren, Overtaken, Forbidden):
                self.nodes.delete(folder, node.version)

    def ordered(self) -> dict[tuple[str, str], Override]:
        """All overrides that hold now."""
        in_force: dict[tuple[str, str], Override] = {}
        reducer = Overrides()
        self.nodes.read_root(reducer)
        for key, order in reducer.by_instance().items():
            if (held := trim(order, time.time())) is not None:
                in_force[key] = held
        return in_force


@contextmanager
def operate(settings: Settings) -> Iterator[Operator]:
    """Connected to the ensemble that holds /zkdns: that of the first zk:// registry."""
    hosts = options.first_ensemble(settings, "overrides are kept").hosts
    with ExitStack() as stack:
        try:
            yield Operator(settings, hosts, stack)
        except Refused as why:
            raise Failure(f"ZooKeeper at {hosts}: {why}") from None


def signed(why: str, span: float | None, **what: object) -> Override:
    """A new override by whoever runs this command, now."""
    now = time.time()
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may have no name for its user
        user = f"uid{os.getuid()}"
    who = f"{user}@{socket.gethostname()}"
    until = None if span is None else now + span
    return Override(until=until, why=" ".join(why.split()), who=who, at=now, **what)  # type: ignore[arg-type]


def report(as_json: bool, service: str, id: str, after: Override | None, *lines: str, **more: object) -> None:
    """`more`: what else stands in the JSON."""
    if as_json:
        order = json.loads(overrides.spell(after)) if after is not None else None
        say_json({"service": service, "id": id, "override": order, **more})
    else:
        say(*lines)


# --- reading ----------------------------------------------------------------------------------------


def _read_file(url: RegistryURL) -> Catalog:
    try:
        return file.parse(file.read_file(url.path)[0], 0.0, str(url.path))
    except OSError as error:
        raise Failure(f"{url.path}: {error.strerror}") from None
