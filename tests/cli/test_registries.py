"""services, instances, watch, explain and check from a file registry: tables, JSON, and what goes wrong."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support import loaded
from support.ports import free_port
from support.registry_file import instance
from support.server import REPOSITORY, run
from support.waiting import eventually
from support.watching import Watch
from zkdns import cli
from zkdns.cli import registries, show
from zkdns.cli.show import Column

FILE = f"""
[web]
ttl = 9
answers = 2
{instance("web", "a", "10.0.0.1", weight=3, tags=["canary"])}
{instance("web", "b", "10.0.0.2")}
{instance("web", "c", "10.0.0.3", status="draining")}
[db]
{instance("db", "one", "10.0.1.1", 5432)}
"""


def read(file: Path, *words: str, code: int = 0) -> str:
    done = run(words[0], "--registry", f"file:{file}", *words[1:])
    assert done.code == code, f"{done.out}{done.err}"
    assert "Traceback" not in done.err
    return done.err if code else done.out


def read_json(file: Path, *words: str, code: int = 0) -> dict[str, Any]:
    done = run(words[0], "--registry", f"file:{file}", *words[1:], "--json")
    assert done.code == code, f"{done.out}{done.err}"
    said = json.loads(done.out)
    assert isinstance(said, dict)
    return said


# --- tables and JSON -------------------------------------------------------------------------------


def test_services_has_a_line_for_each_and_the_shape_of_the_api(file: Path) -> None:
    lines = read(file, "services").splitlines()
    assert lines[1].split()[:5] == ["db", "1", "1", "weighted", "5"]
    assert lines[2].split()[:6] == ["web", "2", "3", "weighted", "9", "web.svc.local"]
    assert not any(line.endswith(" ") for line in lines)
    said = read_json(file, "services")
    assert said.keys() == {"services", "serial", "stale", "age_seconds"}
    db, web = said["services"]
    assert web["name"] == "web"
    assert (web["instances"], web["healthy"], web["policy"], web["ttl"]) == (3, 2, "weighted", 9)
    assert {"web.svc.local", "_web._tcp.svc.local", "canary.web.svc.local"} <= set(web["names"])
    assert db["healthy"] == 1


def test_instances_has_a_line_for_each_with_its_share_and_reason(file: Path) -> None:
    lines = read(file, "instances", "web").splitlines()
    assert [line.split()[0] for line in lines] == ["ID", "a", "b", "c"]
    assert "75.0 %" in lines[1]
    assert "canary" in lines[1]
    assert lines[3].endswith("registered as draining")
    said = read_json(file, "instances", "web")
    assert [i["state"] for i in said["instances"]] == ["healthy", "healthy", "draining"]
    assert [i["share"] for i in said["instances"]] == [0.75, 0.25, 0.0]
    assert said["instances"][0]["name"] == "a.web.svc.local"


def test_explain_shows_answer_instances_and_notes(file: Path) -> None:
    out = read(file, "explain", "web.svc.local")
    assert out.startswith("web.svc.local A: NOERROR\n")
    assert "10.0.0.1" in out
    assert "registered as draining" in out
    assert "* 1 of 3 is not given out: 1 draining" in out
    said = read_json(file, "explain", "web.svc.local", "SRV")
    assert said["type"] == "SRV"
    assert {i["id"] for i in said["instances"] if i["in"]} == {"a", "b"}


def test_explain_shows_what_would_be_beside_what_is(file: Path) -> None:
    out = read(file, "explain", "web.svc.local", "--if", "drain=web/a", "--if", "weight:web/b=9")
    (line,) = (line for line in out.splitlines() if line.startswith("a "))
    assert line.split()[1:3] == ["out", "drained"]
    assert "75.0 %" in line
    assert "0.0 %" in line
    said = read_json(file, "explain", "web.svc.local", "--if", "drain=web/a")
    assert said["answer"] == ["10.0.0.2"]


def test_explain_takes_an_address_for_its_reverse_name(file: Path) -> None:
    assert read_json(file, "explain", "10.0.1.1")["answer"] == ["one.db.svc.local."]


def test_explain_tells_who_may_have_names_forwarded(file: Path, tmp_path: Path) -> None:
    settings = tmp_path / "zkdns.toml"
    settings.write_text('forward = ["192.0.2.1"]\n')
    ours = read_json(file, "explain", "example.com", "--config", str(settings))
    other = read_json(file, "explain", "example.com", "--config", str(settings), "--client", "198.51.100.1")
    assert (ours["rcode"], other["rcode"]) == ("FORWARDED", "REFUSED")


def test_explain_knows_other_zones_and_zone_files(file: Path, tmp_path: Path) -> None:
    (tmp_path / "corp.test.zone").write_text(
        "$TTL 60\n@ SOA ns hostmaster 1 60 60 60 60\n@ NS ns\nns A 192.0.2.1\nwww A 192.0.2.2\n"
    )
    settings = tmp_path / "zkdns.toml"
    settings.write_text(f'zones = "{tmp_path}"\nzone = ["x.test"]\n')
    assert read_json(file, "explain", "www.corp.test", "--config", str(settings))["answer"] == ["192.0.2.2"]
    assert read_json(file, "explain", "db.x.test", "--config", str(settings))["answer"] == ["10.0.1.1"]
    assert read_json(file, "explain", "db.y.test", "--zone", "y.test")["answer"] == ["10.0.1.1"]


# --- wrong words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("instances", "wbe"), 1, "no service 'wbe'; there are web, db"),
        (("watch", "wbe"), 1, "no service 'wbe'"),
        (("instances",), 2, "SERVICE"),
        (("explain", "web.svc.local", "NOSUCH"), 2, "NOSUCH"),
        (("explain", "a..b"), 2, "a..b"),
        (("explain", "web.svc.local", "--if", "nonsense"), 2, "nonsense"),
        (("explain", "web.svc.local", "--if", "drain=web/z"), 1, "there are a, b, c"),
        (("explain", "web.svc.local", "--client", "nobody"), 2, "nobody"),
        (("check", "--zone", "..."), 2, "--zone"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_it(
    file: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    err = read(file, *words, code=code)
    assert said in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "words", [("services",), ("instances", "x"), ("watch",), ("check",), ("explain", "x")]
)
def test_a_registry_that_is_not_there_is_one_line(words: tuple[str, ...], tmp_path: Path) -> None:
    missing = run(*words, "--registry", f"file:{tmp_path}/nothing.toml")
    assert missing.code == 2
    assert len(missing.err.splitlines()) == 1
    assert "nothing.toml" in missing.err


def test_a_zookeeper_that_is_not_there_is_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registries, "CONNECT", 0.3)
    hosts = f"127.0.0.1:{free_port()}"
    for words in (["services"], ["instances", "web"], ["explain", "x"], ["check"], ["watch"]):
        code, line = cli._run([*words, "--registry", f"zk://{hosts}/services"])
        assert code == 1
        assert hosts in line
        assert "\n" not in line
    assert capsys.readouterr().out == ""


# --- check ---------------------------------------------------------------------------------------------


def test_check_is_content_with_what_is_well(file: Path) -> None:
    said = read_json(file, "check", "--zone", "svc.test")
    assert said["problems"] == []
    assert said["notes"] == []
    assert said["formats"] == {"db": {"native": 1}, "web": {"native": 3}}
    assert read_json(file, "check", "--problems") == {"problems": []}


def test_check_names_each_problem_with_path_and_cure(file: Path) -> None:
    file.write_text(FILE + '[[db.instances]]\nid = "bad"\naddress = 7\n[[db.instances]]\nid = "worse"\n')
    done = run("check", "--registry", f"file:{file}")
    assert done.code == 1
    for id in ("bad", "worse"):
        at = done.out.index(f"problem: {file}: db/{id}")
        assert "cure: " in done.out[at:]
    assert done.out.splitlines()[0].startswith("2 services, 4 instances, 2 problems")
    said = read_json(file, "check", code=1)
    assert {p["path"].rpartition("/")[2] for p in said["problems"]} == {"bad", "worse"}
    assert all(p["what"] and p["cure"] for p in said["problems"])


def test_a_registry_file_that_is_no_toml_is_a_problem_with_its_line_and_the_others_are_checked(
    file: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[web]\nttl = = 5\n")
    alone = read_json(broken, "check", code=1)
    (problem,) = alone["problems"]
    assert (problem["path"], problem["what"][:7]) == (str(broken), "line 2,")
    assert problem["cure"]
    both = run("check", "--registry", f"file:{broken}", "--registry", f"file:{file}")
    assert both.code == 1
    assert f"problem: {broken}\n" in both.out
    assert both.out.splitlines()[0].startswith("2 services, 4 instances, 1 problem")
    for command in (("services",), ("instances", "web"), ("explain", "web.svc.local"), ("watch",)):
        run(*command, "--registry", f"file:{broken}").fails(2, str(broken), "line 2")


def test_a_registry_file_that_is_a_folder_is_a_wrong_url(tmp_path: Path) -> None:
    run("check", "--registry", f"file:{tmp_path}").fails(2, str(tmp_path), "directory")


def test_check_with_problems_alone_tells_no_notes_and_no_formats(file: Path) -> None:
    file.write_text(FILE + '[unused]\n[[db.instances]]\nid = "bad"\naddress = 7\n')
    assert "note: " in run("check", "--registry", f"file:{file}").out
    done = run("check", "--problems", "--registry", f"file:{file}")
    assert done.code == 1
    assert done.out.splitlines()[0] == "3 services, 4 instances, 1 problem, 2 notes"
    assert "problem: " in done.out
    assert "note: " not in done.out
    assert "READ AS" not in done.out


def test_a_service_that_has_nobody_is_told_in_the_list(file: Path) -> None:
    file.write_text(FILE + '[unused]\n[[ill.instances]]\nid = "a"\naddress = "10.0.0.9"\nstatus = "down"\n')
    done = run("services", "--registry", f"file:{file}")
    lines = {line.split()[0]: line for line in done.out.splitlines() if line.strip()}
    assert lines["unused"].endswith("no instance")
    assert lines["ill"].endswith("none healthy")
    assert "2 of 4 without a healthy instance" in done.err


def test_check_reads_zone_files(file: Path, tmp_path: Path) -> None:
    zones = tmp_path / "zones"
    zones.mkdir()
    (zones / "corp.test.zone").write_text("@ SOA ns hostmaster 1 60 60 60 60\nwww A not-an-address\n")
    (zones / "svc.local.zone").write_text("$TTL 60\nweb A 192.0.2.1\n")
    said = read_json(file, "check", "--zones", str(zones), code=1)
    assert any("corp.test.zone:2" in p["path"] for p in said["problems"])
    assert any("web" in p["what"] and "svc.local.zone" in p["path"] for p in said["problems"])


def test_check_notes_unknown_keys_and_loopback_addresses(tmp_path: Path) -> None:
    file = tmp_path / "services.toml"
    file.write_text(
        'web = { polcy = "first", check = { type = "tcp", intervall = 1 }, instances = ['
        '{ id = "a", address = "127.0.0.1", port = 1 }, { id = "b", address = "10.0.0.2", port = 1 }] }\n'
    )
    notes = {(n["what"], n["cure"]) for n in read_json(file, "check")["notes"]}
    assert ("its settings have polcy, which is no setting", "write policy") in notes
    assert ("its settings have check.intervall, which is no setting", "write check.interval") in notes
    assert any("loopback" in what and what.endswith(": a") for what, _ in notes)


def test_check_notes_what_may_surprise(file: Path) -> None:
    long = "".join(f'[[many.instances]]\nid = "i{n}"\naddress = "10.0.2.{n}"\nport = 80\n' for n in range(90))
    file.write_text(
        FILE
        + '[[db.instances]]\nid = "two"\naddress = "10.0.1.1"\nport = 5432\n'
        + '[[db.instances]]\nid = "three"\naddress = "10.0.1.3"\n'
        + f"[many]\nanswers = 90\n{long}"
    )
    notes = read_json(file, "check")["notes"]

    def noted(path: str, *words: str) -> bool:
        return any(n["path"].endswith(path) and all(w in n["what"] for w in words) for n in notes)

    assert noted("zone svc.local", "multicast")
    assert noted("db", "one, two", "10.0.1.1")
    assert noted("db", "without a port", "three")
    assert noted("many", "many.svc.local A", "1232")
    assert noted("many", "many.svc.local SRV", "1232")
    assert not any(n["path"].endswith(": web") for n in notes)


# --- watch ---------------------------------------------------------------------------------------------


def test_watch_prints_each_change_and_ctrl_c_ends_it(file: Path, tmp_path: Path) -> None:
    watch = Watch("--registry", f"file:{file}", "--json", folder=tmp_path)
    try:
        file.write_text(FILE.replace("weight = 3", "weight = 4").replace('id = "one"', 'id = "two"'))
        eventually(lambda: len(watch.lines) >= 3)
        events = [json.loads(line) for line in watch.lines]
        found = {(e["service"], e["instance"], e["change"]) for e in events}
        assert found == {("web", "a", "changed"), ("db", "one", "removed"), ("db", "two", "added")}
        assert next(e for e in events if e["change"] == "changed")["weight"] == 4
    finally:
        code = watch.end()
    assert code == 130
    assert "Traceback" not in watch.told


def test_watch_of_one_service_says_nothing_of_others(file: Path, tmp_path: Path) -> None:
    watch = Watch("db", "--registry", f"file:{file}", folder=tmp_path)
    try:
        text = FILE.replace("weight = 3", "weight = 4") + 'status = "down"\n'
        file.write_text(text)
        eventually(lambda: watch.lines)
        (line,) = watch.lines
        assert "db/one" in line
        assert "healthy -> down" in line
        assert "registered as down" in line
    finally:
        watch.end()


def test_watch_is_quiet_when_its_reader_has_gone(file: Path, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    told = tmp_path / "told.txt"
    with told.open("wb") as err:
        process = loaded.start(
            [sys.executable, "-m", "zkdns", "watch", "--registry", f"file:{file}"],
            {**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=writing,
            stderr=err,
        )
    os.close(writing)
    try:
        eventually(lambda: "watching" in told.read_text())
        os.close(reading)
        file.write_text(FILE.replace("weight = 3", "weight = 5"))
        assert process.wait(30) == 1
    finally:
        process.kill()
        process.wait()
    assert len(told.read_text().splitlines()) == 1


# --- the terminal -----------------------------------------------------------------------------------------


def on_terminal(width: int, *words: str) -> str:
    """What a command prints on a terminal of that width."""
    controller, terminal = pty.openpty()
    with loaded.start(
        [sys.executable, "-m", "zkdns", *words],
        {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": str(width), "TERM": "xterm"},
        stdout=terminal,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    ) as process:
        _, told = process.communicate(timeout=60)
    os.close(terminal)
    assert process.returncode == 0
    found = b""
    while True:
        try:
            found += os.read(controller, 65536)
        except OSError:
            break
    os.close(controller)
    assert not told
    return found.decode()


def plain(text: str) -> list[str]:
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in text.splitlines()]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_table_fits_the_terminal_and_has_colour_there_alone(file: Path, width: int) -> None:
    said = on_terminal(width, "instances", "web", "--registry", f"file:{file}")
    assert "\x1b[32mhealthy" in said
    assert max(map(len, plain(said))) <= width
    assert any("healthy" in line and line.startswith("a ") for line in plain(said))
    assert "\x1b" not in read(file, "instances", "web")


def test_a_name_without_end_stands_out_on_its_own_line_alone(file: Path) -> None:
    rows = "".join(f'[[web.instances]]\nid = "{id}"\naddress = "10.0.0.1"\n' for id in ("a", "b" * 5000))
    file.write_text(f"[web]\n{rows}")
    lengths = sorted(map(len, read(file, "instances", "web").splitlines()))
    assert lengths[-1] > 5000 > 500 > lengths[-2]
    said = on_terminal(80, "instances", "web", "--registry", f"file:{file}")
    assert max(map(len, plain(said))) <= 80


@pytest.mark.parametrize("words", [("instances", "web"), ("explain", "web", "--if", "drain=web/b")])
def test_a_long_name_leaves_the_words_of_the_others_whole_on_a_narrow_terminal(
    file: Path, words: tuple[str, ...]
) -> None:
    rows = "".join(f'[[web.instances]]\nid = "{id}"\naddress = "10.0.0.1"\n' for id in ("a" * 50, "b"))
    file.write_text(f"[web]\n{rows}")
    said = plain(on_terminal(40, *words, "--registry", f"file:{file}"))
    assert max(map(len, said)) <= 40
    (line,) = [line for line in said if line.startswith("aaa")]
    assert "healthy" in line.split()
    assert line.split()[0].endswith("…")


def test_where_there_is_no_room_the_widest_column_is_cut_first() -> None:
    assert show.cut_widest({0: 30, 2: 7, 5: 12}, 53) == {0: 30, 2: 7, 5: 12}
    assert show.cut_widest({0: 30, 2: 7, 5: 12}, 40) == {0: 17, 2: 7, 5: 12}
    assert show.cut_widest({0: 30, 2: 7, 5: 12}, 30) == {0: 9, 2: 7, 5: 10}
    assert show.cut_widest({0: 30, 2: 7}, 1) == {0: show.NARROW, 2: 7}


def test_the_columns_that_can_be_spared_go_first() -> None:
    columns = [Column("A"), Column("B", spare=1), Column("C", spare=2), Column("D", folds=5)]
    widths = [10, 10, 10, 30]
    assert show.fit(columns, widths, 100) == [0, 1, 2, 3]
    assert show.fit(columns, widths, 41) == [0, 1, 2, 3]
    assert show.fit(columns, widths, 40) == [0, 1, 3]
    assert show.fit(columns, widths, 20) == [0, 3]
    assert show.fit(columns, widths, 3) == [0, 3]


def test_what_is_registered_cannot_move_the_cursor(file: Path) -> None:
    file.write_text('[web]\n[[web.instances]]\nid = "a\\u001b[31m"\naddress = "10.0.0.1"\nport = 80\n')
    for words in (("instances", "web"), ("services",), ("explain", "web.svc.local"), ("check",)):
        assert "\x1b" not in read(file, *words)
