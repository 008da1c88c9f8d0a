"""Host names that lead to services of ours: followed as those change, and never in a circle."""

from __future__ import annotations

from dataclasses import replace

from support.steps import steps
from zkdns.model import Instance, Registration, Service, State
from zkdns.pipeline.hostnames import Account, Hostnames
from zkdns.steps import finish


def service(name: str, **instances: str) -> Service:
    """Instances by id: an address, or a host name."""
    made = []
    for id, where in instances.items():
        host = where if where[-1].isalpha() else None
        registration = Registration(() if host else (where,), host)
        made.append(Instance(id, id, f"/{name}/{id}", registration, 0.0))
    return Service(name, name, f"/{name}", instances=tuple(made))


class World:
    """Services as they register; each is served as soon as it is registered."""

    def __init__(self, *services: Service) -> None:
        self.served: dict[str, Service] = {}
        self.registered = {s.name: s for s in services}
        self.filed: set[str] = set()
        self.hostnames = Hostnames(("svc.local", "two.test"), self.served, is_filed=self.filed.__contains__)
        finish(self.hostnames.follow(dict(self.registered)))

    def publish(self, new: Service) -> set[str]:
        """The services that must be published again because of it."""
        before = self.served.get(new.name)
        self.served[new.name] = self.registered[new.name] = new
        finish(self.hostnames.follow(dict(self.registered)))
        self.hostnames.changed(before, new)
        return self.followed()

    def followed(self) -> set[str]:
        """Those that are to be published again by now."""
        followers, every = self.hostnames.followers, set[str | None]()
        while followers.has_work:
            every.add(followers.take_next())
        return {name for name in every if name is not None}

    def take(self, host: str, *addresses: str, why: str = "") -> set[str]:
        """The same because of what a name outside was found to be."""
        self.hostnames.take(host, addresses, why)
        return self.followed()

    def leads_to(self, host: str) -> tuple[str, ...]:
        completed = finish(self.hostnames.complete(service("x", a=host)))
        return completed.instances[0].addresses if completed.instances else ()


def test_a_name_of_ours_is_followed_at_once_when_its_service_changes() -> None:
    world = World(service("web", a="db.svc.local", b="a.db.two.test"))
    assert world.leads_to("db.svc.local") == ()
    assert world.publish(service("db", a="10.0.0.1", b="10.0.0.2")) == {"web"}
    assert world.leads_to("db.svc.local") == ("10.0.0.1", "10.0.0.2")
    assert world.leads_to("a.db.two.test") == ("10.0.0.1",)
    assert world.publish(service("db", a="10.0.0.3")) == {"web"}
    assert world.leads_to("db.svc.local") == ("10.0.0.3",)
    assert world.leads_to("a.db.two.test") == ("10.0.0.3",)
    assert not world.hostnames.outside, "nobody else is asked for names of ours"


def test_a_name_of_ours_that_no_service_has_may_be_a_zone_files() -> None:
    world = World(service("web", a="box.svc.local", b="10.0.0.9"))

    def read_files(*hosts: str) -> set[str]:
        world.filed.clear()
        world.filed.update(hosts)
        world.hostnames.take_files()
        finish(world.hostnames.follow(dict(world.registered)))
        assert not world.hostnames.are_files_new
        return world.followed()

    assert read_files("other.svc.local") == set()
    assert not world.hostnames.outside
    assert read_files("box.svc.local") == set(), "nobody was asked yet"
    assert list(world.hostnames.outside) == ["box.svc.local"]
    assert read_files("box.svc.local") == set(), "it is one already"
    assert world.take("box.svc.local", "192.0.2.7") == {"web"}
    assert world.leads_to("box.svc.local") == ("192.0.2.7",)
    assert world.publish(service("box", a="10.0.0.1")) == {"web"}
    assert world.leads_to("box.svc.local") == ("10.0.0.1",), "the service wins"
    world.publish(service("box"))
    assert world.leads_to("box.svc.local") == (), "though it has no instance"
    del world.served["box"], world.registered["box"]
    world.hostnames.changed(service("box"), None)
    assert world.followed() == {"web"}
    assert world.leads_to("box.svc.local") == ("192.0.2.7",)
    assert read_files() == {"web"}
    assert world.leads_to("box.svc.local") == ()
    assert not world.hostnames.outside


def test_names_that_lead_to_each_other_keep_nothing_alive() -> None:
    world = World(service("a", x="b.svc.local"), service("b", x="a.svc.local"))
    for one in list(world.registered.values()):
        world.publish(one)
    assert world.leads_to("a.svc.local") == ()
    assert world.leads_to("b.svc.local") == ()


def test_the_own_name_of_a_service_keeps_nothing_alive() -> None:
    world = World()
    own = service("web", a="10.0.0.1", b="WEB.svc.local")
    world.publish(own)
    assert [i.id for i in finish(world.hostnames.complete(own)).instances if i.answered] == ["a"]


def test_a_name_that_does_not_resolve_is_counted_from_its_first_answer_on() -> None:
    world = World(service("web", a="db.example.com", b="10.0.0.1", c="nope.svc.local"))

    def states() -> dict[str, str]:
        return {
            i.id: i.state.value for i in finish(world.hostnames.complete(world.registered["web"])).instances
        }

    assert states() == {"b": "healthy", "c": "unreadable"}, "nobody knows yet what is to be said of a"
    world.hostnames.take("db.example.com", (), "no such name")
    completed = finish(world.hostnames.complete(world.registered["web"]))
    (a,) = (i for i in completed.instances if i.id == "a")
    assert (a.state, a.answered, a.weight, a.addresses) == (State.UNREADABLE, False, 0, ())
    assert a.reason == "the host name 'db.example.com' doesn't resolve"
    assert completed.healthy() == 1
    assert {p.what for p in world.hostnames.problems.values()} == {a.reason} | {
        "the host name 'nope.svc.local' doesn't resolve"
    }
    world.hostnames.take("db.example.com", ("192.0.2.1",), "")
    assert states() == {"a": "healthy", "b": "healthy", "c": "unreadable"}
    world.hostnames.take("db.example.com", (), "no such name")
    assert states()["a"] == "healthy", "the last good addresses stay"


def test_a_name_outside_is_followed_until_nobody_registers_it_any_more() -> None:
    world = World(service("web", a="db.example.com"), service("api", a="db.example.com"))
    hostnames = world.hostnames
    assert set(hostnames.outside) == {"db.example.com"}
    assert not hostnames.all_heard
    assert world.take("db.example.com", "192.0.2.1", "192.0.2.2") == {"web", "api"}
    assert hostnames.all_heard
    assert world.leads_to("db.example.com") == ("192.0.2.1", "192.0.2.2")
    assert world.take("db.example.com", "192.0.2.2", "192.0.2.1") == set(), "turned round is no news"
    world.publish(service("web", a="10.0.0.9"))
    assert set(hostnames.outside) == {"db.example.com"}
    world.publish(service("api", a="10.0.0.9"))
    assert not hostnames.outside
    assert world.take("db.example.com", "192.0.2.7") == set()
    assert world.leads_to("db.example.com") == ()


def test_the_last_good_addresses_stay_while_a_name_does_not_resolve() -> None:
    world = World(service("web", a="db.example.com"))
    hostnames = world.hostnames
    assert world.take("db.example.com", why="no such name") == {"web"}
    assert hostnames.all_heard, "it failed once, and nobody waits for more"
    finish(hostnames.complete(world.registered["web"]))
    assert "doesn't resolve" in hostnames.problems["/web/a"].what
    hostnames.take("db.example.com", ("192.0.2.1",), "")
    finish(hostnames.complete(world.registered["web"]))
    assert hostnames.problems == {}
    hostnames.take("db.example.com", (), "no such name")
    assert world.leads_to("db.example.com") == ("192.0.2.1",)


def test_the_problem_of_an_instance_goes_with_it() -> None:
    world = World(service("web", a="db.example.com", b="10.0.0.1"))
    finish(world.hostnames.complete(world.registered["web"]))
    assert set(world.hostnames.problems) == {"/web/a"}
    world.publish(service("web", b="10.0.0.1"))
    assert world.hostnames.problems == {}


def test_what_a_name_leads_to_is_an_address_that_clients_can_reach_or_none() -> None:
    world = World(service("web", a="db.example.com"))
    told = ("224.0.0.1", "255.255.255.255", "0.0.0.0", "::ffff:10.0.0.5", "10.0.0.6", "fe80::1", "fd00::1")
    assert world.take("db.example.com", *told) == {"web"}
    assert world.leads_to("db.example.com") == ("10.0.0.5", "10.0.0.6", "fd00::1")
    world.hostnames.take("db.example.com", ("224.0.0.1",), "")
    assert world.leads_to("db.example.com") == ("10.0.0.5", "10.0.0.6", "fd00::1"), "the last good ones stay"


def test_of_too_many_addresses_of_a_name_the_same_ones_stay_however_they_are_turned() -> None:
    world = World(service("web", a="db.example.com"))
    many = tuple(f"10.1.{n >> 8}.{n & 255}" for n in range(1000))
    assert world.take("db.example.com", *many) == {"web"}
    kept = world.leads_to("db.example.com")
    assert len(kept) == 64
    assert world.take("db.example.com", *many[500:], *many[:500]) == set()
    assert world.leads_to("db.example.com") == kept


def test_a_name_that_is_waited_for_is_waited_for_though_others_come() -> None:
    world = World(service("web", a="one.example"))
    world.publish(service("db", a="two.example"))
    world.hostnames.take("two.example", ("192.0.2.2",), "")
    assert not world.hostnames.all_heard
    waiting = finish(world.hostnames.complete(world.registered["web"]))
    assert waiting.instances == (), "nothing is said of it yet"
    world.hostnames.take("one.example", (), "no such name")
    assert world.hostnames.all_heard
    (unread,) = finish(world.hostnames.complete(world.registered["web"])).instances
    assert unread.state is State.UNREADABLE


def test_a_name_of_ours_stands_for_those_that_its_service_gives_and_one_of_an_instance_for_that() -> None:
    world = World(service("web", a="db.svc.local"))
    db = service("db", a="10.0.0.1", b="10.0.0.2")
    drained = replace(db.instances[0], state=State.DRAINED, answered=False)
    world.publish(replace(db, instances=(drained, db.instances[1])))
    assert world.leads_to("db.svc.local") == ("10.0.0.2",)
    assert world.leads_to("a.db.svc.local") == ("10.0.0.1",)


def test_what_one_registry_alone_holds_of_a_service_is_not_what_its_name_leads_to() -> None:
    world = World(service("web", a="db.svc.local"))
    view = service("db", z="10.9.9.9")
    world.served["db@dc2"] = replace(view, name="db@dc2", view_of="db")
    world.publish(service("db", a="10.0.0.1"))
    assert world.leads_to("db.svc.local") == ("10.0.0.1",)


def of_ours(name: str, label: str) -> Service:
    one = Instance("a", "a", f"/services/{name}/a", Registration(("10.0.0.1",), port=80), 0.0)
    return Service(name, label, f"/services/{name}", instances=(one,))


def naming(*hosts: str) -> Service:
    instances = tuple(
        Instance(f"i{n}", f"i{n}", f"/services/web/i{n}", Registration((), host, port=80), 0.0)
        for n, host in enumerate(hosts)
    )
    return Service("web", "web", "/services/web", instances=instances)


def test_host_names_in_our_zones_cost_the_same_however_many_services_there_are() -> None:
    def cost(count: int) -> int:
        services = {f"s{n}": of_ours(f"s{n}", f"s{n}") for n in range(count)}
        hostnames = Hostnames(["svc.local"], services)
        for service in services.values():
            hostnames.changed(None, service)
        return steps(lambda: finish(hostnames.complete(naming(*(f"nobody{n}.svc.local" for n in range(50))))))

    assert cost(800) < 1.25 * cost(40)


def test_a_service_is_found_by_the_label_that_it_has_now() -> None:
    services = {"My_Web": of_ours("My_Web", "my-web")}
    hostnames = Hostnames(["svc.local"], services)
    hostnames.changed(None, services["My_Web"])

    def addresses() -> tuple[str, ...]:
        return finish(hostnames.complete(naming("my-web.svc.local"))).instances[0].addresses

    assert addresses() == ("10.0.0.1",)
    before, services["My_Web"] = services["My_Web"], of_ours("My_Web", "my-web-1234")
    hostnames.changed(before, services["My_Web"])
    assert addresses() == ()
    hostnames.changed(services.pop("My_Web"), None)
    services["my-web"] = of_ours("my-web", "my-web")
    hostnames.changed(None, services["my-web"])
    assert addresses() == ("10.0.0.1",)


def test_a_name_is_on_the_account_of_who_has_fewest_as_it_was_registered() -> None:
    """Else whoever has thousands of names would have another's wait among them, by naming it as well."""
    web = service("web", a="db.example.com")
    web = replace(web, instances=tuple(replace(i, owner=7, registry="r2", zxid=9) for i in web.instances))
    tenant = service("a", **{f"i{n}": f"dead{n}.example.com" for n in range(9)}, more="db.example.com")
    outside = World(tenant, web).hostnames.outside
    assert outside["db.example.com"] == Account("web", 7, "r2", 9)
    assert {outside[f"dead{n}.example.com"] for n in range(9)} == {Account("a")}


def test_to_complete_a_service_again_costs_what_stands_for_something_else() -> None:
    def lines(number: int) -> int:
        web = naming(*(f"h{n}.example.org" for n in range(number)))
        world = World(web)
        hostnames = world.hostnames
        for n in range(number):
            hostnames.take(f"h{n}.example.org", (f"10.0.{n >> 8}.{n & 255}",), "")
        completed = [finish(hostnames.complete(web))]
        other = replace(web.instances[3], zxid=9)
        web = replace(web, instances=(*web.instances[:3], other, *web.instances[4:]))
        world.registered["web"] = web
        finish(hostnames.follow(dict(world.registered)))
        cost = steps(lambda: completed.append(finish(hostnames.complete(web))))
        hostnames.take("h5.example.org", ("10.9.9.9",), "")
        completed.append(finish(hostnames.complete(web)))
        first, second, third = [service.instances for service in completed]
        assert [n for n in range(number) if second[n] is not first[n]] == [3]
        assert [n for n in range(number) if third[n] is not second[n]] == [5]
        assert third[5].addresses == ("10.9.9.9",)
        return cost

    assert lines(200) == lines(20)
