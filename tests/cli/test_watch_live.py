"""`zkdns watch` on a terminal: a view that fits, keeps up, and leaves the terminal as it was."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from support.registry_file import instance
from support.terminal import ALTERNATE, BACK, HIDDEN, SHOWN, OnTerminal
from support.waiting import eventually
from support.zookeeper import ZooKeeperServer
from zkdns.cli.live import View
from zkdns.model import Instance, Registration, Service, State
from zkdns.pipeline import changes
from zkdns.web import shapes

FILE = f"""
[web]
{instance("web", "a", "10.0.0.1")}
{instance("web", "b", "10.0.0.2", status="up")}
[db]
{instance("db", "one", "10.0.1.1", 5432)}
"""


def row(terminal: OnTerminal, name: str) -> list[str]:
    return next((line.split() for line in terminal.screen if line.startswith(f"{name} ")), [])


# --- through a terminal ---------------------------------------------------------------------------------


def test_the_view_shows_how_all_stands_and_each_change(file: Path) -> None:
    with OnTerminal("watch", "--registry", f"file:{file}", width=100) as terminal:
        eventually(lambda: row(terminal, "web")[:3] == ["web", "2", "2"])
        assert terminal.screen[0].startswith("2 services, 3 instances, 3 healthy   file:")
        assert row(terminal, "db")[:3] == ["db", "1", "1"]
        file.write_text(FILE.replace('"up"', '"draining"'))
        shown = ["web", "1", "2", "1", "draining"]
        eventually(lambda: (now := row(terminal, "web"))[:5] == shown and now[6:8] == ["s", "ago"])
        (line,) = (line for line in terminal.screen if "web/b" in line)
        assert "changed  healthy -> draining" in line
        file.write_text(FILE.partition("[db]")[0])
        eventually(lambda: terminal.screen[0].startswith("1 service, 2 instances"))
        assert not row(terminal, "db")
        assert any("db/one" in line and "removed" in line for line in terminal.screen)
        assert terminal.signal(signal.SIGINT) == 130
    assert terminal.sent.startswith(ALTERNATE)
    assert "Traceback" not in terminal.sent


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_leaves_the_terminal_as_it_was(file: Path, number: signal.Signals, code: int) -> None:
    with OnTerminal("watch", "--registry", f"file:{file}") as terminal:
        eventually(lambda: row(terminal, "web"))
        assert terminal.signal(number) == code
        left = terminal.sent.rpartition(HIDDEN)[2]
    assert SHOWN in left
    assert BACK in left
    assert not left.rpartition(BACK)[2].strip()


def test_of_one_service_it_shows_the_instances(file: Path) -> None:
    with OnTerminal("watch", "web", "--registry", f"file:{file}", width=100) as terminal:
        eventually(lambda: row(terminal, "b")[:2] == ["b", "healthy"])
        file.write_text(FILE.replace('"up"', '"down"').replace("5432", "5433"))
        eventually(lambda: row(terminal, "b")[:2] == ["b", "down"])
        assert row(terminal, "b")[-3:] == ["registered", "as", "down"]
        assert not any("db" in line for line in terminal.screen[1:])
        file.write_text("[db]" + FILE.partition("[db]")[2])
        eventually(lambda: any("no web is registered" in line for line in terminal.screen))


def test_it_takes_the_size_that_the_terminal_gets(file: Path) -> None:
    with OnTerminal("watch", "--registry", f"file:{file}", width=120, height=30) as terminal:
        eventually(lambda: len(terminal.screen) == 30)
        terminal.resize(50, 12)
        eventually(lambda: len(terminal.screen) == 12)
        screen = terminal.screen
        assert max(map(len, screen)) <= 50
        assert any(line.startswith("web ") for line in screen)


def test_what_is_registered_cannot_move_the_cursor(file: Path) -> None:
    file.write_text(FILE.replace('id = "a"', 'id = "a\\u001b[2J"'))
    with OnTerminal("watch", "web", "--registry", f"file:{file}") as terminal:
        eventually(lambda: row(terminal, "b"))
        assert "\x1b[2J" not in terminal.sent


def test_with_json_or_a_terminal_that_can_do_nothing_it_prints_lines(file: Path) -> None:
    for words, env in ((("--json",), {}), ((), {"TERM": "dumb"})):
        file.write_text(FILE)
        with OnTerminal("watch", "--registry", f"file:{file}", *words, env=env) as terminal:
            eventually(lambda t=terminal: "watching 2 services" in t.sent)  # type: ignore[misc]
            file.write_text(FILE.replace('"up"', '"down"'))
            eventually(lambda t=terminal: "registered as down" in t.sent)  # type: ignore[misc]
            assert ALTERNATE not in terminal.sent
            assert terminal.signal(signal.SIGINT) == 130


def test_a_service_that_is_not_there_is_one_line(file: Path) -> None:
    with OnTerminal("watch", "wbe", "--registry", f"file:{file}") as terminal:
        assert terminal.wait() == 1
    assert terminal.sent.strip().endswith("no service 'wbe'; there are web, db")
    assert ALTERNATE not in terminal.sent


# --- the view ------------------------------------------------------------------------------------------


def instance(id: str, state: State = State.HEALTHY, reason: str = "") -> Instance:
    return Instance(id, id, f"/s/{id}", Registration(("10.0.0.1",)), 0.0, state=state, reason=reason)


def service(name: str, *states: State) -> Service:
    return Service(
        name, name, f"/s/{name}", instances=tuple(instance(f"i{n}", s) for n, s in enumerate(states))
    )


def draw(
    view: View, services: dict[str, Service], width: int = 80, height: int = 24, away: float | None = None
) -> list[str]:
    console = Console(width=width, height=height, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(view.draw(services, 0, away, width, height, 1000.0))
    return captured.get().splitlines()


def test_what_does_not_fit_is_counted_and_trouble_goes_first() -> None:
    services = {f"s{n:03}": service(f"s{n:03}", State.HEALTHY) for n in range(500)}
    services["s321"] = service("s321", State.HEALTHY, State.FAILING)
    view = View(None, "here")
    for event in map(shapes.event, changes.between(None, services["s400"], changes.Moment(0.0, 0))):
        view.take(event, 990.0)
    lines = draw(view, services, height=12)
    assert len(lines) == 12
    shown = [line.split()[0] for line in lines if line.startswith("s")]
    assert shown[:3] == ["s321", "s400", "s000"]
    assert any(line.startswith(f"… and {500 - len(shown)} more") for line in lines)


def test_where_all_fits_the_order_is_that_of_names() -> None:
    services = {name: service(name, state) for name, state in (("b", State.FAILING), ("a", State.HEALTHY))}
    lines = draw(View(None, "here"), services)
    assert [line[0] for line in lines[3:5]] == ["a", "b"]


def test_a_registry_that_is_away_is_told() -> None:
    lines = draw(View(None, "here"), {"a": service("a", State.HEALTHY)}, away=500.0)
    assert "out of reach since" in lines[1]
    assert any(line.startswith("a ") for line in lines)


words = st.text(st.characters(codec="utf-8"), max_size=60)


@settings(deadline=None)
@given(
    st.lists(st.tuples(words, st.lists(st.sampled_from(State), max_size=5)), max_size=30),
    st.integers(20, 200),
    st.integers(1, 40),
    st.integers(0, 40),
    st.booleans(),
    st.booleans(),
)
def test_it_never_passes_the_size_of_the_terminal(
    shape: list[tuple[str, list[State]]], width: int, height: int, count: int, away: bool, one: bool
) -> None:
    services = {name: service(name, *states) for name, states in shape}
    name = shape[0][0] if one and shape else None
    view = View(name, "zk://one,two,three/services")
    for n, each in enumerate(list(services.values()) * 3):
        for event in map(shapes.event, changes.between(None, each, changes.Moment(0.0, 0))[:count]):
            view.take(event, 900.0 + n)
    lines = draw(view, services, width, height, 500.0 if away else None)
    assert len(lines) <= height
    console = Console(width=width)
    assert all(console.measure(line).maximum <= width for line in lines)


@pytest.mark.zookeeper
def test_a_view_goes_on_through_a_loss_of_zookeeper_and_says_so(own_zookeeper: ZooKeeperServer) -> None:
    client = own_zookeeper.client()
    client.create("/services/web/a", b'{"address": "10.0.0.1", "port": 80}', makepath=True)
    url = f"zk://{own_zookeeper.hosts}/services"
    try:
        with OnTerminal("watch", "--registry", url, width=100) as terminal:
            eventually(lambda: row(terminal, "web")[:3] == ["web", "1", "1"])
            own_zookeeper.stop()
            eventually(lambda: "out of reach since" in terminal.screen[1], 60)
            assert row(terminal, "web")[:3] == ["web", "1", "1"], "what was last known stands"
            own_zookeeper.start()
            eventually(lambda: "out of reach since" not in terminal.screen[1], 60)
            client.retry(client.create, "/services/web/b", b'{"address": "10.0.0.2", "port": 80}')
            eventually(lambda: row(terminal, "web")[:3] == ["web", "2", "2"], 60)
            assert terminal.signal(signal.SIGINT) == 130
    finally:
        client.stop()
        client.close()
    assert "Traceback" not in terminal.sent
