"""`make soak`: two ensembles and several servers under churn, faults, questions and a hostile tenant.

    python -m bench.soak [--seconds 600] [--replicas 3] [--seed N] [--calm 15] [--faults KIND,KIND]

Members of the ensembles are killed, frozen, cut off and set back to an older copy of their data; services,
instances, routes, overrides and what checks find change all the while, beside a hostile tenant; and every
answer is held against a model:

  1. no answer holds an address, target or name that was never registered there;
  2. without EDE 3, none holds what went, was drained or failed its check longer than its bound ago;
  3. SERVFAIL never, once ready; EDE 3 always, where an ensemble that the answer comes from has been out of
     reach for long enough, and never where nothing befell those that it may come from;
  4. at each quiet moment every server answers exactly what both ensembles, the overrides and the listeners
     say, routes with their tiers, shares and words, with the ensembles' serial;
  5. each server's journal rebuilds that moment, leads from each change to the next, and tells what came and
     went; all of them together tell it once;
  6. memory, threads and descriptors stay where they were.

The seed is printed first. It plans faults, actions and questions, each in their order (`--plan` shows them);
their moments are the clock's, so a life can be led again, but not to the millisecond. Partitions need
network namespaces (Linux, ip, unshare). Exit 1 with what was wrong.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time

from bench.soak import network, plan
from bench.soak.life import Life, show_plan


def main(words: list[str]) -> int:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__, formatter_class=raw)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--replicas", type=int, default=3, help="servers; every second one is plain Python")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--calm", type=float, default=15, help="seconds of churn for one fault")
    parser.add_argument("--faults", default=",".join(plan.KINDS), help=f"of {', '.join(plan.KINDS)}")
    parser.add_argument("--plan", type=int, metavar="N", help="show the first N faults and actions, and end")
    args = parser.parse_args(words)
    kinds = set(args.faults.split(","))
    if unknown := kinds - plan.KINDS.keys():
        parser.error(f"--faults: no {', '.join(sorted(unknown))}; there are {', '.join(plan.KINDS)}")
    if args.plan is not None:
        show_plan(args.seed, 3, args.replicas, kinds, args.plan)
        return 0
    logging.getLogger("kazoo").setLevel(logging.CRITICAL)
    return run(args, kinds)


def run(args: argparse.Namespace, kinds: set[str]) -> int:
    from zkdns.serve import native

    cables = lay(kinds, args.seed)
    print(f"seed {args.seed}", flush=True)
    if isinstance(cables, str):
        print(f"no partitions: {cables}")
        kinds = kinds - plan.CUTS or {"nothing"}
    place = network.Loopback() if isinstance(cables, str) else cables
    life = Life(place, choose_engines(args.replicas, not native.WHY_NOT), args.seed)
    try:
        life.live(args.seconds, args.calm, kinds)
    finally:
        place.close()
    for what in life.broken[:20]:
        print(f"BROKEN {what}")
    print(f"broken (seed {args.seed})" if life.broken else "all held")
    return 1 if life.broken else 0


def lay(kinds: set[str], seed: int) -> network.Loopback | str:
    """The network to live in; why it can't be one with cables to pull, where such are wanted."""
    if not kinds & plan.CUTS:
        return network.Loopback()
    try:
        if not network.is_own():
            network.enter_own([*sys.argv[1:], "--seed", str(seed)])
        return network.Namespaces()
    except network.NoNamespaces as why:
        return str(why)


def choose_engines(many: int, native: bool) -> list[str]:
    return ["native" if native and k % 2 == 0 else "python" for k in range(many)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
