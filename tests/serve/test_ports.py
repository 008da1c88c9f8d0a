"""A port that is left open is chosen once, is free over UDP and TCP, and is what everybody is told."""

from __future__ import annotations

import socket

import pytest

from zkdns.config import Address, Settings
from zkdns.model import ConfigError
from zkdns.serve.listen import ports
from zkdns.serve.listen.bind import bind
from zkdns.serve.listen.ports import Ports

OPEN = Address("127.0.0.1", 0)


def test_what_is_left_open_is_chosen_once_and_the_rest_stands() -> None:
    some = Ports()
    fixed = Address("127.0.0.1", 5300)
    settings = some.choose(Settings(listen=(OPEN, fixed), http=OPEN))
    assert settings.listen[0].port
    assert settings.listen[1] == fixed
    assert settings.http is not None
    assert settings.http.port not in (0, settings.listen[0].port)
    assert some.choose(Settings(listen=(OPEN,), http=OPEN)).listen == settings.listen[:1], "a reload"
    assert some.choose(Settings(http=None)).http is None
    with bind(settings.listen[0], socket.SOCK_DGRAM), bind(settings.listen[0], socket.SOCK_STREAM):
        pass


def test_one_that_is_somebodys_over_udp_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def refusing(address: Address, kind: socket.SocketKind) -> socket.socket:
        if kind == socket.SOCK_DGRAM and len(taken) < 3:
            taken.append(address.port)
            raise OSError(98, "in use")
        return bind(address, kind)

    monkeypatch.setattr(ports, "bind", refusing)
    assert Ports().choose(Settings(listen=(OPEN,))).listen[0].port not in (0, *taken)
    taken.clear()
    monkeypatch.setattr(ports, "MAX_TRIES", 3)
    with pytest.raises(ConfigError, match=r"--listen 127.0.0.1:[1-9]"):
        Ports().choose(Settings(listen=(OPEN,)))


def test_an_address_that_is_not_ours_is_the_operators_mistake() -> None:
    with pytest.raises(ConfigError, match=r"--http 192\.0\.2\.1:0"):
        Ports().choose(Settings(http=Address("192.0.2.1", 0)))
