"""HAProxy fills the slots of a server-template from SRV records and follows every change.

Proves: addresses, ports and weights arrive over UDP and over TCP; `srv_scale` keeps the ratio of the weights
through HAProxy's division by 256; instances that come, change, drain and go are followed without a reload;
requests reach who is registered, by weight.
"""

from __future__ import annotations

import socket
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.ports import free_port
from support.programs import find, running
from support.services import Backend, Registry
from support.waiting import eventually

pytestmark = pytest.mark.zookeeper

CONFIG = """
global
    stats socket {folder}/stats level admin
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
resolvers tcp
    nameserver one tcp@127.0.0.1:{dns}
    accepted_payload_size 65535
    hold valid 1s
    hold obsolete 0s
    timeout resolve 1s
resolvers udp
    nameserver one 127.0.0.1:{dns}
    accepted_payload_size 1232
    hold valid 1s
    hold obsolete 0s
    timeout resolve 1s
frontend www
    bind 127.0.0.1:{port}
    default_backend by-tcp
backend by-tcp
    balance roundrobin
    server-template web 1-8 _ha._tcp.svc.local resolvers tcp resolve-prefer ipv4 init-addr none
backend by-udp
    server-template web 1-8 _ha._tcp.svc.local resolvers udp resolve-prefer ipv4 init-addr none
"""


class HAProxy:
    def __init__(self, folder: Path, port: int) -> None:
        self.stats, self.port = folder / "stats", port

    def say(self, command: str) -> str:
        """What the stats socket answers."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(str(self.stats))
            client.sendall(f"{command}\n".encode())
            said = b""
            while piece := client.recv(65536):
                said += piece
        return said.decode()

    def servers(self, backend: str) -> dict[str, int]:
        """Address and port of each slot that is filled -> its weight, by the stats socket."""
        said = self.say(f"show servers state {backend}")
        version, names, *lines = said.strip().splitlines()
        assert version == "1"
        slots = [dict(zip(names.split()[1:], line.split(), strict=True)) for line in lines]
        assert len(slots) == 8, said
        # srv_op_state 2 is "running"; bit 0x20 of srv_admin_state: no address from DNS.
        return {
            f"{slot['srv_addr']}:{slot['srv_port']}": int(slot["srv_uweight"])
            for slot in slots
            if slot["srv_op_state"] == "2" and not int(slot["srv_admin_state"]) & 0x20
        }

    def get(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=30) as response:
            return str(response.read().decode())


@pytest.fixture
def haproxy(registry: Registry, tmp_path: Path) -> Iterator[HAProxy]:
    port = free_port()
    config = tmp_path / "haproxy.cfg"
    config.write_text(CONFIG.format(folder=tmp_path, dns=registry.server.port, port=port))
    with running(tmp_path / "log", find("haproxy", "haproxy"), "-db", "-f", config) as process:
        eventually(lambda: (tmp_path / "stats").exists() or process.poll() is not None)
        assert process.poll() is None, (tmp_path / "log").read_text()
        yield HAProxy(tmp_path, port)


def test_server_template_follows_srv_records_with_their_weights(
    registry: Registry, backend: Callable[..., Backend], haproxy: HAProxy
) -> None:
    a, b, c, d = (backend(name, f"127.0.1.{n}") for n, name in enumerate("abcd", 1))

    def put(name: str, one: Backend, weight: int, **more: object) -> None:
        registry.put(f"ha/{name}", address=one.host, port=one.port, weight=weight, **more)

    def holds(*expected: tuple[Backend, int]) -> None:
        def is_so() -> bool:
            wanted = {f"{one.host}:{one.port}": weight for one, weight in expected}
            assert haproxy.servers("by-tcp") == wanted
            assert haproxy.servers("by-udp") == wanted
            return True

        eventually(is_so, 60, 0.1)

    registry.put("ha", srv_scale=256)
    put("a", a, 10)
    put("b", b, 20)
    put("c", c, 30)
    holds((a, 10), (b, 20), (c, 30))
    served = Counter(haproxy.get() for _ in range(120))
    # A round of HAProxy's need not start where ours does.
    assert served == pytest.approx({"a": 20, "b": 40, "c": 60}, abs=4)

    put("d", d, 1)
    put("b", b, 40)
    holds((a, 10), (b, 40), (c, 30), (d, 1))

    put("a", a, 10, status="draining")
    registry.remove("ha/c")
    holds((b, 40), (d, 1))
    assert {haproxy.get() for _ in range(100)} == {"b", "d"}

    registry.put("ha", srv_scale=1)
    holds((b, 1), (d, 1))
