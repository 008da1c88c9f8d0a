"""`make bench`: every number that the documents give, in one run, as text and as bench/results.json.

    python -m bench [--quick]

It ends with the table of ratios that the README shows. The parts can be run alone, with more to choose:
bench.engines, .tcp, .registry, .server, .changes, .near, .routes, .resync, .forward, .flood, .neighbours,
.replicas; and bench.before, this tree beside an older one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "results.json"


def run(title: str, *words: str) -> str:
    """Run one part, show what it says, give it back."""
    print(f"\n## {title}\n$ python -m {' '.join(words)}", flush=True)
    lines = []
    process = subprocess.Popen([sys.executable, "-m", *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    if process.wait():
        print(f"(ended with {process.returncode})")
    return "".join(lines)


HEADS = {
    "own names": "plain:",
    "EDNS": "edns:",
    "hostile (cookies, random case, names that aren't there)": "hostile:",
    "outside names, cached": "plain:",
    "TCP": "8 connections, bursts of 16:",
}


def ratios(text: str, head: str) -> dict[str, str]:
    """Of each server, from the rows below `head`: name, microseconds an answer, ratio."""
    found = {}
    rows = iter(text.splitlines())
    for row in rows:
        if row.startswith(head):
            next(rows, "")  # what the columns are
            for line in rows:
                words = line[13:].split()
                if len(words) < 3:
                    break
                found[line[:13].strip()] = words[1]
            break
    return found


def table(engines: str, forward: str, tcp: str) -> str:
    """What the README shows: CPU an answer, over UDP as a ratio to the floor, over TCP to gdnsd."""
    texts = (engines, engines, engines, forward, tcp)
    columns = [ratios(text, head) for text, head in zip(texts, HEADS.values(), strict=True)]
    names = dict.fromkeys(name for column in columns for name in column if name != "floor")
    rows = [[name, *(column.get(name, "") for column in columns)] for name in names]
    rows.sort(key=lambda row: min(float(ratio) for ratio in row[1:] if ratio))
    head = [["", *HEADS], ["---"] * (1 + len(HEADS))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (*head, *rows))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds; for a look only")
    quick = parser.parse_args().quick
    rounds = ["--rounds", "3", "--seconds", "1"] if quick else ["--rounds", "7", "--seconds", "2"]
    sizes = ["1000"] if quick else ["1000", "10000", "100000"]
    said = {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "load_average": os.getloadavg()[0],
    }
    print(json.dumps(said))
    said |= {
        "engines": run("CPU an answer, as a ratio to the floor", "bench.engines", *rounds),
        "tcp": run("CPU an answer over TCP", "bench.tcp", *rounds),
        "threads": run("Two answering threads against one", "bench.engines", "--threads"),
        "publish": run("A publish at 100,000 instances", "bench.engines", "--publish"),
        "registry": run("The mirror beside a plain kazoo client", "bench.registry"),
        "server": run("The server: start, memory, changes, restart", "bench.server", "--instances", *sizes),
        "changes": run("A change by stage, by size", "bench.changes", "--instances", *sizes),
        "near": run("What near answers cost", "bench.near"),
        "resync": run("While all is read again", "bench.resync", "--instances", *sizes),
        "forward": run("Cached outside names, beside other forwarders", "bench.forward", *rounds),
        "misses": run("Outside names that nobody asked for", "bench.forward", "--misses", *rounds),
        "outside": run("Own and cached names under a flood of outside ones", "bench.forward", "--flood"),
        "flood": run("Own names while others flood", "bench.flood"),
        "neighbours": run("What others get while one floods", "bench.neighbours"),
        "routes": run("A change where a thousand routes stand", "bench.routes"),
        "replicas": run("One to twenty servers on one ZooKeeper", "bench.replicas"),
    }
    said["table"] = table(said["engines"], said["forward"], said["tcp"])
    print(f"\n{said['table']}")
    RESULTS.write_text(json.dumps(said, indent=1) + "\n")
    print(f"\nwritten to {RESULTS}")


if __name__ == "__main__":
    main()
