"""Settings -> a kazoo client: hosts, authentication, TLS, retries, and clear errors.

Rules: secrets reach no log (kazoo's DEBUG log spells authentication requests, so it is never on); the
operator's mistakes are ConfigErrors before anything is dialled; nothing here waits without a limit.
"""

from __future__ import annotations

import importlib.util
import logging
import ssl
import threading
import time
from pathlib import Path
from typing import Any

from kazoo.client import KazooClient
from kazoo.hosts import collect_hosts
from kazoo.protocol.states import KeeperState

from zkdns.config import ZooKeeperSettings
from zkdns.model import ConfigError
from zkdns.registry import multiread

log = logging.getLogger("zkdns.registry.zookeeper")

REPEAT_AFTER = 60.0
"""Seconds for which kazoo's equal warnings (one an attempt, one attempt a second) are said once."""


class Unreachable(RuntimeError):
    """No session with the ensemble could be had. The text names the hosts and the reason."""


class Reasons(logging.Filter):
    """Keeps kazoo's latest warning for people, and lets equal ones pass once a minute."""

    def __init__(self) -> None:
        super().__init__()
        self.latest = ""
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        # kazoo passes the exception itself, whose traceback keeps a socket open for as long as a record.
        record.msg, record.args = text, None
        if record.levelno >= logging.WARNING and not text.startswith("Transition"):
            self.latest = text
        now = time.monotonic()
        if now - self._said.get(text, -REPEAT_AFTER) < REPEAT_AFTER:
            return False
        if len(self._said) > 100:
            self._said.clear()
        self._said[text] = now
        return not text.startswith("Transition")


def open_client(hosts: str, settings: ZooKeeperSettings) -> tuple[KazooClient, Reasons]:
    """A client that is not started yet, and the keeper of its complaints."""
    try:
        found, chroot = collect_hosts(hosts)
    except ValueError as why:
        raise ConfigError("registry", f"ZooKeeper hosts {hosts!r}: {why}") from None
    if chroot or not found or not all(host and 0 < port < 65536 for host, port in found):
        raise ConfigError("registry", f"ZooKeeper hosts {hosts!r}: expected host:port,host:port")
    reasons = Reasons()
    logger = logging.Logger("zkdns.registry.zookeeper.kazoo", logging.WARNING)
    logger.parent = log
    logger.addFilter(reasons)
    client = KazooClient(
        hosts,
        timeout=settings.session_timeout,
        logger=logger,
        # kazoo's default backs off up to an hour: 15 s of absence cost 11 s more, and the session.
        connection_retry={"max_tries": -1, "delay": 0.1, "backoff": 2, "max_delay": 1.0},
        **_auth(settings),
        **_tls(settings),
    )
    return client, reasons


def _auth(settings: ZooKeeperSettings) -> dict[str, Any]:
    scheme, _, credentials = settings.auth.partition(":")
    if not scheme:
        return {}
    if scheme != "sasl":
        if not credentials:
            raise ConfigError("zookeeper.auth", 'expected "SCHEME:CREDENTIALS", as "digest:user:secret"')
        return {"auth_data": [(scheme, credentials)]}
    if importlib.util.find_spec("puresasl") is None:
        raise ConfigError("zookeeper.auth", "sasl needs the package pure-sasl: pip install 'zkdns[sasl]'")
    if not credentials:
        return {"sasl_options": {"mechanism": "GSSAPI", "service": "zookeeper"}}
    user, found, secret = credentials.partition(":")
    if not found:
        raise ConfigError("zookeeper.auth", 'expected "sasl" (Kerberos) or "sasl:user:secret"')
    return {"sasl_options": {"mechanism": "DIGEST-MD5", "username": user, "password": secret}}


def _tls(settings: ZooKeeperSettings) -> dict[str, Any]:
    if not (settings.tls_ca or settings.tls_cert or settings.tls_key):
        return {}
    if settings.tls_key and not settings.tls_cert:
        raise ConfigError("zookeeper.tls_key", "is set without tls_cert")
    key = settings.tls_key or settings.tls_cert
    for name, path in (("tls_ca", settings.tls_ca), ("tls_cert", settings.tls_cert), ("tls_key", key)):
        try:
            if path:
                Path(path).open("rb").close()
        except OSError as why:
            raise ConfigError(f"zookeeper.{name}", f"{path}: {why.strerror}") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if settings.tls_ca:
            context.load_verify_locations(settings.tls_ca)
    except ssl.SSLError as why:
        raise ConfigError(
            "zookeeper.tls_ca", f"{settings.tls_ca}: no PEM certificates ({why.reason})"
        ) from None
    try:
        if settings.tls_cert:
            # A callback that gives nothing: without it OpenSSL asks on the terminal and waits.
            context.load_cert_chain(settings.tls_cert, key, password=lambda: "")
    except ssl.SSLError as why:
        raise ConfigError("zookeeper.tls_cert", f"{settings.tls_cert}, {key}: {why.reason}") from None
    return {
        "use_ssl": True,
        "ca": settings.tls_ca or None,
        "certfile": settings.tls_cert or None,
        "keyfile": key or None,
        "verify_certs": True,
        "check_hostname": True,
    }


def connect(hosts: str, settings: ZooKeeperSettings, timeout: float = 10.0) -> KazooClient:
    """A started client, or Unreachable after `timeout` seconds. To be ended with `close`."""
    client, reasons = open_client(hosts, settings)
    live = client.start_async()
    deadline = time.monotonic() + timeout
    while not live.wait(0.05) and time.monotonic() < deadline:
        if client.client_state == KeeperState.AUTH_FAILED:
            break
    if client.connected and client.client_state != KeeperState.AUTH_FAILED:
        return client
    refused = "authentication refused; " if client.client_state == KeeperState.AUTH_FAILED else ""
    why = reasons.latest or f"no answer within {timeout:g} s"
    close(client, 1.0)
    raise Unreachable(f"ZooKeeper at {hosts}: {refused}{why}")


def close(client: KazooClient, within: float) -> bool:
    """End the session and free the client, in at most `within` seconds whatever the ensemble does.

    kazoo's `stop()` waits 10 s and longer for a server that is frozen. False: the rest of it is left
    to a daemon thread.
    """

    def stop() -> None:
        try:
            client.stop()
            client.close()
        except Exception as why:  # kazoo raises a bare Exception where its writer did not stop
            log.debug("closing the ZooKeeper client: %s", why)

    thread = threading.Thread(target=stop, name="zkdns-zookeeper-close", daemon=True)
    thread.start()
    thread.join(within / 2)
    if thread.is_alive():
        multiread.cut(client)
        thread.join(within / 2)
    return not thread.is_alive()
