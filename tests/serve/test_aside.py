"""What is compiled beside the loop: in turn by service, once for all who ask, and bounded."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import dns.message
import dns.rcode
import pytest

from support.asking import reply_of
from support.waiting import until
from zkdns.answers import kept
from zkdns.answers.builder import Builder
from zkdns.answers.kept import MAX_INSTANCES_IN_LOOP, MIN_RECORDS, TIMES, Kept
from zkdns.answers.table import Table, Unready
from zkdns.forward.allow import network_of
from zkdns.forward.pending import Pending
from zkdns.model import Instance, Registration, Service
from zkdns.serve.aside import MAX_ASKING, MAX_SERVICES, MAX_WAITING, Aside, run_in
from zkdns.serve.clients import ClientTable
from zkdns.serve.dispatch import Dispatcher
from zkdns.serve.waiting import MAX_STEPS

HERE, THERE = network_of("192.0.2.1"), network_of("198.51.100.1")


def still() -> float:
    """A clock in which nothing takes time."""
    return 0.0


class ByHand:
    """Runs what it is given when told to."""

    def __init__(self) -> None:
        self.works: list[Callable[[], object]] = []
        self.thens: list[Callable[[], None]] = []

    def __call__(self, work: Callable[[], object], then: Callable[[], None]) -> None:
        self.works.append(work)
        self.thens.append(then)

    def finish(self) -> object:
        done = self.works.pop()()
        self.thens.pop()()
        return done


def test_services_take_turns_and_what_is_asked_twice_is_done_once() -> None:
    hand, told = ByHand(), []
    aside = Aside(hand, still)
    for n in range(4):
        assert aside.do("hog", HERE, n, lambda n=n: n, lambda n=n: told.append(f"hog {n}"))  # type: ignore[misc]
    assert aside.do("web", HERE, "x", lambda: "x", lambda: told.append("web"))
    assert aside.do("web", HERE, "x", lambda: "never", lambda: told.append("web too"))
    done = [hand.finish() for _ in range(5)]
    assert done == [0, 1, "x", 2, 3]
    assert told == ["hog 0", "hog 1", "web", "web too", "hog 2", "hog 3"]
    assert not hand.works


def test_the_networks_of_those_who_ask_for_one_service_take_turns() -> None:
    hand, told = ByHand(), []
    aside = Aside(hand, still)
    for n in range(4):
        assert aside.do("web", HERE, n, lambda: None, lambda n=n: told.append(n))  # type: ignore[misc]
    assert aside.do("web", THERE, "x", lambda: None, lambda: told.append("x"))
    while hand.works:
        hand.finish()
    assert told == [0, 1, "x", 2, 3]


def test_who_asks_little_of_a_service_waits_for_no_more_than_what_is_under_way() -> None:
    hand, told = ByHand(), []
    aside = Aside(hand, still)
    for n in range(4):
        assert aside.do("web", HERE, n, lambda: None, lambda n=n: told.append(n))  # type: ignore[misc]
    hand.finish()
    assert aside.do("web", THERE, "x", lambda: None, lambda: told.append("x"))
    while hand.works:
        hand.finish()
    assert told == [0, 1, "x", 2, 3]


def fill(aside: Aside, service: str, network: bytes, key: object = None) -> int:
    """As many as may ask; for the same with a key, for one after another without."""
    keys = itertools.count() if key is None else itertools.repeat(key)
    return sum(1 for _ in itertools.takewhile(bool, (
        aside.do(service, network, (network, k), lambda: None, lambda: None) for k in keys
    )))  # fmt: skip


def test_who_comes_when_the_line_is_full_is_told_so_and_others_are_not() -> None:
    hand = ByHand()
    aside = Aside(hand, still)
    assert fill(aside, "hog", HERE) == 1 + 3 * MAX_WAITING // 4, "one is done, and so many wait"
    assert fill(aside, "web", HERE, "x") == 3 * MAX_ASKING // 4
    assert fill(aside, "hog", THERE) == 3
    assert fill(aside, "web", THERE, "x") == 3 * MAX_ASKING // 16
    fill_all = [fill(aside, "hog", b"%d" % n) + fill(aside, "web", b"%d" % n, "x") for n in range(40)]
    assert fill_all[-1] == 0, "so many wait, of however many networks"
    many = [aside.do(f"s{n}", HERE, n, lambda: None, lambda: None) for n in range(1000, 1000 + MAX_SERVICES)]
    assert many.count(False) == 2
    while hand.works:
        hand.finish()
    assert aside.do("hog", HERE, "again", lambda: None, lambda: None)
    assert [*aside._accounts] == ["hog"]


def test_what_a_waiter_raises_costs_the_ones_after_it_nothing() -> None:
    hand, told = ByHand(), []
    aside = Aside(hand, still)
    aside.do("web", HERE, 1, lambda: None, lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    aside.do("db", HERE, 2, lambda: None, lambda: told.append("db"))
    hand.finish()
    hand.finish()
    assert told == ["db"]


async def test_those_who_waited_for_one_thing_are_told_in_turns() -> None:
    """Their answers may be long: two hundred of 64 KB took a turn of a tenth of a second."""
    loop, turn, told = asyncio.get_running_loop(), [0], list[int]()

    def count() -> None:
        turn[0] += 1
        loop.call_soon(count)

    hand = ByHand()
    aside = Aside(hand, map(float, itertools.count()).__next__)  # each look at the clock is a second later
    for _ in range(9):
        assert aside.do("web", HERE, "one", lambda: None, lambda: told.append(turn[0]))
    assert aside.do("api", HERE, "x", lambda: None, lambda: told.append(-1))
    count()
    hand.finish()
    assert len(hand.works) == 1, "what is next is begun meanwhile"
    hand.finish()
    await until(lambda: len(told) == 10)
    assert len(set(told)) == 10
    assert told[-1] == -1
    assert not aside._accounts


async def test_work_is_done_in_a_thread_and_told_in_the_loop_whatever_came_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with ThreadPoolExecutor(1) as threads:
        run, where = run_in(threads), []
        done = asyncio.Event()
        run(lambda: where.append(threading.current_thread()), lambda: None)

        def told() -> None:
            where.append(threading.current_thread())
            done.set()

        run(lambda: 1 / 0, told)
        await asyncio.wait_for(done.wait(), 10)
    assert where[0] is not threading.main_thread()
    assert where[1] is threading.current_thread()
    assert "could not be compiled" in caplog.text


# --- what is kept -------------------------------------------------------------------------------------


def test_few_instances_are_compiled_at_once_and_many_are_not() -> None:
    store: Kept[str] = Kept("web", 1000)
    assert store.get("few", MAX_INSTANCES_IN_LOOP, lambda: "made") == "made"
    assert store.get("few", MAX_INSTANCES_IN_LOOP, lambda: "never") == "made"
    with pytest.raises(Unready) as unready:
        store.get("many", MAX_INSTANCES_IN_LOOP + 1, lambda: "made too")
    assert unready.value.account == "web"
    with pytest.raises(Unready) as again:
        store.get("many", MAX_INSTANCES_IN_LOOP + 1, lambda: "made too")
    assert again.value.key == unready.value.key
    unready.value.work()
    assert store.get("many", MAX_INSTANCES_IN_LOOP + 1, lambda: "never") == "made too"


@pytest.mark.parametrize("size", [10, 10_000])
def test_what_is_kept_grows_with_the_service_and_not_with_what_is_asked(size: int) -> None:
    store: Kept[int] = Kept("web", size)
    for n in range(20_000):
        with pytest.raises(Unready) as unready:
            store.get(n, 500, lambda n=n: n)  # type: ignore[misc]
        unready.value.work()
        assert len(store) * 501 <= max(TIMES * size, MIN_RECORDS)
    assert store.get(19_999, 500, lambda: -1) == 19_999, "the newest stays"


# --- asked by packets ------------------------------------------------------------------------------------


def wide(size: int) -> Table:
    builder = Builder(["svc.local"])
    instances = tuple(
        Instance(
            f"i{n:04}", f"i{n:04}", f"/services/web/i{n:04}",
            Registration(
                (f"10.0.{n >> 8}.{n & 255}",), port=80, zone=f"z{n % 4}", tags=("blue", "canary", f"t{n % 7}")
            ), 0,
        )
        for n in range(size)
    )  # fmt: skip
    builder.replace("web", builder.compile(Service("web", "web", "/services/web", instances=instances)))
    return Table(builder.take())


def ask(name: str, rtype: str = "A") -> bytes:
    return dns.message.make_query(name, rtype, use_edns=True).to_wire()


def test_a_name_that_is_not_ready_is_answered_once_it_is() -> None:
    hand = ByHand()
    dispatcher = Dispatcher(wide(200), aside=Aside(hand, still))
    for name, rtype in (("canary.blue.web.svc.local", "A"), ("blue.canary.web.svc.local", "SRV")):
        replies: list[bytes] = []
        request = dispatcher.read(ask(name, rtype), "192.0.2.1")
        outcome = dispatcher.dispatch(request)
        assert outcome is not None
        assert not isinstance(outcome, bytes)
        outcome.then(replies.append)
        assert not replies
        hand.finish()
        (reply,) = map(dns.message.from_wire, replies)
        assert len(reply.answer[0]) >= 8
        assert reply_of(dispatcher, ask(name, rtype)) is not None, "from now on it is ready"
    assert reply_of(dispatcher, ask("blue.canary.web.svc.local")) is not None, "in either order"
    assert sum(dispatcher.counts.values()) == 5


def test_what_waited_or_was_turned_away_leaves_nothing_for_a_collector_that_looks_seldom() -> None:
    """Each left a circle of a request and what was to be done with it, which lay about for minutes."""
    hand = ByHand()
    dispatcher = Dispatcher(wide(200), aside=Aside(hand, still))
    names = [f"z{n}.{mode}._zone.web.svc.local" for n in range(3) for mode in ("prefer", "pin")]
    gc.collect()
    gc.disable()
    try:
        for k in range(60):
            replies: list[bytes] = []
            request = dispatcher.read(ask(names[k % len(names)], ("A", "SRV", "AAAA")[k % 3]), "192.0.2.1")
            outcome = dispatcher.dispatch(request)
            if isinstance(outcome, Pending):
                outcome.then(replies.append)
            while hand.works:
                hand.finish()
        for _ in range(MAX_ASKING + 10):
            dispatcher.dispatch(dispatcher.read(ask("z1.pin._zone.web.svc.local", "TXT"), "192.0.2.1"))
        del request, outcome, replies
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_once_the_threads_have_ended_nobody_is_answered_and_nothing_is_raised() -> None:
    async def end() -> None:
        with ThreadPoolExecutor(1) as threads:
            aside = Aside(run_in(threads))
        assert aside.do("web", HERE, 1, lambda: None, lambda: None)

    asyncio.run(end())


def test_who_had_to_wait_for_his_answer_is_noted_as_told() -> None:
    hand = ByHand()
    dispatcher = Dispatcher(wide(200), aside=Aside(hand, still))
    dispatcher.note_clients(ClientTable())
    outcome = dispatcher.dispatch(dispatcher.read(ask("canary.blue.web.svc.local"), "192.0.2.1"))
    assert outcome is not None
    assert dispatcher.clients is not None
    assert len(dispatcher.clients) == 0
    hand.finish()
    (((client, service), _),) = dispatcher.clients.copy()
    assert (client, service) == ("192.0.2.1", "web")


def test_a_name_that_nobody_can_have_costs_no_work() -> None:
    dispatcher = Dispatcher(wide(200), aside=Aside(ByHand(), still))
    for name in ("nope.blue.web.svc.local", "a.b.blue.web.svc.local", "x.y.z.blue.web.svc.local"):
        reply = reply_of(dispatcher, ask(name))
        assert reply is not None
        assert dns.message.from_wire(reply).rcode() == dns.rcode.NXDOMAIN


def test_work_that_fails_and_a_line_that_is_full_are_servfail_with_why() -> None:
    hand = ByHand()
    dispatcher = Dispatcher(wide(200), aside=Aside(hand, still))
    replies: list[bytes] = []
    outcome = dispatcher.dispatch(dispatcher.read(ask("canary.blue.web.svc.local"), "192.0.2.1"))
    assert outcome is not None
    outcome.then(replies.append)  # type: ignore[union-attr]
    for _ in range(MAX_STEPS + 1):
        hand.works.pop()
        hand.thens.pop()()  # without the work
    outcomes = [
        dispatcher.dispatch(dispatcher.read(ask("canary.blue.web.svc.local"), "192.0.2.1"))
        for _ in range(3 * MAX_ASKING // 4 + 1)  # a network's, and one more
    ]
    replies += [one for one in outcomes if isinstance(one, bytes)]
    for reply, why in zip(map(dns.message.from_wire, replies), ("not compiled yet", "too many"), strict=True):
        assert reply.rcode() == dns.rcode.SERVFAIL
        assert why in reply.options[0].to_text()


@pytest.mark.parametrize("name", ["z1.prefer._zone.web.svc.local", "z1.pin._zone.web.svc.local"])
def test_a_name_that_is_compiled_in_two_steps_is_answered_after_both(name: str) -> None:
    hand = ByHand()
    dispatcher = Dispatcher(wide(200), aside=Aside(hand, still))
    replies: list[bytes] = []
    outcome = dispatcher.dispatch(dispatcher.read(ask(name), "192.0.2.1"))
    assert outcome is not None
    outcome.then(replies.append)  # type: ignore[union-attr]
    hand.finish()  # which zones there are
    assert not replies
    hand.finish()
    (reply,) = map(dns.message.from_wire, replies)
    assert reply.rcode() == dns.rcode.NOERROR
    assert len(reply.answer[0]) == 8
    assert not hand.works


def test_names_of_all_zones_stay_ready_for_each_counts_by_what_it_holds() -> None:
    """Each was charged with the whole service, so that a few zones' names pushed each other out, for ever."""
    hand = ByHand()
    dispatcher = Dispatcher(wide(2000), aside=Aside(hand, still))
    queries = [
        ask(f"z{n}.{mode}._zone.web.svc.local", rtype)
        for n in range(4)
        for mode in ("prefer", "pin")
        for rtype in ("A", "AAAA")
    ]
    for query in queries:
        dispatcher.dispatch(dispatcher.read(query, "192.0.2.1"))
        while hand.works:
            hand.finish()
    assert all(reply_of(dispatcher, query) is not None for query in queries)


def test_few_instances_answer_at_once_whatever_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    dispatcher = Dispatcher(wide(MAX_INSTANCES_IN_LOOP), aside=Aside(ByHand(), still))
    assert reply_of(dispatcher, ask("canary.blue.web.svc.local")) is not None
    monkeypatch.setattr(kept, "MAX_INSTANCES_IN_LOOP", 0)
    dispatcher = Dispatcher(wide(MAX_INSTANCES_IN_LOOP), aside=Aside(ByHand(), still))
    assert reply_of(dispatcher, ask("canary.blue.web.svc.local")) is None, "it waits"


def test_those_who_waited_together_leave_no_count_of_themselves_behind() -> None:
    """Else their service would be refused for ever."""
    waits: list[Callable[[], None]] = []
    aside = Aside(lambda work, then: waits.append(then), still)
    for n in range(MAX_ASKING):
        for _ in range(3):
            assert aside.do("web", HERE, n, lambda: None, lambda: None), n
        waits.pop()()
    assert aside.do("web", HERE, "again", lambda: None, lambda: None)


@pytest.mark.parametrize(("count", "step", "is_aside"), [(20, 0, False), (20, 7919, True), (4, 1, False)])
def test_what_makes_many_orders_is_made_aside_however_few_are_dealt(
    count: int, step: int, is_aside: bool
) -> None:
    """Twenty of weights of their own took a turn of 20 ms."""
    dealt = [
        Instance(
            f"i{n}", f"i{n}", f"/services/web/i{n}", Registration(("10.0.0.1",)), 0.0, weight=1 + n * step
        )
        for n in range(count)
    ]
    held: Kept[str] = Kept("web", count)
    if not is_aside:
        assert held.get("name", count, lambda: "made", dealt) == "made"
        return
    with pytest.raises(Unready) as unready:
        held.get("name", count, lambda: "made", dealt)
    unready.value.work()
    assert held.get("name", count, lambda: "never", dealt) == "made"
