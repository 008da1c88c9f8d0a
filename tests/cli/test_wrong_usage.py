"""Wrong command lines, settings and files: each is one line that names what is wrong, never a traceback."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from zkdns import cli

FLAGS = """
2 serve --regstry x                                    : --regstry, --registry, zkdns serve
2 serve --registry                                     : --registry, requires an argument, zkdns serve --help
2 serve --registry 'zk://'                             : --registry, HOST:PORT
2 serve --registry zk://h:99999/x                      : --registry, 'h:99999'
2 serve --registry zk://u:secret@h/x                   : --registry, ZKDNS_ZOOKEEPER_AUTH
2 serve --registry 'zk://h/x?formt=auto'               : --registry, 'formt', format=
2 serve --registry 'zk://h/x?preset=kafkaa'            : --registry, 'kafkaa', kafka
2 serve --registry 'zk://h/x?layout=/a/b'              : --registry, layout, {id}
2 serve --registry 'zk://h/x?format=json'              : --registry, address=FIELD
2 serve --registry a=zk://h --registry a=zk://g        : --registry, named a
2 serve --registry file:nowhere.toml                   : nowhere.toml, No such file
2 serve --registry file:half.toml                      : half.toml, line 1
2 serve --registry file:ok.toml --failover dc2         : --failover, dc2, r1
2 serve --registry file:ok.toml --http 8053            : --http, 8053, ADDR:PORT
2 serve --registry file:ok.toml --listen localhost:53  : --listen, 'localhost'
2 serve --registry file:ok.toml --listen ::1:53        : --listen, brackets
2 serve --registry file:ok.toml --workers many         : --workers, 'many', whole number
2 serve --registry file:ok.toml --workers -1           : --workers, -1, 0 to 1024
2 serve --registry file:ok.toml --ttl 1.5              : --ttl, '1.5', whole number
2 serve --registry file:ok.toml --lameduck 1h          : --lameduck, '1h', no number
2 serve --registry file:ok.toml --lameduck nan         : --lameduck, 0 to 3600
2 serve --registry file:ok.toml --forward example.com  : --forward, example.com, IP address
2 serve --registry file:ok.toml --forward 10.0.0.1:x   : --forward, 10.0.0.1:x, ADDR:PORT
2 serve --registry file:ok.toml --forward 10.0.0.1:0   : --forward, 10.0.0.1:0, port
2 serve --registry file:ok.toml --forward-allow 10/40  : --forward-allow, 10/40
2 serve --registry file:ok.toml --zones nowhere        : --zones, nowhere, no such directory
2 serve --registry file:ok.toml --state ok.toml        : --state, ok.toml, no directory
2 serve --registry file:ok.toml --near yes             : --near, 'yes', prefer
2 serve --registry file:ok.toml --location a/b/c       : --location, 'a/b/c', [REGION/]ZONE
2 serve --registry file:ok.toml --config ''               : --config, no file
2 serve --registry file:ok.toml --log-format xml       : --log-format, 'xml', json
2 serve --registry file:ok.toml --zone 'a b'           : --zone, 'a b'
2 demo --for soon                                      : --for, 'soon', no number
2 demo --every 0                                       : --every, 0, 0.05
2 services --registry file:nowhere.toml                : nowhere.toml, No such file
2 drain web/a --registry file:ok.toml                  : --registry, overrides, zk://
2 route web web-v1=1 --registry file:ok.toml           : --registry, overrides, zk://
2 replicas --registry file:ok.toml                     : --registry, replicas, zk://
2 discover --registry file:ok.toml                     : --registry, zk://
2 discover file:ok.toml                                : 'file:ok.toml', zk://HOSTS
2 register web --registry file:ok.toml                 : --registry, zk://
2 register web --port 0                                : --port, 1 to 65535
2 register web --port-name http                        : --port-name, 'http', NAME=N
2 register web --status away                           : --status, 'away', draining
2 register web --ttl-interval soon                     : --ttl-interval, 'soon', 0.1 to 3600
2 register web --linger long                           : --linger, 'long', 30m
2 register a/b                                         : SERVICE, 'a/b'
2 drain web/a --for ever                               : --for, 'ever', 30m
2 drain web/a --timeout 1m                             : --timeout, --wait
2 register web --ttl-interval 5                        : --ttl-interval, --ttl-check
2 route web --end --over 30m                           : --end, nothing else
2 route web --end --why x                              : --end, nothing else
2 route web --end --failover dc2                       : --end, nothing else
2 route --failover dc2 --for 1h                        : TARGET
2 discover zk://127.0.0.1:1 --registry zk://h          : URL, --registry, together
2 drain web                                            : SERVICE/ID, 'web'
2 route web a=70000                                    : 'a', 0 to 65535
2 route .. web                                         : '..', no name of a service
2 route web a=1 --spill 2                              : --spill, 2, from 0 to 1
2 route web a=1 --spill much                           : --spill, 'much', from 0 to 1
2 history --limit many                                 : --limit, 'many', whole number
2 history --since yesterday                            : --since, 'yesterday', 2h ago
2 history --since 2h --until 3h                          : --until, before, --since
2 history --state nowhere                              : --state, nowhere, no such directory
2 history --server here                                : 'here', http://HOST:PORT
2 history --server http://127.0.0.1:1 --state .        : --server, --state
1 history --server http://127.0.0.1:1                  : http://127.0.0.1:1, refused, zkdns serve
1 clients web --server http://127.0.0.1:1              : http://127.0.0.1:1, refused
2 asks nobody                                          : 'nobody', IP address
1 instances nope --registry file:ok.toml               : 'nope', web
2 explain web BOGUS --registry file:ok.toml            : 'BOGUS', AAAA
2 explain web --client me --registry file:ok.toml      : 'me', IP address
2 explain web --if drian=web/a --registry file:ok.toml : 'drian=web/a', drain=web/a
2 explain web --at 14:02 --registry file:ok.toml         : --registry and --at, the server that is asked
2 explain a..b --registry file:ok.toml                 : 'a..b', label
"""
"""The exit code, the command line, and what the one line must hold."""

SETTINGS = """
ttl = "five"                                   : ttl, 'five', whole number
workers = 1.5                                  : workers, 1.5, whole number
grace = true                                   : grace, no number
client_table = "no"                            : client_table, 'no', true nor false
http_hosts = 5                                 : http_hosts, no text
listen = []                                    : listen, at least one
check_targets = "all"                          : check_targets, 'all'
ecs_from = ["x"]                               : ecs_from, 'x'
failover = ["dc2"]                             : failover, dc2, r1
cache_mb = 0                                   : cache_mb, 1 to
forward = ["resolvconf"]                       : forward, resolvconf, IP address
forward_trusted = ["x"]                        : forward_trusted, x, IP address
forward_trusted = ["10.0.0.1"];forward = ["10.0.0.2"] : forward_trusted, 10.0.0.1, none of the upstreams
topology = {"10.0.0.0/33" = "eu/a"}            : topology, 10.0.0.0/33
topology_clients = {a = -1}                    : topology_clients, 'a'
tll = 5                                        : tll, there are ttl
service_defaults = 5                           : service_defaults, table
service_defaults = {policy = "fastest"}        : [service_defaults], policy, weighted
service_defaults = {pollicy = "first"}         : [service_defaults], pollicy, there are policy
service_defaults = {check = {type = "icmp"}}   : [service_defaults], check.type, tcp
zookeeper = "x"                                : zookeeper, table
zookeeper = {autth = "x"}                      : zookeeper, 'autth', there are auth
zookeeper = {session_timeout = 0.1}            : session_timeout, 0.5 to 600
zookeeper = {auth = "digest"}                  : auth, digest:user:secret
"""


def rows(table: str) -> list[tuple[str, list[str]]]:
    """What is tried, and what the line must hold."""
    halves = (line.rsplit(" : ", 1) for line in table.strip().splitlines())
    return [(tried.strip(), told.split(", ")) for tried, told in halves]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ok.toml").write_text('[[web.instances]]\nid = "a"\naddress = "10.0.0.1"\n')
    (tmp_path / "half.toml").write_text("[web\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZKDNS_REGISTRY", raising=False)


def fails(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code and the one line. Nothing else is printed."""
    code, line = cli._run(words)
    assert capsys.readouterr() == ("", "")
    assert line.startswith("zkdns")
    assert "\n" not in line
    assert "a fault of its own" not in line
    return code, line


@pytest.mark.parametrize(("tried", "told"), rows(FLAGS), ids=[tried[2:] for tried, _ in rows(FLAGS)])
def test_a_wrong_command_line_is_one_line_that_names_it(
    tried: str, told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, *words = shlex.split(tried)
    words += ["--test"] if words[0] == "serve" and words[-1] != "--registry" else []
    got, line = fails(words, capsys)
    assert (got, [word for word in told if word not in line]) == (int(code), []), line


@pytest.mark.parametrize(("tried", "told"), rows(SETTINGS), ids=[tried for tried, _ in rows(SETTINGS)])
def test_a_wrong_setting_is_one_line_that_names_its_key(
    tried: str, told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("zkdns.toml").write_text(tried.replace(";", "\n"))
    words = ["serve", "--registry", "file:ok.toml", "--config", "zkdns.toml", "--test"]
    code, line = fails(words, capsys)
    assert (code, [word for word in told if word not in line]) == (2, []), line


def test_a_folder_that_holds_no_journal_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli._run(["history", "--state", "."]) == (0, "")
    assert "--state .: there is no journal" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["history", "w\udcf6b"], ["clients", "w\udcf6b"]], ids=["history", "clients"]
)
def test_an_argument_that_is_no_text_is_named(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes that the locale's encoding doesn't know (PEP 383): they can't be sent."""
    code, line = fails([*words, "--server", "http://127.0.0.1:1"], capsys)
    assert (code, "'w\\udcf6b' is no text in" in line) == (2, True), line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "zkdns: out of memory"),
        (RuntimeError("can't start new thread"), "zkdns: can't start new thread"),
        (RuntimeError("odd"), "zkdns: a fault of its own: RuntimeError: odd (ZKDNS_DEBUG=1 shows where)"),
    ],
)
def test_what_this_machine_lacks_is_no_fault_of_ours(
    error: Exception, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli.commands, "main", fail)
    assert cli._run(["services"]) == (1, line)
