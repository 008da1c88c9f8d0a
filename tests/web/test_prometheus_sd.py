"""Target groups as Prometheus takes them."""

from __future__ import annotations

from zkdns.model import Instance, Registration, Service, State
from zkdns.web.prometheus_sd import target_groups


def instance(id: str, registration: Registration, state: State = State.HEALTHY) -> Instance:
    return Instance(id, id, f"/services/web/{id}", registration, 0.0, state=state, weight=registration.weight)


A = instance(
    "a",
    Registration(
        ("10.0.0.1", "fd00::1"), port=80, weight=3, priority=1, zone="eu-1a", tags=("canary", "blue"),
        ports=(("http", 80), ("admin-ui", 9100)), meta=(("version", "1.4"), ("git.sha", "abc")),
    ),
)  # fmt: skip
B = instance("b", Registration(("fd00::2",), port=81), State.FAILING)
C = instance("c", Registration((), host="c.example", port=82), State.DRAINED)
BARE = instance("d", Registration(("10.0.0.4",)))
LOST = instance("e", Registration(()), State.UNREADABLE)
WEB = Service("web", "web", "/services/web", instances=(A, B, C, BARE, LOST))


def test_each_instance_is_a_group_of_its_own_whatever_its_state() -> None:
    groups = list(target_groups([WEB]))
    assert [g["targets"] for g in groups] == [
        ["10.0.0.1:80"],
        ["[fd00::2]:81"],
        ["c.example:82"],
        ["10.0.0.4"],
    ]
    assert [g["labels"]["__meta_zkdns_state"] for g in groups] == ["healthy", "failing", "drained", "healthy"]


def test_labels_tell_all_that_was_registered() -> None:
    assert next(target_groups([WEB]))["labels"] == {
        "__meta_zkdns_service": "web",
        "__meta_zkdns_instance": "a",
        "__meta_zkdns_state": "healthy",
        "__meta_zkdns_weight": "3",
        "__meta_zkdns_priority": "1",
        "__meta_zkdns_zone": "eu-1a",
        "__meta_zkdns_tags": ",canary,blue,",
        "__meta_zkdns_port_http": "80",
        "__meta_zkdns_port_admin_ui": "9100",
        "__meta_zkdns_meta_version": "1.4",
        "__meta_zkdns_meta_git_sha": "abc",
    }


def test_a_port_is_asked_for_by_name_or_number() -> None:
    assert [g["targets"] for g in target_groups([WEB], "admin-ui")] == [["10.0.0.1:9100"]]
    assert list(target_groups([WEB], "9000"))[1]["targets"] == ["[fd00::2]:9000"]
    assert list(target_groups([WEB], "nope")) == []
