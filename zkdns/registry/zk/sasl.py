"""How a connection to ZooKeeper begins: SASL, and whether we are turned away before a session.

Rules: runs on kazoo's connection thread, and of kazoo's private names touches those of its connecting
alone. What goes wrong with a login is an AuthFailedError of one line without a secret, never a traceback
and never an endless exchange (kazoo 2.11 asks a server that does no SASL again and again).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import AuthFailedError
from kazoo.protocol.connection import ConnectionDropped
from kazoo.protocol.serialization import SASL, Connect

from zkdns.registry.zk.adopt import demand

ROUNDS = 10
"""Messages of ours in one login; DIGEST-MD5 takes two, Kerberos three."""

DIGEST_HOST = "zk-sasl-md5"
"""The host name in ZooKeeper's DIGEST-MD5, whatever the server's is (ZooKeeper's SecurityUtils)."""

REFUSED = "ZooKeeper refused the login of zookeeper.auth"
NO_SASL = "this ZooKeeper does no SASL login, or lets those in who fail at it; zookeeper.auth asks for one"


def follow(client: KazooClient, opened: Callable[[bool], None]) -> None:
    """From now on log in our way, and tell `opened` of each connection that was accepted: True with
    a session's answer, False where the server closed it instead."""
    names = ("_invoke", "_submit", "_read_header", "_authenticate_with_sasl", "sasl_options")
    connection = demand(getattr(client, "_connection", None), *names)
    invoke: Callable[..., Any] = connection._invoke

    def watched(timeout: float, request: Any, xid: int | None = None) -> Any:
        if not isinstance(request, Connect):
            return invoke(timeout, request, xid)
        try:
            reply = invoke(timeout, request, xid)
        except ConnectionDropped:
            opened(False)
            raise
        opened(True)
        return reply

    def login(host: str, timeout: float) -> None:
        _login(connection, host, timeout)

    connection._invoke = watched
    connection._authenticate_with_sasl = login


def _login(connection: Any, host: str, timeout: float) -> None:
    import puresasl.client  # an extra of ours: needed by those alone whose settings say sasl

    options = connection.sasl_options
    try:
        if options["mechanism"] == "DIGEST-MD5":
            host = DIGEST_HOST
        client = puresasl.client.SASLClient(host=host, **options)
        challenge: bytes | None = None
        for xid in range(1, ROUNDS + 1):
            response = client.process(challenge)
            if client.complete and not response:
                break
            challenge = _exchange(connection, response or b"", timeout, xid)
            if client.complete:
                break
            if not challenge:
                raise AuthFailedError(NO_SASL)
        else:
            raise AuthFailedError(f"{REFUSED}: no end after {ROUNDS} messages")
        client.dispose()
    except (AuthFailedError, ConnectionDropped, connection.handler.timeout_exception):
        raise
    except (puresasl.SASLError, puresasl.SASLProtocolException) as why:
        raise AuthFailedError(f"SASL: {why}") from None
    except Exception as why:
        # Kerberos' own library tells what is missing; of anything else the text may hold a part of a secret.
        reason = type(why).__name__
        if type(why).__module__ == "kerberos":  # (TEXT, CODE) pairs
            reason = ", ".join(str(part[0]) for part in why.args if isinstance(part, tuple) and part)
        raise AuthFailedError(f"SASL: {reason}") from None


def _exchange(connection: Any, response: bytes, timeout: float, xid: int) -> bytes | None:
    connection._submit(SASL(response), timeout, xid)
    try:
        header, buffer, offset = connection._read_header(timeout)
    except ConnectionDropped as why:
        # Servers before 3.5 say no more than this to a wrong password; a server that just died does too.
        raise ConnectionDropped(f"{why}, during the login of zookeeper.auth") from None
    if header.xid != xid:
        raise ConnectionDropped("a reply that is none to the login of zookeeper.auth")
    if header.err:
        raise AuthFailedError(REFUSED)
    challenge: bytes | None = SASL.deserialize(buffer, offset)[0]
    return challenge
