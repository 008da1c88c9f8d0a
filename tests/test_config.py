"""Settings: each mistake is named where it stands, and who wins over whom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from zkdns.config import DEFAULT_REGISTRY, MAX_UPSTREAMS, MAX_ZONE_CHARS, Address, Settings, load
from zkdns.model import ConfigError


@pytest.mark.parametrize(
    ("flag", "value", "named"),
    [
        ("registry", "nonsense", "nonsense"),
        ("registry", "http://x/y", "http://x/y"),
        ("registry", "zk://h:99999/x", "h:99999"),
        ("registry", "zk://h:0/x", "h:0"),
        ("registry", "zk://h:x/x", "h:x"),
        ("registry", "zk:///x", "zk:///x"),
        ("registry", "zk://h:2181,/x", "zk://h:2181,/x"),
        ("registry", "zk://h/x?format=nope", "nope"),
        ("registry", "zk://h/x?colour=red", "format="),
        ("registry", "zk://h/x#part", "format="),
        ("registry", "zk://h/a//b", "zk://h/a//b"),
        ("registry", "zk://h/a/../b", "zk://h/a/../b"),
        ("registry", "zk://h/.", "zk://h/."),
        ("registry", "zk://h/a\x7f", "zk://h/a"),
        ("registry", "zk://[::1/a", "zk://[::1/a"),
        ("registry", "file:", "file:"),
        ("zone", "bad..name", "bad..name"),
        ("zone", "", "''"),
        ("zone", "a" * 64, "a" * 64),
        ("zone", ".".join(["a" * 60] * 4), "zone"),
        ("zone", "white space", "white space"),
        ("zone", "bücher.test", "bücher.test"),
        ("listen", "5300", "'5300' is no ADDR:PORT, as in 127.0.0.1:5300"),
        ("listen", "localhost:5300", "localhost"),
        ("listen", "::1:5300", "::1:5300"),
        ("listen", "[::1]", "[::1]"),
        ("listen", "[127.0.0.1]:53", "[127.0.0.1]:53"),
        ("listen", "127.0.0.1:70000", "70000"),
        ("listen", "127.0.0.1:-1", "127.0.0.1:-1"),
        ("listen", "127.0.0.1:\u0665", "\u0665"),
        ("http", "nowhere", "nowhere"),
        ("engine", "rust", "rust"),
        ("workers", -1, "-1"),
        ("ttl", -1, "-1"),
        ("ttl", 2**31, "2147483647"),
        ("lameduck", -3.0, "-3"),
        ("lameduck", float("nan"), "nan"),
        ("forward_allow", "300.0.0.0/8", "300.0.0.0/8"),
        ("forward_allow", "fe80::%eth0/64", "without an interface"),
        ("listen", "[fe80::1%eth0]:53", "without its interface"),
        ("advertise", "fe80::1%eth0", "fe80::1%eth0"),
        ("advertise", "[ff02::1]:53", "ff02::1"),
        ("advertise", "224.0.0.1", "224.0.0.1"),
    ],
)
def test_a_wrong_flag_is_named_with_what_is_wrong(flag: str, value: Any, named: str) -> None:
    many = flag in ("registry", "zone", "listen", "forward_allow")
    with pytest.raises(ConfigError, match=r"^--") as error:
        load({flag: (value,) if many else value}, {})
    assert "--" + flag.replace("_", "-") in error.value.where
    assert named in str(error.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("ttl = ", "not TOML"),
        ("# \xff", "UTF-8"),
        ("colour = 1", "colour"),
        ('ttl = "5"', "ttl"),
        ("ttl = true", "ttl"),
        ("ttl = 1.5", "ttl"),
        ("ttl = nan", "ttl"),
        ("zone = 7", "zone"),
        ("zone = []", "zone"),
        ("registry = []", "registry"),
        ("listen = []", "listen"),
        ('listen = [1, "x"]', "listen"),
        ("http = 5", "http"),
        ("zones = 5", "zones"),
        ("stale_max = -1", "stale_max"),
        ("stale_max = inf", "stale_max"),
        ('allow_command_checks = "yes"', "allow_command_checks"),
        ("forward_allow = [1]", "forward_allow"),
        (f"forward = {[f'192.0.2.{n}' for n in range(MAX_UPSTREAMS + 1)]}", "64 at most"),
        (f"forward_trusted = {[f'192.0.2.{n}' for n in range(MAX_UPSTREAMS + 1)]}", "64 at most"),
        ("zookeeper = 3", "zookeeper"),
        ("[zookeeper]\nsession_timeout = 0", "session_timeout"),
        ('[zookeeper]\nsession_timeout = "10"', "session_timeout"),
        ("[zookeeper]\nnope = 1", "nope"),
        ("[zookeeper]\nauth = 5", "auth"),
        ("[[zookeeper]]\nauth = 5", "zookeeper"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(tmp_path: Path, text: str, named: str) -> None:
    config = tmp_path / "zkdns.toml"
    config.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError) as error:
        load({"config": str(config)}, {})
    assert str(config) in error.value.where
    assert named in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_is_no_settings_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="directory"):
        load({"config": str(tmp_path)}, {})


def test_a_secret_is_never_told(tmp_path: Path) -> None:
    config = tmp_path / "zkdns.toml"
    config.write_text('[zookeeper]\nauth = "hunter2"\n')
    for flags, environ in (
        ({"config": str(config)}, {}),
        ({"registry": ("zk://me:hunter2@h:2181/x",)}, {}),
        ({}, {"ZKDNS_ZOOKEEPER_AUTH": "hunter2"}),
        ({}, {"ZKDNS_REGISTRY": "zk://me:hunter2@h:2181/x"}),
    ):
        with pytest.raises(ConfigError) as error:
            load(flags, environ)
        assert "hunter2" not in str(error.value)
    settings = load({}, {"ZKDNS_ZOOKEEPER_AUTH": "digest:me:hunter2"})
    assert settings.zookeeper.auth == "digest:me:hunter2"
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize("key", ["forward_allow", "check_targets", "ecs_from"])
def test_a_network_is_plain_however_it_is_written(tmp_path: Path, key: str) -> None:
    config = tmp_path / "zkdns.toml"
    config.write_text(
        f'{key} = ["10.0.0.1/8", "::ffff:10.0.0.0/104", "::ffff:0:0/96", "::ffff:0:0/95", "FD00::1/8"]'
    )
    networks = getattr(load({"config": str(config)}, {}), key)
    assert networks == ("10.0.0.0/8", "0.0.0.0/0", "::fffe:0:0/95", "fd00::/8")
    config.write_text(f'{key} = "fe80::%eth0/64"')
    with pytest.raises(ConfigError, match="without an interface"):
        load({"config": str(config)}, {})


def test_an_ipv4_address_is_one_however_it_is_written() -> None:
    settings = load({"listen": ("[::ffff:127.0.0.1]:53",), "advertise": "::ffff:10.0.0.5"}, {})
    assert (settings.listen, settings.advertise) == ((Address("127.0.0.1", 53),), Address("10.0.0.5", 0))
    assert load({"http": "[fe80::1%eth0]:80"}, {}).http == Address("fe80::1%eth0", 80)


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(ConfigError, match=r"ZKDNS_REGISTRY.*nonsense"):
        load({}, {"ZKDNS_REGISTRY": "nonsense"})


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    config = tmp_path / "zkdns.toml"
    config.write_text('registry = "file:a"\nttl = 30\n[zookeeper]\nauth = "digest:a:b"\ntls_ca = "ca"\n')
    flags = {"config": str(config), "registry": (), "ttl": None}
    assert [r.text for r in load(flags, {}).registry] == ["file:a"]
    settings = load(flags, {"ZKDNS_REGISTRY": "file:b file:c", "ZKDNS_ZOOKEEPER_AUTH": "digest:c:d"})
    assert [r.text for r in settings.registry] == ["file:b", "file:c"]
    assert (settings.zookeeper.auth, settings.zookeeper.tls_ca) == ("digest:c:d", "ca")
    settings = load({**flags, "registry": ("file:d",), "ttl": 0}, {"ZKDNS_REGISTRY": "file:b"})
    assert [r.text for r in settings.registry] == ["file:d"]
    assert settings.ttl == 0


def test_every_flag_is_a_key_of_the_file(tmp_path: Path) -> None:
    config = tmp_path / "zkdns.toml"
    config.write_text(
        'registry = ["zk://h1:2181,h2/services?format=auto", "file:x"]\nzone = ["A.test.", "b.test"]\n'
        'listen = ["0.0.0.0:53", "[::]:53"]\nhttp = ""\nengine = "python"\nworkers = 2\n'
        'forward = "resolv.conf"\nforward-allow = ["10.0.0.0/8"]\nzones = "z"\nstate = "s"\nttl = 1\n'
        "lameduck = 2.5\nstale_max = 60\nallow_command_checks = true\n"
    )
    settings = load({"config": str(config)}, {})
    assert [(r.hosts, r.root) for r in settings.registry] == [("h1:2181,h2:2181", "/services"), ("", "")]
    assert settings.zone == ("a.test", "b.test")
    assert settings.listen == (Address("0.0.0.0", 53), Address("::", 53))
    assert settings.http is None
    assert (settings.engine, settings.workers, settings.ttl) == ("python", 2, 1)
    assert (settings.forward, settings.forward_allow) == (("resolv.conf",), ("10.0.0.0/8",))
    assert (settings.zones, settings.state, settings.lameduck) == ("z", "s", 2.5)
    assert (settings.stale_max, settings.allow_command_checks) == (60.0, True)


def test_defaults_are_those_of_the_manual() -> None:
    settings = load({}, {})
    assert [r.text for r in settings.registry] == [DEFAULT_REGISTRY] == ["zk://127.0.0.1:2181/services"]
    assert settings.zone == ("svc.local",)
    assert settings.listen == (Address("127.0.0.1", 5300),)
    assert settings.http == Address("127.0.0.1", 8053)
    assert (settings.engine, settings.ttl, settings.lameduck) == ("auto", 5, 0)
    assert (settings.forward, settings.zones, settings.state) == ((), "", "")
    assert settings.zookeeper.session_timeout == 10
    assert isinstance(settings, Settings)


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("zk://h", "/services"),
        ("zk://h/", "/"),
        ("zk://h/a/b/", "/a/b"),
        ("zk://h:1,[::1]:2,i/x", "/x"),
    ],
)
def test_registry_urls(text: str, root: str) -> None:
    [url] = load({"registry": (text,)}, {}).registry
    assert url.root == root


@pytest.mark.parametrize(
    ("flag", "low", "high", "step"),
    [
        ("workers", 0, 1024, 1),
        ("cache_mb", 1, 65_536, 1),
        ("cache_entries", 100, 10**7, 1),
        ("ttl", 0, 2**31 - 1, 1),
        ("query_log_sample", 0, 2**32 - 1, 1),
        ("query_log_most", 1, 10**6, 1),
        ("lameduck", 0, 3600, 0.1),
        ("stale_max", 0, 10**9, 0.1),
        ("grace", 0, 3600, 0.1),
        ("query_log_slow", 0, 3600, 0.1),
        ("journal_days", 0.01, 3650, 0.001),
        ("journal_mb", 1, 10**6, 0.1),
    ],
)
def test_a_number_is_taken_up_to_its_bounds_and_not_a_step_beyond(
    flag: str, low: float, high: float, step: float
) -> None:
    for value in (low, high):
        assert getattr(load({flag: value}, {}), flag) == value
    for value in (low - step, high + step):
        with pytest.raises(ConfigError, match="is not within"):
            load({flag: value}, {})


def test_the_last_port_and_the_longest_zone_are_taken_and_the_next_is_not() -> None:
    assert load({"listen": ("127.0.0.1:65535",)}, {}).listen == (Address("127.0.0.1", 65_535),)
    with pytest.raises(ConfigError):
        load({"listen": ("127.0.0.1:65536",)}, {})
    zone = ".".join(["a" * 59] * 2)
    assert load({"zone": (f"{zone}.b"[-MAX_ZONE_CHARS:],)}, {}).zone
    with pytest.raises(ConfigError):
        load({"zone": (f"{zone}b.b",)}, {})


@pytest.mark.parametrize("auth", [["digest:u:SECRET"], {"digest": "SECRET"}, "digest:u:SECRET\0", "SECRET"])
def test_a_secret_that_is_written_wrongly_is_told_by_no_error(auth: object, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    text = '{ digest = "SECRET" }' if isinstance(auth, dict) else json.dumps(auth)
    path.write_text(f"[zookeeper]\nauth = {text}\n")
    with pytest.raises(ConfigError, match="auth") as told:
        load({"config": str(path)}, {})
    assert "SECRET" not in str(told.value)
