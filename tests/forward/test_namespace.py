"""The only name server of a container: a network of its own, programs of glibc and of musl.

Rules: `unshare` gives the network and the mount of resolv.conf; nothing of the machine's is touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

INSTALL = "apt-get install -y musl-tools util-linux iproute2 curl"
REPOSITORY = Path(__file__).parents[2]

LOOKUP = r"""
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
int main(int count, char **names) {
    for (int i = 1; i < count; i++) {
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
        int error = getaddrinfo(names[i], "80", &hints, &found);
        if (error) {
            printf("%s: %s\n", names[i], error == EAI_NONAME || error == EAI_NODATA ? "none" : "failed");
            continue;
        }
        for (; found; found = found->ai_next) {
            char text[INET6_ADDRSTRLEN];
            void *at = &((struct sockaddr_in *)found->ai_addr)->sin_addr;
            if (found->ai_family == AF_INET6)
                at = &((struct sockaddr_in6 *)found->ai_addr)->sin6_addr;
            printf("%s: %s\n", names[i], inet_ntop(found->ai_family, at, text, sizeof text));
        }
    }
}
"""

SCRIPT = r"""
set -e
ip link set lo up
ip addr add 198.51.100.1/32 dev lo  # getent asks for IPv4 only where there is some (AI_ADDRCONFIG)
mount --bind resolv.conf /etc/resolv.conf
"$PYTHON" -m support.upstream 5399 192.0.2.77 > upstream.log & UPSTREAM=$!
for n in $(seq 200); do grep -q listening upstream.log && break; kill -0 $UPSTREAM; sleep 0.1; done
"$PYTHON" -m zkdns serve --registry file:registry.toml --listen 127.0.0.1:53 --http 127.0.0.1:8053 \
    --zones zones --forward 127.0.0.1:5399 > log 2>&1 & SERVER=$!
trap 'kill $UPSTREAM $SERVER' EXIT
for n in $(seq 200); do grep -q ready log && break; kill -0 $SERVER; sleep 0.1; done
set +e
for program in ./glibc ./musl; do
    echo "== $program"
    $program web web.svc.local www.outside.test alias.files.test nope.svc.local nope.files.test both
done
echo "== getent"
getent ahostsv4 web.svc.local | awk '{print $1}' | sort -u
getent hosts nope.svc.local || echo none
getent ahostsv4 www.outside.test | awk '{print $1}' | sort -u
echo "== curl"
"$PYTHON" -m http.server --bind 127.0.0.1 8099 > /dev/null 2>&1 & HTTP=$!
for n in $(seq 100); do curl -s -o /dev/null http://127.0.0.1:8099/ && break; sleep 0.1; done
curl -s -o /dev/null -w '%{http_code} %{remote_ip}\n' http://site.svc.local:8099/
kill $HTTP
"""

REGISTRY = """
[web]
[[web.instances]]
id = "a"
address = "10.0.0.1"
[[site.instances]]
id = "here"
address = "127.0.0.1"
[[both.instances]]
id = "x"
address = ["10.0.0.9", "fd00::9"]
"""

ZONE = "$TTL 60\n@ SOA ns root 1 2 3 4 5\n@ NS ns\nns A 127.0.0.1\nalias CNAME web.svc.local.\n"

BY_LIBC = """web: 10.0.0.1
web.svc.local: 10.0.0.1
www.outside.test: 192.0.2.77
alias.files.test: 10.0.0.1
nope.svc.local: none
nope.files.test: none
both: 10.0.0.9
both: fd00::9
"""


@pytest.fixture
def container(tmp_path: Path) -> Path:
    missing = [p for p in ("musl-gcc", "gcc", "unshare", "ip", "curl") if shutil.which(p) is None]
    assert not missing, f"missing: {', '.join(missing)}: {INSTALL}"
    if subprocess.run(["unshare", "-r", "-n", "-m", "true"], capture_output=True).returncode:
        pytest.skip("this kernel gives no network namespaces to this user")
    (tmp_path / "lookup.c").write_text(LOOKUP)
    for compiler, name in (("gcc", "glibc"), ("musl-gcc", "musl")):
        flags = ["-static"] if name == "musl" else []
        command = [compiler, "-D_GNU_SOURCE", *flags, "-o", str(tmp_path / name), str(tmp_path / "lookup.c")]
        subprocess.run(command, check=True)
    (tmp_path / "resolv.conf").write_text("search svc.local\nnameserver 127.0.0.1\noptions timeout:10\n")
    (tmp_path / "registry.toml").write_text(REGISTRY)
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones" / "files.test.zone").write_text(ZONE)
    return tmp_path


def test_everything_resolves_with_us_as_the_only_name_server(container: Path) -> None:
    env = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"}
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        env.pop(name, None)
    ran = subprocess.run(
        ["unshare", "-r", "-n", "-m", "sh", "-c", SCRIPT],
        cwd=container, env=env, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    parts = {part.partition("\n")[0]: part.partition("\n")[2] for part in ran.stdout.split("== ") if part}
    log = (container / "log").read_text()
    assert ran.returncode == 0, ran.stderr + log
    for libc in ("./glibc", "./musl"):
        assert sorted(parts[libc].splitlines()) == sorted(BY_LIBC.splitlines()), (libc, log)
    assert parts["getent"].split() == ["10.0.0.1", "none", "192.0.2.77"], ran.stderr + log
    assert parts["curl"].split() == ["200", "127.0.0.1"], ran.stderr + log
