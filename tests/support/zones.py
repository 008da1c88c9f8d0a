"""Zones made up at random: aliases, wildcards, delegations, redirections, in one another's way."""

from __future__ import annotations

import random

LABELS = ("a", "b", "c", "*")
TYPES = ["A", "A", "AAAA", "CNAME", "CNAME", "NS", "NS", "DNAME", "MX", "TXT", "SRV", "DS"]


def random_zone(seed: int) -> tuple[str, str]:
    """The name of a zone and its file. Nothing in it that a strict server would refuse to load."""
    draw = random.Random(seed)
    apex = f"r{seed}.example."

    def name() -> str:
        return ".".join(draw.choice(LABELS) for _ in range(draw.randint(1, 3))) + "." + apex

    def target() -> str:
        return draw.choice([name(), name(), name().replace("*", "q"), apex, "out.test."])

    held: dict[str, set[str]] = {apex: {"SOA", "NS", "A"}}
    redirected: list[str] = []
    lines = [
        f"{apex} 300 SOA ns.{apex} h.{apex} 1 2 3 4 30",
        f"{apex} 300 NS ns.{apex}",
        f"{apex} 300 A 192.0.2.1",
        f"ns.{apex} 300 A 192.0.2.2",
    ]
    for _ in range(draw.randint(3, 12)):
        owner, rtype = name(), draw.choice(TYPES)
        have = held.setdefault(owner, set())
        wild = owner.startswith("*")
        below = [o for o in redirected if o != owner and owner.endswith("." + o)]
        above = [o for o in held if o != owner and o.endswith("." + owner)]
        if (
            below
            or "CNAME" in have
            or (rtype == "CNAME" and have)
            or (rtype == "DNAME" and (wild or above or have & {"NS", "DNAME"}))
            or (rtype == "NS" and (wild or "DNAME" in have))
            or (rtype == "DS" and "NS" not in have)
        ):
            continue
        if rtype == "DNAME":
            redirected.append(owner)
        have.add(rtype)
        rdata = {
            "A": f"192.0.2.{draw.randint(1, 250)}",
            "AAAA": f"2001:db8::{draw.randint(1, 99)}",
            "DNAME": target().replace("*.", ""),
            "MX": f"10 {target()}",
            "TXT": '"x"',
            "SRV": f"1 2 3 {target()}",
            "DS": "1 8 2 " + "ab" * 32,
        }.get(rtype, target())
        lines.append(f"{owner} {draw.choice([60, 300])} {rtype} {rdata}")
    return apex, "\n".join(lines) + "\n"
