"""The Debian package, installed on a Debian that has booted, and run by its systemd."""

from __future__ import annotations

import re

from packages.debian import Machine
from zkdns import __version__

REGISTRY = '[web]\n[[web.instances]]\nid = "a"\naddress = "192.0.2.1"\nport = 80\n'
SETTINGS = 'registry = "file:/etc/zkdns/services.toml"\nlisten = "127.0.0.1:53"\nhttp = "127.0.0.1:8053"\n'
ASK = "dig @127.0.0.1 +short +tries=1 +time=1 web.svc.local"


def test_it_installs_makes_its_user_and_starts_nothing_by_itself(machine: Machine) -> None:
    machine.shell("dpkg -i /root/zkdns.deb")
    assert machine.shell("zkdns --version") == f"zkdns {__version__}, engine native\n"
    assert "/var/lib/zkdns" in machine.shell("getent passwd zkdns")
    assert machine.run("systemctl is-active zkdns", check=False).stdout.strip() == "inactive"
    machine.shell("zkdns serve --config /etc/zkdns/zkdns.toml --test")


def test_started_means_ready_and_port_53_is_served_by_its_own_user(machine: Machine) -> None:
    machine.write("/etc/zkdns/services.toml", REGISTRY)
    machine.write("/etc/zkdns/zkdns.toml", SETTINGS)
    machine.shell("systemctl start zkdns")  # returns once it is ready: no waiting here
    assert machine.shell(ASK) == "192.0.2.1\n"
    assert "ready: engine native" in machine.shell("systemctl show -p StatusText zkdns")
    pid = machine.shell("systemctl show -p MainPID --value zkdns").strip()
    assert machine.shell(f"stat -c %U /proc/{pid}").strip() == "zkdns"


def test_the_journal_has_priorities_and_each_line_one_time(machine: Machine) -> None:
    lines = machine.shell("journalctl -u zkdns -o cat _COMM=zkdns + _COMM=python3 -p info")
    assert re.search(r"^ready: engine", lines, re.MULTILINE)
    assert not re.search(r"^20\d\d-", lines, re.MULTILINE)
    assert "PRIORITY=6" in machine.shell(
        "journalctl -u zkdns -o export | tr -d '\\0' | grep -a PRIORITY | sort -u"
    )


def test_a_reload_of_wrong_settings_fails_and_the_old_ones_hold(machine: Machine) -> None:
    machine.write("/etc/zkdns/zkdns.toml", SETTINGS + "ttl = 60\n")
    machine.shell("systemctl reload zkdns")
    assert "60" in machine.shell("dig @127.0.0.1 +noall +answer web.svc.local").split()
    machine.write("/etc/zkdns/zkdns.toml", SETTINGS + "ttl = soon\n")
    assert machine.run("systemctl reload zkdns", check=False).returncode != 0
    assert machine.shell("systemctl is-active zkdns").strip() == "active"
    assert machine.shell(ASK) == "192.0.2.1\n"
    assert "the last reload failed" in machine.until(
        "systemctl show -p StatusText zkdns", "the last reload failed"
    )
    machine.write("/etc/zkdns/zkdns.toml", SETTINGS)
    machine.shell("systemctl reload zkdns")


def test_a_start_that_cannot_succeed_fails(machine: Machine) -> None:
    machine.shell("systemctl stop zkdns")
    machine.write("/etc/zkdns/zkdns.toml", SETTINGS + 'engine = "steam"\n')
    assert machine.run("systemctl start zkdns", check=False).returncode != 0
    assert "steam" in machine.until("journalctl -u zkdns -o cat -n 50", "steam")
    machine.shell("systemctl stop zkdns")
    machine.write("/etc/zkdns/zkdns.toml", SETTINGS)


def test_a_pair_overlaps_and_no_query_is_lost(machine: Machine) -> None:
    machine.shell("systemctl start zkdns@a")
    # One query after the other without pause, and what was not answered.
    script = (
        f"while [ ! -e /root/stop ]; do {ASK} | grep -q 192.0.2.1 && echo ok || echo lost; done > /root/told"
    )
    machine.shell(f"rm -f /root/stop; systemd-run --quiet --unit=asking sh -c '{script}'")
    for new, old in (("b", "a"), ("a", "b")):
        machine.until("wc -l < /root/told; echo", "\n")
        machine.shell(f"systemctl start zkdns@{new} && systemctl stop zkdns@{old}")
        assert machine.run(f"systemctl is-active zkdns@{old}", check=False).stdout.strip() == "inactive"
        assert machine.shell(ASK) == "192.0.2.1\n"
    machine.shell("touch /root/stop; sleep 2.5")
    told = (machine.root / "root/told").read_text().split()
    assert told.count("lost") == 0, told
    assert len(told) > 20
    machine.shell("systemctl stop zkdns@a")


def test_removed_and_purged_it_leaves_nothing_that_runs_or_stands(machine: Machine) -> None:
    machine.shell("systemctl enable --now zkdns && dpkg -r zkdns")
    assert "zkdns" not in machine.run("pgrep -l -u zkdns", check=False).stdout
    machine.shell("dpkg -P zkdns")
    left = "find /usr/lib/zkdns /usr/lib/systemd/system /etc /var/lib/zkdns -name '*zkdns*'"
    assert machine.run(f"{left} 2>/dev/null", check=False).stdout == ""
