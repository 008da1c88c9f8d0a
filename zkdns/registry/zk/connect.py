"""Settings -> a kazoo client: hosts, authentication, TLS, retries, and clear errors.

Rules: secrets reach no log (kazoo's DEBUG log spells authentication requests, so it is never on); the
operator's mistakes are ConfigErrors before anything is dialled; nothing here waits without a limit.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import ssl
import threading
import time
from pathlib import Path
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import AuthFailedError, KazooException, SessionClosedRequireSaslError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.hosts import collect_hosts

from zkdns.files import MIB, read_bounded
from zkdns.model import ConfigError
from zkdns.registry.access import ZooKeeperSettings
from zkdns.registry.zk import adopt, sasl
from zkdns.registry.zk.acl import own_acl

log = logging.getLogger("zkdns.registry.zk")

REPEAT_AFTER = 60.0
"""Seconds for which kazoo's equal warnings (one an attempt, one attempt a second) are said once."""

MAX_PEM_BYTES = 16 * MIB
"""Of a file of certificates: all that a system trusts are a few hundred KiB."""

TURNED_AWAY = 6
"""Connections in a row that were closed instead of answered, after which it is hardly chance."""

ERRNO = re.compile(r"\[Errno -?[0-9]+\] ")

DEMANDS = "this ZooKeeper demands a login that zookeeper.auth doesn't give"

NO_LOGIN = "it refuses the login of zookeeper.auth; does it know logins of that scheme?"

DROPPED = "Connection dropped: "
REFUSED_SOCKET = f"{DROPPED}socket connection error: "
"""How kazoo begins what a socket complained of while it was opened."""

NOISE = ("Transition", "Failed connecting to Zookeeper within the connection retry policy")
"""How complaints begin that tell people nothing: of kazoo's own states, and of an end that was asked for
while there was no connection."""

CURES = {
    "Connection refused": "is ZooKeeper running there?",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is of nobody in zookeeper.tls_ca, or of another host",
    "ALERT_BAD_CERTIFICATE": "it wants a certificate: set zookeeper.tls_cert and zookeeper.tls_key",
    "CERTIFICATE_REQUIRED": "it wants a certificate: set zookeeper.tls_cert and zookeeper.tls_key",
    "UNEXPECTED_EOF": "is that the port for TLS?",
    "WRONG_VERSION_NUMBER": "is that the port for TLS?",
    "announces a frame": "is that ZooKeeper's port?",
    "socket connection broken": "is it a ZooKeeper, and has it a quorum? "
    "or is that the port for TLS (zookeeper.tls_ca)?",
}
"""By what stands in such a complaint: what to do."""


class Unreachable(RuntimeError):
    """No session with the ensemble could be had. The text names the hosts and the reason."""


class Reasons(logging.Filter):
    """Keeps kazoo's latest warning for people, and lets equal ones pass once a minute, each with the ensemble
    that it is of."""

    def __init__(self, hosts: str) -> None:
        super().__init__()
        self._hosts = hosts
        self.latest = ""
        self.refused = False
        """Whether a login failed: kazoo has ended its client."""
        self._said: dict[str, float] = {}
        self._turned_away = 0

    def begin(self) -> None:
        """A new client takes the old one's place."""
        self.refused, self._turned_away = False, 0

    def opened(self, answered: bool) -> None:
        """A member accepted a connection, and answered or closed it."""
        self._turned_away = 0 if answered else self._turned_away + 1

    def is_outrun(self, client: KazooClient, away: float, session: float) -> bool:
        """Whether this client, which was `away` for so many seconds, seems to know zxids that the ensemble
        doesn't have (a restored backup): it is turned away and always will be, while one that starts anew
        is taken (kazoo #42). A member without a quorum turns away too, for a while: within the time of
        a `session` that is waited for."""
        return away > session and client.last_zxid > 0 and self._turned_away >= TURNED_AWAY

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if text.startswith("AUTH_FAILED closing: "):
            text = text.removeprefix("AUTH_FAILED closing: ") or NO_LOGIN
            self.refused = True
        elif text.startswith(REFUSED_SOCKET) or (text.startswith(DROPPED) and self._turned_away):
            text = add_cure(text)
        text = ERRNO.sub("", text)
        # kazoo passes the exception itself, whose traceback keeps a socket open for as long as a record.
        record.msg, record.args = f"ZooKeeper at {self._hosts}: {text}", None
        is_noise = text.startswith(NOISE)
        # What follows upon a login that is missing says less than that.
        quiet = is_noise or (self.latest == DEMANDS and "dropped" in text)
        if record.levelno >= logging.WARNING and not quiet:
            self.latest = text
        now = time.monotonic()
        if now - self._said.get(text, -REPEAT_AFTER) < REPEAT_AFTER:
            return False
        if len(self._said) > 100:
            self._said.clear()
        self._said[text] = now
        return not is_noise and log.isEnabledFor(record.levelno)


def add_cure(text: str) -> str:
    """What kazoo complains of, and what to do where that is known."""
    cure = next((f"; {cure}" for part, cure in CURES.items() if part in text), "")
    return f"no connection: {text.removeprefix(REFUSED_SOCKET).removeprefix(DROPPED)}{cure}"


def open_client(
    hosts: str, settings: ZooKeeperSettings, reasons: Reasons | None = None
) -> tuple[KazooClient, Reasons]:
    """A client that is not started yet, and the keeper of its complaints (`reasons`: that of the client
    whose place it takes)."""
    try:
        addresses, chroot = collect_hosts(hosts)
    except ValueError as why:
        raise ConfigError("registry", f"ZooKeeper hosts {hosts!r}: {why}") from None
    if chroot or not addresses or not all(host and 0 < port < 65536 for host, port in addresses):
        raise ConfigError("registry", f"ZooKeeper hosts {hosts!r}: expected host:port,host:port")
    reasons = reasons or Reasons(hosts)
    reasons.begin()
    logger = logging.Logger("zkdns.registry.zk.kazoo", logging.WARNING)
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
    _guard_files(client, settings)
    sasl.follow(client, reasons.opened)
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
    # A login and no more: ZooKeeper protects no traffic by SASL.
    common = {"service": "zookeeper", "qops": (b"auth",)}
    if not credentials:
        if importlib.util.find_spec("kerberos") is None:
            raise ConfigError("zookeeper.auth", "sasl alone is Kerberos: pip install 'zkdns[kerberos]'")
        return {"sasl_options": {"mechanism": "GSSAPI", **common}}
    user, _, secret = credentials.partition(":")
    if not (user and secret):
        raise ConfigError("zookeeper.auth", 'expected "sasl" (Kerberos) or "sasl:user:secret"')
    return {"sasl_options": {"mechanism": "DIGEST-MD5", "username": user, "password": secret, **common}}


def _tls(settings: ZooKeeperSettings) -> dict[str, Any]:
    if not (settings.tls_ca or settings.tls_cert or settings.tls_key):
        return {}
    if settings.tls_key and not settings.tls_cert:
        raise ConfigError("zookeeper.tls_key", "is set without tls_cert")
    key = settings.tls_key or settings.tls_cert
    for name, path in _tls_files(settings).items():
        try:
            read_bounded(Path(path), MAX_PEM_BYTES)
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
        lacking = "" if settings.tls_key else "; where the key is in a file of its own, set tls_key"
        what = why.reason or "no certificate with its key in PEM"
        raise ConfigError("zookeeper.tls_cert", f"{settings.tls_cert}: {what}{lacking}") from None
    return {
        "use_ssl": True,
        "ca": settings.tls_ca or None,
        "certfile": settings.tls_cert or None,
        "keyfile": key or None,
        "verify_certs": True,
        "check_hostname": True,
    }


def _tls_files(settings: ZooKeeperSettings) -> dict[str, str]:
    """By setting, those that OpenSSL is to read: it would wait for a FIFO for ever."""
    key = settings.tls_key or settings.tls_cert
    files = {"tls_ca": settings.tls_ca, "tls_cert": settings.tls_cert, "tls_key": key}
    return {name: path for name, path in files.items() if path}


def _guard_files(client: KazooClient, settings: ZooKeeperSettings) -> None:
    """kazoo has OpenSSL read the files anew for each connection, and by then they may have changed."""
    files = _tls_files(settings)
    if not files:
        return
    handler = adopt.demand(client.handler, "create_connection")
    create = handler.create_connection

    def create_guarded(*where: Any, **how: Any) -> Any:
        for name, path in files.items():
            try:
                read_bounded(Path(path), MAX_PEM_BYTES)
            except OSError as why:
                raise OSError(why.errno, f"zookeeper.{name}: {path}: {why.strerror}") from None
        return create(*where, **how)

    handler.create_connection = create_guarded


def connect(hosts: str, settings: ZooKeeperSettings, timeout: float = 10.0) -> KazooClient:
    """A started client whose login is done, or Unreachable after `timeout` seconds. What it makes bears
    `zookeeper.acl`. To be ended with `close`."""
    client, reasons = open_client(hosts, settings)
    client.default_acl = own_acl(settings)
    hush(client)  # who called is told by what is raised
    live = client.start_async()
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0 and not reasons.refused:
        if not live.wait(min(0.05, left)):
            continue
        try:
            # kazoo tells of a session before it has logged in; what is asked waits for that.
            client.exists_async("/").get(timeout=left)
            return client
        except AuthFailedError:
            break
        except SessionClosedRequireSaslError:
            demand_login(client)
            break
        except (KazooException, KazooTimeoutError):
            time.sleep(0.05)
    trouble = reasons.latest or f"no answer within {timeout:g} s"
    close(client, 1.0)  # kazoo complains of that too
    raise Unreachable(f"ZooKeeper at {hosts}: {trouble}")


def hush(client: KazooClient) -> None:
    """Keep its complaints out of the log; `Reasons` hears them all the same."""
    client.logger.propagate = False
    client.logger.addHandler(logging.NullHandler())


def demand_login(client: KazooClient) -> None:
    """An answer told that a login is missing: say so, once a minute at most."""
    client.logger.warning(DEMANDS)


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
        adopt.cut(client)
        thread.join(within / 2)
    return not thread.is_alive()
