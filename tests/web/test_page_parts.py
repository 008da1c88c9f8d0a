"""The parts of the page as values and text: what is first and found, what a day was like, what is safe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from support.steps import longest_sort
from zkdns.answers.route_resolver import Resolver
from zkdns.answers.routed import InForce, Routed
from zkdns.explain.routing import target_shares
from zkdns.health.thresholds import LastProbe
from zkdns.model import Change, Instance, Problem, Registration, Service, ServiceSettings, State
from zkdns.order import RUN
from zkdns.pipeline.outages import Outage
from zkdns.pipeline.replica import ServerNode
from zkdns.routes import Target, Tier
from zkdns.serve.clients import NOT_KEPT, ClientRow, Told
from zkdns.web.page import Asked, Past, View, render
from zkdns.web.page.fleet import spark
from zkdns.web.page.incident import causes
from zkdns.web.page.overview import problems
from zkdns.web.page.services import find, services
from zkdns.web.page.timeline import DAY, UNKNOWN, rows
from zkdns.web.page.words import kind
from zkdns.web.rates import ClientRate, Load
from zkdns.web.shapes import Firsts
from zkdns.web.status import Beside, RegistryStatus, Status

ONE = Fraction(1)
NOW = 1_800_000_000.0


def instance(id: str, state: State = State.HEALTHY, **known: Any) -> Instance:
    registration = Registration(("10.0.0.1",), **known)
    return Instance(id, id.lower(), f"/r/web/{id}", registration, NOW - 60, state=state)


def service(name: str, *instances: Instance) -> Service:
    return Service(name, name.lower(), f"/r/{name}", ServiceSettings(), instances)


def status(*every: Service, **known: Any) -> Status:
    bare = Status(
        version="1",
        engine="python",
        phase="ready",
        ready=True,
        loaded=True,
        why="",
        serial=7,
        stale_seconds=0.0,
        started=NOW - 7200,
        zones=("svc.local",),
        zone_files=(),
        registries=(RegistryStatus("r1", "zk://z/r", True),),
        replica="me",
        lag_seconds=0.001,
        replicas={},
        search_misses={},
        upstreams=(),
        forward={"cached": 0, "in_flight": 0, "cache_bytes": 0},
        problems=(),
        services={s.name: s for s in every},
        ttl=5,
        outages={},
        address="10.0.0.53:53",
    )
    return replace(bare, **known)


def change(at: float, id: str, what: Any, was: str, now: str, why: str = "", by: str = "") -> Change:
    return Change(NOW - at, 1, "web", id, what, was, now, why, by)


def follow(name: str, in_force: InForce, *every: Service) -> Routed:
    """What a route gives, of these services."""
    known = {s.name: s for s in every} | {f"{s.name}@dc2": s for s in every if s.name.endswith("2")}
    return Resolver(known, {name: in_force}, lambda target: target if target in known else None).follow(name)


def tiers(*written: Mapping[str, int]) -> tuple[Tier, ...]:
    return tuple(tuple((Target(t), Fraction(n)) for t, n in tier.items()) for tier in written)


class Tags(HTMLParser):
    """The elements and attributes of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


# --- what is safe -----------------------------------------------------------------------------------------


def test_a_link_to_a_replica_leads_to_an_address_and_nowhere_else() -> None:
    for told, is_link in (
        ("10.0.0.1:8053", 1),
        ("[fd00::1]:8053", 1),
        ("x/../y:1", 0),
        ("a@b:1", 0),
        ("", 0),
    ):
        node = ServerNode(serial=1, at=NOW, http=told)
        page = Tags(render(View(status(replicas={"r": node}), NOW), Asked()))
        assert page.attributes.count(("href", f"http://{told}/")) == is_link


@given(st.text(max_size=40))
def test_no_query_breaks_the_page(text: str) -> None:
    query = dict.fromkeys(
        ("service", "q", "state", "sort", "page", "explain", "type", "client", "if", "at"), text
    )
    page = Tags(render(View(status(service("web", instance("a"))), NOW), Asked.read(query)))
    assert page.names[-1] == "a"


# --- what is first ----------------------------------------------------------------------------------------


def test_the_verdict_tells_of_services_that_lost_all_and_the_tab_counts_them() -> None:
    gone = Change(NOW - 300, 1, "web", "a", "gone", "healthy", "", "its session ended")
    view = View(
        status(service("web"), service("db", instance("x")), outages={"web": Outage(NOW - 300, gone, True)}),
        NOW,
    )
    page = Tags(render(view, Asked()))
    assert "1 service without a healthy instance." in page.text
    assert "All services" not in page.text
    assert "5 min ago" in page.text
    assert "a is gone: its session ended" in page.text
    assert "<title>(1) zkdns</title>" in render(view, Asked())


def test_a_folder_that_never_had_any_is_told_and_is_no_outage() -> None:
    view = View(
        status(service("new"), service("db", instance("x")), outages={"new": Outage(NOW, None, False)}), NOW
    )
    page = Tags(render(view, Asked())).text
    assert "1 service never had an instance since the server began." in page
    assert "without a healthy instance" not in page
    assert "<title>zkdns</title>" in render(view, Asked())


def order(view: View, asked: Asked) -> list[str]:
    return re.findall(r'<tr class="\w*" data-key="(\w+)"', services(view, asked))


def test_the_worst_are_first_and_each_column_sorts_both_ways() -> None:
    view = View(
        status(
            service("a", instance("x")),
            service("b"),
            service("c", instance("x"), instance("y", State.FAILING)),
            service("d", instance("x", State.DOWN)),
            service("e"),
            outages={
                "b": Outage(NOW, None, False),
                "d": Outage(NOW, None, True),
                "e": Outage(NOW, None, True),
            },
        ),
        NOW,
    )
    assert order(view, Asked()) == ["d", "e", "c", "b", "a"]
    assert order(view, Asked(sort="name")) == ["a", "b", "c", "d", "e"]
    assert order(view, Asked(sort="-name")) == ["e", "d", "c", "b", "a"]
    assert order(view, Asked(sort="instances"))[0] == "c"
    assert order(view, Asked(sort="nonsense")) == order(view, Asked())
    assert order(view, Asked(state="failing")) == ["c"]
    assert order(view, Asked(state="empty")) == ["e", "b"]


def test_thousands_of_services_are_sorted_in_short_steps() -> None:
    """One call that sorts them all keeps the loop waiting, as long as it takes."""
    view = View(status(*(service(f"s{n}", instance("x")) for n in range(RUN + 1))), NOW)
    assert longest_sort(lambda: render(view, Asked())) <= RUN
    assert longest_sort(lambda: render(view, Asked(sort="-name", page=3))) <= RUN


def test_services_are_found_by_all_that_an_instance_is_known_by() -> None:
    one = service(
        "web",
        instance("node-7", tags=("canary",), zone="eu-1a", meta=(("version", "1.4"),), host="box.example"),
    )
    for words in ("WEB", "node-7", "10.0.0.1", "CANARY", "eu-1a", "version=1.4", "box.example"):
        assert find(one, Asked(q=words)) is not None, words
    assert find(one, Asked(q="node-7")) == ["node-7"]
    assert find(one, Asked(q="web")) == []
    assert find(one, Asked(q="elsewhere")) is None


def test_problems_of_one_kind_are_one_fold_and_lead_to_their_service() -> None:
    found = tuple(
        Problem(f"/r/web/i{n}", f'address is "10.0.0.{n}", not an address', "mend it") for n in range(9)
    )
    view = View(
        status(service("web"), problems=(*found, Problem("/elsewhere", "it can't be read", "x"))), NOW
    )
    page = problems(view)
    assert page.count("<details") == 2
    assert " open>" not in page
    assert "<b>9</b> address is …, not an address" in page
    assert page.count('href="/?service=web"') == 9
    few = problems(View(status(problems=found[:2]), NOW))
    assert " open>" in few


# --- beside a service --------------------------------------------------------------------------------------


def shown(beside: Beside, *, firsts: Mapping[str, int] | None = None, name: str = "web") -> str:
    view = View(status(service("web")), NOW, Firsts(firsts or {}, firsts or {}), beside=beside)
    return Tags(render(view, Asked(name))).text


def test_a_route_shows_its_tiers_its_targets_and_what_each_is_due_and_was_given() -> None:
    v1, v2 = service("web-v1", instance("a"), instance("b")), service("web-v2", instance("a"))
    spare = service("spare", instance("s"))
    in_force = InForce(tiers({"web-v1": 90, "web-v2": 10}, {"spare": 1}), source="override", until=NOW + 3600)
    route = follow("web", in_force._replace(over=600.0), service("web"), v1, v2, spare)
    counts = {"web-v1/a": 30, "web-v1/b": 30, "web-v2/a": 20}
    targets = target_shares(route, counts)
    assert [(t.tier, str(t.target), t.due, t.given, t.healthy, t.registered) for t in targets] == [
        (1, "web-v1", 0.9, 0.75, 2, 2),
        (1, "web-v2", 0.1, 0.25, 1, 1),
        (2, "spare", 0.0, 0.0, 1, 1),
    ]
    page = shown(Beside(route, targets), firsts=counts)
    for words in (
        "The name stands for web-v1=90 web-v2=10, then spare", "Laid over it by an operator",
        "Its shares move, over 10 min in all", "It ends in 1 h", "90.0%", "75.0%", "2 of 2",
        "No instance of its own is registered.",
    ):  # fmt: skip
        assert words in page, words


def test_what_is_wrong_with_a_route_is_told_beside_it() -> None:
    route = follow("web", InForce(tiers({"gone": 1}), source="node"), service("web"))
    page = shown(Beside(route, target_shares(route, {})))
    assert "It gives nobody now." in page
    assert "its target gone names no service" in page
    assert "Written in its node" in page


def test_the_own_instances_of_a_route_are_due_what_the_route_leaves_them() -> None:
    one = service("web", instance("a"))
    view = View(status(one), NOW, Firsts({"a": 1, "x/b": 3}, {"a": 1, "x/b": 3}, {"a": 0.1, "x/b": 0.9}))
    page = Tags(render(view, Asked("web"))).text
    assert "10.0%" in page
    assert "25.0%" in page
    assert "100.0%" not in page


def test_what_goes_from_zone_to_zone_is_a_table() -> None:
    zones = [
        {"from": "eu-1a", "to": "eu-1a", "share": 0.5, "given": 0.25, "answers": 4},
        {"from": "eu-1a", "to": "", "share": 0.5, "given": 0.75, "answers": 12},
        {"from": "eu-1b", "to": "eu-1a", "share": 1.0, "given": 0.0, "answers": 0},
    ]
    page = shown(Beside(zones=zones))
    assert "From zone to zone" in page
    assert "no zone" in page
    assert "75.0%" in page
    assert page.count("given none yet") == 1
    assert "From zone to zone" not in shown(Beside())


def test_who_asked_is_told_the_latest_first_and_counted() -> None:
    rows = tuple(
        ClientRow(f"10.0.1.{n}", "web", NOW - 600, NOW - n, n + 1, "a" * (n != 1)) for n in range(60)
    )
    page = shown(Beside(told=Told(rows, 7)))
    assert "Who asked (60 clients)" in page
    assert page.index("10.0.1.0") < page.index("10.0.1.49")
    assert "10.0.1.50" not in page
    assert "and 10 more" in page
    assert "7 rows had to go" in page
    assert "nobody" in page
    assert "Nobody asked this server for it yet." in shown(Beside(told=Told(())))
    assert "client_table is off" in shown(Beside(told=NOT_KEPT))
    assert "10.0.1.7" in shown(Beside(told=Told(rows)), name="gone")


def test_a_service_whose_route_gives_others_is_no_outage_and_one_that_gives_nobody_is() -> None:
    own = service("web", replace(instance("a", State.DOWN), answered=False))
    spare = service("spare", instance("s"))
    down = Outage(NOW - 300, change(300, "a", "state", "healthy", "down"), True)
    route = follow("web", InForce(tiers({"web": 1}, {"spare": 1}), source="node"), own, spare)
    replaced = View(status(own, spare, outages={"web": down}), NOW, routed={"web": route})
    page = Tags(render(replaced, Asked())).text
    assert "1 service without one of its own: the route gives others." in page
    assert "failed over to spare (0 of 1 healthy)" in page
    assert "<title>zkdns</title>" in render(replaced, Asked())
    opened = replace(spare, note="fail_open: all given (0 of 1 healthy)")
    route = follow("web", InForce(tiers({"web": 1}, {"spare": 1}), source="node"), own, opened)
    assert "spare: fail_open: all given (0 of 1 healthy)" in shown(Beside(route))
    alias = follow("alias", InForce(tiers({"web": 1}), source="node"), own, service("alias"))
    broken = View(status(own, service("alias")), NOW, routed={"alias": alias})
    page = Tags(render(broken, Asked())).text
    assert "1 service without a healthy instance." in page
    assert "none of its route's targets has one" in page
    assert "never had an instance" not in page
    assert order(broken, Asked())[0] == "alias"


def test_a_name_that_stands_for_others_is_not_empty() -> None:
    web, alias, unused = service("web", instance("a")), service("alias"), service("unused")
    route = follow("alias", InForce(tiers({"web": 1}), source="node"), web, alias)
    view = View(status(web, alias, unused), NOW, routed={"alias": route})
    page = Tags(render(view, Asked())).text
    assert "1 service never had an instance" in page
    assert "empty 1" in page
    assert order(view, Asked(state="empty")) == ["unused"]


def test_while_nothing_is_loaded_it_says_what_is_waited_for_and_then_where_it_looks() -> None:
    read = RegistryStatus("dc1", "zk://a/r", True)
    waited = RegistryStatus("dc2", "zk://b/r", False, whole=False, trouble="Connection refused")
    page = Tags(render(View(status(loaded=False, ready=False, registries=(read, waited)), NOW), Asked())).text
    assert "not loaded yet (zk://b/r: Connection refused). Our names" in page
    assert "Nothing is known yet." in page
    assert "registered yet" not in page
    page = Tags(render(View(status(registries=(read, replace(waited, whole=True))), NOW), Asked())).text
    assert "Nothing is registered yet in zk://a/r, zk://b/r." in page
    assert "No service matches." in Tags(render(View(status(), NOW), Asked(q="x"))).text


def test_of_several_registries_each_has_its_own_age() -> None:
    away = (
        RegistryStatus("dc1", "zk://a/r", True),
        RegistryStatus("dc2", "zk://b/r", False, stale_seconds=120),
    )
    page = Tags(render(View(status(service("web"), registries=away, stale_seconds=120.0), NOW), Asked())).text
    assert "Stale: 1 of 2 registries out of reach (dc2 for 2 min)." in page
    assert "away for 2 min" in page


def test_what_the_servers_own_probe_said_last_is_told_also_of_one_that_is_in() -> None:
    one = service("web", instance("a"), instance("b"), instance("c"))
    probes = {"a": LastProbe(NOW - 4, ""), "b": LastProbe(NOW - 9, "connect 10.0.0.1:80: refused")}
    page = Tags(render(View(status(one), NOW, beside=Beside(probes=probes)), Asked("web"))).text
    assert "last probe4 s ago: good" in page
    assert "last probe9 s ago: connect 10.0.0.1:80: refused" in page
    assert page.count("last probe") == 2


# --- how much is asked --------------------------------------------------------------------------------------


def test_what_is_asked_most_can_be_sorted_to_the_top_and_the_clients_that_ask_most_are_named() -> None:
    load = Load((5.0, 1234.5), {"b": 1200.0, "c": 0.25}, [ClientRate("10.0.1.7", 1200.0, 9000)], True)
    view = View(status(service("a"), service("b"), service("c")), NOW, load=load)
    page = Tags(render(view, Asked())).text
    for words in (
        "1,234 queries a second; at most 1,234",
        "Who asks most",
        "10.0.1.7",
        "1,200",
        "9,000",
        "0.2",
    ):
        assert words in page, words
    assert order(view, Asked(sort="asked")) == ["b", "c", "a"]
    assert order(view, Asked(sort="-asked")) == ["a", "c", "b"]


def test_each_replica_tells_how_much_it_is_asked() -> None:
    rates = {"me": 7.0, "other": 450.2, "old": None}
    nodes = {name: ServerNode(serial=1, at=NOW, rate=rate) for name, rate in rates.items()}
    view = View(status(replicas=nodes), NOW, load=Load((31.0,)))
    page = Tags(render(view, Asked())).text
    assert "me (this one)7not measured yet310 s ago" in page
    assert "other1not measured yet4500 s ago" in page
    assert "old1not measured yet0 s ago" in page


def test_where_nobody_notes_who_asks_there_is_no_such_column() -> None:
    view = View(status(service("a")), NOW, load=Load((5.0, 6.0)))
    page = Tags(render(view, Asked(sort="asked"))).text
    assert "6.0 queries a second" in page
    assert "Who asks most" not in page
    assert "Queries a second" not in page


# --- a service's last day ---------------------------------------------------------------------------------


def spans(past: Past, *instances: Instance) -> dict[str, list[tuple[int, int, str]]]:
    """Each row's spans, in seconds ago."""
    return {
        row.id: [(round(NOW - s.begin), round(NOW - s.end), s.state) for s in row.spans]
        for row in rows(service("web", *instances), past, NOW)
    }


def test_a_day_is_made_of_the_states_between_changes() -> None:
    past = Past(
        (change(7200, "a", "state", "healthy", "failing"), change(3600, "a", "state", "failing", "healthy")),
        NOW - 2 * DAY,
    )
    assert spans(past, instance("a"), instance("b", State.DOWN)) == {
        "a": [(86400, 7200, "healthy"), (7200, 3600, "failing"), (3600, 0, "healthy")],
        "b": [(86400, 0, "down")],
    }
    (a, b) = rows(service("web", instance("a"), instance("b")), past, NOW)
    assert (a.flaps, b.flaps) == (2, 0)


def test_who_came_and_went_is_there_for_as_long_as_he_was() -> None:
    past = Past(
        (change(900, "a", "registered", "", "healthy"), change(600, "a", "gone", "healthy", "")), NOW - DAY
    )
    assert spans(past) == {"a": [(86400, 900, ""), (900, 600, "healthy"), (600, 0, "")]}


def test_weights_addresses_and_settings_are_no_states() -> None:
    past = Past(
        (
            change(900, "a", "weight", "1", "5"),
            change(800, "a", "registered", "10.0.0.1", "10.0.0.2"),
            change(700, "", "settings", "ttl 5", "ttl 9"),
        ),
        NOW - DAY,
    )
    assert spans(past, instance("a")) == {"a": [(86400, 0, "healthy")]}
    assert len(rows(service("web", instance("a")), past, NOW)[0].changes) == 2


def test_a_journal_that_is_young_is_shown_as_far_as_it_reaches() -> None:
    assert spans(Past((), NOW - 3600), instance("a")) == {"a": [(3600, 0, "healthy")]}
    assert spans(Past((), NOW - 4), instance("a")) == {"a": [(10, 4, UNKNOWN), (4, 0, "healthy")]}
    assert spans(Past(), instance("a")) == {"a": [(10, 0, UNKNOWN)]}


@given(
    st.lists(st.tuples(st.floats(0, 2 * DAY), st.sampled_from(["healthy", "failing", ""])), max_size=8),
    st.floats(0, 2 * DAY),
)
def test_spans_follow_each_other_without_a_gap_up_to_now(
    moves: list[tuple[float, str]], since: float
) -> None:
    told, was = [], ""
    for at, now in sorted(moves, reverse=True):
        if now != was:
            told.append(
                change(at, "a", "state" if was and now else "gone" if was else "registered", was, now)
            )
            was = now
    for row in rows(service("web"), Past(told, NOW - since), NOW):
        assert row.spans[-1].end == NOW
        assert all(a.end == b.begin for a, b in zip(row.spans, row.spans[1:], strict=False))
        assert all(s.begin < s.end for s in row.spans)


def test_each_change_is_marked_by_a_link_to_the_line_that_tells_it() -> None:
    told = (
        change(60, "a", "state", "healthy", "failing", "refused"),
        change(30, "a", "state", "failing", "healthy"),
    )
    page = Tags(
        render(View(status(service("web", instance("a"))), NOW, past=Past(told, NOW - DAY)), Asked("web"))
    )
    marks = [str(to)[1:] for name, to in page.attributes if name == "href" and str(to).startswith("#at-")]
    assert len(set(marks)) == 2
    assert all(("id", mark) in page.attributes for mark in marks)
    assert "state (healthy → failing): refused" in page.text


def test_a_day_is_as_wide_as_it_was_long_and_drawn_without_markup_that_others_could_bring() -> None:
    told = (
        change(DAY / 2, "a", "state", "healthy", "failing", "refused"),
        change(DAY / 4, "a", "weight", "1", "2"),
    )
    one = service("web", instance("a", State.FAILING))
    view = View(status(one), NOW, past=Past(told, NOW - 2 * DAY), load=Load((5.0, 9.0)))
    html = render(view, Asked("web"))
    page = Tags(html)
    assert [v for name, v in page.attributes if name == "width"] == ["50.00%", "25.00%", "25.00%"]
    words = [v for name, v in page.attributes if name == "data-state"]
    assert words == ["healthy", "failing", "failing"]
    assert not any(f"<{tag}" in html for tag in ("svg", "img", "script>", "style"))


def test_a_line_of_blocks_is_as_high_as_the_highest_that_each_stands_for() -> None:
    assert spark([0, 1, 2, 4, 8]) == " ▁▂▄█"
    assert spark([0.0] * 79 + [3.0]) == " " * 39 + "█"
    assert spark([0.2]) == "▂"


def test_of_what_kind_a_sentence_is_costs_no_more_than_reading_it() -> None:
    assert kind("connect 10.0.0.1:80: refused") == kind("connect 10.0.0.2:80: refused") == "connect … refused"
    assert kind("drained by 'ann b' for \"x y\"") == "drained by … for …"
    assert kind("it's so") == "it's so"
    for text in ("x" * 1_000_000, "'" * 1_000_001, "x'" * 500_000, "\"'" * 500_000):
        assert len(kind(text)) <= len(text)  # the square of this would never end


# --- the last hour, by cause --------------------------------------------------------------------------------


def test_what_one_cause_did_is_one_line_and_the_newest_cause_is_first() -> None:
    told = [
        change(50, "a", "gone", "healthy", "", "its session ended"),
        change(49, "b", "gone", "healthy", "", "its session ended"),
        change(40, "c", "state", "healthy", "failing", "connect 10.0.0.1:80: refused"),
        change(39, "d", "state", "healthy", "failing", "connect 10.0.0.2:80: refused"),
        change(30, "e", "state", "healthy", "drained", "drained by ann: disk", "ann"),
    ]
    assert [[c.id for c in some] for some in causes(told, NOW - 9999)] == [["e"], ["c", "d"], ["a", "b"]]


def test_what_a_server_reads_when_it_begins_is_no_change() -> None:
    told = [change(100, "a", "registered", "", "healthy"), change(50, "b", "registered", "", "healthy")]
    assert [[c.id for c in some] for some in causes(told, NOW - 101)] == [["b"]]
