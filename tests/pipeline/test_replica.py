"""A server's own node under /zkdns/servers: what it tells of itself, and when."""

from __future__ import annotations

from zkdns.pipeline.replica import MAX_APART, MAX_LAG, TELL_AT_LEAST, TELL_EVERY, Replica, read_node

NOW = 1_700_000_000.0


def told(replica: Replica, serial: int, at: float) -> float | None:
    data = replica.tell(serial, at)
    assert data is not None
    return read_node(data).rate


def test_it_tells_queries_a_second_since_it_told_last_and_nothing_at_first() -> None:
    counts = iter([100, 400, 400])
    replica = Replica("me", answered=lambda: next(counts))
    assert told(replica, 1, NOW) is None
    assert told(replica, 1, NOW + TELL_AT_LEAST) == 10.0
    assert told(replica, 2, NOW + 2 * TELL_AT_LEAST) == 0.0


def test_it_tells_a_serial_that_moved_soon_and_one_that_stands_now_and_then() -> None:
    replica = Replica("me")
    assert replica.tell(1, NOW) is not None
    assert replica.tell(1, NOW + TELL_EVERY) is None
    assert replica.tell(2, NOW + TELL_EVERY - 0.1) is None
    assert replica.tell(2, NOW + TELL_EVERY) is not None
    assert replica.tell(2, NOW + TELL_EVERY + TELL_AT_LEAST) is not None


def test_what_nobody_could_read_is_not_told_and_who_is_back_tells_so_at_once() -> None:
    """Others believe what it has seen when its node is written after they were back themselves."""
    replica = Replica("me")
    assert replica.tell(1, NOW) is not None
    replica.lose()
    assert replica.due(2) is None
    assert replica.tell(2, NOW + 2 * TELL_AT_LEAST) is None
    replica.find()
    assert replica.tell(2, NOW + 2 * TELL_AT_LEAST) is not None
    replica.lose()
    replica.find()
    assert replica.tell(2, NOW + 2 * TELL_AT_LEAST + 0.1) is not None
    assert replica.tell(2, NOW + 2 * TELL_AT_LEAST + 0.2) is None


def test_where_it_is_reached_is_told_at_once_when_that_becomes_known() -> None:
    replica = Replica("me")
    replica.tell(1, NOW)
    replica.move("", "")
    assert replica.tell(1, NOW + 0.1) is None
    replica.move("192.0.2.9:53", "192.0.2.9:8053")
    node = read_node(replica.tell(1, NOW + 0.2) or b"")
    assert (node.address, node.http) == ("192.0.2.9:53", "192.0.2.9:8053")
    replica.move("192.0.2.9:53", "192.0.2.9:8053")
    assert replica.tell(1, NOW + 0.3) is None


def test_the_node_of_a_server_that_tells_less_or_nonsense_is_read() -> None:
    assert read_node(b'{"address": "10.0.0.1:53"}').rate is None
    assert read_node(b"\xff").address == ""


def test_the_lag_is_that_of_the_latest_write_and_measured_once() -> None:
    """A write that comes back late is none of the one after it, and one that is seen again was seen."""
    replica = Replica("me")
    first = replica.tell(1, NOW)
    second = replica.tell(2, NOW + TELL_EVERY)
    assert first is not None
    assert second is not None
    replica.see(first, NOW + TELL_EVERY + 1)
    assert replica.lag is None
    replica.see(second, NOW + TELL_EVERY + 2)
    assert replica.lag == 2.0
    replica.see(second, NOW + TELL_EVERY + 30)
    assert replica.lag == 2.0


def test_a_clock_that_is_apart_from_the_ensembles_is_told_and_what_was_written_late_tells_nothing() -> None:
    replica = Replica("me")

    def tell(at: float, ahead: float, lag: float = 0.1) -> str:
        data = replica.tell(int(at), at)
        assert data is not None
        replica.see(data, at + lag, at + lag / 2 - ahead)
        return replica.problem.what if replica.problem is not None else ""

    assert tell(NOW, MAX_APART - 1) == ""
    assert tell(NOW + 60, 7200.0) == "our clock is 7200 s ahead of ZooKeeper's"
    assert tell(NOW + 120, 0.0, MAX_LAG + 60) == "our clock is 7200 s ahead of ZooKeeper's"
    assert tell(NOW + 240, -7200.0) == "our clock is 7200 s behind ZooKeeper's"
    assert tell(NOW + 300, 0.0) == ""
