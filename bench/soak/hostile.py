"""A tenant who does her worst all the while, at random; the others must not feel it.

Rules: one thread, what she registers is bounded, and her names are told from all others by their look. What
she does ends before a quiet moment (`pause`); what she registered stays there, and is nobody's to judge.
"""

from __future__ import annotations

import json
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError

from zkdns.dns import names
from zkdns.registry.zk.connect import close

PAUSE: Final = 0.25
"""Seconds between two attacks."""

PATIENCE: Final = 2.0

MOST: Final = 24
"""Services that she holds at once."""

MUTE_TARGETS: Final = 60
"""Of her instances that may be under probe at any moment, each a descriptor of a server's."""

TROUBLE: Final = (KazooException, KazooTimeoutError, ConnectionError, OSError)

_OTHERS: Final = re.compile(r"[a-z]+[0-9]+(@[a-z0-9]+)?")


def is_hers(service: str) -> bool:
    """Whether this name of a service, or the label that came of it, is none of the others'."""
    return not _OTHERS.fullmatch(service)


class Hostile:
    """`servers`: where to ask each. `source`: where she asks from; a client's share is that of its address.
    `mute`: an address and a port that take connections and say nothing."""

    def __init__(
        self,
        hosts: str,
        servers: Sequence[tuple[str, int, int]],
        source: str,
        mute: tuple[str, int],
        draw: random.Random,
    ) -> None:
        self.done: Counter[str] = Counter()
        self.broken = ""
        self._hosts = hosts
        self._servers = servers
        self._source = source
        self._mute = mute
        self._draw = draw
        self._held: dict[str, None] = {}
        self._open: list[socket.socket] = []
        self._client: KazooClient | None = None
        self._may = threading.Event()
        self._idle = threading.Event()
        self._over = threading.Event()
        self._renew = threading.Event()
        self._thread = threading.Thread(target=self._work, name="hostile", daemon=True)

    def start(self) -> None:
        self._may.set()
        self._thread.start()

    def pause(self) -> None:
        """Returns once nothing of hers is under way."""
        self._may.clear()
        self._idle.wait(30)

    def resume(self) -> None:
        self._idle.clear()
        self._may.set()

    def stop(self) -> None:
        self._over.set()
        self._may.set()
        if self._thread.is_alive():
            self._thread.join()
        self._let_go()

    def begin_anew(self) -> None:
        """After the ensemble was set back: a client of before never gets back to it (kazoo #42)."""
        self._renew.set()

    def _let_go(self) -> None:
        if self._client is not None:
            close(self._client, PATIENCE)
            self._client = None

    # --- her thread ---------------------------------------------------------------------------------

    def _work(self) -> None:
        attacks = [*IN_ZOOKEEPER, *AT_THE_PORTS]
        while not self._over.is_set():
            if not self._may.is_set():
                self._hang_up()
                self._idle.set()
                self._may.wait()
                continue
            attack = self._draw.choice(attacks)
            if self._renew.is_set():
                self._renew.clear()
                self._let_go()
            try:
                attack(self)
                self.done[attack.__name__.strip("_")] += 1
            except TROUBLE:
                pass
            except Exception as error:
                self.broken = f"the hostile tenant herself broke: {attack.__name__}: {error!r}"
            if len(self._open) > 300:
                self._hang_up()
            self._over.wait(PAUSE)
        self._hang_up()
        self._idle.set()

    def _hang_up(self) -> None:
        for sock in self._open:
            sock.close()
        self._open.clear()

    # --- in the registry ------------------------------------------------------------------------------

    def _zookeeper(self) -> KazooClient:
        if self._client is None:
            retry = {"max_tries": -1, "delay": 0.1, "backoff": 2, "max_delay": 0.5}
            self._client = KazooClient(self._hosts, timeout=4, connection_retry=retry)
            self._client.start_async()
        if not self._client.connected:
            raise OSError("not connected")
        return self._client

    def _write(self, path: str, data: bytes) -> None:
        client = self._zookeeper()
        client.create_async(path, b"", makepath=True).wait(PATIENCE)
        client.set_async(path, data).get(timeout=PATIENCE)

    def _service(self, settings: bytes = b"{}", name: str = "") -> str:
        """One of hers, new or known; the oldest goes where she has too many."""
        name = name or f"h-{self._draw.randrange(MOST)}"
        self._held.pop(name, None)
        self._held[name] = None
        if len(self._held) > MOST:
            oldest = next(iter(self._held))
            del self._held[oldest]
            self._remove(f"/services/{oldest}")
        self._write(f"/services/{name}", settings)
        return f"/services/{name}"

    def _remove(self, service: str) -> None:
        client = self._zookeeper()
        try:
            ids = client.get_children_async(service).get(timeout=PATIENCE)
        except NoNodeError:
            return
        for call in [client.delete_async(f"{service}/{id}") for id in ids]:
            call.wait(PATIENCE)
        client.delete_async(service).wait(PATIENCE)

    def _register(self, service: str, *said: Any, id: str = "") -> None:
        client = self._zookeeper()
        id = id or f"{self._draw.randrange(40):02}"
        calls = [
            client.create_async(
                f"{service}/{id}-{n}",
                one if isinstance(one, bytes) else json.dumps(one).encode(),
                ephemeral=True,
            )
            for n, one in enumerate(said)
        ]
        for call in calls:
            try:
                call.get(timeout=PATIENCE)
            except KazooException:
                continue  # it is there from before

    def _numbers_without_end(self) -> None:
        digits = "9" * 5000
        curator = '{"name":"x","id":"x","address":"10.99.0.1","port":80,"payload":{"weight":DIGITS}}'
        own = '{"address":"10.99.0.2","weight":DIGITS,"port":DIGITS}'
        spelled = [one.replace("DIGITS", digits).encode() for one in (curator, own)]
        self._register(self._service(), *spelled, b'{"address":"10.99.0.3","weight":1e400}')

    def _junk(self) -> None:
        deep = b"[" * 20_000
        junk = self._draw.randbytes(2000)
        self._register(
            self._service(junk), junk, deep, b"", b"\0" * 100, b'{"address":' * 500, b"null", b"[]"
        )

    def _too_much_of_all(self) -> None:
        many = {
            "address": [f"10.99.{n >> 8}.{n & 255}" for n in range(3000)],
            "ports": {f"p{n}": n for n in range(5000)},
            "tags": [f"t{n}" for n in range(5000)],
            "meta": {f"k{n}": "v" * 50 for n in range(3000)},
        }
        self._register(self._service(), many)

    def _names_of_others(self) -> None:
        name = self._draw.choice(
            ("S0", "s0_", "S0 ", "_s1", "s%00", "alias0.", "-s1-", "ÄS0", "S" * 200, "F0")
        )
        service = self._service(name=name)
        one = {"address": "10.99.1.1", "tags": ["_tcp", "ns", "S0", "dc2", "*", "a.b"], "port": 1}
        self._register(service, one, one)

    def _settings(self) -> None:
        settings: dict[str, Any] = self._draw.choice(
            (
                {"answers": 10**9, "ttl": 10**12, "hold": 1e300, "warm": -1, "policy": "x" * 10_000},
                {"check": {"type": "tcp", "interval": 1e-9, "timeout": 1e9, "rise": 10**9}},
                {"check": {"type": "command", "command": ["sleep", "100"]}},
                {"to": [{f"h-{n}": n + 1 for n in range(MOST)}] * 2, "over": 1e9, "from": [{"h-0": 1}]},
                {"to": [{"h-1": 1}, {"h-2": 70_000}], "spill": 9},
                {"to": [{f"t{n}.h-3": 1 for n in range(64)}]},
                {"near": "balanced", "near_min": "x", "srv_scale": 10**30, "fail_open": 7},
            )
        )
        self._register(self._service(json.dumps(settings).encode()), {"address": "10.99.2.1", "port": 80})

    def _host_names(self) -> None:
        self._register(self._service(), *({"address": f"m{n}.mute.example", "port": 80} for n in range(40)))

    def _mute_targets(self) -> None:
        host, port = self._mute
        check = {"check": {"type": "http", "path": "/", "interval": 1, "timeout": 10}}
        one = {"address": host, "port": port}
        service = self._service(json.dumps(check).encode(), "h-mute")
        self._register(service, *[one] * MUTE_TARGETS, id="m")

    def _spoilt_orders(self) -> None:
        junk = self._draw.choice(
            (b"{", b'{"to": 7}', b'{"drain": 1}', self._draw.randbytes(500), b"[" * 9000)
        )
        self._write(f"/zkdns/overrides/h-{self._draw.randrange(9)}", junk)
        self._write(f"/zkdns/overrides/h-{self._draw.randrange(9)}/i{self._draw.randrange(9)}", junk)
        self._write("/zkdns/health/h-ballot", junk)

    def _come_and_go(self) -> None:
        service = self._service()
        client = self._zookeeper()
        data = b'{"address": "10.99.3.1", "port": 80}'
        for call in [client.create_async(f"{service}/g{n}", data) for n in range(150)]:
            call.wait(PATIENCE)
        for call in [client.delete_async(f"{service}/g{n}") for n in range(150)]:
            call.wait(PATIENCE)

    # --- at the servers' ports ------------------------------------------------------------------------

    def _server(self) -> tuple[str, int, int]:
        return self._draw.choice(self._servers)

    def _connect(self, host: str, port: int) -> socket.socket:
        sock = socket.create_connection((host, port), timeout=1.0, source_address=(self._source, 0))
        sock.settimeout(0.2)
        self._open.append(sock)
        return sock

    def _empty_messages(self) -> None:
        host, port, _ = self._server()
        sock, end = self._connect(host, port), time.monotonic() + 0.2
        while time.monotonic() < end:
            sock.send(bytes(1 << 14))

    def _never_reads(self) -> None:
        host, port, _ = self._server()
        query = _query("_services._dns-sd._udp.svc.local", 12)
        self._connect(host, port).send((len(query).to_bytes(2, "big") + query) * 200)

    def _never_ends(self) -> None:
        host, port, _ = self._server()
        for _ in range(20):
            self._connect(host, port).send(b"\xff\xff\0")

    def _idle_pages(self) -> None:
        host, _, http = self._server()
        for _ in range(20):
            self._connect(host, http).send(b"GET / HTTP/1.1\r\nHost: localhost\r\n")

    def _heavy_pages(self) -> None:
        host, _, http = self._server()
        name = "a." * 100 + "svc.local"
        for path in ("/", "/metrics", f"/api/v1/explain?name={name}&if=drain={'x' * 4000}", "/api/v1/events"):
            request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            self._connect(host, http).send(request.encode())

    def _packets(self, packets: Sequence[bytes]) -> None:
        host, port, _ = self._server()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((self._source, 0))
            for packet in packets:
                sock.sendto(packet, (host, port))

    def _outside_names(self) -> None:
        self._packets([_query(f"{self._draw.randbytes(8).hex()}.mute.example", 1) for _ in range(150)])

    def _inside_names(self) -> None:
        self._packets([_query(f"{self._draw.randbytes(8).hex()}.s0.svc.local", 1) for _ in range(150)])

    def _browsing(self) -> None:
        self._packets([_query("_services._dns-sd._udp.svc.local", 12)] * 100)

    def _crooked_packets(self) -> None:
        query = bytearray(_query("s0.svc.local", 1))
        crooked = []
        for _ in range(100):
            one = bytearray(query)
            for _ in range(4):
                one[self._draw.randrange(len(one))] = self._draw.randrange(256)
            crooked.append(bytes(one))
        self._packets([*crooked, self._draw.randbytes(600), b"\0" * 11])


def _query(name: str, type: int) -> bytes:
    return b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + names.wire(name) + type.to_bytes(2, "big") + b"\0\1"


Attack = Callable[[Hostile], None]

IN_ZOOKEEPER: Final[Sequence[Attack]] = (
    Hostile._numbers_without_end, Hostile._junk, Hostile._too_much_of_all, Hostile._names_of_others,
    Hostile._settings, Hostile._host_names, Hostile._mute_targets, Hostile._spoilt_orders,
    Hostile._come_and_go,
)  # fmt: skip

AT_THE_PORTS: Final[Sequence[Attack]] = (
    Hostile._empty_messages, Hostile._never_reads, Hostile._never_ends, Hostile._idle_pages,
    Hostile._heavy_pages, Hostile._outside_names, Hostile._inside_names, Hostile._browsing,
    Hostile._crooked_packets,
)  # fmt: skip
