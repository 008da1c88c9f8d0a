"""Where other replicas are told to find a server, and that no two of them are one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from zkdns.config import Settings, load
from zkdns.pipeline.inputs import Advertised
from zkdns.registry.zk import route
from zkdns.server import advertised
from zkdns.server.lifecycle import new_id


def settings(**flags: object) -> Settings:
    return load({"registry": ("zk://127.0.0.1:2181/services",), **flags}, environ={})


@pytest.mark.parametrize(
    ("flags", "dns", "http"),
    [
        ({"listen": ("0.0.0.0:53",), "http": "0.0.0.0:8053"}, "127.0.0.1:53", "127.0.0.1:8053"),
        ({"listen": ("10.0.0.5:53",), "http": "0.0.0.0:8053"}, "10.0.0.5:53", "127.0.0.1:8053"),
        ({"listen": ("10.0.0.5:53",), "http": "10.0.0.5:80"}, "10.0.0.5:53", "10.0.0.5:80"),
        ({"listen": ("0.0.0.0:53",), "http": ""}, "127.0.0.1:53", ""),
        ({"listen": ("0.0.0.0:5300",), "advertise": "192.0.2.7"}, "192.0.2.7:5300", "127.0.0.1:8053"),
        (
            {"listen": ("0.0.0.0:5300",), "http": "0.0.0.0:80", "advertise": "192.0.2.7:53"},
            "192.0.2.7:53",
            "192.0.2.7:80",
        ),
        ({"listen": ("[::]:5300",), "advertise": "[fd00::7]:53"}, "[fd00::7]:53", "127.0.0.1:8053"),
        ({"listen": ("[::]:5300",), "advertise": "fd00::7"}, "[fd00::7]:5300", "127.0.0.1:8053"),
    ],
)
def test_a_wildcard_is_told_as_the_address_toward_zookeeper(
    flags: dict[str, object], dns: str, http: str
) -> None:
    assert advertised.find(settings(**flags)) == (dns, http)


@pytest.mark.parametrize(
    ("flags", "dns", "http"),
    [
        ({"listen": ("0.0.0.0:53",), "http": "[::]:8053"}, "", ""),
        ({"listen": ("10.0.0.5:53",), "http": "0.0.0.0:8053"}, "10.0.0.5:53", ""),
        ({"listen": ("0.0.0.0:53",), "http": "10.0.0.5:80"}, "", "10.0.0.5:80"),
        ({"listen": ("10.0.0.5:53",), "http": ""}, "10.0.0.5:53", ""),
        (
            {"listen": ("0.0.0.0:5300",), "http": "0.0.0.0:80", "advertise": "192.0.2.7"},
            "192.0.2.7:5300",
            "192.0.2.7:80",
        ),
    ],
)
def test_before_the_way_to_zookeeper_is_known_no_wildcard_is_told(
    flags: dict[str, object], dns: str, http: str
) -> None:
    """Who read one and asked there, as `drain --wait` does, would ask itself."""
    assert advertised.at_start(settings(**flags)) == (dns, http)


def test_without_zookeeper_a_wildcard_stays_one(tmp_path: Path) -> None:
    found = settings(registry=(f"file:{tmp_path}/services.toml",), listen=("0.0.0.0:53",))
    assert advertised.find(found) == ("0.0.0.0:53", "127.0.0.1:8053")


async def test_an_ensemble_whose_name_has_no_address_yet_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries: list[str] = []

    def own_address(hosts: str) -> str:
        tries.append(hosts)
        if len(tries) < 3:
            raise OSError("no such name")
        return "192.0.2.9"

    monkeypatch.setattr(route, "own_address", own_address)
    told: list[Advertised] = []
    wildcard = settings(listen=("0.0.0.0:53",), http="")
    await asyncio.wait_for(advertised.follow(wildcard, told.append, pause=0.01), 30)
    assert (told, len(tries)) == ([Advertised("192.0.2.9:53", "")], 3)


def test_the_first_host_that_can_be_reached_tells_the_address() -> None:
    assert route.own_address("nowhere.invalid:2181,127.0.0.1:2181") == "127.0.0.1"
    with pytest.raises(OSError, match=r"(?i)name|resolution"):
        route.own_address("nowhere.invalid:2181")


def test_two_servers_of_one_host_and_one_process_id_are_two_replicas() -> None:
    # As in two containers on the host's network: each is process 1 of its own.
    assert len({new_id() for _ in range(20)}) == 20
