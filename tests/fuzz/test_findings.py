"""What fuzzing found, each by name, so that it stays mended."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from fuzz.targets import targets
from registry.ensemble import Ensemble
from support.trees import open_root
from zkdns import config
from zkdns.dns import names
from zkdns.forward import resolvconf
from zkdns.model import Catalog, ConfigError
from zkdns.registry import file, formats
from zkdns.registry import settings as service_settings
from zkdns.registry.fields import BadData

LONG = b"1" * 400


@pytest.mark.parametrize(
    "name",
    [
        b"\x011\x013\x010\x0f10\x013\x07in-addr\x04arpa\0",
        b"\x011\x013\x010\x011\x0e\x07in-addr\x04arpa\0\0",
        b"\x0f\x01a\x07in-addr\x04arp\x04arpa\0",
    ],
)
def test_a_label_that_ends_like_a_reverse_name_is_no_reverse_name(name: bytes) -> None:
    """Walked as if labels ended there, it ran off its end: SERVFAIL, and the packet in the log."""
    targets()["query"].run(b"\0\1\1\0\0\1\0\0\0\0\0\0" + name + struct.pack("!HH", 12, 1))


def test_the_packet_that_found_it() -> None:
    packet = "1234010000010000000000000131013301000f313007696e2d61646472046172706100000c0001"
    targets()["query"].run(bytes.fromhex(packet))
    assert names.address_of(bytes.fromhex(packet)[12:-4]) is None


@pytest.mark.parametrize("field", ["warm", "hold", "fail_open", "srv_scale", "ttl", "answers"])
def test_a_setting_of_hundreds_of_digits_is_a_problem(field: str) -> None:
    """No float is that large: comparing it as one raised OverflowError out of the fold of all services."""
    data = b'{"%s": %s}' % (field.encode(), LONG)
    ensemble = Ensemble(zxid=5 << 32)
    ensemble.create("web", data)
    ensemble.create("web/a", b'{"address": "10.0.0.1"}')
    tree = open_root("/services")
    for event in ensemble.reading():
        tree.apply(event)
    (problem,) = tree.catalog().problems
    assert problem.what.startswith(f"{field} is 111")
    assert len(tree.catalog().services["web"].instances) == 1


def test_a_check_with_an_interval_of_hundreds_of_digits_is_a_problem() -> None:
    _, wrong, _ = service_settings.read("auto", b'{"check": {"type": "tcp", "interval": %s}}' % LONG)
    assert [error.what for error in wrong] == [
        f"check.interval is {'1' * 57}..., not a number from 0.1 to 86400"
    ]


def test_a_cure_does_not_repeat_a_port_of_any_length() -> None:
    with pytest.raises(BadData) as caught:
        formats.named("native").parse(formats.Node("a", b'{"address": "fd00:%s"}' % LONG))
    assert len(caught.value.cure) < 100


def test_a_provider_url_with_a_port_of_any_length_is_told_in_few_words() -> None:
    with pytest.raises(BadData) as caught:
        formats.named("dubbo").parse(formats.Node(f"dubbo%3A%2F%2F10.0.0.5%3A{LONG.decode()}x", b""))
    assert len(caught.value.what) < 250


@pytest.mark.parametrize("text", [b"web.ttl = " + b"1" * 5000, b"web.ttl = " + b"[" * 100_000])
def test_toml_beyond_what_its_reader_takes_is_an_error_of_the_file(text: bytes, tmp_path: Path) -> None:
    """tomllib lets out a plain ValueError for the one and RecursionError for the other."""
    with pytest.raises(ConfigError) as caught:
        file.parse(text, 1.0, "x.toml")
    assert "number of thousands of digits" in caught.value.why
    (tmp_path / "zkdns.toml").write_bytes(text)
    with pytest.raises(ConfigError, match="number of thousands of digits"):
        config.load({"config": str(tmp_path / "zkdns.toml")}, {})


def test_a_number_that_python_does_not_spell_is_a_problem_of_its_instance() -> None:
    text = b'[[web.instances]]\nid = "a"\naddress = "10.0.0.1"\nport = 0x' + b"f" * 5000
    (problem,) = file.parse(text, 1.0, "x.toml").problems
    assert problem.what == "port is a number of very many digits, not a whole number from 0 to 65535"


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e400"])
@pytest.mark.parametrize("setting", ["ttl", "workers", "lameduck"])
def test_no_setting_is_endless(setting: str, value: str, tmp_path: Path) -> None:
    (tmp_path / "zkdns.toml").write_text(f"{setting} = {value}\n")
    with pytest.raises(ConfigError, match=f": {setting}: "):
        config.load({"config": str(tmp_path / "zkdns.toml")}, {})


@pytest.mark.parametrize("line", ['registry = "file:a\\u0000b"', 'zones = "a\\u0000b"', 'state = "\\u0000"'])
def test_a_path_with_a_nul_in_it_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "zkdns.toml").write_text(line)
    with pytest.raises(ConfigError, match="NUL"):
        config.load({"config": str(tmp_path / "zkdns.toml")}, {})


@pytest.mark.parametrize("name", ["x" * 5000, "\\u202ex"])
@pytest.mark.parametrize("value", ["1", '"\\u202e"', "{ instances = '\u202e' }"])
def test_a_stray_key_is_told_in_few_words_that_a_terminal_takes(name: str, value: str) -> None:
    (problem,) = file.parse(f'"{name}" = {value}'.encode(), 1.0, "x.toml").problems
    assert (problem.what + problem.cure).isprintable()
    assert len(problem.what + problem.cure) < 300


@pytest.mark.parametrize("text", ["10.0.0.1:" + "1" * 5000, "[fd00::1]:" + "1" * 5000, "10.0.0.1:٣"])
def test_an_upstream_with_a_port_of_any_length_is_an_error_of_the_setting(text: str) -> None:
    with pytest.raises(ConfigError, match="it is no ADDR"):
        resolvconf.parse_upstream(text)


def collide(ids: list[str]) -> Catalog:
    rows = "".join(f'[[web.instances]]\nid = "{id}"\naddress = "10.0.0.1"\n' for id in ids)
    return file.parse(rows.encode(), 1.0, "x.toml")


def test_ids_that_fold_alike_are_told_in_words_that_a_terminal_takes() -> None:
    problems = collide(["A\\u001b", "A\\u001c"]).problems
    assert all(problem.what.isprintable() for problem in problems)
    assert "as A\\x1b does" in problems[1].what


def test_many_ids_that_fold_alike_are_not_all_told_to_each_other() -> None:
    problems = collide([f"a{'.' * n}" for n in range(1, 501)]).problems
    assert len(problems) == 500
    assert all(" and others do" in problem.what for problem in problems)
    assert max(len(problem.what) for problem in problems) < 2000
